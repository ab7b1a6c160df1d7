"""Every type that ingest lets in, in every format that scores are exported to."""

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pytest

from raygen.finished.export import export_scores
from raygen.finished.query import Asked, Query
from raygen.finished.query_output import write_json, write_tsv
from raygen.tables.carried_types import carried_as
from raygen.tables.layout import read_scores
from tests.finished_runs import finished_run

NOON = datetime(2026, 11, 30, 12, 30)
VALUES = {
    "empty": (pa.null(), None, ".", ""),
    "flag": (pa.bool_(), True, "1", "true"),
    "int8": (pa.int8(), -7, "-7", "-7"),
    "uint32": (pa.uint32(), 7, "7", "7"),
    "uint64": (pa.uint64(), 7, "7", "7"),
    "float32": (pa.float32(), 0.25, "0.25", "0.25"),
    "float64": (pa.float64(), 0.1, "0.1", "0.1"),
    "text": (pa.string(), "a b;c", "a%20b%3Bc", "a b;c"),
    "decimal": (pa.decimal128(5, 2), Decimal("1.50"), "1.50", "1.50"),
    "date": (pa.date32(), date(2026, 11, 30), "2026-11-30", "2026-11-30"),
    "clock": (pa.time32("ms"), time(12, 30), "12%3A30%3A00.000", "12:30:00.000000000"),
    "clock64": (pa.time64("us"), time(12, 30), "12%3A30%3A00.000000", "12:30:00.000000000"),
    "when": (pa.timestamp("ms"), NOON, "2026-11-30%2012%3A30%3A00.000", "2026-11-30T12:30:00.000"),
    "when_utc": (
        pa.timestamp("us", "UTC"),
        NOON.replace(tzinfo=UTC),
        "2026-11-30%2012%3A30%3A00.000000Z",
        "2026-11-30T12:30:00.000000+0000",
    ),
    "numbers": (pa.list_(pa.int64()), [1, None, 3], "1&.&3", "1&&3"),
    "texts": (pa.list_(pa.string()), ["a&b", "c"], "a%26b&c", "a&b&c"),
    "flags_": (pa.list_(pa.bool_()), [True, False], "1&0", "true&false"),
    "floats": (pa.list_(pa.float64()), [0.1, 1e-60], "0.1&1e-60", "0.1&1e-60"),
    "nothing": (pa.list_(pa.string()), [], ".", ""),
}
"""Name: type, value, its text in INFO, its text in CSV and TSV."""
COLUMNS = ",".join(VALUES)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> str:
    """One variant with all of the values, and one whose values are null."""
    columns = {name: {"1-5-A-C": value} for name, (_, value, _, _) in VALUES.items()}
    types = {name: arrow_type for name, (arrow_type, *_) in VALUES.items()}
    deltas = {"1-5-A-C": -1.0, "1-9-A-C": -2.0}
    return finished_run(tmp_path_factory.mktemp("types") / "out", deltas, columns=columns, types=types)


def texts(number: int) -> dict[str, str]:
    return {name: value[number] for name, value in VALUES.items()}


def test_every_kind_of_type_that_is_carried_is_among_the_values():
    assert all(carried_as(arrow_type) == arrow_type for arrow_type, *_ in VALUES.values())


@pytest.mark.parametrize("end", [".vcf", ".vcf.gz", ".bcf"])
def test_vcf_and_bcf_hold_every_type(out, tmp_path, end):
    path = tmp_path / f"scores{end}"
    export_scores(out, str(path), fields=list(VALUES), prefix="x_")
    with pysam.VariantFile(str(path)) as handle:
        first, second = (dict(record.info) for record in handle)
    assert {name: _text(first.get(f"x_{name}")) for name in VALUES} == texts(2)
    assert {_text(second.get(f"x_{name}")) for name in VALUES} == {"."}


def _text(value) -> str:
    (item,) = (None,) if value is None else value
    return "." if item is None else f"{item:g}" if isinstance(item, float) else str(item)


def test_the_tsv_for_bcftools_holds_every_type(out, tmp_path):
    export_scores(out, str(tmp_path / "scores.tsv.gz"), fields=list(VALUES), prefix="x_")
    _, header, first, second = gzip.decompress((tmp_path / "scores.tsv.gz").read_bytes()).decode().splitlines()
    assert dict(zip(header.split("\t")[4:], first.split("\t")[4:], strict=True)) == {
        f"x_{name}": text for name, text in texts(2).items()
    }
    assert set(second.split("\t")[4:]) == {"."}


