from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.variants.ingested_folder import PartFiles

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)], {"key": "value"})


def write(folder: Path, stretches: list[list[int]], row_group_rows: int, file_rows: int) -> list[list[int]]:
    """Sizes of the row groups of each file; ``stretches`` are written one row group or more each, ten rows at a time."""
    parts = PartFiles(folder, SCHEMA, row_group_rows=row_group_rows, file_rows=file_rows)
    for numbers in stretches:
        for start in range(0, len(numbers), 10):
            parts.write(pa.table({"n": numbers[start : start + 10]}))
        parts.end_group()
    parts.close(at_least_one_file=True)
    files = [pq.ParquetFile(path) for path in sorted(folder.iterdir())]
    assert [n for file in files for n in file.read()["n"].to_pylist()] == [n for numbers in stretches for n in numbers]
    assert parts.num_rows == sum(map(len, stretches))
    assert all(file.schema_arrow.metadata[b"key"] == b"value" for file in files)
    return [[file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] for file in files]


def test_row_groups_end_where_a_contig_ends(tmp_path: Path) -> None:
    assert write(tmp_path, [list(range(25)), list(range(3)), list(range(12))], 10, 1000) == [[10, 10, 5, 3, 10, 2]]


def test_files_roll_between_row_groups(tmp_path: Path) -> None:
    assert write(tmp_path, [list(range(45)), list(range(5))], 10, 25) == [[10, 10], [10, 10, 5], [5]]


def test_file_smaller_than_a_row_group_limits_the_row_group(tmp_path: Path) -> None:
    assert write(tmp_path, [list(range(7))], 10, 3) == [[3], [3], [1]]


def test_empty_table_is_one_file_with_a_schema(tmp_path: Path) -> None:
    assert write(tmp_path, [], 10, 100) == [[]]


def test_empty_table_without_need_of_a_file_is_none(tmp_path: Path) -> None:
    PartFiles(tmp_path, SCHEMA, row_group_rows=10, file_rows=10).close()
    assert list(tmp_path.iterdir()) == []
