"""Logistic regression with an L2 penalty on very wide tables: rows that count are chosen, scaled and fitted without a copy.

The mean over rows of the log loss plus half the penalty times the sum of squared weights is convex; L-BFGS goes down to its one minimum.
Features stay one float32 table, which can take most of the memory (100,000 rows of 32,768 features are 13 GB); the rows of a fold are
those with a weight of one, their means and spreads are taken into the products. scikit-learn would copy and scale the rows of each
fold. Sums over features are float32, everything else float64.

Shapes: R rows, F features, K folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

PENALTIES = tuple(10.0 ** np.arange(4, -7, -1))
"""From a head that learns nothing to one that hardly is held back."""
_WORSE_IN_A_ROW = 2
_CELLS_AT_ONCE = 8_000_000
_MOST_ITERATIONS = 500
_ONE_THREAD = 100_000_000
"""Bytes of features up to which products are made in one thread: threads of a small product mostly wait for each other."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model: a feature less its ``centre``, over its ``scale``, is weighted; all (F,) float64."""

    centre: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    intercept: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """(R,) float64 log-odds of (R, F) float32 features."""
        slope = self.weight / self.scale
        return (features @ slope.astype(np.float32)).astype(float) - float(self.centre @ slope) + self.intercept


class RowsToFit:
    """Some rows of a table of features with their labels, scaled to a mean of 0 and a spread of 1 as they are read.

    Args:
        features: (R, F) float32, centred about (see ``centre_in_place``), so that little cancels in float32.
        positive: (R,) Boolean.
        rows: indices of the rows that count.
        enlarged: (F,) a feature is taken as so much larger, so that the penalty holds it back so much less; None: all alike.
    """

    def __init__(
        self, features: np.ndarray, positive: np.ndarray, rows: np.ndarray, enlarged: np.ndarray | None = None
    ) -> None:
        self._features = features
        self._share = np.zeros(len(features))
        self._share[rows] = 1 / len(rows)
        self._positive = positive
        self.centre, spread = _moments(features, rows)
        self.scale = np.where(spread > 0, spread, 1.0) / (1.0 if enlarged is None else enlarged)
        share = float(positive[rows].mean())
        self._start = np.zeros(features.shape[1] + 1)
        self._start[-1] = np.log(share / (1 - share))

    def fit(self, penalty: float, start: Fitted | None = None) -> Fitted:
        """The minimum at a penalty, looked for from ``start`` on."""
        first = self._start if start is None else np.append(start.weight, start.intercept)
        options = {"maxiter": _MOST_ITERATIONS, "ftol": 1e-8, "gtol": 1e-5, "maxcor": 20}
        with threadpool_limits(1 if self._features.nbytes <= _ONE_THREAD else None):
            found = minimize(self._loss, first, args=(penalty,), jac=True, method="L-BFGS-B", options=options)
        return Fitted(self.centre, self.scale, found.x[:-1], float(found.x[-1]))

    def _loss(self, weights: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        weight = weights[:-1]
        log_odds = Fitted(self.centre, self.scale, weight, float(weights[-1])).log_odds(self._features)
        loss = float(self._share @ log_losses(log_odds, self._positive)) + penalty / 2 * float(weight @ weight)
        residual = self._share * (expit(log_odds) - self._positive)
        slope = (residual.astype(np.float32) @ self._features).astype(float) - self.centre * residual.sum()
        return loss, np.append(slope / self.scale + penalty * weight, residual.sum())


def log_losses(log_odds: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(R,) -ln of the probability that (R,) log-odds give to the labels."""
    return np.logaddexp(0, np.where(positive, -log_odds, log_odds))


@dataclass(frozen=True)
class PenaltySearch:
    """The penalty that was best for rows left out, and what it said of them.

    Attributes:
        unseen: (R,) log-odds at that penalty of rows by the folds that did not hold them; NaN of rows that no fold left out.
        remark: a sentence where the best lies at an end of the grid; else None.
    """

    penalty: float
    unseen: np.ndarray
    remark: str | None


def search_penalty(
    features: np.ndarray,
    positive: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    enlarged: np.ndarray | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> PenaltySearch:
    """The penalty with the least log loss on rows left out, of a grid that begins with the strongest.

    Each fit goes on from that of the penalty before. The weakest penalties take longest and are not tried once the loss has risen
    twice.

    Args:
        folds: (rows to fit, rows left out) of each.
    """
    fits = [RowsToFit(features, positive, train, enlarged) for train, _ in folds]
    fitted: list[Fitted | None] = [None] * len(folds)
    left_out = np.concatenate([test for _, test in folds])
    losses: list[float] = []
    best = np.empty(0)
    for penalty in penalties:
        unseen = np.full(len(positive), np.nan)
        for number, (_, test) in enumerate(folds):
            fitted[number] = fits[number].fit(penalty, fitted[number])
            unseen[test] = _log_odds_of_rows(fitted[number], features, test)
        losses.append(float(log_losses(unseen[left_out], positive[left_out]).mean()))
        if losses[-1] == min(losses):
            best = unseen
        elif len(losses) - 1 - int(np.argmin(losses)) >= _WORSE_IN_A_ROW:
            break
    place = int(np.argmin(losses))
    return PenaltySearch(penalties[place], best, _edge(place, penalties))


def _log_odds_of_rows(fitted: Fitted | None, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    assert fitted is not None
    return fitted.log_odds(features)[rows]


def _edge(place: int, penalties: Sequence[float]) -> str | None:
    if place == 0:
        return f"the best penalty is {penalties[0]:g}, the strongest of the grid: the features tell next to nothing of the labels."
    if place == len(penalties) - 1:
        return f"the best penalty is {penalties[place]:g}, the weakest of the grid: a weaker one might be better."
    return None


def centre_in_place(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale (R, F) float32 features in their place to a mean of about 0 and a spread of about 1; returns (F,) shifts and scales.

    A fit does not change by it, but its sums in float32 are of numbers that fit, also where states are large.
    """
    centre, spread = _moments(features, np.arange(len(features)))
    shift, scale = centre.astype(np.float32), np.where(spread > 0, spread, 1.0).astype(np.float32)
    for some in _slices(features):
        features[some] -= shift
        features[some] /= scale
    return shift.astype(float), scale.astype(float)


def _moments(features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) means and (F,) standard deviations of some rows, in float64; around the first row, so that a large mean takes no digits."""
    origin = features[rows[0]].astype(float)
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for some in _slices(features, len(rows)):
        part = features[rows[some]] - origin
        total += part.sum(axis=0)
        squares += np.einsum("rf,rf->f", part, part)
    mean = total / len(rows)
    return origin + mean, np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))


def _slices(features: np.ndarray, num_rows: int | None = None) -> list[slice]:
    """Slices of rows that are small enough to be copied as float64."""
    step = max(_CELLS_AT_ONCE // features.shape[1], 1)
    return [slice(start, start + step) for start in range(0, len(features) if num_rows is None else num_rows, step)]
