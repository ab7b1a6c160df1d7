"""Columns that ride along: one type for all inputs of a table, and a word at the start where there is none."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import read_ingest_info
from raygen.variants.inputs import DeclaredColumns
from tests.variants.conftest import MemoryReference

PYARROW = int(pa.__version__.split(".")[0])
REFERENCE = MemoryReference({"1": "ACGTACGTAC"})


def parquet(folder: Path, name: str, pos: int, values: pa.Array) -> Path:
    """SNVs A>C at ``pos`` and every four bases on, with the column ``af``."""
    size = len(values)
    columns = {"chrom": ["1"] * size, "pos": [pos + 4 * row for row in range(size)]}
    pq.write_table(pa.table({**columns, "ref": ["A"] * size, "alt": ["C"] * size, "af": values}), folder / name)
    return folder / name


def carried(folder: Path, *files: Path, declared: pa.DataType | None = None) -> pa.ChunkedArray:
    """The column ``af`` of what is ingested from the files, in the order of positions."""
    columns = DeclaredColumns("the scores in out", {"af": declared}) if declared else None
    result = ingest(files, REFERENCE, folder / "in", source_columns=["af"], declared=columns)
    return pq.read_table(result.variants_dir)["af"]


@pytest.mark.parametrize(
    "first, second, expected",
    [
        (pa.array([7]), pa.array([0.5]), pa.array([7.0, 0.5])),
        (pa.array([0.5]), pa.array([7], pa.int8()), pa.array([0.5, 7.0])),
        (pa.nulls(1), pa.array(["007"]), pa.array([None, "007"])),
        (pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.array(["a", "b"])),
        (pa.array([7], pa.int32()), pa.array([2**40]), pa.array([7, 2**40])),
    ],
    ids=str,
)
def test_of_two_types_in_one_ingest_the_wider_holds(tmp_path, first, second, expected):
    column = carried(tmp_path, parquet(tmp_path, "a.parquet", 1, first), parquet(tmp_path, "b.parquet", 5, second))
    assert column.type == expected.type
    assert column.to_pylist() == expected.to_pylist()


def test_text_and_numbers_are_refused_and_both_files_are_named(tmp_path):
    files = (parquet(tmp_path, "a.parquet", 1, pa.array([7])), parquet(tmp_path, "b.parquet", 5, pa.array(["007"])))
    with pytest.raises(InputError, match=r"'af' is int64 in a\.parquet and string in b\.parquet.*folder of its own"):
        carried(tmp_path, *files)
    assert not (tmp_path / "in").exists()


def test_a_narrower_input_gets_the_type_of_the_table_and_a_wider_one_keeps_its_own(tmp_path):
    whole, fraction = (
        parquet(tmp_path, "a.parquet", 1, pa.array([7])),
        parquet(tmp_path, "b.parquet", 5, pa.array([0.5])),
    )
    assert carried(tmp_path / "1", whole, declared=pa.float64()).to_pylist() == [7.0]
    assert carried(tmp_path / "2", fraction, declared=pa.int64()).type == pa.float64()
    with pytest.raises(InputError, match=r"'af' is string in the scores in out and int64 in a\.parquet"):
        carried(tmp_path / "3", whole, declared=pa.string())


def test_a_number_that_the_type_of_the_table_does_not_hold_stops_the_ingest(tmp_path):
    large = parquet(tmp_path, "a.parquet", 1, pa.array([2**53 + 1]))
    with pytest.raises(InputError, match=r"'af' of a\.parquet holds a value that double.*9007199254740993"):
        carried(tmp_path, large, declared=pa.float64())


@pytest.mark.parametrize(
    "values, kind",
    [
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map"),
        (pa.array([b"a"]), "binary"),
        (pa.array([b"ab"], pa.binary(2)), "fixed_size_binary"),
        (pa.array([datetime.timedelta(1)]), "duration"),
        (pa.array([[[1]]]), "list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_format_could_write_is_refused_at_the_start(tmp_path, values, kind):
    with pytest.raises(InputError, match=rf"cannot be carried: af of a\.parquet is {kind}.*Carried are true/false"):
        carried(tmp_path, parquet(tmp_path, "a.parquet", 1, values))


@pytest.mark.parametrize(
    "values, expected",
    [
        (pa.array(["a", None], pa.string_view()), pa.array(["a", None])),
        (pa.array(["a", None]).dictionary_encode(), pa.array(["a", None])),
        (pa.array([1.5, None], pa.float32()).cast(pa.float16()), pa.array([1.5, None], pa.float32())),
        pytest.param(
            pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
            pa.array([[1, 2], None], pa.list_(pa.int32())),
            marks=pytest.mark.skipif(PYARROW < 26, reason="pyarrow below 26 cannot read back what it wrote"),
        ),
        pytest.param(
            pa.array([[1, None], []], pa.list_view(pa.int64())),
            pa.array([[1, None], []]),
            marks=pytest.mark.skipif(PYARROW < 25, reason="pyarrow below 25 cannot write it"),
        ),
        (pa.array([["a"], None], pa.list_(pa.string_view())), pa.array([["a"], None])),
    ],
    ids=lambda value: str(value.type),
)
def test_other_ways_to_store_a_type_are_carried_as_the_plain_one(tmp_path, values, expected):
    column = carried(tmp_path, parquet(tmp_path, "a.parquet", 1, values))
    assert column.type == expected.type
    assert column.to_pylist() == expected.to_pylist()
    assert read_ingest_info(tmp_path / "in")["source_columns"] == {"af": str(expected.type)}


def test_a_column_that_is_not_asked_for_may_be_anything(tmp_path: Path) -> None:
    table: Any = pq.read_table(parquet(tmp_path, "a.parquet", 1, pa.array([7])))
    pq.write_table(table.append_column("info", pa.array([{"a": 1}])), tmp_path / "a.parquet")
    assert carried(tmp_path, tmp_path / "a.parquet").to_pylist() == [7]
