"""The embedded catalog and its table, without Ray: runs are published once, taken back, and compared."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pyarrow as pa
import pytest

from raygen.errors import InputError, SettingsError
from raygen.tables.compact import compact
from raygen.tables.iceberg import open_table, publish, published_runs, refuse_types, rows_by_run
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.rollback import rollback
from raygen.tables.schemas import REJECTS
from raygen.tables.verify import verify
from tests.tables.tables_on_disk import IDENTITY, commit, manifest, prescored_rows, rows

pytest.importorskip("pyiceberg", reason="the extra `iceberg` is not installed")

FINGERPRINT = IDENTITY.fingerprint


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """Two runs, each in its own transaction: 20 rows and 3."""
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit(made, "a-0", "1", range(1, 11), "20260101T000000Z-aaaaaa")
    commit(made, "a-1", "a b/c%", range(1, 11), "20260101T000000Z-aaaaaa")
    manifest(made, "20260101T000000Z-aaaaaa", 20, "iceberg")
    publish(made, FINGERPRINT, None)
    commit(made, "b-0", "1", [11, 12, 13], "20260102T000000Z-bbbbbb")
    manifest(made, "20260102T000000Z-bbbbbb", 3, "iceberg")
    publish(made, FINGERPRINT, None)
    return made


def ids(folder: RunFolder) -> tuple[list[str], list[str]]:
    """Of the Iceberg table and of the files."""
    table = open_table(folder, FINGERPRINT, None).scan().to_arrow()
    return sorted(table["variant_id"].to_pylist()), sorted(read_scores(folder.path)["variant_id"].to_pylist())


def test_the_table_holds_what_the_files_hold(folder):
    there = open_table(folder, FINGERPRINT, None).scan().to_arrow().sort_by("variant_id")
    here = read_scores(folder.path).sort_by("variant_id")
    assert there.column_names == here.column_names
    for name in ("variant_id", "chrom", "pos", "delta_llr", "flags", "run_id"):
        assert there[name].to_pylist() == here[name].to_pylist()


def test_each_run_is_one_snapshot_and_is_added_once(folder):
    table = open_table(folder, FINGERPRINT, None)
    assert [snapshot.summary.additional_properties["added-records"] for snapshot in table.snapshots()] == ["20", "3"]
    assert publish(folder, FINGERPRINT, None) is None
    assert published_runs(table) == {"20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"}


def test_rows_of_a_killed_run_come_with_the_run_that_finished_its_work(folder):
    commit(folder, "c-0", "1", [20], "20260103T000000Z-cccccc")
    commit(folder, "c-1", "1", [21], "20260104T000000Z-dddddd")
    done = publish(folder, FINGERPRINT, None)
    assert (done.runs, done.num_rows) == (("20260103T000000Z-cccccc", "20260104T000000Z-dddddd"), 2)
    assert rows_by_run(open_table(folder, FINGERPRINT, None))["20260103T000000Z-cccccc"] == 1
    assert publish(folder, FINGERPRINT, None) is None, "both are found in one file of the table"


def test_compaction_of_the_files_publishes_nothing_twice(folder):
    compact(folder.path)
    assert publish(folder, FINGERPRINT, None) is None
    there, here = ids(folder)
    assert there == here


def test_a_run_that_is_taken_back_is_gone_from_both_and_can_come_again(folder):
    before = len(read_scores(folder.path))
    done = rollback(folder.path, "20260102T000000Z-bbbbbb")
    assert (done.runs, done.num_rows) == (("20260102T000000Z-bbbbbb",), 3)
    there, here = ids(folder)
    assert there == here
    assert len(here) == before - 3 == 20
    assert folder.committed_shards() == {"a-0", "a-1"}
    assert verify(folder.path).faults == []
    commit(folder, "b-0", "1", [11, 12, 13], "20260105T000000Z-eeeeee")
    manifest(folder, "20260105T000000Z-eeeeee", 3, "iceberg")
    assert publish(folder, FINGERPRINT, None).num_rows == 3
    there, here = ids(folder)
    assert there == here
    assert len(here) == 23
    assert verify(folder.path).faults == []


def test_the_first_run_can_be_taken_back_with_all_that_followed_even_when_they_are_compacted(folder):
    compact(folder.path)
    done = rollback(folder.path, "20260101T000000Z-aaaaaa")
    assert (len(done.runs), done.num_rows) == (2, 23)
    assert ids(folder) == ([], [])
    assert folder.committed_shards() == set()
    assert verify(folder.path).faults == []


def test_a_rollback_that_was_killed_halfway_is_finished_by_the_same_command(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("raygen.tables.rollback.roll_back", killed)
    with pytest.raises(KeyboardInterrupt):
        rollback(folder.path, "20260102T000000Z-bbbbbb")
    assert any("Iceberg" in fault.where for fault in verify(folder.path).faults)
    monkeypatch.undo()
    rollback(folder.path, "20260102T000000Z-bbbbbb")
    there, here = ids(folder)
    assert there == here
    assert verify(folder.path).faults == []


def test_rows_that_the_table_lacks_are_a_fault(folder):
    commit(folder, "c-0", "1", [20], "20260103T000000Z-cccccc")
    manifest(folder, "20260103T000000Z-cccccc", 1, "iceberg")
    (fault,) = verify(folder.path).faults
    assert (fault.where, fault.what) == (
        "Iceberg, run 20260103T000000Z-cccccc",
        "the table has 0 rows, scores/ has 1",
    )


def test_a_catalog_that_is_not_configured_says_so(folder):
    with pytest.raises(SettingsError, match=r"output\.catalog 'nowhere'"):
        publish(folder, FINGERPRINT, "nowhere")


def test_a_run_that_there_is_not_cannot_be_taken_back(folder):
    with pytest.raises(SettingsError, match="has no run 2027"):
        rollback(folder.path, "2027")


def test_types_that_iceberg_lacks_or_its_table_does_not_have_are_refused_before_the_work(tmp_path):
    folder = RunFolder(str(tmp_path / "out"))
    for impossible in (pa.null(), pa.timestamp("ns"), pa.uint64(), pa.time64("ns"), pa.list_(pa.null())):
        with pytest.raises(InputError, match="Iceberg tables cannot hold source columns of these types: af: "):
            refuse_types(folder, FINGERPRINT, None, {"af": impossible})
    berlin = pa.timestamp("ms", "Europe/Berlin")
    values = {
        "tiny": pa.array([1], pa.int8()),
        "large": pa.array([2**32 - 1], pa.uint32()),
        "when": pa.array([datetime(2026, 11, 30, 12, tzinfo=UTC)], berlin),
        "clock": pa.array([time(1, 2)], pa.time32("ms")),
        "names": pa.array([["a", "b"]]),
    }
    table = rows("1", [5], "20260101T000000Z-aaaaaa")
    for name, column in values.items():
        table = table.append_column(name, column)
    identity = replace(IDENTITY, source_columns=", ".join(values))
    folder.commit_shard("a-0", "1", table, REJECTS.empty_table(), identity)
    types = folder.carried_types()
    refuse_types(folder, FINGERPRINT, None, types)
    publish(folder, FINGERPRINT, None)
    stored = open_table(folder, FINGERPRINT, None).scan().to_arrow()
    assert [stored[name].to_pylist() for name in values] == [column.to_pylist() for column in values.values()]
    refuse_types(folder, FINGERPRINT, None, types)
    with pytest.raises(InputError, match="columns of other types: tiny: int32 there, double here"):
        refuse_types(folder, FINGERPRINT, None, {**types, "tiny": pa.float64()})


@pytest.mark.parametrize("text", ["abc", "007"])
def test_files_that_are_no_one_table_are_not_published(tmp_path, text):
    folder = RunFolder(str(tmp_path / "out"))
    for number, values in enumerate([pa.array([7]), pa.array([text])], 1):
        table = rows(str(number), [5], "20260101T000000Z-aaaaaa").append_column("af", values)
        folder.commit_shard(
            f"a-{number}", str(number), table, REJECTS.empty_table(), replace(IDENTITY, source_columns="af")
        )
    with pytest.raises(InputError, match=r"part-a-2.parquet cannot be read as one table"):
        publish(folder, FINGERPRINT, None)
    with pytest.raises(InputError, match=r"part-a-2.parquet cannot be read as one table"):
        refuse_types(folder, FINGERPRINT, None, {"af": pa.int64()})
    assert open_table(folder, FINGERPRINT, None) is None


def test_a_table_of_an_earlier_version_takes_rows_without_log_likelihoods(folder):
    """``ll_wt`` and ``ll_mut`` could not be null before there were position tables to take a score from."""
    table = open_table(folder, FINGERPRINT, None)
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.update_column("ll_wt", required=True)
        update.update_column("ll_mut", required=True)
    run = "20260103T000000Z-cccccc"
    folder.commit_shard("c-0", "1", prescored_rows("1", [30], run), REJECTS.empty_table(), IDENTITY, run)
    assert publish(folder, FINGERPRINT, None).num_rows == 1
    stored = open_table(folder, FINGERPRINT, None).scan(row_filter="pos = 30").to_arrow()
    assert stored["ll_wt"].to_pylist() == [None] and len(stored) == 1
