import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raygen.tables.compact import compact
from raygen.tables.layout import RunFolder
from raygen.tables.rollback import rollback
from raygen.tables.schemas import REJECTS, SCORES
from raygen.tables.verify import verify
from tests.tables.tables_on_disk import IDENTITY, commit, manifest, prescored_rows, reject, rows


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit(made, "a-0", "1", range(1, 401))
    commit(made, "a-1", "1", range(401, 500))
    commit(made, "a-2", "22", [7])
    manifest(made, "run-1", 500)
    return made


def faults(folder: RunFolder) -> list[str]:
    return [f"{Path(fault.where).name}: {fault.what}" for fault in verify(folder.path).faults]


def path_of(folder: RunFolder, shard: str) -> Path:
    (file,) = [file.path for file in folder.score_files() if file.shard == shard]
    return Path(file)


def test_a_sound_table_has_no_faults_and_its_rows_are_counted(folder):
    found = verify(folder.path)
    assert (found.faults, found.num_files, found.num_rows, found.num_runs) == ([], 3, 500, 1)


def test_one_flipped_bit_in_the_data_of_a_file_is_found(folder):
    path = path_of(folder, "a-0")
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(6)
    assert column.path_in_schema == "delta_llr"
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    (first, *_) = faults(folder)
    assert first.startswith("part-a-0.parquet: cannot be read:")


def test_a_file_that_was_cut_is_found(folder):
    path = path_of(folder, "a-0")
    path.write_bytes(path.read_bytes()[:-100])
    assert faults(folder)[0].startswith("part-a-0.parquet: cannot be read:")


def test_a_file_that_is_gone_is_missed_by_its_runs_count(folder):
    path_of(folder, "a-2").unlink()
    assert faults(folder) == ["run run-1: its manifest counts 500 scored rows, there are 499"]


def test_a_variant_that_is_there_twice_is_named(folder):
    commit(folder, "b-0", "1", [400, 401])
    assert faults(folder) == [
        "contig 1: 2 variants are there more than once, 2 rows too many (1-400-A-C, 1-401-A-C)",
        "run run-1: its manifest counts 500 scored rows, there are 502",
    ]


def write(folder: RunFolder, shard: str, table: pa.Table, chrom: str = "1", identity=IDENTITY) -> None:
    folder.commit_shard(shard, chrom, table, REJECTS.empty_table(), identity)
    manifest(folder, "run-1", sum(pq.read_metadata(file.path).num_rows for file in folder.score_files()))


def test_rows_out_of_order_are_found_within_a_file_only(folder):
    write(folder, "b-0", rows("1", [900, 800]))
    assert faults(folder) == ["part-b-0.parquet: not sorted by pos"]


def test_rows_in_the_folder_of_another_contig_are_found(folder):
    write(folder, "b-0", rows("2", [900]).set_column(1, SCORES.field("chrom"), pa.array(["1"])))
    assert faults(folder) == ["part-b-0.parquet: 1 row not named by contig, pos, ref and alt (first: 2-900-A-C)"]


def test_a_score_that_is_no_number_is_found(folder):
    table = rows("1", [900, 901])
    bad = pc.if_else(pa.array([True, False]), float("nan"), table["delta_llr"])
    write(folder, "b-0", table.set_column(7, SCORES.field("delta_llr"), bad))
    assert faults(folder) == ["part-b-0.parquet: 1 row whose delta_llr is not finite"]


def test_scores_of_another_fingerprint_are_found(folder):
    from dataclasses import replace

    table = rows("1", [900])
    other = table.set_column(18, SCORES.field("fingerprint"), pa.array(["e" * 16]))
    write(folder, "b-0", other, identity=replace(IDENTITY, fingerprint="e" * 16))
    assert faults(folder) == [
        "part-b-0.parquet: its fingerprint is 'eeeeeeeeeeeeeeee', that of the table 'ffffffffffffffff'",
        "part-b-0.parquet: rows with another fingerprint: eeeeeeeeeeeeeeee",
    ]


def test_a_column_that_is_missing_or_of_another_type_is_found(folder):
    path = path_of(folder, "a-2")
    table = pq.ParquetFile(path).read()
    pq.write_table(table.drop_columns(["num_tokens"]), path)
    assert faults(folder)[0] == "part-a-2.parquet: has no column num_tokens"


