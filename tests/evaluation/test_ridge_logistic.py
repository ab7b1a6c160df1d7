import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from raygen.evaluation.ridge_logistic import PENALTIES, RowsToFit, centre_in_place, log_losses, search_penalty


def telling(num_rows=300, num_features=20, seed=0, shift=0.0, spread=1.0):
    """Features of which three tell labels apart, and the labels."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num_rows, num_features))
    positive = features[:, :3].sum(axis=1) + generator.normal(size=num_rows) > 1
    return (features * spread + shift).astype(np.float32), positive


@pytest.mark.parametrize("penalty", [10.0, 0.1, 1e-3])
@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (1e4, 300.0)])
def test_a_fit_is_that_of_scikit_learn_on_scaled_rows(penalty, shift, spread):
    features, positive = telling(shift=shift, spread=spread)
    rows = np.flatnonzero(np.arange(300) % 4 > 0)
    scaler = StandardScaler().fit(features[rows].astype(float))
    plain = LogisticRegression(C=1 / (penalty * len(rows)), tol=1e-10, max_iter=10_000)
    plain.fit(scaler.transform(features[rows].astype(float)), positive[rows])
    expected = plain.decision_function(scaler.transform(features.astype(float)))
    centre_in_place(features)
    fitted = RowsToFit(features, positive, rows).fit(penalty)
    np.testing.assert_allclose(fitted.log_odds(features), expected, atol=2e-3)
    np.testing.assert_allclose(fitted.weight, plain.coef_[0], atol=1e-3)


def test_rows_that_do_not_count_change_nothing():
    features, positive = telling()
    rows = np.arange(0, 300, 2)
    fitted = RowsToFit(features, positive, rows).fit(0.1)
    features[1::2], positive[1::2] = 7, True
    again = RowsToFit(features, positive, rows).fit(0.1)
    np.testing.assert_allclose(again.weight, fitted.weight, atol=1e-5)


def test_a_constant_feature_and_more_features_than_rows_are_fitted():
    features, positive = telling(40, 200)
    features[:, 5] = 3
    fitted = RowsToFit(features, positive, np.arange(40)).fit(0.1)
    assert abs(fitted.weight[5]) < 1e-5
    assert np.isfinite(fitted.log_odds(features)).all()


def test_an_enlarged_feature_is_held_back_less():
    features, positive = telling()
    rows, enlarged = np.arange(300), np.where(np.arange(20) == 0, 10.0, 1.0)
    alike = RowsToFit(features, positive, rows).fit(10.0)
    other = RowsToFit(features, positive, rows, enlarged).fit(10.0)
    slope = [fitted.weight[0] / fitted.scale[0] for fitted in (alike, other)]
    assert slope[1] > 5 * slope[0]


def test_the_penalty_is_the_one_that_is_best_for_rows_left_out():
    features, positive = telling()
    fold = np.arange(300) % 5
    folds = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(5)]
    found = search_penalty(features, positive, folds)
    losses = []
    for penalty in PENALTIES:
        unseen = np.empty(300)
        for train, test in folds:
            unseen[test] = RowsToFit(features, positive, train).fit(penalty).log_odds(features)[test]
        losses.append(log_losses(unseen, positive).mean())
        if penalty == found.penalty:
            np.testing.assert_allclose(found.unseen, unseen, atol=5e-3)
    assert found.penalty == PENALTIES[int(np.argmin(losses))]
    assert found.remark is None


def test_a_penalty_at_an_end_of_the_grid_is_said():
    features, positive = telling()
    folds = [(np.arange(0, 300, 2), np.arange(1, 300, 2)), (np.arange(1, 300, 2), np.arange(0, 300, 2))]
    weakest = search_penalty(features, positive, folds, penalties=(100.0, 10.0))
    assert weakest.remark == "the best penalty is 10, the weakest of the grid: a weaker one might be better."
    noise = np.random.default_rng(1).normal(size=(300, 50)).astype(np.float32)
    strongest = search_penalty(noise, positive, folds)
    assert strongest.penalty == 1e4
    assert "the strongest of the grid: the features tell next to nothing" in strongest.remark


def test_rows_that_no_fold_leaves_out_have_no_number():
    features, positive = telling()
    found = search_penalty(features, positive, [(np.arange(100, 200), np.arange(200, 300))])
    assert np.isnan(found.unseen).tolist() == [True] * 200 + [False] * 100


def test_features_are_centred_in_their_place(monkeypatch):
    monkeypatch.setattr("raygen.evaluation.ridge_logistic._CELLS_AT_ONCE", 100)
    features, _ = telling(shift=1e6, spread=10)
    before = features.astype(float)
    shift, scale = centre_in_place(features)
    np.testing.assert_allclose(features * scale + shift, before, rtol=1e-6)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-2)
