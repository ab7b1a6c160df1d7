"""`raygen head train` and `raygen head show`, as a user types them."""

import json

import numpy as np
import polars as pl
import pytest

from raygen.tables.layout import read_scores
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.evaluation.embedded_rows import embedded_folder

LABELS = ["--label-column", "label", "--positive", "P", "--negative", "B", "--bootstrap", 50]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run with states that tell labels, in the working folder."""
    monkeypatch.chdir(tmp_path)
    consequence = np.random.default_rng(0).choice(["missense_variant", "synonymous_variant"], 360)
    embedded_folder(tmp_path, consequence=consequence)
    return tmp_path


def test_a_head_is_trained_and_shown(raygen, folder):  # noqa: F811
    options = ["--labels-licence", "CC0", "--with", "delta_llr,consequence", "--out", "good.head"]
    code, out, err = raygen("head", "train", "--scores", "out", *LABELS, *options)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    text = " ".join(out.split())
    assert "5 folds part none of 12 genes" in text
    assert "WT and MUT less WT, strands averaged, beside delta_llr and consequence; 15 features" in text
    assert "by label of out, licence CC0" in text
    assert any(line.startswith("The head is better than zero-shot on these rows: AUROC 0.9") for line in lines)
    for name in ("head ", "zero-shot ", "position alone ", "consequence alone ", "head + zero-shot "):
        assert any(line.startswith(name) for line in lines), name
    assert lines[-1].endswith("good.head and good.head.json; its column will be head_good")
    code, shown, _ = raygen("head", "show", "good.head")
    assert code == 0
    assert set(shown.splitlines()) <= set(lines)
    code, shown, _ = raygen("head", "show", "good.head", "--json")
    facts = json.loads(shown)
    written = json.loads((folder / "good.head.json").read_text())
    assert facts.items() <= written.items()
    assert facts["labels_licence"] == "CC0"
    assert facts["fingerprint"] == "0123456789abcdef"


def test_folds_of_random_rows_are_said_wherever_the_head_is_shown(raygen, folder):  # noqa: F811
    code, out, _ = raygen("head", "train", "--scores", "out", *LABELS, "--random-rows", "--out", "h")
    warning = "warning: tested on folds of random rows, as asked for: its areas flatter."
    assert (code, warning in out.splitlines()) == (0, True)
    assert warning in raygen("head", "show", "h")[1].splitlines()
    assert json.loads((folder / "h.json").read_text())["folds"]["random_rows"] is True


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--layer", "norm"], 2, "--layer norm: the run stored blocks.1"),
        (["--pool", "right:9"], 2, "--pool right:9: the run stored right:8"),
        (["--with", "CADD"], 2, "--with CADD: it can be delta_llr or consequence"),
        (["--out", "my head"], 2, "gives its column the name head_my head"),
        (["--out", "nowhere/h"], 2, "there is no folder"),
        (["--cluster", "chromosome"], 3, "all in one chromosome"),
        (["--cluster", "site"], 2, "--random-rows"),
        (["--positive", "X"], 2, "No row has the label X"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(raygen, folder, options, code, words):  # noqa: F811
    before = sorted(folder.iterdir())
    ended, _, err = raygen("head", "train", "--scores", "out", *LABELS, "--out", "h", *options)
    assert (ended, words in " ".join(err.split())) == (code, True)
    assert sorted(folder.iterdir()) == before


def test_a_head_that_was_edited_is_refused(raygen, folder):  # noqa: F811
    raygen("head", "train", "--scores", "out", *LABELS, "--out", "h")
    text = (folder / "h.json").read_text()
    (folder / "h.json").write_text(text.replace("not better", "better").replace('"auroc": 0.', '"auroc": 0.9'))
    code, _, err = raygen("head", "show", "h")
    assert (code, "h.json was changed since the head was trained" in err) == (3, True)
    code, _, err = raygen("head", "show", "nothing")
    assert (code, "No such file: nothing. A head is two files" in err) == (3, True)


def test_a_head_is_calibrated_on_rows_that_trained_nothing(raygen, folder):  # noqa: F811
    """The first half of the genes trains it, the other half says what its log-odds mean."""
    scores = pl.DataFrame(read_scores("out"))
    scores[:180].select("chrom", "pos", "ref", "alt", "gene", "label").write_csv("half.tsv", separator="\t")
    raygen("head", "train", "--scores", "out", "--labels", "half.tsv", *LABELS, "--out", "h")
    code, out, _ = raygen("reclassify", "out", "--heads", "h", "--out", "new")
    assert (code, "columns of heads: head_h" in out.splitlines()) == (0, True)
    options = ["--score-column", "head_h", "--higher-is-positive", "--min-window", 20, "--bootstrap", 100]
    code, out, err = raygen("calibrate", "--scores", "new", *LABELS[:6], *options, "--cluster", "gene", "--out", "c")
    assert (code, err) == (0, "")
    assert "180 labelled variants at sites that trained head_h are left out" in " ".join(out.split())
    assert (
        sum(json.loads((folder / "c").read_text())["labels"][name] for name in ("num_positive", "num_negative")) == 180
    )
    options += ["--labels", "half.tsv", "--out", "d"]
    code, _, err = raygen("calibrate", "--scores", "new", *LABELS[:6], *options)
    assert (code, "All 180 labelled variants are at sites that trained head_h" in err) == (3, True)