def test_a_file_that_raygen_did_not_write_is_found(folder):
    pq.write_table(rows("1", [900]).drop_columns(["chrom"]), path_of(folder, "a-0").with_name("part-x.parquet"))
    assert "part-x.parquet: was not written by raygen" in faults(folder)[0]


def test_rows_of_a_run_without_a_manifest_are_found(folder):
    commit(folder, "b-0", "1", [900], run="run-2")
    assert faults(folder) == ["run run-2: 1 row, but no manifest"]


def test_rejects_that_a_run_counted_and_that_are_gone_are_found(folder):
    reject(folder, "b", "a.vcf", 1)
    assert verify(folder.path).num_rejects == 1
    manifest(folder, "run-1", 500, rejected={"duplicate": 2, "reference_block": 9})  # those are counted, not listed
    assert faults(folder) == ["run run-1: its manifest counts 2 rejects duplicate, there are 1"]


def test_rejects_of_another_runs_file_do_not_stand_in_for_those_that_are_gone(folder):
    manifest(folder, "run-1", 500, rejected={"duplicate": 2}, variants=["/data/a.vcf.gz"])
    manifest(folder, "run-2", 0, rejected={"duplicate": 2}, variants=["b.vcf"])
    reject(folder, "ingest-a", "a.vcf.gz", 2)
    assert faults(folder) == ["run run-2: its manifest counts 2 rejects duplicate, there are 0"]
    reject(folder, "ingest-b", "/other/b.vcf", 2)
    assert faults(folder) == []


def test_rows_that_failed_are_counted_beside_the_shards_of_their_own_input(folder):
    for run, stem in (("run-2", "a" * 12), ("run-3", "b" * 12)):
        commit(folder, f"{stem}-000000", "9", [int(run[-1])], run=run)
        manifest(folder, run, 1, rejected={"scoring_failed": 2}, digest=stem)
    reject(folder, f"{'a' * 12}-000000", "part-00000.parquet", 2, "scoring_failed")
    assert faults(folder) == ["run run-3: its manifest counts 2 rejects scoring_failed, there are 0"]


def test_rejects_of_one_night_do_not_stand_in_for_those_of_another(folder):
    for key in ("k1", "k2"):
        counts = {"alleles_in": 2, "scored": 0, "already_scored": 0, "rejected": {"duplicate": 2}}
        folder.write_file(f"nights/{key}.json", json.dumps({"key": key, "counts": counts}).encode())
    reject(folder, "night-k1-00000", "a.vcf", 2)
    assert faults(folder) == ["night k2: its record counts 2 rejects duplicate, there are 0"]


@pytest.fixture
def resumed(tmp_path) -> RunFolder:
    """An input of three shards: a killed run wrote one, a stopped one another, a third ended."""
    made = RunFolder(str(tmp_path / "resumed"))
    made.prepare()
    for run, number, status in (("1-k", 0, "running"), ("2-s", 1, "stopped"), ("3-d", 2, "done")):
        commit(made, f"{'a' * 12}-{number:06d}", "1", range(number * 10, number * 10 + 10), run=run)
        manifest(made, run, 10 if status == "done" else 0, status=status, already=number * 10, digest="input")
    return made


def test_a_run_that_was_resumed_is_sound_compacted_and_taken_back_too(resumed):
    assert faults(resumed) == []
    compact(resumed.path)
    assert faults(resumed) == []
    rollback(resumed.path, "2-s")
    assert faults(resumed) == []


def test_rows_that_killed_and_stopped_runs_left_are_vouched_for_by_the_run_that_ended(resumed):
    for number in (0, 1):
        path_of(resumed, f"{'a' * 12}-{number:06d}").unlink()
    assert faults(resumed) == [
        "run 3-d: when it ended the table held 30 rows of its input (10 scored by it, 20 before it); of all runs until "
        "then there are 10",
        "shards aaaaaaaaaaaa: 2 of at least 3 are missing (aaaaaaaaaaaa-000000, aaaaaaaaaaaa-000001)",
    ]


