"""Embeddings beside a table that is verified, compacted, widened and rolled back: always the rows of the scores, in their order."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.tables import embedding_files
from raygen.tables.compact import compact
from raygen.tables.generations import begin, next_generation, scores_folder
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.rollback import rollback
from raygen.tables.verify import verify
from tests.embedding_scorer import SIZE, vectors_of
from tests.tables.embeddings_on_disk import EMBEDDED, commit_embedded, embeddings_of_ids
from tests.tables.tables_on_disk import commit, manifest

RUNS = ("20260101T000000Z-aaaaaaaa", "20260102T000000Z-bbbbbbbb", "20260103T000000Z-cccccccc")


@pytest.fixture(params=["a folder", "a link, as nights make it"])
def folder(tmp_path, request) -> RunFolder:
    """Three runs whose positions interleave, one shard without rows, and one other contig."""
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    if request.param != "a folder":
        begin(Path(made.path))
    for number, run in enumerate(RUNS):
        commit_embedded(made, f"s{number}", "1", range(1 + number, 300, 3), run)
        manifest(made, run, (103, 100, 99)[number])
    commit_embedded(made, "s7", "2", [5, 6, 7], RUNS[0])
    commit_embedded(made, "s8", "1", [], RUNS[0])
    return made


def assert_beside(folder: RunFolder) -> None:
    """Each file of scores that has rows has its embeddings; ``OUT/embeddings`` shows them and nothing else."""
    num_files = 0
    for file in folder.score_files():
        ids = pq.ParquetFile(file.path).read(["variant_id"])["variant_id"].to_pylist()
        if not ids:
            continue
        num_files += 1
        table = pq.ParquetFile(folder.embeddings_of(file.path)).read()
        assert table["variant_id"].to_pylist() == ids
        for which, layer, pool in (("ref", "norm", "suffix"), ("delta", "blocks.0", "right:8")):
            numbers = table[f"{which}_{layer}_{pool}_fwd"].combine_chunks().flatten().to_numpy().reshape(-1, SIZE)
            np.testing.assert_array_equal(numbers, vectors_of(ids, which, layer, pool, "fwd"))
    assert len(folder.embedding_paths()) == num_files
    shown = list(Path(folder.path, "embeddings").glob("*/*.parquet"))
    assert sorted(map(os.path.realpath, shown)) == sorted(map(os.path.realpath, folder.embedding_paths()))
    assert verify(folder.path).faults == []


def test_a_table_with_embeddings_is_right(folder):
    assert_beside(folder)


@pytest.mark.parametrize("group_bytes", [1, 1000, 1 << 24])
def test_compact_writes_embeddings_in_the_order_of_the_scores(folder, monkeypatch, group_bytes):
    monkeypatch.setattr(embedding_files, "ROW_GROUP_BYTES", group_bytes)
    before = read_scores(folder.path).num_rows
    compact(folder.path)
    assert len(folder.score_files()) == 2
    assert read_scores(folder.path).num_rows == before
    assert_beside(folder)
    compact(folder.path, full=True, target_rows=60)
    assert_beside(folder)


def test_shards_after_a_compaction_stand_beside_the_merged_ones(folder):
    compact(folder.path)
    commit_embedded(folder, "s9", "3", [1, 2], RUNS[2])
    folder.write_manifest(RUNS[2], {**folder.read_manifest(RUNS[2]), "counts": counts(101)})
    assert_beside(folder)
    compact(folder.path, full=True)
    assert_beside(folder)


def counts(scored: int) -> dict:
    return {"scored": scored, "already_scored": 0, "num_rejected": 0, "rejected": {}, "alleles_in": scored}


def test_files_beside_large_embeddings_are_merged_to_fewer_rows(folder, monkeypatch):
    monkeypatch.setattr("raygen.tables.compact.TARGET_EMBEDDINGS", 120 * 8 * SIZE * 4)
    compact(folder.path)
    assert len([file for file in folder.score_files() if file.chrom == "1"]) > 1
    assert_beside(folder)


@pytest.mark.parametrize("compacted", [False, True])
def test_rollback_takes_the_embeddings_of_the_runs_with_it(folder, compacted):
    if compacted:
        compact(folder.path)
    rollback(folder.path, RUNS[1])
    assert read_scores(folder.path).num_rows == 103
    assert_beside(folder)
    rollback(folder.path, RUNS[0])
    assert folder.embedding_paths() == []
    assert not Path(folder.path, "embeddings").exists()


def test_a_reader_that_began_before_keeps_its_files(folder):
    begun = {path: os.path.realpath(path) for path in folder.embedding_paths()}
    old = scores_folder(Path(folder.path)).resolve()
    compact(folder.path)
    if old.name != "scores":
        assert all(Path(path).exists() for path in begun.values())
    compact(folder.path, full=True, target_rows=50)
    kept = sorted(path.name for path in Path(folder.path, ".generations").iterdir())
    assert len([name for name in kept if name.endswith(".embeddings")]) == 2, "the one before and the one now"


def test_a_failed_compaction_leaves_all_as_it_was(folder):
    before = sorted(folder.embedding_paths())
    with pytest.raises(RuntimeError), next_generation(Path(folder.path)) as new:
        (new.with_name(f"{new.name}.embeddings") / "chrom=1").mkdir(parents=True)
        raise RuntimeError
    assert sorted(folder.embedding_paths()) == before
    assert_beside(folder)


def test_what_shows_the_embeddings_is_put_right_after_a_kill(folder):
    compact(folder.path)
    shown = Path(folder.path, "embeddings")
    shown.unlink()
    shown.symlink_to(".generations/000000.embeddings")
    compact(folder.path, full=True, target_rows=50)
    assert_beside(folder)


def test_a_kill_before_embeddings_are_shown_harms_no_later_change(folder, monkeypatch):
    monkeypatch.setattr("raygen.tables.generations.show_embeddings", lambda root: None)
    compact(folder.path)
    monkeypatch.undo()
    rollback(folder.path, RUNS[2])
    assert_beside(folder)


def faults(folder: RunFolder) -> str:
    return "\n".join(f"{fault.where}: {fault.what}" for fault in verify(folder.path).faults)


def rewrite(path: str, change) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table), path)


def with_column(table: pa.Table, name: str, column) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def test_verify_lists_what_is_wrong_with_embeddings(folder):
    first, second, third = (
        folder.embeddings_of(file.path) for file in folder.score_files() if file.shard in ("s0", "s1", "s2")
    )
    Path(first).unlink()
    rewrite(second, lambda table: table.take(list(range(len(table)))[::-1]))
    name = "delta_norm_suffix_fwd"
    rewrite(
        third,
        lambda table: with_column(table, name, pa.array([[np.nan] * SIZE] * len(table), pa.list_(pa.float32(), SIZE))),
    )
    listed = faults(folder)
    assert "part-s0.parquet: has no embeddings: there is no" in listed
    assert "part-s1.parquet: does not have the 100 rows" in listed
    assert f"part-s2.parquet: 99 vectors of {name} not finite" in listed
    assert len(verify(folder.path).faults) == 3


def test_verify_lists_embeddings_of_another_kind_and_of_nothing(folder):
    own, other = (folder.embeddings_of(file.path) for file in folder.score_files() if file.shard in ("s0", "s1"))
    metadata = {**pq.read_schema(own).metadata, b"raygen.embeddings": b"layers blocks.7"}
    rewrite(own, lambda table: table.replace_schema_metadata(metadata))
    shutil.copy(other, other.replace("part-s1", "part-s5"))
    rewrite(other, lambda table: with_column(table, "ref_norm_suffix_fwd", pa.nulls(len(table), pa.float64())))
    listed = faults(folder)
    assert "part-s0.parquet: its embeddings is 'layers blocks.7'" in listed
    assert "part-s1.parquet: has columns of another type: ref_norm_suffix_fwd" in listed
    assert "part-s5.parquet: holds embeddings of no file of scores" in listed


def test_embeddings_of_a_try_that_a_run_is_still_at_are_no_fault(folder):
    path = folder.embeddings_of(folder.score_files()[0].path)
    shutil.copy(path, path.replace("part-s0", "part-s5"))
    folder.write_manifest(RUNS[2], {**folder.read_manifest(RUNS[2]), "status": "stopped"})
    assert "no file of scores" not in faults(folder)


def test_a_damaged_file_is_a_fault(folder):
    path = Path(folder.embeddings_of(folder.score_files()[0].path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"{path}: cannot be read" in faults(folder)


def test_compact_refuses_where_embeddings_are_missing(folder):
    Path(folder.embeddings_of(folder.score_files()[0].path)).unlink()
    with pytest.raises(InputError, match="lack the embeddings of 100 variants"):
        compact(folder.path)
    assert read_scores(folder.path).num_rows == 302


def test_a_table_without_embeddings_has_no_folder_of_them(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    for number in range(2):
        commit(made, f"s{number}", "1", [number + 1], RUNS[0])
    compact(made.path)
    assert not list(tmp_path.rglob("*embeddings*"))


def test_a_table_of_an_earlier_version_does_not_say_that_it_has_no_embeddings(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit(made, "s0", "1", [1], RUNS[0])
    manifest(made, RUNS[0], 1)
    (file,) = made.score_files()
    metadata = {key: value for key, value in pq.read_schema(file.path).metadata.items() if key != b"raygen.embeddings"}
    rewrite(file.path, lambda table: table.replace_schema_metadata(metadata))
    assert verify(made.path).faults == []


def test_a_shard_that_has_no_rows_any_more_loses_what_a_killed_try_left(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit_embedded(made, "s0", "1", [1, 2])
    (file,) = made.score_files()
    Path(file.path).unlink()
    commit_embedded(made, "s0", "1", [])
    assert made.embedding_paths() == []


def test_made_embeddings_are_what_the_identity_says():
    assert EMBEDDED.embeddings == "layers norm, blocks.0; pools right:8, suffix; strands forward; store float32"
    assert embeddings_of_ids(["a"]).num_columns == 1 + 8 + 2
