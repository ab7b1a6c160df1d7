"""evaluate, calibrate, reclassify and card from the command line: what is printed, what is written, exit codes."""

import json

import numpy as np
import polars as pl
import pytest

from raygen.tables.layout import read_scores
from tests.builders import fasta
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.finished.test_reclassify import FINGERPRINT, finished_run


@pytest.fixture
def table(tmp_path):
    """600 SNVs: a third positive, with deltas about 3 nats lower; one group of positives only."""
    generator = np.random.default_rng(0)
    positive = np.arange(600) % 3 == 0
    frame = {
        "chrom": ["1"] * 600,
        "pos": range(1, 601),
        "ref": ["A"] * 600,
        "alt": ["C"] * 600,
        "delta_llr": generator.normal(size=600) - 3 * positive,
        "fingerprint": [FINGERPRINT] * 600,
        "CLNSIG": np.where(positive, "Pathogenic", "Benign"),
        "gene": np.where(positive & (np.arange(600) < 60), "ONE", "TWO"),
    }
    pl.DataFrame(frame).write_parquet(tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def test_evaluate_prints_areas_and_writes_numbers_and_a_page(raygen, tmp_path, table):  # noqa: F811
    files = ["--json", tmp_path / "e.json", "--page", tmp_path / "e.html"]
    code, out, err = raygen("evaluate", "--scores", table, "--label-column", "CLNSIG", "--by", "gene", *files)
    assert (code, err) == (0, "")
    assert "positive (200 with a score): Pathogenic" in out
    assert "no negative" in out
    written = json.loads((tmp_path / "e.json").read_text())
    assert written["overall"]["auroc"] > 0.95
    assert written["by"]["gene"]["ONE"]["auroc"] is None
    assert (tmp_path / "e.html").read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} == {"scores.parquet", "e.json", "e.html"}


def test_evaluate_compares_with_other_scores_and_writes_a_table_to_audit(raygen, tmp_path, table):  # noqa: F811
    frame = pl.read_parquet(table)
    frame.with_columns(
        other=-pl.col("delta_llr"),
        symbol=pl.col("pos").cast(pl.String),
        half=pl.when(pl.col("pos") % 2 == 0).then(pl.lit("even")).otherwise(pl.lit("odd")),
    ).write_parquet(table)
    reference = fasta(tmp_path, {"1": "A" * 700})
    options = ["--beside", "other", "--beside", "pos:lower", "--cluster", "gene", "--gene-column", "symbol"]
    audit = tmp_path / "audit.parquet"
    given = ["--scores", table, "--label-column", "CLNSIG", "--consequence-column", "gene", "--bootstrap", 50, *options]
    given += ["--by", "half", "--json", tmp_path / "e.json", "--page", tmp_path / "e.html"]
    code, out, err = raygen("evaluate", *given, "--audit", audit, "--reference", reference)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "intervals: 600 genes drawn again" in lines
    assert next(line for line in lines if line.startswith("other ")).split()[2:5] == ["+0.000", "(+0.000,", "+0.000)"]
    for start in ("pos ", "position alone ", "consequence alone "):
        assert any(line.startswith(start) for line in lines), start
    written = json.loads((tmp_path / "e.json").read_text())
    for name in ("even", "odd"):
        beside = written["by"]["half"][name]["beside"]["areas"]
        position = beside["position alone"]
        assert f"{position['auroc']:.3f}, {position['difference']:+.3f} (" in (tmp_path / "e.html").read_text()
        assert beside["other"]["difference_interval"] == [0, 0], "the same order"
    assert "seqleak audit --data" in out.replace("\n", " ")
    assert pl.read_parquet(audit)["sequence"].str.len_bytes().unique().to_list() == [201]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--audit", "a.parquet"], 2, "--audit needs the bases"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--audit", "no/such.parquet"], 2, "cannot be written"),
        (
            ["--scores", "TABLE", "--label-column", "CLNSIG", "--cluster", "window"],
            2,
            "--cluster window: the scores have",
        ),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--gene-column", "no"], 2, "--gene-column: "),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--beside", "no"], 2, "--beside: "),
        (["--scores", "no.tsv", "--label-column", "x"], 3, "No such file or folder: no.tsv"),
        (["--scores", "TABLE"], 2, "Name the labels once"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--label-field", "CLNSIG"], 2, "Name the labels once"),
        (["--scores", "TABLE", "--label-column", "klass"], 2, "has no column klass"),
        (["--scores", "TABLE", "--label-column", "gene"], 3, "--positive A,B --negative C,D"),
        (["--scores", "TABLE", "--label-column", "gene", "--positive", "ONE"], 2, "go together"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--labels", "no.vcf"], 3, "No such file or folder: no.vcf"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--json", "no/such/e.json"], 2, "cannot be written"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--page", "."], 2, "is a folder"),
        (["--scores", "TABLE", "--label-column", "CLNSIG", "--reference", "no.fa", "--labels", "TABLE"], 3, "no.fa"),
    ],
)
def test_evaluate_refuses_in_words(raygen, table, arguments, code, words):  # noqa: F811
    found, _, err = raygen("evaluate", *(str(table) if word == "TABLE" else word for word in arguments))
    assert (found, "Traceback" in err) == (code, False)
    assert words in err


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("evaluate", ["--audit", "TABLE"], "--audit and --scores are the same file"),
        ("evaluate", ["--page", "./a.out", "--json", "a.out"], "--page and --json are the same file"),
        ("evaluate", ["--audit", "a.parquet", "--json", "a.seqleak.json"], "the report of --audit and --json are"),
        ("evaluate", ["--json", "r.fa", "--reference", "r.fa"], "--json and --reference are the same file"),
        ("calibrate", ["--out", "TABLE"], "--out and --scores are the same file"),
    ],
)
def test_no_output_replaces_an_input_or_another(raygen, tmp_path, monkeypatch, table, command, options, words):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    before = table.read_bytes()
    named = [str(table) if word == "TABLE" else word for word in options]
    code, _, err = raygen(command, "--scores", table, "--label-column", "CLNSIG", *named)
    assert (code, words in err) == (2, True), err
    assert table.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]


