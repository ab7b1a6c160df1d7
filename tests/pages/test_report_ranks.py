"""What a report says of ranks: against what, how many, which genes, and classes in the unit they were cut in."""

import re
from math import comb
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raygen.classes.class_rule import class_rule
from raygen.classes.words import MINUS, class_range, measure, phred_cuts, range_with_unit
from raygen.pages import rank_tally
from raygen.pages.rank_tally import RankCounting, interval_rank
from raygen.pages.report import write_report
from raygen.pages.tally import tally_scores
from raygen.pages.variant_words import variant_words
from raygen.tables.layout import RunFolder
from tests.ranked_folders import background_of, ranked_folder
from tests.run_folders import row, run_folder

HUNDRED = background_of(np.arange(-100.0, 0.0))
ON_PHRED = class_rule((0, 3, 10, 20), "phred", HUNDRED)
SNVS = [row("1", 10 + at, "A", "C", -100.0 + at, gene="LOW" if at < 8 else "HIGH") for at in range(20)]


def text_of(path: str) -> str:
    page = Path(path).read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)).replace(
        MINUS, "-"
    )


def test_ranges_of_classes_are_in_the_unit_they_were_cut_in():
    names = ("pathogenic", "likely_pathogenic", "vus", "benign", "gain_of_function")
    assert phred_cuts(ON_PHRED.on) == (0, 3, 10, 20)
    ranges = [class_range(name, ON_PHRED.cuts, ON_PHRED.on) for name in names]
    assert ranges == ["20 and above", "10 to below 20", "3 to below 10", "0 to below 3", "not given"]
    assert class_range("benign", ON_PHRED.cuts).endswith(" and above")  # in nats: the cut at PHRED 0 lies beyond all
    assert range_with_unit("pathogenic", ON_PHRED.cuts, ON_PHRED.on) == "PHRED 20 and above"
    from_one = class_rule((1, 3, 10, 20), "phred", HUNDRED)
    assert class_range("gain_of_function", from_one.cuts, from_one.on) == "below 1"
    on_context = "delta_context of background 0"
    assert range_with_unit("pathogenic", (-7, -3, -1, 1), on_context) == f"delta_context below {MINUS}7 nats"
    assert (measure(ON_PHRED.on), measure(on_context)) == ("PHRED", "delta_context, nats")
    assert (measure(None), range_with_unit("vus", (-7, -3, -1, 1))) == (
        "delta_llr, nats",
        f"{MINUS}3 to below {MINUS}1 nats",
    )


def test_the_report_says_against_what_scores_are_ranked_and_cuts_classes_in_phred(tmp_path):
    page = text_of(write_report(ranked_folder(tmp_path, SNVS, ON_PHRED)))
    for part in (
        f"Ranks are against the background {HUNDRED.digest}, 100 scores (made: 100 scores).",
        "at PHRED 20 or above 1 5.0% of them; of the background 1%",
        "class PHRED variants share pathogenic 20 and above delta_llr below -99",
        "PHRED 0, 3, 10, 20, which are",
        "Share of 20 variants at each PHRED or above: 50.00% at 10, 5.00% at 20, 0.00% at 30",
        "PHRED 20.00 is 20 and above, which this run's cut points call pathogenic",
        "PHRED 20.00: a share of 0.01 of the background is as harmful to the model or more, of its group (SNV) 0.01.",
    ):
        assert part in page.replace("&#39;", "'"), part
    assert "percentile_in_group" not in page  # the words have it


def test_genes_are_shown_by_the_median_percentile_of_their_variants(tmp_path):
    few = [row("1", 40 + at, "A", "C", -100.0, gene="FEW") for at in range(5)]
    missing = [row("1", 50 + at, "A", "C", -100.0, gene=gene) for at, gene in enumerate([None, ".", ""] * 3)]
    page = text_of(write_report(ranked_folder(tmp_path, [*SNVS, *few, *missing], ON_PHRED)))
    # LOW: percentiles 0.01 to 0.08; of 8 values the first and the last enclose the median with 99%, the second and the seventh with 93%
    assert "variants median percentile 95% interval PHRED ≥ 20 LOW 8 0.044 0.009 to 0.080 1 HIGH 12 " in page
    assert "1 with fewer than 6 variants are left out" in page


