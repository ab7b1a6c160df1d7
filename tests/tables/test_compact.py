import multiprocessing
import os
import random
import threading
import time
from contextlib import suppress
from glob import glob
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.finished.reclassify import reclassify
from raygen.tables import compact as compact_module
from raygen.tables.compact import compact
from raygen.tables.generations import begin, next_generation, scores_folder
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import REJECTS
from raygen.tables.verify import verify
from tests.tables.tables_on_disk import IDENTITY, commit, manifest, prescored_rows, rows


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """Eight overlapping shards of contig 1, one of contig 2, one without rows, and pairs in two."""
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    for number in range(8):
        commit(made, f"a-{number:06d}", "1", range(1 + number, 801, 8), f"run-{number % 2}")
    commit(made, "a-000008", "1", [])
    commit(made, "b-000000", "a b/c%", [5, 6])
    for number in range(2):
        commit(made, f"p-{number:06d}", None, range(1000 + number, 1010, 2))
    return made


def ids(table) -> list[str]:
    return sorted(table["variant_id"].to_pylist())


def test_many_small_files_become_one_sorted_file_with_the_same_rows(folder):
    before = read_scores(folder.path).sort_by("variant_id")
    shards = folder.committed_shards()
    done = {one.chrom: one for one in compact(folder.path)}
    assert (done["1"].files_before, done["1"].files_after, done["1"].rows_rewritten) == (9, 1, 800)
    assert set(done) == {"1", None}, "a contig with one file is left as it is"
    (file,) = [file for file in folder.score_files() if file.chrom == "1"]
    assert pq.ParquetFile(file.path).read()["pos"].to_pylist() == list(range(1, 801))
    assert read_scores(folder.path).sort_by("variant_id").equals(before)
    assert folder.committed_shards() == shards, "the shard without rows is still known"
    assert folder.identity() == IDENTITY


def test_what_is_compacted_is_left_alone_the_next_time(folder):
    compact(folder.path, target_rows=400)
    files = [file.path for file in folder.score_files() if file.chrom == "1"]
    assert len(files) == 2
    assert compact(folder.path, target_rows=400) == []
    commit(folder, "c-000000", "1", [900])
    commit(folder, "c-000001", "1", [901])
    (again,) = compact(folder.path, target_rows=400)
    assert (again.files_before, again.files_after, again.rows_rewritten) == (4, 3, 2)
    compact(folder.path, target_rows=1000, full=True)
    assert len([file for file in folder.score_files() if file.chrom == "1"]) == 1
    assert len(folder.committed_shards()) == 14


