"""All pages as one family: one base, one stylesheet, nothing from outside, and no value of a user that is more than text."""

import re
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

from raygen.classes.classify import CLASSES
from raygen.classes.statistics import Bootstrap
from raygen.evaluation.evaluate import evaluate
from raygen.evaluation.labelled_scores import LabelRequest
from raygen.finished.diff import compare_scores
from raygen.pages.diff_page import as_page as diff_page
from raygen.pages.evaluation_page import as_page as evaluation_page
from raygen.pages.page import Page, render
from raygen.pages.palette import css_variables
from raygen.pages.position_report import position_page
from raygen.pages.report import write_report
from raygen.pages.saturation_page import as_page as saturation_page
from raygen.tables.position_table import KIND
from raygen.tables.schemas import variant_ids
from raygen.trials.every_change import saturating_variants
from raygen.trials.saturation import lay_out
from raygen.variants.region import Region
from tests.builders import InMemoryReference
from tests.finished_runs import finished_run
from tests.pages.page_reader import read_page
from tests.position_tables import write_positions
from tests.run_folders import made_manifest, row, run_folder

HOSTILE = "</script></style><script>window.hacked = 1</script><img src=x onerror='hacked()'><b>"
FOLDER = "<script>a<b>&'\"<img src=x>"  # a folder's name holds no slash
PARTS = files("raygen.pages") / "page_parts"


def _report(folder):
    rows = [row(HOSTILE, 7, "A", "C", -30.0, gene=HOSTILE, consequence=HOSTILE, flags=[HOSTILE], **{HOSTILE: HOSTILE})]
    manifest = made_manifest(1, (), {"warnings": [HOSTILE]})
    manifest["model"]["name"] = HOSTILE
    reject = {"source": HOSTILE, "reason": "ref_mismatch", "detail": HOSTILE}
    return Path(write_report(run_folder(folder, rows, rejects=[reject], manifest=manifest))).read_text(encoding="utf-8")


def _diff(folder):
    name = f"{HOSTILE}-5-A-C"
    old, new = (
        finished_run(
            folder / f"{FOLDER}{age}",
            {name: delta, "1-1-A-C": 0.0},
            fingerprint=HOSTILE[:60] + age,
            classification={"1-1-A-C": f"{HOSTILE}{age}"},
        )
        for age, delta in (("old", -8.0), ("new", 0.0))
    )
    return diff_page(compare_scores(old, new))


def _evaluation(folder):
    labels = [HOSTILE, "good"] * 20 + [f"{HOSTILE} neither"]
    columns = {HOSTILE: [float(number % 7) for number in range(41)], "label<b>": labels, "group<b>": [HOSTILE] * 41}
    place = {"chrom": ["1"] * 41, "pos": range(1, 42), "ref": ["A"] * 41, "alt": ["C"] * 41}
    (folder / FOLDER).mkdir()
    scores = str(folder / FOLDER / "scores.tsv")
    pl.DataFrame({**place, **columns}).write_csv(scores, separator="\t")
    request = LabelRequest(
        scores, "label<b>", positive=[HOSTILE], negative=["good"], score_column=HOSTILE, by=["group<b>"]
    )
    return evaluation_page(evaluate(request, Bootstrap(replicates=20)))


def _saturation(folder):
    variants = saturating_variants(Region(HOSTILE, 1, 4), InMemoryReference({HOSTILE: "ACGT"}), deletions=True)
    deltas = dict.fromkeys(variant_ids(variants).to_pylist(), -1.0)
    return saturation_page(lay_out(HOSTILE, 1, "ACGT", variants, deltas), {HOSTILE: HOSTILE})


def _tabulated(folder):
    out = write_positions(folder / "out", {HOSTILE: "ACGT" * 30})
    manifest = made_manifest(360, (), {"kind": KIND, "warnings": [HOSTILE]})
    manifest["counts"] |= {"rejected": {HOSTILE: 1}, "num_rejected": 1}
    manifest["model"]["name"] = HOSTILE
    manifest["input"] = {"bases": 120, "other_letters": {HOSTILE: 1}, "contigs": [HOSTILE], "regions": HOSTILE}
    return position_page(out, manifest)


