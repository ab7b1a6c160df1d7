import subprocess
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.tables.compact import compact
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.manifest import Counts
from raygen.tables.schemas import REJECTS, SCORES
from raygen.tables.score_index import ScoreIndex

IDENTITY = Identity("f" * 16, "r" * 64)
NAMES = ["1", "22", "HLA-A*01:01:01:01", "a b/c%", "pairs", None]


def scores(chrom: str | None, *variant_ids: str) -> pa.Table:
    """Scored rows of one contig; every number is 1."""
    numbers = {field.name: 1 for field in SCORES if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)}
    rest = {"ref": "A", "alt": "C", "classification": "vus", "abstained": False, "flags": ["n_in_window"]}
    rest |= {"model": "demo", "fingerprint": IDENTITY.fingerprint, "run_id": "now", "chrom": chrom}
    return pa.Table.from_pylist([{**numbers, **rest, "variant_id": name} for name in variant_ids], schema=SCORES)


def rejects(*reasons: str) -> pa.Table:
    return pa.Table.from_pylist(
        [{"source": "a:1", "reason": reason, "detail": "-"} for reason in reasons], schema=REJECTS
    )


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    return made


def test_contig_names_survive_the_trip(folder):
    for number, chrom in enumerate(NAMES):
        folder.commit_shard(f"s{number}", chrom, scores(chrom, f"v{number}"), rejects(), IDENTITY)
    assert {file.chrom for file in folder.score_files()} == set(NAMES)
    assert set(read_scores(folder.path)["chrom"].to_pylist()) == set(NAMES)
    written = {name or "pairs" for name in NAMES}  # other tools read the folders' names
    assert len({file.path.split("/")[-2] for file in folder.score_files()}) == len(NAMES)
    assert set(pq.read_table(f"{folder.path}/scores")["chrom"].to_pylist()) == written
    assert set(pl.read_parquet(f"{folder.path}/scores")["chrom"]) == written


def test_scores_come_back_with_the_columns_of_the_schema(folder):
    table = scores("1", "v").append_column("AF", pa.array([0.5]))
    folder.commit_shard("s", "1", table, rejects(), IDENTITY)
    back = read_scores(folder.path)
    assert back.column_names == [*SCORES.names, "AF"]
    assert back.drop_columns(["AF"]).schema.types == SCORES.types


def test_a_folder_without_scores_reads_as_an_empty_table(folder):
    assert read_scores(folder.path).schema == SCORES


def test_a_shard_committed_twice_is_there_once(folder):
    for _ in range(2):
        folder.commit_shard("s", "1", scores("1", "v"), rejects("scoring_failed"), IDENTITY)
    assert read_scores(folder.path)["variant_id"].to_pylist() == ["v"]
    assert folder.rejects_of({"s"}) == {"scoring_failed": 1}


def test_what_an_unfinished_try_rejected_and_a_later_one_scored_is_no_reject(folder):
    folder.commit_rejects("s", rejects("scoring_failed"))
    folder.commit_shard("s", "1", scores("1", "v"), rejects(), IDENTITY)
    assert folder.rejects_of({"s"}) == {}


def test_a_shard_without_scores_is_committed_too(folder):
    folder.commit_shard("s", "1", scores("1"), rejects("scoring_failed"), IDENTITY)
    assert [file.shard for file in folder.score_files()] == ["s"]


def test_identity_is_read_from_the_files(folder):
    assert folder.identity() is None
    folder.commit_shard("s", "1", scores("1", "v"), rejects(), IDENTITY)
    assert folder.identity() == IDENTITY


def test_nothing_but_whole_files_lies_in_the_folder(folder, tmp_path):
    folder.commit_shard("s", "1", scores("1", "v"), rejects("scoring_failed"), IDENTITY)
    folder.write_manifest("run", {"a": 1})
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"scores/chrom=1/part-s.parquet", "rejects/part-s.parquet", "runs/run/manifest.json"}


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(folder, tmp_path):
    (tmp_path / "out/rejects/part-s.parquet/in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"part-s\.parquet"):
        folder.commit_rejects("s", rejects("duplicate"))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_files_follow_the_umask_of_the_user(tmp_path):
    code = (
        "import os; os.umask(0o027)\n"
        "from raygen.tables.layout import RunFolder\n"
        f"RunFolder({str(tmp_path / 'out')!r}).write_manifest('run', {{}})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "out/runs/run/manifest.json").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        RunFolder(str(tmp_path / "file" / "out")).prepare()


def test_an_unknown_filesystem_says_so():
    with pytest.raises(SettingsError, match="no filesystem"):
        RunFolder("nosuch://bucket/out")


def test_conservation_holds_or_the_run_fails():
    Counts(alleles_in=6, scored=3, already_scored=2, rejected={"duplicate": 1}).check_conservation()
    with pytest.raises(StoppedError, match="6 alleles went in, but 5 came out"):
        Counts(alleles_in=6, scored=3, already_scored=2).check_conservation()


def test_scores_of_a_folder_that_is_not_there_are_no_empty_table(tmp_path):
    with pytest.raises(InputError, match="No such folder"):
        read_scores(str(tmp_path / "nowhere"))


def test_pairs_are_read_by_other_tools_and_have_no_contig(folder):
    folder.commit_shard("s", None, scores(None, "p1", "p2"), rejects(), IDENTITY)
    place = f"{folder.path}/scores"
    names = [
        pd.read_parquet(place)["variant_id"].tolist(),
        ds.dataset(place, partitioning="hive").to_table()["variant_id"].to_pylist(),
        pl.read_parquet(place)["variant_id"].to_list(),
        pl.read_parquet(f"{place}/*/*.parquet")["variant_id"].to_list(),
    ]
    assert names == [["p1", "p2"]] * 4
    assert read_scores(folder.path)["chrom"].to_pylist() == [None, None]
    assert [file.chrom for file in folder.score_files()] == [None]
    assert ScoreIndex(folder.path).contigs == [None]


def test_a_table_of_pairs_of_an_earlier_version_is_read_and_appended_to(folder):
    folder.commit_shard("s1", None, scores(None, "p1"), rejects(), IDENTITY)
    (folder.local_root / "scores/chrom=pairs").rename(folder.local_root / "scores/chrom=__HIVE_DEFAULT_PARTITION__")
    assert read_scores(folder.path)["chrom"].to_pylist() == [None]
    folder.commit_shard("s2", None, scores(None, "p2"), rejects(), IDENTITY)
    assert folder.committed_shards() == {"s1", "s2"}
    assert ds.dataset(f"{folder.path}/scores", partitioning="hive").count_rows() == 2
    compact(folder.path)
    assert sorted(pd.read_parquet(f"{folder.path}/scores")["variant_id"]) == ["p1", "p2"]
    assert [path.name for path in (folder.local_root / "scores").iterdir()] == ["chrom=pairs"]
    assert sorted(read_scores(folder.path)["variant_id"].to_pylist()) == ["p1", "p2"]
