from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES
from raygen.tables.verify import verify
from tests.tables.tables_on_disk import IDENTITY, commit, manifest, rows


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
    assert faults(folder) == ["part-b-0.parquet: 1 rows not named by contig, pos, ref and alt (first: 2-900-A-C)"]


def test_a_score_that_is_no_number_is_found(folder):
    table = rows("1", [900, 901])
    bad = pc.if_else(pa.array([True, False]), float("nan"), table["delta_llr"])
    write(folder, "b-0", table.set_column(7, SCORES.field("delta_llr"), bad))
    assert faults(folder) == ["part-b-0.parquet: 1 rows whose delta_llr is not finite"]


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
    assert faults(folder) == ["run run-2: 1 rows, but no manifest"]


def test_rejects_that_a_run_counted_and_that_are_gone_are_found(folder):
    reject = pa.Table.from_pylist([{"source": "a:1", "reason": "duplicate", "detail": "-"}], schema=REJECTS)
    folder.commit_rejects("b", reject)
    assert verify(folder.path).num_rejects == 1
    path = folder.path + "/runs/run-1/manifest.json"
    text = Path(path).read_text()
    Path(path).write_text(text.replace('"rejected": {}', '"rejected": {"duplicate": 2}'))
    assert faults(folder) == ["run run-1: its manifest counts 2 rejects duplicate, there are 1"]


def test_every_fault_is_listed_not_the_first_alone(folder):
    commit(folder, "b-0", "1", [400])
    path_of(folder, "a-2").write_bytes(b"PAR1")
    assert len(faults(folder)) == 2