MAKERS = {
    "report": _report,
    "diff": _diff,
    "evaluate": _evaluation,
    "saturate": _saturation,
    "tabulate": _tabulated,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each page by the command that makes it, of data in which every text is hostile."""
    return {command: make(tmp_path_factory.mktemp(command)) for command, make in MAKERS.items()}


@pytest.mark.parametrize("command", MAKERS)
def test_a_page_has_the_one_stylesheet_and_the_one_base(pages, command):
    read = read_page(pages[command])
    stylesheet = (PARTS / "page.css").read_text(encoding="utf-8")
    assert read.styles[0].strip() == (css_variables() + stylesheet).strip()
    assert len(read.styles) == 1 + bool(read.scripts), "beside it only what a report without scripts shows"
    assert read.lines[1] == f"raygen {command}"
    assert read.lines[-1].endswith("This page holds all it shows and asks no network for anything.")
    assert [read.tags.count(tag) for tag in ("header", "nav", "h1", "main", "footer")] == [1] * 5


def test_there_is_one_base_and_every_other_template_extends_it():
    names = sorted(part.name for part in PARTS.iterdir() if part.name.endswith(".j2"))
    assert {name for name in names if "<html" in (PARTS / name).read_text()} == {"page.html.j2"}
    extending = {name for name in names if (PARTS / name).read_text().startswith('{% extends "page.html.j2" %}')}
    assert extending == set(names) - {"page.html.j2", "parts.html.j2"}
    assert [part.name for part in PARTS.iterdir() if part.name.endswith(".css")] == ["page.css"]


@pytest.mark.parametrize("command", MAKERS)
def test_a_page_holds_all_it_shows_whatever_the_data_says(pages, command):
    read = read_page(pages[command])
    assert read.outside == []
    assert read.handlers == []
    assert read.holds_all_it_shows()
    assert len(read.scripts) == (2 if command == "report" else 0)
    own_text = pages[command].replace("http://www.w3.org/2000/svg", "").split("<script type")[0]
    assert "://" not in own_text, "the report's library names sites, and is kept from them by the policy"


@pytest.mark.parametrize("command", MAKERS)
def test_hostile_text_is_text(pages, command):
    read = read_page(pages[command])
    assert HOSTILE not in pages[command]
    assert "<img" not in pages[command].split("<body>")[1].split("<script type")[0]
    assert "b" not in read.tags or command in ("report", "tabulate"), "tiles, and the caveat of a report, are in bold"
    assert any("window.hacked = 1" in line for line in read.lines), "it is shown, though"
    assert FOLDER in " ".join(read.lines) or command in ("report", "saturate", "tabulate"), "which name no folder"


@pytest.mark.parametrize("command", MAKERS)
def test_tables_and_charts_can_be_heard(pages, command):
    page, read = pages[command], read_page(pages[command])
    assert read.tags.count("table") == read.tags.count("caption") == read.tags.count("thead") > 0
    assert page.count('<th scope="') == read.tags.count("th")
    assert page.count('class="chart ') == len(re.findall(r'role="img" aria-label="[^"]{20,}"', page))


def test_marks_of_still_charts_have_their_values_as_tooltips(pages):
    page = pages["evaluate"]
    assert "<title>positive, " in page
    assert page.count("<title>negative, ") >= 7
    assert " id=" not in "".join(page.split("<svg")[1:]).split("</main>")[0].replace('<section id="', "")


def test_charts_follow_the_reader_into_the_dark(pages):
    variables = css_variables()
    for name in ("muted", "series-1", "series-2", *(name.replace("_", "-") for name in CLASSES)):
        assert variables.count(f" --{name}: #") == 2, name
    drawings = [part.split("</svg>")[0] for part in pages["evaluate"].split("<svg")[1:]]
    assert len(drawings) == 6
    assert all("var(--muted)" in drawing and "#" not in drawing for drawing in drawings)


def test_a_value_that_a_template_lacks_is_an_error():
    page = Page("diff", "title", "heading", "under", [("runs", "Runs")])
    with pytest.raises(Exception, match="is undefined"):
        render("diff.html.j2", page)