@pytest.mark.parametrize("end, separator", [(".csv", ","), (".tsv", "\t")])
def test_csv_and_tsv_hold_every_type(out, tmp_path, end, separator):
    path = tmp_path / f"scores{end}"
    export_scores(out, str(path), fields=list(VALUES))
    first, second = csv.DictReader(io.StringIO(path.read_text()), delimiter=separator)
    assert {name: first[name] for name in VALUES} == texts(3)
    assert {second[name] for name in VALUES} == {""}


def test_parquet_holds_the_values_themselves(out, tmp_path):
    export_scores(out, str(tmp_path / "scores.parquet"))
    table = pq.read_table(tmp_path / "scores.parquet")
    assert {name: table[name][0].as_py() for name in VALUES} == {name: value[1] for name, value in VALUES.items()}
    assert table.select(list(VALUES)).equals(read_scores(out).select(list(VALUES)))


def test_a_query_prints_every_type(out):
    stream = io.StringIO()
    write_tsv(Query(out, Asked(variants=["1-5-A-C"])), stream)
    header, line = (text.split("\t") for text in stream.getvalue().splitlines())
    found_texts = dict(zip(header, line, strict=True))
    times = {"clock": "12:30:00.000", "clock64": "12:30:00.000000", "when": "2026-11-30 12:30:00.000"}
    times["when_utc"] = "2026-11-30 12:30:00.000000Z"
    assert {name: found_texts[name] for name in VALUES} == texts(3) | times
    stream = io.StringIO()
    write_json(Query(out, Asked(variants=["1-5-A-C"])), stream)
    (row,) = json.loads(stream.getvalue())
    assert [row[name] for name in ("numbers", "text", "date", "decimal")] == [
        [1, None, 3],
        "a b;c",
        "2026-11-30",
        "1.50",
    ]


def test_what_an_earlier_version_let_in_is_written_as_json(tmp_path):
    columns = {"sv": {"1-5-A-C": {"end": 7, "kind": "DEL"}}, "half": {"1-5-A-C": 1.5}, "raw": {"1-5-A-C": b"x"}}
    old = finished_run(tmp_path / "out", {"1-5-A-C": -1.0}, columns=columns, types={"half": pa.float16()})
    export_scores(old, str(tmp_path / "old.csv"), fields=list(columns))
    (row,) = csv.DictReader(io.StringIO((tmp_path / "old.csv").read_text()))
    assert (json.loads(row["sv"]), row["half"], row["raw"]) == ({"end": 7, "kind": "DEL"}, "1.5", "\"b'x'\"")
    export_scores(old, str(tmp_path / "old.vcf"), fields=list(columns), prefix="x_")
    with pysam.VariantFile(str(tmp_path / "old.vcf")) as handle:
        (record,) = handle
    assert record.info["x_sv"] == ('{"end"%3A%207%2C%20"kind"%3A%20"DEL"}',)
    stream = io.StringIO()
    assert write_tsv(Query(old, Asked(variants=["1-5-A-C"])), stream) == 1


@pytest.mark.parametrize("end", [".vcf", ".vcf.gz", ".bcf"])
def test_whole_numbers_of_more_than_32_bits_are_text_in_a_vcf_because_readers_would_drop_them(tmp_path, end):
    columns = {"RS": {"1-5-A-C": 2148352434, "1-9-A-C": 7}, "DP": {"1-5-A-C": 2**31 - 1, "1-9-A-C": -(2**31) + 8}}
    columns["P"] = {"1-5-A-C": 1e-60, "1-9-A-C": 0.1}
    run = finished_run(tmp_path / "out", {"1-5-A-C": -1.0, "1-9-A-C": -2.0}, columns=columns)
    export_scores(run, str(tmp_path / f"s{end}"), fields=["RS", "DP", "P", "num_tokens"], prefix="")
    with pysam.VariantFile(str(tmp_path / f"s{end}")) as handle:
        assert {name: handle.header.info[name].type for name in ("RS", "DP", "P", "num_tokens")} == {
            "RS": "String",
            "DP": "Integer",
            "P": "Float",
            "num_tokens": "Integer",
        }
        rows = [(record.info["RS"], record.info["DP"]) for record in handle]
    assert rows == [(("2148352434",), (2**31 - 1,)), (("7",), (-(2**31) + 8,))]
    if end == ".vcf":
        assert [line.split("P=")[2].split(";")[0] for line in (tmp_path / "s.vcf").read_text().splitlines()[-2:]] == [
            "1e-60",
            "0.1",
        ]
    export_scores(run, str(tmp_path / "s.tsv.gz"), fields=["RS", "DP"], prefix="")
    assert [line.split("Type=")[1].split(",")[0] for line in (tmp_path / "s.tsv.gz.hdr").read_text().splitlines()] == [
        "String",
        "Integer",
    ]
