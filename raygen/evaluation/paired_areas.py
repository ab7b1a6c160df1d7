"""Several scores of the same variants against the same labels: the areas of each, and their differences to the first, with
intervals.

All scores are measured on the same rows and in the same bootstrap samples of clusters (see ``counted_areas``). Positives and
negatives are not drawn apart, since a cluster holds both.

Shapes: S scores, R rows. ``risk``: larger means positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import clusters_of
from raygen.evaluation.counted_areas import CountedScore, drawn_areas
from raygen.evaluation.discrimination import Interval


@dataclass(frozen=True)
class PairedArea:
    """One score beside the first.

    Attributes:
        auroc, auprc: areas under the ROC and the precision-recall curve; ``auroc_interval`` and ``auprc_interval`` (low, high) are
            None where no bootstrap was asked for.
        difference, auprc_difference: these areas less those of the first score; their intervals as above.
    """

    auroc: float
    auroc_interval: Interval | None
    difference: float
    difference_interval: Interval | None
    auprc: float
    auprc_interval: Interval | None
    auprc_difference: float
    auprc_difference_interval: Interval | None


def paired_areas(
    risks: np.ndarray, positive: np.ndarray, clusters: Sequence[str] | np.ndarray, bootstrap: Bootstrap
) -> list[PairedArea]:
    """Areas of (S, R) finite risks with (R,) Boolean labels, both classes among them; ``clusters`` names that of each row."""
    names, cluster_of_row = np.unique(np.asarray(clusters), return_inverse=True)
    scores = [CountedScore(risk, positive, cluster_of_row, len(names)) for risk in risks]
    drawn = drawn_areas(scores, len(names), bootstrap)
    first = scores[0].areas
    return [
        PairedArea(
            auroc=float(score.areas[0]),
            auroc_interval=bootstrap.interval(of_score[0]),
            difference=float(score.areas[0] - first[0]),
            difference_interval=bootstrap.interval(of_score[0] - drawn[0, 0]),
            auprc=float(score.areas[1]),
            auprc_interval=bootstrap.interval(of_score[1]),
            auprc_difference=float(score.areas[1] - first[1]),
            auprc_difference_interval=bootstrap.interval(of_score[1] - drawn[0, 1]),
        )
        for score, of_score in zip(scores, drawn, strict=True)
    ]


def clusters_of_fewer_class(positive: np.ndarray, clusters: Sequence[str]) -> int:
    """How many clusters hold a positive or how many hold a negative, whichever are fewer."""
    return clusters_of("", np.asarray(clusters), positive).fewest
