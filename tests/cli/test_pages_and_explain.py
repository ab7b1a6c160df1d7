"""``raygen report`` and ``raygen explain`` as a user types them."""

import math
import signal
import sys

import pytest

from raygen.cli import entry, main, pages
from raygen.finished.reclassify import reclassify
from raygen.pages import report
from raygen.scoring.fingerprint import fingerprint
from raygen.scoring.likelihood import load_model
from raygen.sequence.windows import Window
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder
from raygen.trials.explain_request import cuts_of
from tests.builders import fasta, random_bases
from tests.evaluation.test_calibrate import useless
from tests.finished_runs import finished_run
from tests.run_folders import RUN, made_manifest, row, run_folder

BASES = random_bases(400, 5)


def raygen(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command line."""
    monkeypatch.setattr(sys, "argv", ["raygen", *map(str, arguments)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def reference(tmp_path):
    return fasta(tmp_path, {"1": BASES})


def test_report_says_where_it_wrote(monkeypatch, capsys, tmp_path):
    out = run_folder(tmp_path, [row("1", 5, "A", "C", -9.0)])
    code, said, _ = raygen(monkeypatch, capsys, "report", out, "--price-per-hour", "2")
    assert (code, said) == (0, f"report: {out}/runs/{RUN}/report.html\n")
    assert raygen(monkeypatch, capsys, "report", out)[0] == 0


def test_report_of_a_folder_without_a_run_is_exit_3(monkeypatch, capsys, tmp_path):
    code, _, err = raygen(monkeypatch, capsys, "report", tmp_path)
    assert code == 3
    assert "holds no run" in err
    assert not list(tmp_path.iterdir())


def test_tabulate_ends_with_its_page_and_report_writes_it_again(monkeypatch, capsys, tmp_path):
    arguments = ("--reference", fasta(tmp_path, {"1": "N" * 60}), "--model", "demo", "--out", tmp_path / "table")
    code, out, err = raygen(monkeypatch, capsys, "tabulate", *arguments, "--set", "model.device=cpu")
    assert code == 0, err
    run_id = RunFolder(str(tmp_path / "table")).run_ids()[-1]
    page = tmp_path / f"table/runs/{run_id}/report.html"
    assert out.splitlines()[-1] == f"report: {page}"
    assert "0 single-base changes scored by demo" in page.read_text() and "+ 60 N;" in page.read_text()
    page.unlink()
    assert raygen(monkeypatch, capsys, "report", tmp_path / "table", "--run", run_id)[:2] == (0, f"report: {page}\n")
    assert page.is_file()
    assert raygen(monkeypatch, capsys, "report", tmp_path / "table", "--run", "another")[0] == 3


def test_a_report_that_cannot_be_written_fails_no_run_and_is_said(capsys, tmp_path):
    pages.write_run_page(str(tmp_path), RUN)
    assert "warning: the report was not written: " in capsys.readouterr().out


def test_a_signal_while_the_report_is_written_stops_the_report_and_not_the_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(report, "render_page", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, entry._interrupt)
    try:
        pages.write_run_page(run_folder(tmp_path, [row("1", 5, "A", "C", -9.0)]), RUN)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    said = f"warning: the report was not written: SIGTERM stopped it. `raygen report {tmp_path}/out` writes it.\n"
    assert capsys.readouterr().out == said


def test_explain_shows_and_draws(monkeypatch, capsys, tmp_path, reference):
    alt = "ACGT"["CGTA".index(BASES[199])]
    window = ["--set", "window.left=64", "--set", "window.right=32", "--set", "model.device=cpu"]
    arguments = [
        "explain",
        f"chr1-200-{BASES[199]}-{alt}",
        "--reference",
        reference,
        *window,
        "--out",
        tmp_path / "a.svg",
    ]
    code, out, err = raygen(monkeypatch, capsys, *arguments)
    assert code == 0, err
    assert f"1-200-{BASES[199]}-{alt}" in out
    assert "window 64+32 bases, strand forward" in out
    assert "warning: the model is demo" in out
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_explain_like_a_run_takes_its_settings(monkeypatch, capsys, tmp_path, reference):
    own = fingerprint(load_model("demo", device="cpu").loaded.facts, Window(64, 32), "both", [])
    manifest = made_manifest(0, (), {"fingerprint": own})
    manifest["settings"]["model"] = {"dtype": "float32"}
    manifest["settings"]["input"] = {"domain": "mitochondrion"}
    manifest["resolved"] |= {
        "reference": str(reference),
        "circular": [],
        "strand": "both",
        "model_source": "demo",
        "revision": None,
        "window": {"left": 64, "right": 32, "anchor": "variant", "stride": None},
    }
    RunFolder(str(tmp_path / "out")).write_manifest(RUN, manifest)
    variant = f"1-200-{BASES[199]}-{BASES[199]}A"
    code, out, err = raygen(monkeypatch, capsys, "explain", variant, "--like", tmp_path / "out")
    assert code == 0, err
    assert f"strand both, fingerprint {own}" in out
    assert "warning" not in out
    _, out, _ = raygen(monkeypatch, capsys, "explain", variant, "--like", tmp_path / "out", "--set", "window.right=16")
    assert f"warning: the scores of {tmp_path / 'out'} have the fingerprint {own}" in out.replace("\n", " ")


def test_explain_calls_a_variant_by_the_calibration_or_by_the_scores_it_is_like(
    monkeypatch, capsys, tmp_path, reference
):
    variant = f"1-200-{BASES[199]}-{'ACGT'['CGTA'.index(BASES[199])]}"
    window = ["--set", "window.left=64", "--set", "window.right=32", "--set", "model.device=cpu"]
    arguments = ["explain", variant, "--reference", reference, *window]
    own = fingerprint(load_model("demo", device="cpu").loaded.facts, Window(64, 32), "forward", [])
    none = useless(tmp_path).pathogenic
    always = none.model_copy(update={"supporting": 900.0, "moderate": 900.0, "strong": 900.0})
    found = useless(tmp_path).model_copy(update={"fingerprint": own, "pathogenic": always})
    (tmp_path / "c.json").write_text(found.model_dump_json())
    _, out, _ = raygen(monkeypatch, capsys, *arguments, "--set", f"classes.calibration={tmp_path / 'c.json'}")
    assert "nats: pathogenic" in out
    (tmp_path / "c.json").write_text(found.model_copy(update={"fingerprint": "0" * 16}).model_dump_json())
    code, _, err = raygen(monkeypatch, capsys, *arguments, "--set", f"classes.calibration={tmp_path / 'c.json'}")
    assert (code, "0000000000000000" in err) == (2, True)
    reclassify(finished_run(tmp_path / "out", {variant: 0.0}), str(tmp_path / "new"), (-9.0, -8.0, -7.0, math.inf))
    assert cuts_of(load_settings(None, complete=False), own, str(tmp_path / "new")) == (-9, -8, -7, math.inf)
    code, _, err = raygen(monkeypatch, capsys, "explain", variant, "--like", tmp_path / "nosuch")
    assert (code, "No such folder" in err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["1-200-N-A"], 3, "'N'"),
        (["1-2000-A-C"], 3, "400 bases"),
        (["rubbish"], 2, "Write chrom-pos-ref-alt"),
        (["1-200-A-C", "--out", "a.pdf"], 2, ".svg or .png"),
        (["1-200-A-C", "--set", "input.circular=[MT]"], 2, "input.circular names MT"),
    ],
)
def test_explain_refuses_in_words(monkeypatch, capsys, reference, arguments, code, words):
    found, _, err = raygen(monkeypatch, capsys, "explain", *arguments, "--reference", reference)
    assert (found, "Traceback" in err) == (code, False)
    assert words in err


def test_a_ref_of_another_assembly_is_exit_3_with_both_bases(monkeypatch, capsys, reference):
    other = "ACGT"["CGTA".index(BASES[199])]
    code, _, err = raygen(monkeypatch, capsys, "explain", f"1-200-{other}-{BASES[199]}", "--reference", reference)
    assert code == 3
    assert f"the variant says '{other}', reference.fa has '{BASES[199]}' at 1:200" in err