def test_a_report_without_ranks_has_no_word_of_them(tmp_path):
    carried = [{**one, "percentile": "0.5", "phred": "3"} for one in SNVS]  # the input's own columns, as text
    page = text_of(write_report(run_folder(tmp_path, carried)))
    assert "Genes by" not in page and "background" not in page and "phred 3 " in page  # among what was carried along


def test_the_interval_of_a_median_is_that_of_binomial_order_statistics():
    for num_values in (1, 5, 6, 9, 40, 999):
        k = interval_rank(num_values)
        outside = [2 * sum(comb(num_values, place) for place in range(rank)) / 2**num_values for rank in (k, k + 1)]
        assert outside[0] <= 0.05 < outside[1]
    assert interval_rank(5) == 0 and interval_rank(6) == 1
    assert interval_rank(1000) - interval_rank(1001) in (-1, 0)  # exact, and by the normal approximation


def test_percentiles_of_genes_are_counted_in_pieces_and_genes_beyond_the_limit_are_told(monkeypatch):
    generator = np.random.default_rng(7)
    share = generator.random(5000)
    genes = generator.choice(["a", "b", "c"], 5000, p=[0.5, 0.3, 0.2])
    frame = pl.DataFrame({"percentile": share, "phred": -10 * np.log10(share), "name": genes})
    counting = RankCounting("name")
    for start in range(0, 5000, 700):
        counting.add(frame[start : start + 700])
    ranks = counting.ranks()
    assert [ranks.num_from(0), ranks.num_from(20)] == [5000, (share <= 0.01).sum()]
    assert ranks.genes is not None
    for gene in ranks.genes.genes:
        own = np.sort(share[genes == gene.gene])
        k = interval_rank(len(own))
        assert gene.num_variants == len(own) and gene.num_severe == (own <= 0.01).sum()
        assert [gene.median, gene.low, gene.high] == pytest.approx([np.median(own), own[k - 1], own[-k]], abs=0.00051)
    monkeypatch.setattr(rank_tally, "MAX_GENES", 2)
    limited = RankCounting("name")
    limited.add(frame)
    counted = limited.ranks().genes
    assert counted is not None and len(counted.genes) == 2
    assert counted.num_rows_beyond == 5000 - sum(gene.num_variants for gene in counted.genes)


def test_strands_are_compared_without_what_the_context_makes_likely(tmp_path):
    background = background_of([-5.0, 0.0], dict.fromkeys(range(11, 400, 8), -5.5))
    rule = class_rule((-7, -3, -1, 1), "delta_context", background)
    place = 11  # a change to A as those that were learnt from: -5.5 nats are expected
    both = {"delta_fwd": -7.2, "delta_rev": -6.8}  # two classes as they are, one without what is expected
    folder = ranked_folder(
        tmp_path, [row("1", place, "G", "A", -7.0, **both), row("1", place, "GT", "A", -7.0, **both)], rule
    )
    scores = RunFolder(folder).scores_dataset()
    agreement = tally_scores(scores, rule.cuts, rule.on, has_ranks=True).agreement
    assert (agreement.rows, agreement.same_class, agreement.one_step_apart) == (2, 1, 1)
    change, indel = sorted(scores.to_table().to_pylist(), key=lambda one: len(one["ref"]))
    said = " ".join(variant_words(change, rule.cuts, rule.on, has_ranks=True)).replace(MINUS, "-")
    expected = -7 - change["delta_context"]
    assert (
        expected == pytest.approx(-5.5)
        and f"Of delta_llr, {expected:.2f} nats are what the context alone makes likely" in said
    )
    assert "nats: the same class on both" in said
    assert f"delta_context, {change['delta_context']:.2f}, is " in said
    said = " ".join(variant_words(indel, rule.cuts, rule.on, has_ranks=True)).replace(MINUS, "-")
    assert "No context is known here, and delta_llr, -7.00, is -7 to below -3 nats" in said
