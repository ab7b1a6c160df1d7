"""What rows of a run that is taken back were scored for must be scored again, whoever relied on them."""

import json
from pathlib import Path

import pytest

from raygen.errors import InputError
from raygen.tables.compact import compact
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.rollback import rollback
from raygen.tables.verify import verify
from tests.tables.tables_on_disk import IDENTITY, commit, manifest, reject, rows

FIRST, SECOND, THIRD = "20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb", "20260103T000000Z-cccccc"


def commit_empty(folder: RunFolder, shard: str, run: str | None) -> None:
    """A shard whose rows were all scored by an earlier input."""
    folder.commit_shard(shard, "1", rows("1", []), rows("1", []).select([]), IDENTITY, run)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """Three runs of three rows; of the first and the second a shard without rows."""
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    for number, run in enumerate((FIRST, SECOND, THIRD)):
        commit(made, f"{run[-6:]}-0", "1", range(number * 10, number * 10 + 3), run)
        manifest(made, run, 3)
    commit_empty(made, "aaaaaa-1", FIRST)
    commit_empty(made, "bbbbbb-1", SECOND)
    return made


@pytest.mark.parametrize("compacted", [False, True])
def test_a_shard_without_rows_goes_with_its_own_run(folder, compacted):
    if compacted:
        compact(folder.path)
    rollback(folder.path, SECOND)
    assert folder.committed_shards() == {"aaaaaa-0", "aaaaaa-1"}
    assert read_scores(folder.path)["pos"].to_pylist() == [0, 1, 2]
    rollback(folder.path, FIRST)
    assert folder.committed_shards() == set(), "else the next run would take rows for scored that are gone"


@pytest.mark.parametrize("compacted", [False, True])
def test_one_that_does_not_say_whose_it_is_is_looked_at_again(folder, compacted):
    commit_empty(folder, "somebodys-0", None)
    if compacted:
        compact(folder.path)
    rollback(folder.path, THIRD)
    assert folder.committed_shards() == {"aaaaaa-0", "aaaaaa-1", "bbbbbb-0", "bbbbbb-1"}


def test_what_only_the_inputs_of_these_runs_had_rejected_goes_too(folder):
    for name, number in (("ingest-shared", 2), ("ingest-second", 3), ("ingest-older", 4)):
        reject(folder, name, f"{name}.vcf", number)
    for run, names in ((FIRST, ["ingest-shared"]), (SECOND, ["ingest-shared", "ingest-second"])):
        said = folder.read_manifest(run)
        folder.write_manifest(run, {**said, "input": {**said["input"], "rejects": names}})
    rollback(folder.path, SECOND)
    assert sorted(name for name, _ in folder.reject_files()) == ["ingest-older", "ingest-shared"]
    rollback(folder.path, FIRST)
    assert [name for name, _ in folder.reject_files()] == ["ingest-older"]


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_manifest_is_named_and_nothing_is_changed(folder, text):
    path = Path(folder.path) / "runs" / SECOND / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{SECOND}/manifest.json cannot be read"):
        rollback(folder.path, SECOND)
    assert len(read_scores(folder.path)) == 9


def test_manifests_stay_and_verify_says_which_runs_were_rolled_back(folder):
    rollback(folder.path, SECOND)
    found = verify(folder.path)
    assert (found.num_runs, found.num_rolled_back, found.num_rows, found.faults) == (3, 2, 3, [])


def test_a_manifest_that_says_little_does_not_stop_it_halfway(folder):
    folder.write_manifest(THIRD, json.loads('{"a": 1}'))
    assert rollback(folder.path, THIRD).num_rows == 3
    assert read_scores(folder.path)["run_id"].unique().to_pylist() == [FIRST, SECOND]
