import numpy as np
import pytest

from raygen.errors import InputError
from raygen.evaluation.clusters import clusters_of
from raygen.evaluation.grouped_folds import grouped_folds


@pytest.mark.parametrize("most_stratified", [0, 5_000])
def test_every_row_is_left_out_once_and_no_cluster_is_parted(monkeypatch, most_stratified):
    monkeypatch.setattr("raygen.evaluation.grouped_folds.MOST_STRATIFIED", most_stratified)
    positive, numbers = np.arange(300) % 4 == 0, np.arange(300) // 3
    folds = list(grouped_folds(positive, clusters_of("site", numbers, positive), 5, seed=1))
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(300))
    assert all(not set(numbers[train]) & set(numbers[test]) for train, test in folds)


def test_labels_are_spread_over_the_folds_where_clusters_are_few():
    positive, numbers = np.arange(200) < 40, np.arange(200) // 10
    folds = grouped_folds(positive, clusters_of("gene", numbers, positive), 4, seed=0)
    assert [int(positive[test].sum()) for _, test in folds] == [10] * 4


def test_a_fold_without_which_a_label_is_missing_is_refused(monkeypatch):
    """Two clusters hold a positive, of two folds; without stratification both can come into one."""
    monkeypatch.setattr("raygen.evaluation.grouped_folds.MOST_STRATIFIED", 0)
    positive, numbers = np.arange(60) < 20, np.arange(60) // 10
    clusters = clusters_of("gene", numbers, positive)
    with pytest.raises(InputError, match=r"in one of the 2 folds, which part no gene \(6 genes\)"):
        for seed in range(50):
            list(grouped_folds(positive, clusters, 2, seed))


def test_few_clusters_with_the_rarer_label_are_spread_evenly_among_very_many(monkeypatch):
    monkeypatch.setattr("raygen.evaluation.grouped_folds.MOST_STRATIFIED", 100)
    positive, numbers = np.arange(3000) < 20, np.arange(3000) // 2
    folds = list(grouped_folds(positive, clusters_of("site", numbers, positive), 5, seed=1))
    assert [int(positive[test].sum()) for _, test in folds] == [4] * 5
    assert all(not set(numbers[train]) & set(numbers[test]) for train, test in folds)
    assert max(abs(len(test) - 600) for _, test in folds) < 120
