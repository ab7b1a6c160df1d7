import io
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.trials.compare_windows import compare_windows
from raygen.trials.labelled_sample import LabelledSample
from raygen.trials.labelled_windows import compare_with_labels, labels_as_json, print_labelled

QUICK = Bootstrap(200)


def sample_of(positive, genes=None):
    """SNVs at sites of their own, with these labels and genes."""
    size = len(positive)
    places = {"chrom": ["1"] * size, "pos": range(1, size + 1), "ref": ["A"] * size, "alt": ["C"] * size}
    names, column = (genes, "GENE") if genes else ([None] * size, None)
    return LabelledSample(pa.table(places), np.array(positive), names, {}, [], column)


def compared(deltas, sample, tokens, margin=0.01):
    names = [f"9+{number}" for number in range(len(deltas))]
    windows = compare_windows(names, deltas, tokens, [1.0] * len(deltas))
    return windows, compare_with_labels(windows, deltas, sample, margin, QUICK)


def many(shift=3.0, size=120, seed=0):
    """Deltas of a baseline that tells the labels apart: a third is positive and lies ``shift`` nats lower."""
    positive = np.arange(size) % 3 == 0
    return np.random.default_rng(seed).normal(size=size) - shift * positive, positive


def test_an_area_is_the_share_of_pairs_that_a_lower_delta_puts_right():
    """Of 2 x 2 pairs the first window orders all, and the second all but the one of delta -1 (positive) and -2 (negative)."""
    deltas = [np.array([-4.0, -3, -2, -1]), np.array([-4.0, -1, -2, 0])]
    _, labelled = compared(deltas, sample_of([True, True, False, False]), [400, 40])
    assert [window.auroc for window in labelled.windows] == [1, 0.75]
    assert [window.difference for window in labelled.windows] == [0, -0.25]
    assert [window.seconds_per_variant for window in labelled.windows] == [0.25, 0.25]
    assert (labelled.num_positive, labelled.num_negative) == (2, 2)


def test_the_cheapest_window_that_is_not_worse_is_marked():
    """The second orders as the first does, the third does and reads less, the fourth reads least and is noise."""
    delta, positive = many()
    noise = np.random.default_rng(9).normal(size=len(delta))
    _, labelled = compared([delta, 2 * delta, delta / 9, noise], sample_of(positive), [4000, 400, 300, 30])
    assert [window.not_worse for window in labelled.windows] == [True, True, True, False]
    assert [window.cheapest for window in labelled.windows] == [False, False, True, False]


def test_the_whole_interval_must_lie_above_minus_the_margin():
    delta, positive = many()
    blurred = delta + np.random.default_rng(2).normal(size=len(delta))
    sample, tokens = sample_of(positive), [4000, 40]
    low, _ = compared([delta, blurred], sample, tokens)[1].windows[1].difference_interval
    assert low < 0
    for margin, is_enough in ((-low + 1e-6, True), (-low - 1e-6, False), (-low, False)):
        windows = compared([delta, blurred], sample, tokens, margin)[1].windows
        assert (windows[1].not_worse, windows[0].cheapest) == (is_enough, not is_enough)


def test_genes_are_drawn_where_enough_of_them_hold_each_class_and_sites_elsewhere():
    delta, positive = many()
    by_gene = [f"G{row // 6}" for row in range(120)]
    few_genes = [f"G{row // 40}" for row in range(120)]
    unnamed = [None if row < 3 else gene for row, gene in enumerate(by_gene)]  # three sites of their own beside G0
    drawn = [
        (labelled.clusters, labelled.num_clusters)
        for genes in (by_gene, few_genes, unnamed, None)
        for labelled in [compared([delta, delta], sample_of(positive, genes), [2, 1])[1]]
    ]
    assert drawn == [("gene", 20), ("site", 120), ("gene", 23), ("site", 120)]


@pytest.mark.parametrize(
    ("shift", "size", "words"),
    [
        (3.0, 27, "the rarer label is in 9 sites only, and a choice needs 10"),
        (0.0, 120, "not above chance"),
        (-3.0, 120, "not above chance"),
    ],
)
def test_labels_that_cannot_show_it_mark_no_window(shift, size, words):
    delta, positive = many(shift, size)
    _, labelled = compared([delta, delta], sample_of(positive), [2, 1])
    assert words in labelled.unmarked
    assert not any(window.not_worse or window.cheapest for window in labelled.windows)


def test_only_variants_that_every_window_could_score_are_compared():
    delta, positive = many()
    holes = delta.copy()
    holes[:30] = np.nan
    _, labelled = compared([delta, holes], sample_of(positive), [2, 1])
    assert labelled.num_positive + labelled.num_negative == 90
    assert labelled.windows[1].difference_interval == (0, 0)
    holes[positive] = np.nan
    with pytest.raises(InputError, match="All 60 labelled variants that every window could score are negative"):
        compared([delta, holes], sample_of(positive), [2, 1])


def printed(windows, labelled):
    console = Console(width=80, record=True, file=io.StringIO())
    print_labelled(windows, labelled, console)
    return console.export_text().splitlines()


def test_the_table_fits_80_columns_and_says_which_window_to_take():
    delta, positive = many()
    windows = compare_windows(["4096+4096", "4096+1024@2048"], [delta, delta], [1_080_000, 1200], [960.0, 1.2])
    labelled = compare_with_labels(windows, [delta, delta], sample_of(positive), 0.02, QUICK)
    heads, first, second, *lines = printed(windows, labelled)
    auroc = f"{labelled.windows[0].auroc:.3f}"
    assert heads.split() == ["window", "AUROC", "difference", "95%", "interval", "tokens", "ms"]
    assert first.split() == ["4096+4096", auroc, "baseline", "9,000", "8,000"]
    assert second.split()[:3] == ["4096+1024@2048", auroc, "+0.000"]
    assert second.split()[3:] == ["+0.000", "to", "+0.000", "10", "10", "cheapest"]
    assert lines == [
        "40 positive, 80 negative; intervals are paired, from 120 sites drawn again; tokens and ms are for one variant",
        "cheapest that is not worse than 4096+4096 by 0.02 or more: 4096+1024@2048, 10 tokens a variant in place of 9,000",
    ]


def test_without_a_cheaper_window_or_enough_labels_a_sentence_says_so():
    delta, positive = many()
    noise = np.random.default_rng(9).normal(size=len(delta))
    assert printed(*compared([delta, noise], sample_of(positive), [2, 1]))[-1] == (
        "no cheaper window is shown to be not worse than 9+0 by 0.01 or more."
    )
    assert printed(*compared([noise, noise], sample_of(positive), [2, 1]))[-1].startswith(
        "no window is marked: the AUROC of"
    )


def test_the_json_holds_the_labels_and_what_they_gave():
    delta, positive = many()
    _, labelled = compared([delta, delta], sample_of(positive), [2, 1])
    about = labels_as_json(labelled)
    assert (about["num_positive"], about["clusters"], about["num_clusters"]) == (40, "site", 120)
    assert (about["margin"], about["bootstrap"]["replicates"], about["unmarked"]) == (0.01, 200, None)
    assert "windows" not in about
    json.dumps([about, *map(asdict, labelled.windows)], allow_nan=False)
