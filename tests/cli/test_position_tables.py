"""What each command says where it is given a position table: its work, or one sentence."""

import pytest

from raygen.errors import InputError
from raygen.tables.layout import read_scores
from raygen.tables.position_table import KIND, PositionFolder
from tests.builders import fasta, random_bases, vcf
from tests.cli.test_pages_and_explain import raygen
from tests.finished_runs import finished_run
from tests.position_tables import RUN
from tests.run_folders import made_manifest
from tests.tables.positions_on_disk import tabulated

READ = "is a position table of `raygen tabulate`, not a folder of scores. `raygen query`, `export`, `report`, `diff`, `verify` and `compact` read it."


@pytest.fixture
def table(tmp_path) -> str:
    return tabulated(tmp_path / "table", {"1": random_bases(40), "2": "ACGT"}, shard_bases=20).path


@pytest.mark.parametrize(
    "command",
    [
        ("card",),
        ("reclassify", "--cuts", "-7,-3,-1,1", "--out", "other"),
        ("evaluate", "--labels", "labels.tsv", "--label-column", "label", "--scores"),
        ("calibrate", "--labels", "labels.tsv", "--label-column", "label", "--out", "c.json", "--scores"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_reads_scores_says_that_these_are_none(monkeypatch, capsys, tmp_path, table, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.tsv").write_text("chrom\tpos\tref\talt\tlabel\n1\t5\tA\tC\t1\n")
    code, out, err = raygen(monkeypatch, capsys, *command, table)
    assert (code, out, err) == (3, "", f"error: {table} {READ}\n")


def test_no_run_of_a_position_table_is_taken_back(monkeypatch, capsys, table):
    code, _, err = raygen(monkeypatch, capsys, "rollback", table, "--run", "20261128T090000Z-9c9dac")
    assert code == 2
    assert "is a position table of `raygen tabulate`: no run of it can be taken back" in err


def test_scores_are_not_written_into_a_position_table(monkeypatch, capsys, tmp_path, table):
    reference = fasta(tmp_path, {"1": random_bases(40)})
    (tmp_path / "in.vcf").write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    named = ("--variants", tmp_path / "in.vcf", "--reference", reference, "--model", "demo", "--out", table)
    code, _, err = raygen(monkeypatch, capsys, "score", *named)
    sentence = f"error: {table} holds a position table of `raygen tabulate`. Give another output folder.\n"
    assert (code, err) == (2, sentence)
    scores = finished_run(tmp_path / "scores", {"1-5-A-C": -2.5})
    code, _, err = raygen(monkeypatch, capsys, "reclassify", scores, "--cuts", "-7,-3,-1,1", "--out", table)
    assert (code, err) == (2, sentence)


def test_python_reads_no_scores_out_of_a_position_table(table):
    with pytest.raises(InputError, match="is a position table of `raygen tabulate`, not a folder of scores"):
        read_scores(table)


@pytest.fixture
def empty(tmp_path) -> str:
    """The table of a run that was killed before it had committed anything."""
    table = PositionFolder(str(tmp_path / "empty"))
    table.prepare()
    counts = {"alleles_in": 300, "scored": 0, "already_scored": 0, "rejected": {}, "num_rejected": 0}
    bases = {"bases": 100, "other_letters": {}, "contigs": [], "regions": None}
    changes = {"run_id": RUN, "status": "running", "kind": KIND, "counts": counts, "input": bases, "seconds": {}}
    table.write_manifest(RUN, {**made_manifest(0, (), {}), **changes})
    return table.path


def test_a_table_without_rows_is_a_position_table(monkeypatch, capsys, tmp_path, empty, table):
    none = f"error: {empty} holds no positions yet: there are no files {empty}/positions/chrom=.../part-*.parquet.\n"
    variants, reference = vcf(tmp_path, ["1 5 . A C"]), fasta(tmp_path, {"1": "A" * 40})
    scoring = ("--reference", reference, "--model", "demo")
    for command in (
        ("query", empty, "1-5-A-C"),
        ("export", empty, "--to", tmp_path / "x.bw"),
        ("export", empty, "--to", tmp_path / "x.csv"),
        ("diff", empty, table),
        ("diff", table, empty),
        ("score", "--variants", variants, *scoring, "--out", tmp_path / "o", "--set", f"scoring.prescored={empty}"),
    ):
        code, _, err = raygen(monkeypatch, capsys, *command)
        assert (code, err) == (3, none), command
    code, _, err = raygen(monkeypatch, capsys, "score", "--variants", variants, *scoring, "--out", empty)
    assert (code, err) == (
        2,
        f"error: {empty} holds a position table of `raygen tabulate`. Give another output folder.\n",
    )
    assert raygen(monkeypatch, capsys, "card", empty) == (3, "", f"error: {empty} {READ}\n")
    assert raygen(monkeypatch, capsys, "verify", empty) == (
        0,
        f"{empty}: 0 files, 0 rows, 0 rejects, 1 run; 0 faults\n",
        "",
    )
    assert raygen(monkeypatch, capsys, "compact", empty) == (0, f"{empty}: nothing to merge\n", "")
    code, out, _ = raygen(monkeypatch, capsys, "report", empty)
    assert (code, out) == (0, f"report: {empty}/runs/{RUN}/report.html\n")


def test_a_plan_counts_bases(monkeypatch, capsys, tmp_path):
    reference = fasta(tmp_path, {"1": random_bases(400) + "NN"})
    code, out, _ = raygen(
        monkeypatch,
        capsys,
        "tabulate",
        "--reference",
        reference,
        "--model",
        "demo",
        "--plan",
        "--set",
        "window.left=64",
    )
    assert code == 0 and out.startswith("400 bases, window 64+1 bases on a grid of 64, strand ")
    assert "a base" in out and "variant" not in out


def test_verify_and_compact_take_a_position_table(monkeypatch, capsys, table):
    assert raygen(monkeypatch, capsys, "verify", table) == (
        0,
        f"{table}: 3 files, 44 rows, 0 rejects, 1 run; 0 faults\n",
        "",
    )
    assert raygen(monkeypatch, capsys, "compact", table) == (
        0,
        f"{table}: 40 rows rewritten in 1 contig; files: 2 before, 1 now\n"
        f"table: {table}/positions; give other tools this folder, or {table}/positions/**/*.parquet, and not all of {table}\n",
        "",
    )
    code, out, err = raygen(monkeypatch, capsys, "verify", f"{table}/positions")
    assert (code, out) == (3, "") and "holds no scores" in err
