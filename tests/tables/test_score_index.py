"""Scores by place: what is read is what a scan of everything would give, and no more footers than needed."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygen.errors import InputError
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import REJECTS
from raygen.tables.score_index import LAST_POS, ScoreIndex, in_memory_of_arrow
from tests.finished_runs import finished_run

POSITIONS = [3, 7, 7, 7, 12, 40, 41, 90, 91, 300]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    deltas = {f"1-{pos}-A-{alt}": 1.0 for pos, alt in zip(POSITIONS, "CGTCCCCCCC", strict=True)}
    deltas |= {f"2-{pos}-A-C": 2.0 for pos in POSITIONS}
    return ScoreIndex(finished_run(tmp_path_factory.mktemp("run") / "out", deltas))


def ids_of(rows):
    return rows["variant_id"].to_pylist()


@settings(deadline=None, max_examples=40)
@given(start=st.integers(1, 310), length=st.integers(0, 310))
def test_a_stretch_gives_what_a_scan_gives(index, start, length):
    scan = read_scores(index.path).to_pylist()
    wanted = [row["variant_id"] for row in scan if row["chrom"] == "1" and start <= row["pos"] <= start + length]
    found = index.rows_between("1", start, start + length, ["variant_id", "pos"])
    assert sorted(ids_of(found)) == sorted(wanted)
    assert found["pos"].to_pylist() == sorted(found["pos"].to_pylist())


@settings(deadline=None, max_examples=40)
@given(positions=st.lists(st.integers(1, 310) | st.sampled_from(POSITIONS), max_size=6))
def test_positions_give_what_a_scan_gives(index, positions):
    scan = read_scores(index.path).to_pylist()
    wanted = [row["variant_id"] for row in scan if row["chrom"] == "2" and row["pos"] in positions]
    assert sorted(ids_of(index.rows_at("2", positions, ["variant_id"]))) == sorted(wanted)


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_windows_cover_a_contig_once(index, rows):
    windows = list(index.windows("1", rows))
    assert windows[0][0] == 1
    assert windows[-1][1] == LAST_POS
    assert all(before[1] + 1 == after[0] for before, after in pairwise(windows))
    found = [name for first, last in windows for name in ids_of(index.rows_between("1", first, last, ["variant_id"]))]
    assert len(found) == len(set(found)) == len(POSITIONS)


def test_a_contig_without_scores_has_no_rows(index):
    assert index.rows_between("nowhere", 1, 10, ["pos"]).num_rows == 0
    assert index.rows_at("nowhere", [1], ["pos"]).num_rows == 0
    assert list(index.windows("nowhere")) == [(1, LAST_POS)]


def test_few_footers_of_many_are_read(tmp_path, monkeypatch):
    out = finished_run(tmp_path / "out", {f"1-{pos}-A-C": 1.0 for pos in range(1, 401)}, shard_rows=2)
    opened = []
    make = ScoreIndex.__init__.__globals__["_unread"]
    monkeypatch.setattr(
        "raygen.tables.score_index._unread", lambda file, groups: opened.append(1) or make(file, groups)
    )
    index = ScoreIndex(out)
    assert ids_of(index.rows_between("1", 200, 201, ["variant_id"])) == ["1-200-A-C", "1-201-A-C"]
    assert len(opened) < 25
    assert len(index.folder.score_files()) == 200


def test_two_inputs_whose_positions_interleave_are_both_found(tmp_path):
    out = finished_run(tmp_path / "out", {f"1-{pos}-A-C": 1.0 for pos in range(1, 40, 2)})
    other = ScoreIndex(finished_run(tmp_path / "other", {f"1-{pos}-A-C": 1.0 for pos in range(2, 40, 2)}))
    table = other.rows_between("1", 1, 100, other.schema.names)
    RunFolder(out).commit_shard("ffffffffffff-000000", "1", table, REJECTS.empty_table(), other.identity)
    found = ScoreIndex(out).rows_between("1", 5, 8, ["pos"])
    assert found["pos"].to_pylist() == [5, 6, 7, 8]


def test_files_with_other_names_need_no_order(tmp_path):
    out = RunFolder(finished_run(tmp_path / "out", {"1-500-A-C": 1.0}))
    index = ScoreIndex(out.path)
    row = index.rows_between("1", 1, 1000, index.schema.names)
    for number, pos in enumerate([90, 10, 60], start=1):
        moved = row.set_column(row.schema.get_field_index("pos"), "pos", pa.array([pos]))
        out.commit_shard(f"compacted-{number:06d}", "1", moved, REJECTS.empty_table(), index.identity)
    found = [ScoreIndex(out.path).rows_between("1", pos, pos, ["pos"]).num_rows for pos in (10, 60, 90, 500)]
    assert found == [1, 1, 1, 1]


def test_shards_without_rows_are_passed_over(tmp_path):
    out = RunFolder(finished_run(tmp_path / "out", {f"1-{pos}-A-C": 1.0 for pos in (5, 50)}, shard_rows=1))
    index = ScoreIndex(out.path)
    empty = index.rows_between("1", 9, 9, index.schema.names)
    for number in (0, 2, 3):
        out.commit_shard(f"eeeeeeeeeeee-{number:06d}", "1", empty, REJECTS.empty_table(), index.identity)
    assert ScoreIndex(out.path).rows_between("1", 1, 60, ["pos"])["pos"].to_pylist() == [5, 50]


def test_pairs_are_found_by_their_names(tmp_path):
    index = ScoreIndex(finished_run(tmp_path / "out", {"one": -1.0, "two": 2.0, "three": 0.0, "four": 0.5}))
    assert index.contigs == [None]
    assert ids_of(index.rows_named(["two", "nobody"], ["variant_id"])) == ["two"]
    assert list(index.windows(None)) == [(1, LAST_POS)]
    assert ids_of(index.rows_between(None, 1, LAST_POS, ["variant_id"])) == ["four", "one", "three", "two"]


def test_positions_may_come_as_an_array(index):
    assert ids_of(index.rows_at("1", np.array([300, 3]), ["variant_id"])) == ["1-3-A-C", "1-300-A-C"]


def test_a_folder_without_scores_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="holds no scores"):
        ScoreIndex(str(tmp_path))
    with pytest.raises(InputError, match="No such folder"):
        ScoreIndex(str(tmp_path / "nothing"))


def test_a_truncated_file_is_an_input_error(tmp_path):
    out = finished_run(tmp_path / "out", {f"1-{pos}-A-C": 1.0 for pos in range(1, 9)})
    last = sorted((tmp_path / "out/scores/chrom=1").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated or corrupt"):
        ScoreIndex(out).rows_between("1", 1, 9, ["pos"])


def test_positions_of_a_filter_do_not_lie_in_memory_that_python_must_free():
    positions = np.arange(5)
    copied = in_memory_of_arrow(positions)
    assert copied.equals(pa.array(positions))
    assert pa.array(positions).buffers()[1].address == positions.ctypes.data != copied.buffers()[1].address
