import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.discrimination import auprc_of_counts, auroc_of_counts, binned_counts, discriminate


def by_hand():
    """Positives at 3, 2, 2, 1; negatives at 2, 1, 0.

    Of 12 pairs: 3 wins 3 of 3; each 2 wins 2 and ties 1; 1 wins 1 and ties 1. That is 3 + 2.5 + 2.5 + 1.5 = 9.5 of 12.
    Thresholds from above: 3 finds 1 of 1; 2 finds 3 of 4; 1 finds 4 of 6; average precision (1·1 + 2·3/4 + 1·4/6) / 4.
    """
    risk = np.array([3.0, 2, 2, 1, 2, 1, 0])
    positive = np.array([True, True, True, True, False, False, False])
    return risk, positive, 9.5 / 12, (1 + 1.5 + 4 / 6) / 4


def test_areas_with_ties_are_those_worked_out_by_hand():
    risk, positive, auroc, auprc = by_hand()
    found = discriminate(risk, positive, Bootstrap(replicates=0))
    assert found.auroc == pytest.approx(auroc, abs=1e-15)
    assert found.auprc == pytest.approx(auprc, abs=1e-15)
    assert found.auroc_interval is None


def test_areas_of_counts_are_those_of_rows():
    risk, positive, auroc, auprc = by_hand()
    counts = binned_counts(risk, positive)
    assert [one.tolist() for one in counts] == [[0, 1, 2, 1], [1, 1, 1, 0]]
    assert float(auroc_of_counts(*counts)) == pytest.approx(auroc)
    assert float(auprc_of_counts(*counts)) == pytest.approx(auprc)


def noisy(size: int, share: float = 0.2, shift: float = 1.0, seed: int = 1):
    generator = np.random.default_rng(seed)
    positive = generator.random(size) < share
    return generator.normal(size=size) + shift * positive, positive


def test_bins_never_part_ties_and_change_an_area_little():
    risk, positive = noisy(60_000)
    risk = np.round(risk, 4)
    counts = binned_counts(risk, positive, max_bins=512)
    assert len(counts[0]) <= 513
    assert (counts[0].sum(), counts[1].sum()) == (positive.sum(), (~positive).sum())
    assert float(auroc_of_counts(*counts)) == pytest.approx(roc_auc_score(positive, risk), abs=1e-4)
    assert float(auprc_of_counts(*counts)) == pytest.approx(average_precision_score(positive, risk), abs=2e-3)


def test_the_interval_is_that_of_resampled_rows():
    risk, positive = noisy(400)
    found = discriminate(risk, positive, Bootstrap(replicates=2000))
    generator = np.random.default_rng(5)
    ups, downs = risk[positive], risk[~positive]
    again = []
    for _ in range(1500):
        drawn = generator.choice(ups, len(ups)), generator.choice(downs, len(downs))
        again.append(np.mean(drawn[0][:, None] > drawn[1][None, :]) + np.mean(drawn[0][:, None] == drawn[1]) / 2)
    assert found.auroc_interval == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.01)
    assert found.auroc_interval[0] < found.auroc < found.auroc_interval[1]
    assert found.auprc_interval[0] < found.auprc < found.auprc_interval[1]


def test_the_same_seed_gives_the_same_interval_and_another_another():
    risk, positive = noisy(300)
    first, again, other = (discriminate(risk, positive, Bootstrap(200, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first.auroc_interval != other.auroc_interval


def test_a_million_rows_take_seconds():
    risk, positive = noisy(1_000_000, share=0.01)
    began = time.process_time()
    found = discriminate(risk, positive, Bootstrap(replicates=200))
    assert time.process_time() - began < 20
    low, high = found.auroc_interval
    assert low < found.auroc < high
    assert high - low == pytest.approx(4 * np.sqrt(found.auroc * (1 - found.auroc) / 10_000), rel=0.5)


@pytest.mark.parametrize(("positive", "note"), [([True, True], "no negative"), ([False, False], "no positive")])
def test_one_class_alone_gives_a_word_and_no_number(positive, note):
    found = discriminate(np.array([1.0, 2.0]), np.array(positive), Bootstrap())
    assert (found.auroc, found.auprc, found.auroc_interval, found.note) == (None, None, None, note)


def test_few_of_a_class_are_said():
    risk, positive = noisy(500)
    kept = ~positive | (np.cumsum(positive) <= 3)
    assert discriminate(risk[kept], positive[kept], Bootstrap(50)).note == "only 3 positive"
    assert discriminate(risk, positive, Bootstrap(50)).note is None
