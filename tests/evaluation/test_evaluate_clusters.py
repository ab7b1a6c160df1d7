"""What stands beside an evaluation, in the terminal, as JSON and on the page."""

import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import clusters_of
from raygen.evaluation.discrimination import discriminate
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


def printed(evaluation, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
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


def test_what_stands_beside_each_group_has_columns_where_there_is_room(tmp_path):
    """CADD is better than the score everywhere; consequence tells much over all and nothing within one."""
    evaluation = evaluate(genome(tmp_path), QUICK)
    numbers = as_json(evaluation)
    lines = printed(evaluation, width=100)
    heads = [line.split()[-2:] for line in lines if line.startswith(("group ", "by chromosome "))]
    assert heads == [["position", "conseq."]] * 2
    stop = numbers["by"]["consequence"]["stop_gained"]["beside"]["areas"]
    assert stop["CADD"]["difference_interval"][0] > 0
    assert stop["consequence alone"]["auroc"] == 0.5
    cells = next(line for line in lines if line.startswith("  stop_gained ")).split()
    assert cells[-2:] == [f"{stop['position alone']['auroc']:.3f}", "0.500"], "the score passes both"
    overall = next(line for line in lines if line.startswith("overall ")).split()
    assert overall[-1] == f"{numbers['beside']['areas']['consequence alone']['auroc']:.3f}*", "it does not pass here"
    chromosome = numbers["by_chromosome"]["areas"]["X"]["beside"]["areas"]
    shown = next(line for line in lines if line.startswith("  X ")).split()
    assert f"{chromosome['position alone']['auroc']:.3f}" in [cell.rstrip("*") for cell in shown]
    mean = next(line for line in lines if line.startswith("weighted mean ")).split()
    of_mean = numbers["by_chromosome"]["beside"]["areas"]
    assert mean[-1].rstrip("*") == f"{of_mean['consequence alone']['auroc']:.3f}"
    assert any(line.endswith("*: the score is not surely better") for line in lines)
    assert "What stands beside each group: on a screen of 100 columns" in "\n".join(printed(evaluation, 90)).replace(
        "\n  ", " "
    )


def test_a_group_without_an_interval_is_not_surely_better(tmp_path):
    """Each chromosome is one cluster; where no intervals are asked for the areas alone decide."""
    request = genome(tmp_path)
    marked = {}
    for replicates in (50, 0):
        evaluation = evaluate(request, Bootstrap(replicates), cluster="chromosome")
        lines = printed(evaluation, width=100)
        area = evaluation.by_chromosome.areas["1"].beside.areas["position alone"]
        assert area.difference < 0
        assert area.difference_interval is None
        cell = f"{area.auroc:.3f}"
        chromosome = next(line for line in lines if line.startswith("  1 "))
        marked[replicates] = f"{cell}*" in chromosome.split()
        surely = "surely " if replicates else ""
        assert any(line.endswith(f"*: the score is not {surely}better") for line in lines)
    assert marked == {50: True, 0: False}


def test_all_other_scores_stand_beside_the_groups_on_the_page(tmp_path):
    others = {f"TOOL{number}": np.random.default_rng(number).normal(size=2400) for number in range(3)}
    page = as_page(evaluate(replace(genome(tmp_path, **others), beside=["CADD", *others]), QUICK))
    for name in others:
        assert page.count(f"AUROC of {name}, less the score") == 2, "by chromosome and by consequence"


@pytest.mark.parametrize("is_partial", [True, False])
def test_fewer_rows_beside_a_group_are_said(tmp_path, is_partial):
    """Position of missense changes alone would else stand beside the score of all."""
    row = np.arange(2400)
    other = np.where(is_partial & (row % 3 > 0), np.nan, noisy(2400)[0])
    evaluation = evaluate(replace(genome(tmp_path, TOOL=other), beside=["TOOL"]), QUICK)
    sentence = "What stands beside a group is of those of its rows where every other score compared has a number"
    said = [
        line.endswith("rows where all of them have a number. So is each group.") for line in printed(evaluation, 100)
    ]
    assert any(said) == is_partial
    assert (sentence in as_page(evaluation)) == is_partial


def test_a_column_that_gives_the_label_away_is_a_warning_everywhere(tmp_path):
    row = np.arange(2400)
    positive = noisy(2400, share=0.3)[1]
    request = genome(tmp_path, consequence=np.where(positive ^ (row % 100 == 0), "stop_gained", "missense_variant"))
    evaluation = evaluate(request, QUICK)
    (warning,) = as_json(evaluation)["warnings"]
    assert warning.startswith("consequence alone gives the label away: AUROC 0.9")
    assert "\n".join(printed(evaluation)).replace("\n  ", " ").count(f"warning: {warning}") == 1
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


def busy(folder):
    """As ``genome``, with long names in 200 values of one column and 40 of another, and a score that points the other way."""
    row = np.arange(2400)
    request = genome(
        folder,
        disease=[f"a disease with a long name, and number {number}" for number in row % 200],
        kind=[f"kind {number}" for number in row % 40],
        delta_llr=noisy(2400, share=0.3)[0],
        other=np.where(row < 2300, np.nan, 1.0),
    )
    return replace(request, by=["disease", "kind", "consequence"], beside=["CADD", "other"])


@pytest.mark.parametrize("cluster", ["auto", "gene", "site"])
def test_no_line_is_wider_than_100_columns_and_many_groups_fit_a_screen(tmp_path, cluster):
    lines = printed(evaluate(busy(tmp_path), QUICK, cluster=cluster), width=200)
    assert max(map(len, lines)) <= 100, max(lines, key=len)
    assert len(lines) <= 60
    for words in ("192 more: --json", "32 more: --json", "16 more: --json", "  stop_gained ", "weighted mean"):
        assert any(words in line for line in lines), (words, lines)


def test_chromosomes_have_the_notes_that_groups_have(tmp_path):
    evaluation = evaluate(genome(tmp_path), QUICK)
    chromosome = next(line for line in printed(evaluation) if line.startswith("  X "))
    assert chromosome.rstrip().endswith("drawn by site")
    positive = np.arange(2400) % 3 == 0
    positive[:100] = np.arange(100) == 0
    few = evaluate(genome(tmp_path, **{"class": np.where(positive, "P", "B")}), QUICK)
    assert any(line.startswith("  1 ") and line.rstrip().endswith("only 1 positive") for line in printed(few))
    assert "only 1 positive" in " ".join(read_page(as_page(few)).lines)


def test_without_intervals_nothing_is_said_to_be_drawn(tmp_path):
    evaluation = evaluate(genome(tmp_path, chrom=["1"] * 2400), QUICK, cluster="chromosome")
    assert "no intervals: all in one chromosome" in printed(evaluation)
    page = " ".join(read_page(as_page(evaluation)).lines)
    assert "No intervals: all in one chromosome." in page
    assert "1 chromosome drawn again" not in page


def test_lopsided_clusters_are_warned_of(tmp_path):
    """Twenty genes, one of them with nearly all rows."""
    gene = np.where(np.arange(2400) < 2300, "BIG", [f"G{row // 5}" for row in range(2400)])
    lines = printed(evaluate(genome(tmp_path, gene=gene), QUICK, cluster="gene"))
    assert any("labels are spread as over 1.1 equal ones, so they say little" in line for line in lines)


def test_the_page_keeps_names_as_they_are(tmp_path):
    request = genome(tmp_path, CADD=[float("nan")] * 2400)
    text = " ".join(read_page(as_page(evaluate(request, QUICK))).lines)
    assert "CADD is no number in 2,400 of 2,400 rows." in text
    assert "CADD has no number in any positive or negative row: it is not compared." in text


def test_how_consequence_was_learnt_is_said_everywhere(tmp_path):
    evaluation = evaluate(genome(tmp_path), QUICK)
    words = "onsequence alone: learnt from the other 4 of 5 folds, which part no chromosome"
    assert words in "\n".join(printed(evaluation)).replace("\n  ", " ")
    assert words in as_json(evaluation)["beside"]["how_learnt"]
    assert words in " ".join(read_page(as_page(evaluation)).lines)


def test_intervals_of_groups_are_drawn_by_cluster(tmp_path):
    """Forty genes that share label and score: the interval of a group drawn by gene is that of ``discriminate`` on them."""
    generator = np.random.default_rng(0)
    gene = np.arange(2400) // 60
    positive = (generator.random(40) < 0.5)[gene]
    request = genome(
        tmp_path,
        chrom=["1"] * 2400,
        gene=[f"G{number}" for number in gene],
        delta_llr=generator.normal(size=40)[gene] - 0.5 * positive,
        consequence=["one"] * 1200 + ["two"] * 1200,
        **{"class": np.where(positive, "P", "B")},
    )
    evaluation = evaluate(replace(request, beside=[]), Bootstrap(300), cluster="gene")
    rows = slice(0, 1200)
    risk = evaluation.labelled.risk.to_numpy()[rows]
    by_gene, by_row = (
        discriminate(risk, positive[rows], clusters_of("gene", numbers, positive[rows]), Bootstrap(300)).auroc_interval
        for numbers in (gene[rows], np.arange(1200))
    )
    measured = evaluation.by["consequence"]["one"]
    assert (measured.auroc_interval, measured.drawn_by) == (by_gene, "gene")
    assert by_gene[1] - by_gene[0] > 3 * (by_row[1] - by_row[0])


def test_genes_and_sites_without_one_are_told_apart_in_the_numbers(tmp_path):
    gene = [f"G{row // 10}" if row < 1200 else None for row in range(2400)]
    evaluation = evaluate(genome(tmp_path, gene=gene), QUICK, cluster="gene")
    assert (as_json(evaluation)["clusters"]["num_clusters"], as_json(evaluation)["clusters"]["num_without_name"]) == (
        720,
        600,
    )
    assert "intervals: 120 genes and 600 sites without one drawn again" in printed(evaluation)