def test_rows_that_came_later_do_not_stand_in_for_those_that_are_gone(resumed):
    path_of(resumed, f"{'a' * 12}-000002").unlink()
    manifest(resumed, "3-d", 0, already=30, digest="input")
    commit(resumed, f"{'b' * 12}-000000", "2", range(10), run="4-d")
    manifest(resumed, "4-d", 10, digest="other")
    (fault,) = faults(resumed)
    assert fault.startswith("run 3-d: when it ended the table held 30 rows of its input")


def test_a_shard_is_missed_though_rows_of_another_input_make_up_its_number(resumed):
    commit(resumed, f"{'b' * 12}-000000", "2", range(10), run="0-d")
    manifest(resumed, "0-d", 10, digest="other")
    path_of(resumed, f"{'a' * 12}-000001").unlink()
    assert faults(resumed) == ["shards aaaaaaaaaaaa: 1 of at least 3 are missing (aaaaaaaaaaaa-000001)"]


def test_the_last_shard_is_missed_where_the_manifest_says_how_many_there_are(resumed):
    commit(resumed, f"{'b' * 12}-000000", "2", range(10), run="0-d")
    manifest(resumed, "0-d", 10, digest="other")
    path_of(resumed, f"{'a' * 12}-000002").unlink()
    manifest(resumed, "3-d", 0, already=30, digest="input", shards=("a" * 12, 3))
    assert faults(resumed) == ["shards aaaaaaaaaaaa: 1 of 3 are missing (aaaaaaaaaaaa-000002)"]


def test_an_input_that_no_run_ended_over_may_have_gaps(resumed):
    path_of(resumed, f"{'a' * 12}-000001").unlink()
    path_of(resumed, f"{'a' * 12}-000002").unlink()
    manifest(resumed, "3-d", 0, status="running", digest="input")
    assert faults(resumed) == []


@pytest.mark.parametrize("content", ['{"a": 1}', "[]", '{"counts": {"scored": 1}}', "null"])
def test_a_manifest_that_says_nothing_is_a_fault_and_not_the_end(folder, content):
    Path(folder.path, "runs/run-1/manifest.json").write_text(content)
    assert faults(folder) == [
        "manifest.json: does not say what came of the input (counts), so nothing can be checked against it",
        "run run-1: 500 rows, but no manifest",
    ]


def test_a_delta_that_is_not_the_difference_of_its_sums_is_a_fault(folder):
    table = rows("1", [900, 901])
    delta = table.schema.get_field_index("delta_llr")
    table = table.set_column(delta, SCORES.field("delta_llr"), pa.array([-0.9, 0.901]))
    folder.commit_shard("z-0", "1", table, REJECTS.empty_table(), IDENTITY)
    assert any("1 row whose delta_llr is not ll_mut less ll_wt" in fault for fault in faults(folder))


def test_a_manifest_whose_input_is_nothing_is_a_fault(folder):
    counts = {"alleles_in": 500, "scored": 500, "already_scored": 0, "rejected": {}}
    Path(folder.path, "runs/run-1/manifest.json").write_text(json.dumps({"counts": counts, "input": "x"}))
    assert faults(folder)[0].startswith("manifest.json: does not say what went in (input, settings)")


def test_a_nights_record_that_is_not_json_is_a_fault(folder):
    folder.write_file("nights/run-1.json", b"{")
    assert faults(folder) == ["run-1.json: is not JSON"]


def test_every_fault_is_listed_not_the_first_alone(folder):
    commit(folder, "b-0", "1", [400])
    path_of(folder, "a-2").write_bytes(b"PAR1")
    assert len(faults(folder)) == 2


def test_a_score_without_log_likelihoods_is_one_that_a_position_table_held(folder):
    folder.commit_shard("z-0", "1", prescored_rows("1", [900, 901]), REJECTS.empty_table(), IDENTITY)
    manifest(folder, "run-1", 502)
    assert faults(folder) == []
    bare = prescored_rows("1", [902]).set_column(16, SCORES.field("flags"), pa.array([[]], pa.list_(pa.string())))
    folder.commit_shard("z-1", "1", bare, REJECTS.empty_table(), IDENTITY)
    manifest(folder, "run-1", 503)
    assert len(faults(folder)) == 2
    assert all(
        "1 row of which ll_" in fault and "flag prescored say different things" in fault for fault in faults(folder)
    )
