import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.counted_areas import (
    CountedScore,
    areas_of_counts,
    auprc_of_counts,
    auroc_of_counts,
    bins_of_counts,
    class_counts,
    drawn_areas,
)
from tests.evaluation.labelled_rows import noisy


def by_hand():
    """Positives at 3, 2, 2, 1; negatives at 2, 1, 0.

    Of 12 pairs: 3 wins 3 of 3; each 2 wins 2 and ties 1; 1 wins 1 and ties 1. That is 3 + 2.5 + 2.5 + 1.5 = 9.5 of 12.
    Thresholds from above: 3 finds 1 of 1; 2 finds 3 of 4; 1 finds 4 of 6; average precision (1·1 + 2·3/4 + 1·4/6) / 4.
    """
    risk = np.array([3.0, 2, 2, 1, 2, 1, 0])
    positive = np.array([True, True, True, True, False, False, False])
    return risk, positive, 9.5 / 12, (1 + 1.5 + 4 / 6) / 4


def binned(risk, positive, max_bins):
    rank = np.unique(risk, return_inverse=True)[1]
    return class_counts(bins_of_counts(*class_counts(rank, positive), max_bins)[rank], positive)


def test_areas_of_counts_are_those_of_rows():
    risk, positive, auroc, auprc = by_hand()
    counts = binned(risk, positive, 4096)
    assert [values.tolist() for values in counts] == [[0, 1, 2, 1], [1, 1, 1, 0]]
    assert float(auroc_of_counts(*counts)) == pytest.approx(auroc)
    assert float(auprc_of_counts(*counts)) == pytest.approx(auprc)
    assert CountedScore(risk, positive, np.arange(7), 7).areas.tolist() == areas_of_counts(*counts).tolist()


def test_areas_are_those_of_scikit_learn_with_ties():
    risk, positive = noisy(3_000)
    risk = np.round(risk, 1)
    expected = [roc_auc_score(positive, risk), average_precision_score(positive, risk)]
    assert CountedScore(risk, positive, np.arange(3_000), 3_000).areas == pytest.approx(expected, abs=1e-12)


def test_bins_never_part_ties_and_change_an_area_little():
    risk, positive = noisy(60_000)
    risk = np.round(risk, 4)
    counts = binned(risk, positive, 512)
    assert len(counts[0]) <= 513
    assert (counts[0].sum(), counts[1].sum()) == (positive.sum(), (~positive).sum())
    assert float(auroc_of_counts(*counts)) == pytest.approx(roc_auc_score(positive, risk), abs=1e-4)
    assert float(auprc_of_counts(*counts)) == pytest.approx(average_precision_score(positive, risk), abs=2e-3)


def test_a_sample_has_the_areas_of_the_rows_it_draws_twice():
    """Clusters 0 and 2 twice, 1 not at all: held against scikit-learn on the rows put one after the other."""
    risk, positive = noisy(90)
    cluster = np.arange(90) % 3
    times = np.array([[2], [0], [2]], np.int32)
    rows = np.concatenate([np.flatnonzero(cluster != 1)] * 2)
    expected = [roc_auc_score(positive[rows], risk[rows]), average_precision_score(positive[rows], risk[rows])]
    assert CountedScore(risk, positive, cluster, 3).drawn(times)[:, 0] == pytest.approx(expected)


def test_a_sample_without_a_class_is_left_out():
    """One cluster a class: of four samples of two clusters, two hold both."""
    score = CountedScore(np.array([1.0, 0]), np.array([True, False]), np.array([0, 1]), 2)
    drawn = drawn_areas([score], 2, Bootstrap(400))
    assert 150 < drawn.shape[2] < 250
    assert (drawn == 1).all()


@pytest.mark.parametrize("rows_of_cluster", [1, 1000])
def test_a_million_rows_take_seconds(rows_of_cluster):
    risk, positive = noisy(1_000_000, share=0.01)
    cluster = np.arange(1_000_000) // rows_of_cluster
    began = time.process_time()
    score = CountedScore(risk, positive, cluster, 1_000_000 // rows_of_cluster)
    drawn = drawn_areas([score], 1_000_000 // rows_of_cluster, Bootstrap(100))[0]
    assert time.process_time() - began < 20
    low, high = np.quantile(drawn[0], [0.025, 0.975])
    assert low < score.areas[0] < high
    area = score.areas[0]  # of many negatives the positives decide: Hanley and McNeil, Radiology 1982, 143:29-36
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt((area / (2 - area) - area**2) / 10_000), rel=0.25)


def test_binned_intervals_are_near_those_of_every_distinct_score(monkeypatch):
    """20,000 distinct scores, 2% positive: bins move an end of the AUPRC's interval, which is 0.03 wide, by less than 2e-3."""
    risk, positive = noisy(20_000, share=0.02)
    binned, exact = [], []
    for intervals in (binned, exact):
        score = CountedScore(risk, positive, np.arange(20_000), 20_000)
        drawn = drawn_areas([score], 20_000, Bootstrap(200))[0]
        intervals.extend(np.quantile(drawn, [0.025, 0.975], axis=1).T)
        monkeypatch.setattr(
            "raygen.evaluation.counted_areas.bins_of_counts", lambda positives, negatives: np.arange(len(positives))
        )
    difference = np.abs(np.array(binned) - np.array(exact)).max(axis=1)
    assert difference[0] < 1e-4
    assert 0 < difference[1] < 2e-3
