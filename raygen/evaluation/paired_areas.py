"""Several scores of the same variants against the same labels: the area under the ROC curve of each, and its difference to
the first, with intervals.

All scores are measured on the same rows, and one bootstrap sample of the rows serves them all, so what makes a sample easy for
one makes it easy for the others and leaves the difference. Rows are drawn by clusters (Field and Welsh, Journal of the Royal
Statistical Society B 2007, 69:369-390): variants of a gene or a site are not independent, and drawn one by one they would make
the intervals too narrow. Positives and negatives are not drawn apart, since a cluster holds both; a sample without one of the
two has no area and is left out.

Shapes: S scores, R rows, C clusters, B replicates, K distinct risks of a score. ``risk``: larger means positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raygen.classes.statistics import Bootstrap, resampled_counts
from raygen.evaluation.discrimination import auroc_of_counts

_CHUNK_CELLS = 4_000_000  # replicates times rows that are weighted at a time

Interval = tuple[float, float]


@dataclass(frozen=True)
class PairedArea:
    """One score beside the first.

    Attributes:
        auroc: area under the ROC curve; ``auroc_interval`` (low, high) is None where no bootstrap was asked for.
        difference: this area less that of the first score; ``difference_interval`` as above.
    """

    auroc: float
    auroc_interval: Interval | None
    difference: float
    difference_interval: Interval | None


def paired_areas(
    risks: np.ndarray, positive: np.ndarray, clusters: Sequence[str], bootstrap: Bootstrap
) -> list[PairedArea]:
    """Areas of (S, R) finite risks with (R,) Boolean labels, both classes among them; ``clusters`` names that of each row."""
    ranked = [_Ranked(risk, positive) for risk in risks]
    areas = np.array([score.areas(np.ones((1, len(positive)), np.int64))[0] for score in ranked])
    drawn = _drawn_areas(ranked, clusters, bootstrap)
    return [
        PairedArea(
            auroc=float(area),
            auroc_interval=_interval(of_score, bootstrap),
            difference=float(area - areas[0]),
            difference_interval=_interval(of_score - drawn[0], bootstrap),
        )
        for area, of_score in zip(areas, drawn, strict=True)
    ]


def clusters_of_fewer_class(positive: np.ndarray, clusters: Sequence[str]) -> int:
    """How many clusters hold a positive or how many hold a negative, whichever are fewer."""
    names = np.asarray(clusters)
    return min(len(np.unique(names[positive])), len(np.unique(names[~positive])))


class _Ranked:
    """The rows of one score from the lowest risk to the highest, equal ones together."""

    def __init__(self, risk: np.ndarray, positive: np.ndarray) -> None:
        self._order = np.argsort(risk, kind="stable")
        ascending = risk[self._order]
        self._starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
        self._positive = positive[self._order]

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """(B,) areas where each row counts as often as (B, R) whole weights say; NaN where a class has no weight."""
        ordered = weights[:, self._order]
        positives = np.add.reduceat(ordered * self._positive, self._starts, axis=1)
        negatives = np.add.reduceat(ordered * ~self._positive, self._starts, axis=1)
        with np.errstate(invalid="ignore"):
            return auroc_of_counts(positives, negatives)


def _drawn_areas(ranked: Sequence[_Ranked], clusters: Sequence[str], bootstrap: Bootstrap) -> np.ndarray:
    """(S, B) areas of each score in the same bootstrap samples of clusters, without those samples that lack a class."""
    names, cluster_of_row = np.unique(np.asarray(clusters), return_inverse=True)
    once_each = np.ones(len(names), np.int64)
    generator = np.random.default_rng(bootstrap.seed)
    size = max(_CHUNK_CELLS // len(cluster_of_row), 1)
    chunks = [np.empty((len(ranked), 0))]
    for start in range(0, bootstrap.replicates, size):
        times_drawn = resampled_counts(once_each, min(size, bootstrap.replicates - start), generator)
        weights = times_drawn[:, cluster_of_row]
        chunks.append(np.stack([score.areas(weights) for score in ranked]))
    drawn = np.concatenate(chunks, axis=1)
    return drawn[:, np.isfinite(drawn).all(axis=0)]


def _interval(drawn: np.ndarray, bootstrap: Bootstrap) -> Interval | None:
    if not len(drawn):
        return None
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
