"""Risk and coverage: how often a call is wrong among the variants that are called, when the least certain ones are not.

A call needs a cut; it is the one that tells these labels apart best (Youden's J, the largest difference of true and false
positive rates), unless one is given. Certainty is measured in two ways: how far the score lies from the cut, and, where both
strands were scored, how little they disagree. ``abstained`` of a run is one point: its rows left out, the others called.
The curves follow El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 2010, 11:1605-1641.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.metrics import roc_curve

_MOST_POINTS = 100


@dataclass(frozen=True)
class CoveragePoint:
    """One point of a risk-coverage curve.

    Attributes:
        coverage: share of the variants that are called.
        error: share of the calls that are wrong.
        limit: what leaves these variants: nats from the cut at least, or nats between the strands at most.
    """

    coverage: float
    error: float
    limit: float


@dataclass(frozen=True)
class Abstention:
    """What leaving out the rows that a run abstained on does.

    Attributes:
        coverage: share of the rows that are left.
        error: share of wrong calls among those; None where none is left.
    """

    num_abstained: int
    coverage: float
    error: float | None


@dataclass(frozen=True)
class RiskCoverage:
    """How often calls are wrong, and how that changes when the least certain variants are not called.

    Attributes:
        cut: in the score's own unit; ``cut_given`` tells whether a user named it or these labels chose it.
        error: share of calls that are wrong when everything is called.
        by_margin, by_strands: curves by distance from the cut and by agreement of the strands, from few calls to all;
            ``by_strands`` is empty where one strand was scored.
        abstained: what leaving out the rows that the run abstained on does; None where the scores do not say.
    """

    cut: float
    cut_given: bool
    error: float
    by_margin: list[CoveragePoint]
    by_strands: list[CoveragePoint]
    abstained: Abstention | None


def risk_coverage(frame: pl.DataFrame, higher_is_positive: bool, cut: float | None = None) -> RiskCoverage:
    """Risk-coverage curves of R rows with ``score``, ``positive`` and perhaps ``delta_fwd``, ``delta_rev`` and ``abstained``.

    Positives and negatives must both be there. ``cut`` is in the score's own unit; None: the best one for these labels.
    """
    sign = 1.0 if higher_is_positive else -1.0
    risk, positive = sign * frame["score"].to_numpy(), frame["positive"].to_numpy()
    chosen = best_cut(risk, positive) if cut is None else sign * cut
    wrong = (risk >= chosen) != positive
    return RiskCoverage(
        cut=sign * chosen + 0.0,
        cut_given=cut is not None,
        error=float(wrong.mean()),
        by_margin=_curve(wrong, np.abs(risk - chosen), largest_first=True),
        by_strands=_by_strands(frame, wrong),
        abstained=_abstention(frame, wrong),
    )


def best_cut(risk: np.ndarray, positive: np.ndarray) -> float:
    """The risk from which on to call positive, where true less false positive rate is largest: Youden, Cancer 1950, 3:32-35."""
    false_rate, true_rate, thresholds = roc_curve(positive, risk, drop_intermediate=False)
    best = int(np.argmax((true_rate - false_rate)[1:])) + 1  # the first threshold calls nothing
    return float(thresholds[best])


def _by_strands(frame: pl.DataFrame, wrong: np.ndarray) -> list[CoveragePoint]:
    if not {"delta_fwd", "delta_rev"} <= set(frame.columns):
        return []
    if not all(frame[name].dtype.is_numeric() for name in ("delta_fwd", "delta_rev")):
        return []  # an empty column of text: scores of one strand
    apart = (frame["delta_fwd"] - frame["delta_rev"]).abs()
    is_known = apart.is_not_null() & apart.is_finite()
    if not is_known.all():
        return []
    return _curve(wrong, apart.to_numpy(), largest_first=False)


def _abstention(frame: pl.DataFrame, wrong: np.ndarray) -> Abstention | None:
    if "abstained" not in frame.columns or frame["abstained"].dtype != pl.Boolean:
        return None
    called = ~frame["abstained"].fill_null(False).to_numpy()
    error = float(wrong[called].mean()) if called.any() else None
    return Abstention(int((~called).sum()), float(called.mean()), error)


def _curve(wrong: np.ndarray, certainty: np.ndarray, largest_first: bool) -> list[CoveragePoint]:
    """The points of a curve, only where a tie of certainty ends: rows that cannot be told apart are called together."""
    order = np.argsort(-certainty if largest_first else certainty, kind="stable")
    limits, mistakes = certainty[order], np.cumsum(wrong[order])
    ends = np.flatnonzero(np.append(limits[1:] != limits[:-1], True))
    size = len(wrong)
    targets = np.unique(np.ceil(np.linspace(0, 1, _MOST_POINTS + 1)[1:] * size).astype(int) - 1)
    last_rows = np.unique(ends[np.searchsorted(ends, targets)])
    return [
        CoveragePoint(float((row + 1) / size), float(mistakes[row] / (row + 1)), float(limits[row]))
        for row in last_rows.tolist()
    ]
