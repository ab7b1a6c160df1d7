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

from raygen.classes.statistics import Bootstrap, times_drawn
from raygen.evaluation.clusters import Clusters, clusters_of
from raygen.evaluation.counted_areas import CountedScore, drawn_areas, mean_areas
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
    return _paired([score.areas for score in scores], drawn_areas(scores, len(names), bootstrap), bootstrap)


def paired_within_folds(
    risks: np.ndarray,
    positive: np.ndarray,
    clusters: Clusters,
    rows_of: Sequence[np.ndarray],
    bootstrap: Bootstrap,
) -> list[PairedArea]:
    """The same, of areas that are means over folds (see ``mean_areas``): no row is compared with those of another fold.

    Args:
        rows_of: the rows of each fold, both classes among them.
    """
    cluster = clusters.of_row
    scores = [
        [CountedScore(risk[rows], positive[rows], cluster[rows], clusters.num_clusters) for rows in rows_of]
        for risk in risks
    ]
    numbers = np.array([[positive[rows].sum(), (~positive[rows]).sum()] for rows in rows_of], float).T
    areas = [mean_areas(np.stack([fold.areas for fold in score], axis=1), numbers) for score in scores]
    drawn = [np.empty((len(scores), 2, 0))]
    num_cells = max(fold.num_cells for score in scores for fold in score)
    for times in times_drawn(clusters.num_clusters, bootstrap, num_cells=num_cells):
        drawn.append(np.stack([_drawn_mean(score, times) for score in scores]))
    together = np.concatenate(drawn, axis=2)
    return _paired(areas, together[:, :, np.isfinite(together).all(axis=(0, 1))], bootstrap)


def _drawn_mean(folds: Sequence[CountedScore], times: np.ndarray) -> np.ndarray:
    areas, numbers = zip(*(fold.drawn_with_numbers(times) for fold in folds), strict=True)
    return mean_areas(np.stack(areas, axis=1), np.stack(numbers, axis=1))


def _paired(areas: Sequence[np.ndarray], drawn: np.ndarray, bootstrap: Bootstrap) -> list[PairedArea]:
    """Of (2,) areas of each score and (S, 2, B) areas in bootstrap samples."""
    first = areas[0]
    return [
        PairedArea(
            auroc=float(score[0]),
            auroc_interval=bootstrap.interval(of_score[0]),
            difference=float(score[0] - first[0]),
            difference_interval=bootstrap.interval(of_score[0] - drawn[0, 0]),
            auprc=float(score[1]),
            auprc_interval=bootstrap.interval(of_score[1]),
            auprc_difference=float(score[1] - first[1]),
            auprc_difference_interval=bootstrap.interval(of_score[1] - drawn[0, 1]),
        )
        for score, of_score in zip(areas, drawn, strict=True)
    ]


def clusters_of_fewer_class(positive: np.ndarray, clusters: Sequence[str]) -> int:
    """How many clusters hold a positive or how many hold a negative, whichever are fewer."""
    return clusters_of("", np.unique(np.asarray(clusters), return_inverse=True)[1], positive).fewest
