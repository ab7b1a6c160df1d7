import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap, times_drawn
from raygen.evaluation.paired_areas import clusters_of_fewer_class, paired_areas
from tests.evaluation.plain_areas import plain_auprc, plain_auroc

POSITIVE = np.array([True, True, False, False])


def test_areas_and_differences_are_those_worked_out_by_hand():
    """Of 4 pairs the first score orders all, the second 3 (the positive at 1 lies below the negative at 2), the third ties all."""
    risks = np.array([[4.0, 3, 2, 1], [4, 1, 2, 0], [7, 7, 7, 7]])
    areas = paired_areas(risks, POSITIVE, list("abcd"), Bootstrap(replicates=0))
    assert [area.auroc for area in areas] == [1, 0.75, 0.5]
    assert [area.difference for area in areas] == [0, -0.25, -0.5]
    assert [(area.auroc_interval, area.difference_interval) for area in areas] == [(None, None)] * 3


def test_every_sample_serves_all_scores_so_the_same_order_differs_by_nothing():
    generator = np.random.default_rng(3)
    risk, positive = generator.normal(size=60), np.arange(60) % 3 == 0
    first, same, other = paired_areas(
        np.stack([risk, np.exp(risk), -risk]), positive, [str(row) for row in range(60)], Bootstrap(200)
    )
    assert same.difference_interval == (0, 0)
    assert same.auroc_interval == first.auroc_interval
    low, high = other.difference_interval
    assert low < other.difference < high


def test_the_interval_is_that_of_clusters_drawn_with_replacement():
    """Held against the plain form: rows of drawn clusters put one after the other, areas by their definition."""
    generator = np.random.default_rng(0)
    clusters = np.repeat(np.arange(20), 6)
    positive = generator.random(120) < 0.4
    shared = generator.normal(size=20)[clusters]
    risks = np.stack([positive + generator.normal(size=120), positive + shared + generator.normal(size=120)]).round(1)
    *_, area = paired_areas(risks, positive, [f"gene {name}" for name in clusters], Bootstrap(4000))
    differences = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(clusters == name) for name in generator.integers(0, 20, 20)])
        first, second = (plain_auroc(positive[rows], risk[rows]) for risk in risks)
        differences.append(second - first)
    assert area.difference_interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.015)


def test_rows_that_are_copies_of_each_other_narrow_no_interval_where_they_are_one_cluster():
    generator = np.random.default_rng(1)
    positive, names = np.arange(40) % 2 == 0, [str(row) for row in range(40)]
    risks = generator.normal(size=(2, 40)) + positive
    once = paired_areas(risks, positive, names, Bootstrap(500))[1]
    copied = paired_areas(np.tile(risks, 5), np.tile(positive, 5), names * 5, Bootstrap(500))[1]
    apart = paired_areas(np.tile(risks, 5), np.tile(positive, 5), [str(row) for row in range(200)], Bootstrap(500))[1]
    assert copied.difference_interval == pytest.approx(once.difference_interval)
    assert np.ptp(apart.difference_interval) < 0.6 * np.ptp(once.difference_interval)


def test_a_sample_without_one_of_the_classes_is_left_out():
    """With one cluster for each class half of the samples of two lack a class; the others are the rows as they are."""
    areas = paired_areas(np.array([[4.0, 1, 2, 3]]), POSITIVE, list("aabb"), Bootstrap(100))
    assert areas[0].auroc_interval == (0.5, 0.5)


def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    risks, names = np.array([[4.0, 3, 2, 1], [1, 4, 2, 3]]), list("abcd")
    whole = paired_areas(risks, POSITIVE, names, Bootstrap(50))
    monkeypatch.setattr("raygen.classes.statistics._CHUNK_CELLS", 5)
    assert [times.shape for times in times_drawn(4, Bootstrap(3))] == [(4, 1)] * 3
    assert paired_areas(risks, POSITIVE, names, Bootstrap(50)) == whole


def test_precision_and_recall_are_those_of_scikit_learn_and_drawn_with_the_rest():
    """By hand for the second score: the positive at 4 comes first, that at 1 third, so (1 + 2/3) / 2."""
    risks = np.array([[4.0, 3, 2, 1], [4, 1, 2, 0]])
    _, second = paired_areas(risks, POSITIVE, list("abcd"), Bootstrap(200))
    assert second.auprc == pytest.approx((1 + 2 / 3) / 2)
    assert second.auprc_difference == pytest.approx(second.auprc - 1)
    low, high = second.auprc_difference_interval
    assert low < 0 == high


def test_the_class_in_fewer_clusters_is_counted():
    assert clusters_of_fewer_class(POSITIVE, list("aabc")) == 1
    assert clusters_of_fewer_class(POSITIVE, list("abcd")) == 2


def test_areas_by_their_definition_are_those_of_scikit_learn():
    """Which the tests of many of them rely on."""
    generator = np.random.default_rng(5)
    for decimals in (0, 1, 8):
        positive, risk = generator.random(300) < 0.3, generator.normal(size=300).round(decimals)
        assert plain_auroc(positive, risk) == pytest.approx(roc_auc_score(positive, risk))
        assert plain_auprc(positive, risk) == pytest.approx(average_precision_score(positive, risk))
