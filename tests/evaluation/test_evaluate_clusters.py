"""What stands beside an evaluation, in the terminal, as JSON and on the page."""

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.evaluate import as_json, evaluate
from raygen.evaluation.evaluation_text import print_evaluation
from raygen.evaluation.labelled_scores import LabelRequest
from raygen.pages.evaluation_page import as_page
from tests.evaluation.labelled_rows import noisy
from tests.pages.page_reader import read_page

QUICK = Bootstrap(replicates=50)


def genome(folder, size=2400, **columns):
    """A table of 24 chromosomes, 240 genes and two alleles a site, with a consequence, a better score and a frequency."""
    risk, positive = noisy(size, share=0.3)
    row = np.arange(size)
    frame = {
        "chrom": [[*map(str, range(1, 23)), "X", "Y"][number] for number in row * 24 // size],
        "pos": row // 2 * 7 + 1,
        "ref": ["A"] * size,
        "alt": np.where(row % 2, "C", "G"),
        "gene": [f"G{number}" for number in row // 10],
        "consequence": np.where(positive ^ (row % 4 == 0), "stop_gained", "missense_variant"),
        "delta_llr": -risk,
        "CADD": risk + positive,
        "class": np.where(positive, "P", "B"),
    }
    pl.DataFrame(frame | columns).write_parquet(folder / "genome.parquet")
    return LabelRequest(
        str(folder / "genome.parquet"), "class", positive=["P"], negative=["B"], beside=["CADD"], by=["consequence"]
    )


def printed(evaluation):
    console = Console(width=80, record=True, file=io.StringIO())
    print_evaluation(evaluation, console)
    return console.export_text().splitlines()


def test_a_usual_evaluation_fits_a_screen(tmp_path):
    lines = printed(evaluate(genome(tmp_path), QUICK))
    assert len(lines) <= 60
    tables = [line for line in lines if "  " in line.strip()]
    assert not any("…" in line for line in lines)
    assert max(map(len, tables)) <= 80
    assert any(line.startswith("2,400 rows at 1,200 sites; 1,200 sites with several alleles, ") for line in lines)
    assert any(line.startswith("intervals: 24 chromosomes drawn again") for line in lines)
    for start in (
        "position alone ",
        "consequence alone ",
        "CADD ",
        "weighted mean ",
        "pooled ",
        "  X ",
        "  stop_gained ",
    ):
        assert any(line.startswith(start) for line in lines), start


def test_the_numbers_are_those_of_the_json(tmp_path):
    evaluation = evaluate(genome(tmp_path), QUICK)
    numbers = as_json(evaluation)
    json.dumps(numbers, allow_nan=False)
    assert numbers["clusters"]["level"] == "chromosome"
    assert numbers["overall"]["drawn_by"] == "chromosome"
    assert list(numbers["beside"]["areas"]) == ["delta_llr", "position alone", "consequence alone", "CADD"]
    assert numbers["beside"]["areas"]["CADD"]["difference_interval"][0] > 0
    chromosomes = numbers["by_chromosome"]
    assert list(chromosomes["areas"])[-2:] == ["X", "Y"]
    assert chromosomes["areas"]["X"]["drawn_by"] == "site", (
        "it has ten genes, which do not hold as many of the rarer label each"
    )
    assert 0 < chromosomes["areas"]["X"]["base_rate"] < 1
    assert chromosomes["pooled_auroc"] == numbers["overall"]["auroc"]
    assert numbers["leaks"]["num_repeated_sites"] == 1200
    mean = next(line for line in printed(evaluation) if line.startswith("weighted mean"))
    low, high = chromosomes["mean_auroc_interval"]
    auroc, *others = (f"{chromosomes[name]:.3f}" for name in ("mean_auroc", "mean_auprc", "mean_base_rate"))
    assert mean.split()[2:] == [auroc, f"{low:.3f}-{high:.3f}", *others]


def test_a_column_that_gives_the_label_away_is_a_warning_everywhere(tmp_path):
    row = np.arange(2400)
    positive = noisy(2400, share=0.3)[1]
    request = genome(tmp_path, consequence=np.where(positive ^ (row % 100 == 0), "stop_gained", "missense_variant"))
    evaluation = evaluate(request, QUICK)
    (warning,) = as_json(evaluation)["warnings"]
    assert warning.startswith("consequence alone gives the label away: AUROC 0.9")
    assert printed(evaluation).count(f"warning: {warning}") == 1
    assert f"C{warning[1:]}" in " ".join(read_page(as_page(evaluation)).lines)


def test_one_value_for_all_is_a_warning(tmp_path):
    evaluation = evaluate(genome(tmp_path, delta_llr=[0.5] * 2400), QUICK)
    assert evaluation.overall.auroc == 0.5
    assert "warning: delta_llr is 0.5 in all 2,400 rows: it tells nothing apart." in printed(evaluation)
    as_page(evaluation)


@pytest.mark.parametrize("level", ["chromosome", "gene", "site"])
def test_the_level_can_be_named(tmp_path, level):
    evaluation = evaluate(genome(tmp_path), QUICK, cluster=level)
    assert evaluation.overall.drawn_by == level
    assert not any("too few, 10" in line for line in printed(evaluation))


def test_one_chromosome_named_as_level_gives_no_interval_and_says_why(tmp_path):
    evaluation = evaluate(genome(tmp_path, chrom=["1"] * 2400), QUICK, cluster="chromosome")
    assert evaluation.overall.auroc_interval is None
    assert evaluation.by_chromosome is None
    lines = printed(evaluation)
    assert any(line.startswith("overall") and line.rstrip().endswith("all in one chromosome") for line in lines)
    as_page(evaluation)


def test_the_page_shows_what_stands_beside_and_each_chromosome(tmp_path):
    page = read_page(as_page(evaluate(genome(tmp_path), QUICK)))
    text = " ".join(page.lines)
    for words in ("Beside it", "position alone", "By chromosome", "weighted mean", "24 chromosomes", "base rate"):
        assert words in text
    assert page.holds_all_it_shows()
