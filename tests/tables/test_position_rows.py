"""Rows of a position table by place: which files are opened, and what is read of them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import PositionFolder
from raygen.tables.schemas import REJECTS
from tests.builders import random_bases
from tests.position_tables import IDENTITY, write_positions

BASES = random_bases(1000)


@pytest.fixture
def out(tmp_path):
    """Twenty files of 50 bases, and another contig."""
    return write_positions(tmp_path / "out", {"1": BASES, "2": "ACGT"}, shard_bases=50)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that are opened from now on."""
    names: list[str] = []
    open_file = PositionRows._open
    monkeypatch.setattr(
        PositionRows, "_open", lambda rows, path: names.append(Path(path).name) or open_file(rows, path)
    )
    return names


def compacted(out: str, rows_a_file: int) -> str:
    """The same rows of contig 1 in files as ``compact`` names them."""
    rows = PositionRows(out).rows_between("1", 1, 2000, PositionRows(out).schema.names[1:])
    metadata = {"raygen.fingerprint": IDENTITY.fingerprint}
    for path in Path(out).glob("positions/chrom=1/*.parquet"):
        path.unlink()
    for number, first in enumerate(range(0, len(rows), rows_a_file)):
        part = rows.slice(first, rows_a_file).replace_schema_metadata(metadata)
        pq.write_table(part, Path(out) / f"positions/chrom=1/part-compact-0123456789ab-{number:04d}.parquet")
    return out


def positions(rows: pa.Table) -> list[int]:
    return rows["pos"].to_pylist()


def test_one_position_opens_one_file(out, opened):
    rows = PositionRows(out)
    opened.clear()
    assert positions(rows.rows_at("1", [512], ["pos"])) == [512]
    assert opened == ["part-0123456789ab-00000-0000000500.parquet"]
    opened.clear()
    assert positions(rows.rows_at("1", [1001, 5000], ["pos"])) == []
    assert opened == [
        "part-0123456789ab-00000-0000000950.parquet"
    ]  # how far the last one reaches its name does not say
    opened.clear()
    assert positions(rows.rows_at("7", [1], ["pos"])) == []
    assert opened == []


def test_of_compacted_files_few_are_opened_for_one_position(out, opened):
    rows = PositionRows(compacted(out, 50))
    opened.clear()
    assert positions(rows.rows_at("1", [512], ["pos"])) == [512]
    assert len(opened) <= 2 * 5 + 2  # of twenty, to find where one begins
    opened.clear()
    assert positions(rows.rows_at("1", [513], ["pos"])) == [513]
    assert len(opened) == 1


@pytest.mark.parametrize("of", [lambda out: out, lambda out: compacted(out, 70), lambda out: compacted(out, 2000)])
def test_rows_are_those_of_the_positions_in_order(out, of):
    rows = PositionRows(of(out))
    wanted = [999, 3, 50, 51, 51, 1000, 1001, 0, -4, 700]
    assert positions(rows.rows_at("1", wanted, ["pos"])) == [3, 50, 51, 700, 999, 1000]
    letters = rows.rows_at("1", np.arange(1, 1001), ["ref", "chrom"])
    assert "".join(letters["ref"].to_pylist()) == BASES
    assert letters["chrom"].unique().to_pylist() == ["1"]
    assert positions(rows.rows_between("1", 49, 52, ["pos"])) == [49, 50, 51, 52]
    assert positions(rows.rows_between("1", 990, 2**40, ["pos"])) == list(range(990, 1001))
    assert positions(rows.rows_between("1", 1001, 2000, ["pos"])) == []
    assert positions(rows.rows_at("1", [], ["pos"])) == []


def test_two_shards_of_one_tile_are_both_asked(tmp_path, opened):
    """A region that was added later lies between the rows of the first one."""
    source = PositionFolder(write_positions(tmp_path / "source", {"1": BASES}))
    rows = source.read_score_file(source.score_files()[0])
    folder = PositionFolder(str(tmp_path / "out"))
    folder.prepare()
    first, second = np.r_[0:10, 40:50], np.r_[10:40]
    for name, part in (
        ("00000-0000000000-aaaaaaaa", first),
        ("00000-0000000000-bbbbbbbb", second),
        ("00000-0000000100", np.r_[100:200]),
    ):
        folder.commit_shard(f"0123456789ab-{name}", "1", rows.take(pa.array(part)), REJECTS.empty_table(), IDENTITY)
    both = PositionRows(folder.path)
    assert positions(both.rows_at("1", [5, 15, 45, 60, 150], ["pos"])) == [5, 15, 45, 150]
    assert positions(both.rows_between("1", 1, 300, ["pos"])) == [*range(1, 51), *range(101, 201)]
    assert list(both.windows("1", 20)) == [(1, 50), (101, 200)]


def test_windows_cover_the_rows_and_nothing_else(out):
    rows = PositionRows(out)
    windows = list(rows.windows("1", 120, start=20, end=940))
    assert windows[0][0] == 20 and windows[-1][1] == 940
    assert all(before[1] + 1 == after[0] for before, after in pairwise(windows))
    assert all(last - first < 120 for first, last in windows)
    assert list(rows.windows("1", start=1001)) == []
    assert list(rows.windows("9")) == []


@pytest.mark.parametrize(("change", "words"), [
    (lambda rows: rows.drop_columns("entropy"), "entropy is not there and float before"),
    (lambda rows: rows.set_column(3, "delta_C", rows["delta_C"].cast(pa.float64())), "delta_C is double there and float before"),
])  # fmt: skip
def test_a_file_with_other_columns_than_the_first_is_refused(out, change, words):
    path = Path(out) / "positions/chrom=1/part-0123456789ab-00000-0000000500.parquet"
    rows = pq.ParquetFile(path).read()
    pq.write_table(change(rows).replace_schema_metadata(rows.schema.metadata), path)
    with pytest.raises(InputError, match=f"0000000500.parquet cannot be read as one table .*: {words}"):
        PositionRows(out).rows_between("1", 1, 1000, ["delta_C", "entropy"])
    assert len(PositionRows(out).rows_between("1", 1, 1000, ["delta_A"])) == 1000


def test_a_file_that_went_away_is_named(out):
    rows = PositionRows(out)
    (Path(out) / "positions/chrom=1/part-0123456789ab-00000-0000000500.parquet").unlink()
    with pytest.raises(InputError, match=r"0000000500\.parquet cannot be read: .*Failed to open"):
        rows.rows_at("1", [512], ["pos"])


def test_a_table_without_files_is_told_from_a_folder_of_something_else(tmp_path):
    with pytest.raises(InputError, match="is no position table: there are no files"):
        PositionRows(str(tmp_path))
    (tmp_path / "positions").mkdir()
    with pytest.raises(InputError, match="holds no positions yet: there are no files"):
        PositionRows(str(tmp_path))


def test_a_file_of_another_program_is_refused(out, tmp_path):
    path = tmp_path / "foreign/positions/chrom=1/part-x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"pos": [1]}), path)
    with pytest.raises(InputError, match=r"part-x\.parquet was not written by raygen"):
        PositionRows(str(tmp_path / "foreign"))