def test_calibrate_then_reclassify_then_card(raygen, tmp_path, table):  # noqa: F811
    calibration, run = tmp_path / "c.json", finished_run(tmp_path / "out")
    given = ["--scores", table, "--label-column", "CLNSIG", "--out", calibration, "--bootstrap", 200]
    given += ["--tuned-on", "the window"]
    code, out, err = raygen("calibrate", *given)
    assert (code, err) == (0, "")
    assert "PP3 (pathogenic)" in out
    assert "600 rows at 600 sites; folds part none of 600 sites" in out
    assert "warning: these labels also chose the window" in out
    code, out, err = raygen("reclassify", run, "--calibration", calibration, "--out", tmp_path / "new")
    assert (code, err) == (0, "")
    assert "rows changed class" in out
    assert read_scores(str(tmp_path / "new")).column_names[-2:] == ["probability", "evidence"]
    raygen("evaluate", "--scores", table, "--label-column", "CLNSIG", "--json", tmp_path / "e.json")
    code, out, _ = raygen("card", tmp_path / "new", "--check", tmp_path / "e.json")
    assert code == 0
    for words in (
        "## Intended use",
        f"fingerprint: `{FINGERPRINT}`",
        "calibration ",
        "AUROC 0.9",
        "on all of them; Brier score",
        "folds and bounds by site (600, 600 sites)",
        "Warning: the same labels also chose the window",
        "its intervals are by site, 600 in all (1 chromosome and 2 genes",
        "beside it, on the same rows: position alone AUROC 0.",
        "not recorded",
    ):
        assert words in out


def test_a_calibration_of_another_fingerprint_is_exit_2(raygen, tmp_path, table):  # noqa: F811
    pl.read_parquet(table).with_columns(fingerprint=pl.lit("0" * 16)).write_parquet(table)
    raygen("calibrate", "--scores", table, "--label-column", "CLNSIG", "--out", tmp_path / "c.json", "--bootstrap", 100)
    run = finished_run(tmp_path / "out")
    code, _, err = raygen("reclassify", run, "--calibration", tmp_path / "c.json", "--out", tmp_path / "new")
    assert code == 2
    assert "fingerprint 0000000000000000" in err
    code, _, err = raygen("card", run, "--check", tmp_path / "c.json")
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["reclassify", "RUN", "--out", "new"], 2, "Give --cuts or --calibration, or --background"),
        (["reclassify", "RUN", "--out", "new", "--cuts", "1,2,3"], 2, "four ascending numbers"),
        (["reclassify", "RUN", "--out", "new", "--cuts", "-1,-7,-3,1"], 2, "four ascending numbers"),
        (["reclassify", "RUN", "--out", "new", "--calibration", "no.json"], 3, "no.json cannot be read"),
        (["reclassify", "nowhere", "--out", "new", "--cuts", "-7,-3,-1,1"], 3, "No such folder: nowhere."),
        (["card", "nowhere"], 3, "No such folder: nowhere."),
        (["card", "RUN", "--run", "other"], 3, "Its runs: run-1"),
        (["card", "RUN", "--check", "RUN/runs/run-1/manifest.json"], 3, "written neither by"),
        (["calibrate", "--scores", "RUN", "--label-column", "gene", "--out", "c.json", "--prior", "1.5"], 2, "--prior"),
    ],
)
def test_refusals_of_the_others(raygen, tmp_path, monkeypatch, arguments, code, words):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    run = str(finished_run(tmp_path / "out"))
    found, _, err = raygen(*(word.replace("RUN", run) for word in arguments))
    assert (found, "Traceback" in err) == (code, False), err
    assert words in err
    assert not (tmp_path / "new").exists()


def test_a_score_run_names_a_missing_calibration_before_anything_else(raygen, tmp_path):  # noqa: F811
    (tmp_path / "v.vcf").write_text("")
    given = ["--variants", tmp_path / "v.vcf", "--reference", tmp_path / "v.vcf", "--out", tmp_path / "out"]
    code, _, err = raygen("score", *given, "--set", "classes.calibration=no.json")
    assert code == 3
    assert "classes.calibration no.json" in err
    code, _, err = raygen("score", *given, "--set", "classes.calibration=c.json", "--set", "classes.cuts=[-9,-5,-2,2]")
    assert code == 2
    assert "brings its own cut points" in err


def test_config_show_describes_every_setting_and_recommends_both_strands(raygen):  # noqa: F811
    code, out, _ = raygen("config", "show")
    assert code == 0
    assert "# both: the mean of the two, at twice the cost; recommended" in out
