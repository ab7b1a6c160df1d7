"""Pairs of sequences: which rows can be scored, whatever Parquet brings them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.variants.pairs import ingest_pairs


def pairs(path: Path, ids: Any, wt: Any = None, mut: Any = None, **options: Any) -> str:
    columns = {"pair_id": ids, "wt_sequence": wt or ["ACGT"] * len(ids), "mut_sequence": mut or ["ACGA"] * len(ids)}
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def ingested(tmp_path: Path, *inputs: str) -> tuple[list[str], list[tuple[str | None, str, str, str]]]:
    """Ids that can be scored, and (id, source, reason, detail) of the others."""
    result = ingest_pairs(list(inputs), tmp_path / "out", 100)
    rejects = pq.read_table(result.rejects_dir).to_pylist()
    names = ("id", "source", "reason", "detail")
    return pq.read_table(result.variants_dir)["pair_id"].to_pylist(), [
        tuple(row[name] for name in names) for row in rejects
    ]


def other_bytes(*texts: bytes) -> pa.Array:
    return pa.array(texts, pa.binary()).view(pa.string())


def test_a_pair_with_bytes_that_are_no_utf8_is_a_reject(tmp_path: Path) -> None:
    path = pairs(
        tmp_path / "p.parquet", other_bytes(b"a", b"b\xff", b"c"), mut=other_bytes(b"ACGA", b"ACGA", b"AC\xff")
    )
    detail = "the record holds bytes that are not UTF-8 text"
    assert ingested(tmp_path, path) == (
        ["a"],
        [
            ("b\ufffd", "p.parquet:2", "malformed_record", detail),
            ("c", "p.parquet:3", "malformed_record", detail),
        ],
    )


def test_a_pair_id_that_came_before_is_a_duplicate_in_all_files(tmp_path: Path) -> None:
    first = pairs(tmp_path / "g[1].parquet", ["a", None, "b", "a"])
    second = pairs(tmp_path / "q.parquet", [None, "b", "c"])
    assert ingested(tmp_path, first, second) == (
        ["a", "b", "c"],
        [
            (None, "g[1].parquet:2", "malformed_record", "no pair_id"),
            ("a", "g[1].parquet:4", "duplicate", "this pair_id came before"),
            (None, "q.parquet:1", "malformed_record", "no pair_id"),
            ("b", "q.parquet:2", "duplicate", "this pair_id came before"),
        ],
    )


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_may_be_of_any_type_of_arrow(tmp_path: Path, kind: pa.DataType) -> None:
    path = pairs(tmp_path / "p.parquet", pa.array(["a", "b"]).cast(kind), wt=pa.array(["ACGT", "AC"]).cast(kind))
    assert ingested(tmp_path, path) == (["a", "b"], [])


def test_a_damaged_page_is_an_input_error(tmp_path: Path) -> None:
    path = Path(pairs(tmp_path / "p.parquet", [f"id{number}" for number in range(500)], compression="zstd"))
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"p\.parquet is corrupt: "):
        ingested(tmp_path, str(path))
