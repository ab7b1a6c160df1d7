"""``raygen compact`` on a position table: the same rows in fewer files, written as such a table is, and what verify needs kept."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raygen.tables import compact as compact_module
from raygen.tables.compact import compact
from raygen.tables.generations import scores_folder
from raygen.tables.layout import rows_of_runs
from raygen.tables.position_table import ROW_GROUP_ROWS, PositionFolder
from raygen.tables.verify import verify
from tests.builders import random_bases
from tests.position_tables import RUN, write_positions
from tests.tables.positions_on_disk import account, add_rows, tabulated

LATER = "20270101T000000Z-b"


@pytest.fixture(params=[False, True], ids=["forward", "both"])
def table(request, tmp_path) -> PositionFolder:
    """Contig 1 in six shards, one of which a later run wrote in two halves; contig 22 in one."""
    made = tabulated(tmp_path / "out", {"1": random_bases(600), "22": "ACGTNNACGT"}, request.param, shard_bases=100)
    second = "0123456789ab-00000-0000000200"
    add_rows(made, f"{second}-aaaaaaaa", second, LATER, 0, 100)
    (path,) = [file.path for file in made.score_files() if file.shard == second]
    rows = made.read_score_file(next(file for file in made.score_files() if file.shard == f"{second}-aaaaaaaa"))
    Path(path).unlink()
    identity = made.identity()
    is_inside = pc.and_(pc.greater(rows["pos"], 220), pc.less(rows["pos"], 260))
    empty = pa.table({})
    made.commit_shard(f"{second}-aaaaaaaa", "1", rows.filter(is_inside), empty, identity, LATER)
    made.commit_shard(f"{second}-bbbbbbbb", "1", rows.filter(pc.invert(is_inside)), empty, identity, RUN)
    account(made, RUN, 3 * (608 - 39))
    account(made, LATER, 3 * 39)
    return made


def rows_of(table: PositionFolder) -> pa.Table:
    parts = [table.read_score_file(file) for file in table.score_files()]
    return pa.concat_tables(parts).sort_by([("chrom", "ascending"), ("pos", "ascending")]).combine_chunks()


def files_of(table: PositionFolder, chrom: str) -> list[str]:
    return [file.path for file in table.score_files() if file.chrom == chrom]


def test_many_files_become_one_sorted_file_with_the_same_rows(table):
    before, shards, identity = rows_of(table), table.committed_shards(), table.identity()
    (done,) = compact(table.path)
    assert (done.chrom, done.files_before, done.files_after, done.rows_rewritten) == ("1", 7, 1, 600)
    (path,) = files_of(table, "1")
    assert pq.ParquetFile(path).read(["pos"])["pos"].to_pylist() == list(range(1, 601))
    assert rows_of(table).equals(before)
    assert (table.committed_shards(), table.identity()) == (shards, identity)


def test_the_table_is_a_link_to_its_generation_and_there_is_no_folder_of_scores(table):
    compact(table.path, target_rows=200, full=True)
    root = table.local_root
    assert (root / "positions").readlink() == Path(".generations/000001")
    assert scores_folder(root, "positions") == root / ".generations/000001"
    assert not (root / "scores").exists() and not (root / "scores").is_symlink()
    compact(table.path, target_rows=100, full=True)
    compact(table.path, full=True)
    assert sorted(path.name for path in (root / ".generations").iterdir()) == ["000002", "000003"]
    assert not list(root.glob(".positions.*"))


def test_a_compacted_file_is_written_as_a_shard_is(tmp_path):
    table = tabulated(tmp_path / "out", {"1": random_bases(ROW_GROUP_ROWS + 500)}, shard_bases=5000)
    compact(table.path)
    (path,) = files_of(table, "1")
    footer = pq.ParquetFile(path).metadata
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [ROW_GROUP_ROWS, 500]
    columns = {footer.row_group(0).column(number).path_in_schema: number for number in range(footer.num_columns)}
    encodings = {name: footer.row_group(0).column(number).encodings for name, number in columns.items()}
    assert "BYTE_STREAM_SPLIT" in encodings["delta_A"] and "DELTA_BINARY_PACKED" in encodings["pos"]


def test_a_compacted_table_has_no_faults_nor_one_that_was_compacted_again(table):
    assert verify(table.path).faults == []
    compact(table.path, target_rows=150, full=True)
    assert len(files_of(table, "1")) > 3
    assert verify(table.path).faults == []
    compact(table.path, full=True)
    assert (len(files_of(table, "1")), verify(table.path).faults) == (1, [])
    (path,) = files_of(table, "1")
    assert rows_of_runs(pq.read_metadata(path)) == {RUN: 561, LATER: 39}


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_of_a_merge_that_is_gone_or_there_twice_is_found(table, number):
    compact(table.path, target_rows=150, full=True)
    path = Path(files_of(table, "1")[number])
    shutil.copy(path, path.with_name("part-compact-again.parquet"))
    assert any("more than once" in fault.what for fault in verify(table.path).faults)
    path.with_name("part-compact-again.parquet").unlink()
    path.unlink()
    (first, *others) = [fault.what for fault in verify(table.path).faults]
    assert first.startswith("the footers of its files count")
    assert len(others) == (2 if number == 0 else 0), "the first file of a merge names the runs"


def test_files_of_a_position_table_hold_more_rows(table, monkeypatch):
    monkeypatch.setattr(compact_module, "TARGET_ROWS", 10)
    monkeypatch.setattr(compact_module, "TARGET_POSITIONS", 300)
    compact(table.path)
    assert max(pq.read_metadata(path).num_rows for path in files_of(table, "1")) == 300


def test_a_shard_that_is_committed_later_is_in_the_generation_of_now(table):
    compact(table.path)
    both = len(table.scores_dataset().schema.names) > 9
    write_positions(Path(table.path), {"1": "ACGT"}, both, start=601)
    assert {"0123456789ab-00000-0000000000", "0123456789ab-00000-0000000600"} < table.committed_shards()
    assert len(rows_of(table)) == 612


def test_shards_without_a_row_are_still_known(tmp_path):
    table = tabulated(tmp_path / "out", {"1": "NNNNNN"}, shard_bases=3)
    shards = table.committed_shards()
    (done,) = compact(table.path)
    assert (done.files_before, done.files_after, done.rows_rewritten, len(shards)) == (2, 1, 0, 2)
    assert (table.committed_shards(), verify(table.path).faults) == (shards, [])
