"""How well a score tells positives from negatives: areas under the ROC and precision-recall curves, with intervals.

The areas are over every row (a tie of a positive and a negative counts one half; average precision, as scikit-learn has it). The
intervals are percentiles of a bootstrap of clusters (see ``counted_areas``). Where a class is in one cluster alone, or there is but one cluster,
nothing that is drawn again would show how far an area could be off: there is no interval then, and a word why.

Shapes: R rows. ``risk``: larger means positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import FEW, Clusters, count_of
from raygen.evaluation.counted_areas import CountedScore, drawn_areas

if TYPE_CHECKING:
    from raygen.evaluation.beside import Beside

Interval = tuple[float, float]


@dataclass(frozen=True)
class Discrimination:
    """How well a score tells the positives of one group of rows from its negatives.

    Attributes:
        auroc, auprc: areas under the ROC and the precision-recall curve; None where the group lacks a class.
        auroc_interval, auprc_interval: (low, high); None where there is no area, or drawing again would not show it.
        drawn_by: level of the clusters that were drawn again, and how many there are; None without an area.
        note: what a reader of the numbers must know, in words; None for nothing.
        beside: what the score must pass, measured on the same rows; None without an area, or where nobody compared.
    """

    num_positive: int
    num_negative: int
    auroc: float | None = None
    auroc_interval: Interval | None = None
    auprc: float | None = None
    auprc_interval: Interval | None = None
    drawn_by: str | None = None
    num_clusters: int | None = None
    note: str | None = None
    beside: Beside | None = None

    @property
    def prevalence(self) -> float:
        """Share of positives: the area under the precision-recall curve of a useless score."""
        return self.num_positive / max(self.num_positive + self.num_negative, 1)


def discriminate(risk: np.ndarray, positive: np.ndarray, clusters: Clusters, bootstrap: Bootstrap) -> Discrimination:
    """Areas under the ROC and precision-recall curves, with intervals, of (R,) risks with (R,) Boolean labels in clusters."""
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        which = "positive" if num_negative else "negative"
        return Discrimination(num_positive, num_negative, note=f"no {which}")
    score = CountedScore(risk, positive, clusters.of_row, clusters.num_clusters)
    draws = not clusters.why_no_interval and bootstrap.replicates > 0
    drawn = drawn_areas([score], clusters.num_clusters, bootstrap)[0] if draws else np.empty((2, 0))
    return Discrimination(
        num_positive,
        num_negative,
        float(score.areas[0]),
        bootstrap.interval(drawn[0]),
        float(score.areas[1]),
        bootstrap.interval(drawn[1]),
        clusters.level,
        clusters.num_clusters,
        _note(num_positive, num_negative, clusters),
    )


def _note(num_positive: int, num_negative: int, clusters: Clusters) -> str | None:
    few = min(num_positive, num_negative)
    if few < FEW:
        return f"only {few} {'positive' if num_positive <= num_negative else 'negative'}"
    if clusters.why_no_interval:
        return clusters.why_no_interval
    if clusters.fewest >= FEW:
        return None
    which = "pos." if clusters.num_with_positive <= clusters.num_with_negative else "neg."
    return f"{which} in {count_of(clusters.fewest, clusters.level)}"
