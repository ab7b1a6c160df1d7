"""How well a score tells positives from negatives: areas under the ROC and precision-recall curves, with intervals.

The areas are scikit-learn's, over every row (a tie of a positive and a negative counts one half). The intervals are percentiles
of a stratified bootstrap: positives and negatives are drawn again apart, so no replicate lacks a class.

A bootstrap sample of tied scores is a multinomial draw of their counts, so a replicate costs as many draws as there are
distinct scores and not rows. Above ``MAX_BINS`` distinct scores neighbours share a bin, finer than 1/2,000 of either class; the replicates
are then shifted by what binning changes in the estimate itself. A million rows take seconds.

Shapes: R rows, K bins from the lowest risk to the highest, B replicates. ``risk``: larger means positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap, resampled_counts

MAX_BINS = 4096
FEW = 10
_CHUNK = 100  # replicates at a time: 2 x 100 x 4,096 counts


@dataclass(frozen=True)
class Discrimination:
    """How well a score tells the positives of one group of rows from its negatives.

    Attributes:
        auroc, auprc: areas under the ROC and the precision-recall curve; None where the group lacks a class.
        auroc_interval, auprc_interval: (low, high); None where there is no area or no bootstrap was asked for.
        note: what a reader of the numbers must know, in words; None for nothing.
    """

    num_positive: int
    num_negative: int
    auroc: float | None = None
    auroc_interval: tuple[float, float] | None = None
    auprc: float | None = None
    auprc_interval: tuple[float, float] | None = None
    note: str | None = None

    @property
    def prevalence(self) -> float:
        """Share of positives: the area under the precision-recall curve of a useless score."""
        return self.num_positive / max(self.num_positive + self.num_negative, 1)


def discriminate(risk: np.ndarray, positive: np.ndarray, bootstrap: Bootstrap) -> Discrimination:
    """Areas under the ROC and precision-recall curves, with intervals, of (R,) risks with (R,) Boolean labels."""
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        which = "positive" if num_negative else "negative"
        return Discrimination(num_positive, num_negative, note=f"no {which}")
    auroc = float(roc_auc_score(positive, risk))
    auprc = float(average_precision_score(positive, risk))
    low_high = _intervals(risk, positive, bootstrap, (auroc, auprc)) if bootstrap.replicates else (None, None)
    few = min(num_positive, num_negative)
    kind = "positive" if num_positive <= num_negative else "negative"
    note = f"only {few} {kind}" if few < FEW else None
    return Discrimination(num_positive, num_negative, auroc, low_high[0], auprc, low_high[1], note)


def binned_counts(risk: np.ndarray, positive: np.ndarray, max_bins: int = MAX_BINS) -> tuple[np.ndarray, np.ndarray]:
    """(K,) positives and (K,) negatives of each distinct risk, ascending, or of bins where there are too many.

    Equal risks are never parted. A bin holds about ``2 / max_bins`` of the positives or of the negatives, or one risk.
    """
    _, place = np.unique(risk, return_inverse=True)
    positives = np.bincount(place, weights=positive).astype(np.int64)
    negatives = np.bincount(place).astype(np.int64) - positives
    if len(positives) <= max_bins:
        return positives, negatives
    half = max_bins // 2
    before = [np.cumsum(counts) - counts for counts in (positives, negatives)]
    totals = [max(int(counts.sum()), 1) for counts in (positives, negatives)]
    code = sum(count * half // total for count, total in zip(before, totals, strict=True))
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    return np.add.reduceat(positives, starts), np.add.reduceat(negatives, starts)


def auroc_of_counts(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of counts (..., K): the chance that a positive lies above a negative, ties one half."""
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    area: np.ndarray = (positives * below).sum(axis=-1) / pairs
    return area


def auprc_of_counts(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Average precision of counts (..., K): precision at each threshold, weighted by the positives it adds."""
    true_positives = np.cumsum(positives[..., ::-1], axis=-1)
    called = true_positives + np.cumsum(negatives[..., ::-1], axis=-1)
    precision = true_positives / np.maximum(called, 1)
    area: np.ndarray = (positives[..., ::-1] * precision).sum(axis=-1) / positives.sum(axis=-1)
    return area


def _intervals(
    risk: np.ndarray, positive: np.ndarray, bootstrap: Bootstrap, estimates: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    counts = binned_counts(risk, positive)
    areas: tuple[Callable[..., np.ndarray], ...] = (auroc_of_counts, auprc_of_counts)
    shifts = [estimate - float(area(*counts)) for area, estimate in zip(areas, estimates, strict=True)]
    generator = np.random.default_rng(bootstrap.seed)
    drawn: list[list[np.ndarray]] = [[], []]
    for start in range(0, bootstrap.replicates, _CHUNK):
        size = min(_CHUNK, bootstrap.replicates - start)
        resampled = [resampled_counts(count, size, generator) for count in counts]
        for into, area in zip(drawn, areas, strict=True):
            into.append(area(*resampled))
    tail = (1 - bootstrap.confidence) / 2
    low_high = []
    for values, shift in zip(drawn, shifts, strict=True):
        low, high = np.clip(np.quantile(np.concatenate(values), [tail, 1 - tail]) + shift, 0, 1)
        low_high.append((float(low), float(high)))
    return low_high[0], low_high[1]