def test_the_rows_of_one_position_stay_together_however_small_the_files_are_wanted(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit(made, "a-0", "1", [7] * 50 + [9_000_000])
    commit(made, "a-1", "1", [8])
    (done,) = compact(made.path, target_rows=1, full=True)
    assert done.rows_rewritten == 52
    assert done.files_after == 3


def read_in_a_loop(path: str, stop, reading, results) -> None:
    """What a reader that knows nothing of raygen sees of a path and of what it leads to: rows and distinct rows."""
    seen, by_link = set(), set()
    while not stop.is_set():
        with suppress(FileNotFoundError):
            table = ds.dataset(os.path.realpath(path), partitioning="hive").to_table(columns=["variant_id"])
            seen.add((len(table), len(set(table["variant_id"].to_pylist()))))
        with suppress(FileNotFoundError):
            dataset = ds.dataset(path, partitioning="hive")
            if not dataset.files:  # all that was listed was gone before it was looked at: the link was set in between
                continue
            table = dataset.to_table(columns=["variant_id"])
            by_link.add((len(table), len(set(table["variant_id"].to_pylist()))))
        reading.set()
    results.put((seen, by_link))


def test_a_plain_reader_sees_every_row_once_at_all_times(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    begin(made.local_root)
    for number in range(16):
        commit(made, f"a-{number}", "1", range(1 + number, 161, 16))
    context = multiprocessing.get_context("spawn")
    stop, reading, results = context.Event(), context.Event(), context.Queue()
    reader = context.Process(target=read_in_a_loop, args=(f"{made.path}/scores", stop, reading, results))
    reader.start()
    assert reading.wait(120)
    for target in [50, 80] * 5:
        assert compact(made.path, target_rows=target, full=True)
        for _ in range(2):  # the second reading began after the link was set; only then may the old files go
            reading.clear()
            assert reading.wait(120)
    stop.set()
    seen, by_link = results.get(timeout=30)
    reader.join()
    assert seen == {(160, 160)}
    assert all(rows == distinct for rows, distinct in by_link), "through the link no row is seen twice, either"


def test_raygens_own_reader_is_not_disturbed_even_after_it_listed(folder):
    compact(folder.path, target_rows=300, full=True)
    before, dataset = ids(read_scores(folder.path)), folder.scores_dataset()
    compact(folder.path, full=True)
    assert ids(dataset.to_table(columns=["variant_id"])) == before


def test_files_that_are_open_stay_readable_and_the_old_generation_goes_with_the_next(folder):
    compact(folder.path, target_rows=300, full=True)
    old = scores_folder(folder.local_root)
    (first, *_) = folder.score_files()
    opened = pq.ParquetFile(first.path)
    compact(folder.path, full=True)
    assert old.exists()
    commit(folder, "z-000000", "1", [5000])
    compact(folder.path, target_rows=300, full=True)
    assert not old.exists()
    assert len(opened.read()) > 0
    assert len(list((folder.local_root / ".generations").iterdir())) == 2


def compact_and_tell(path: str, pipe) -> None:
    pipe.send("begun")
    compact(path, target_rows=100, full=True)
    pipe.send("done")


def test_a_compaction_that_is_killed_at_any_moment_loses_nothing(folder):
    """SIGKILL at eight random moments within a compaction; the next one clears up and goes on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["raygen.tables.compact"])
    before, shards, moments = ids(read_scores(folder.path)), folder.committed_shards(), []
    known = verify(folder.path).faults  # the runs of this folder have no manifests

    def compaction(seconds: float | None) -> float:
        ours, theirs = context.Pipe()
        process = context.Process(target=compact_and_tell, args=(folder.path, theirs))
        process.start()
        assert ours.recv() == "begun"
        began = time.monotonic()
        if seconds is None:
            assert ours.poll(60) and ours.recv() == "done"
        else:
            time.sleep(seconds)
            moments.append("after" if ours.poll() else "within")
            process.kill()
        took = time.monotonic() - began
        process.join()
        return took

    whole = min(compaction(None) for _ in range(2))
    chance = random.Random(0)
    while moments.count("within") < 8:
        assert len(moments) < 80, "it is over before it is killed"
        compaction(chance.uniform(0, whole))
        assert ids(read_scores(folder.path)) == before
        assert folder.committed_shards() == shards
        assert verify(folder.path).faults == known
    compaction(None)
    assert ids(read_scores(folder.path)) == before
    assert len(list((folder.local_root / ".generations").iterdir())) == 2, "this one and the one before"


def test_a_compaction_that_fails_changes_nothing(folder, monkeypatch):
    before, place = ids(read_scores(folder.path)), scores_folder(folder.local_root)
    real = compact_module.pq.write_table
    monkeypatch.setattr(
        compact_module.pq, "write_table", lambda table, *more, **named: real(table.slice(1), *more, **named)
    )
    with pytest.raises(StoppedError, match="does not hold what was written"):
        compact(folder.path)
    assert (ids(read_scores(folder.path)), scores_folder(folder.local_root)) == (before, place)
    assert not (folder.local_root / ".generations").exists()


def test_what_a_killed_compaction_left_is_taken_away_by_the_next(folder):
    with pytest.raises(KeyboardInterrupt), next_generation(folder.local_root) as new:
        raise KeyboardInterrupt
    assert not new.exists()
    new.mkdir(parents=True)
    (folder.local_root / ".scores.left").symlink_to(".generations/000001")
    compact(folder.path)
    assert sorted(path.name for path in (folder.local_root / ".generations").iterdir()) == ["000000", "000001"]
    assert not list(folder.local_root.glob(".scores.*"))
    assert len(read_scores(folder.path)) == 812


def test_a_shard_that_is_committed_later_lies_in_the_generation_of_now(folder):
    compact(folder.path)
    commit(folder, "z-000000", "1", [5000])
    assert len(read_scores(folder.path)) == 813
    compact(folder.path)
    assert len(read_scores(folder.path)) == 813
    assert "z-000000" in folder.committed_shards()


def test_the_folder_and_globs_over_it_give_every_row_once(folder):
    root, rows = Path(folder.path), 812
    compact(folder.path, target_rows=300, full=True)
    compact(folder.path, full=True)
    assert len(list((root / ".generations").iterdir())) == 2
    reads = [
        pl.read_parquet(root / "scores").height,
        pl.read_parquet(root / "scores/**/*.parquet").height,
        pl.read_parquet(root / "*/chrom=*/*.parquet").height,
        len(pd.read_parquet(root / "scores")),
        len(pd.read_parquet(root)),
        sum(pq.read_metadata(path).num_rows for path in glob(f"{root}/**/*.parquet", recursive=True)),  # noqa: PTH207
    ]
    assert reads == [rows] * len(reads)


def test_generations_of_an_earlier_version_are_taken_over_and_go(folder):
    root = Path(folder.path)
    compact(folder.path, target_rows=300, full=True)
    (root / ".generations").rename(root / "generations")
    (root / "scores").unlink()
    (root / "scores").symlink_to("generations/000001")
    for number, expected in enumerate((["000001"], [])):
        commit(folder, f"z-{number:06d}", "1", [5000 + number])
        before = ids(read_scores(folder.path))
        compact(folder.path, full=True)
        assert ids(read_scores(folder.path)) == before
        assert [path.name for path in root.glob("generations/*")] == expected
    assert not (root / "generations").exists()
    assert sorted(path.name for path in (root / ".generations").iterdir()) == ["000002", "000003"]


def test_a_folder_that_begins_with_generations_needs_no_exchange(tmp_path, monkeypatch):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    begin(made.local_root)
    begin(made.local_root)
    commit(made, "a-0", "1", [1])
    commit(made, "a-1", "1", [2])
    monkeypatch.setattr("raygen.tables.generations._exchange", None)
    compact(made.path)
    assert ids(read_scores(made.path)) == ["1-1-A-C", "1-2-A-C"]


def test_where_names_cannot_be_exchanged_it_is_refused_and_nothing_is_changed(folder, monkeypatch):
    monkeypatch.setattr("raygen.tables.generations.ctypes.CDLL", lambda *_, **__: object())
    with pytest.raises(SettingsError, match="cannot exchange"):
        compact(folder.path)
    assert len(read_scores(folder.path)) == 812
    assert not list(folder.local_root.glob(".scores.*"))


def test_a_run_at_work_keeps_compaction_out(folder):
    with folder.locked(), pytest.raises(StoppedError, match="Another run is writing"):
        compact(folder.path)


def flip_a_bit(folder: RunFolder) -> str:
    """In the first page of delta_fwd of the first file, where pyarrow on its own reads another number without a word."""
    path = folder.score_files()[0].path
    group = pq.ParquetFile(path).metadata.row_group(0)
    column = next(group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == "delta_fwd")
    content = bytearray(Path(path).read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start + column.total_compressed_size - 3] ^= 0x10
    Path(path).write_bytes(content)
    return path


def test_a_flipped_bit_is_never_read_as_a_number_nor_written_again(folder):
    path = flip_a_bit(folder)
    before = Path(path).read_bytes()
    for read in (
        lambda: compact(folder.path),
        lambda: read_scores(folder.path),
        lambda: reclassify(folder.path, f"{folder.path}-new", (-9.0, -5.0, -2.0, 2.0)),
        lambda: folder.read_score_file(folder.score_files()[0]),
    ):
        with pytest.raises((InputError, OSError), match=r"CRC|damaged|page"):
            read()
    assert Path(path).read_bytes() == before
    assert len(verify(folder.path).faults) > 0


def test_read_scores_looks_again_when_files_were_exchanged_since_it_listed_them(folder, monkeypatch):
    listed = []

    def once(self, files=None):
        if not listed:
            listed.append(1)
            raise FileNotFoundError(2, "No such file or directory")
        return original(self, files)

    original = RunFolder.scores_dataset
    monkeypatch.setattr(RunFolder, "scores_dataset", once)
    assert len(read_scores(folder.path)) > 0


def test_a_compacted_table_has_no_faults(folder):
    for run in ("run-0", "run-1"):
        manifest(folder, run, read_scores(folder.path)["run_id"].to_pylist().count(run))
    compact(folder.path, target_rows=300)
    assert verify(folder.path).faults == []


def test_two_compactions_at_once_do_the_work_once(folder):
    errors = []

    def work() -> None:
        try:
            compact(folder.path)
        except StoppedError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_scores(folder.path)) == 812


def test_rows_without_log_likelihoods_are_merged_with_those_of_an_earlier_version(folder):
    """Which wrote that ``ll_wt`` and ``ll_mut`` cannot be null."""
    old = rows("3", range(1, 9))
    strict = pa.schema(
        [field.with_nullable(not field.name.startswith("ll_") and field.nullable) for field in old.schema]
    )
    folder.commit_shard("q-000000", "3", old.cast(strict), REJECTS.empty_table(), IDENTITY)
    folder.commit_shard("q-000001", "3", prescored_rows("3", range(9, 12)), REJECTS.empty_table(), IDENTITY)
    compact(folder.path)
    (file,) = [file for file in folder.score_files() if file.chrom == "3"]
    assert not pq.read_schema(file.path).field("variant_id").nullable
    assert pq.read_table(file.path)["ll_wt"].to_pylist() == [-10.0] * 8 + [None] * 3
