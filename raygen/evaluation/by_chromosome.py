"""Areas of each chromosome, and their weighted mean beside the pooled number.

Pooling compares a positive of one chromosome with negatives of another, whose scores may lie elsewhere and whose share of positives is
another; whether that lowers the area or raises it, it is no property of the order within a chromosome. So areas of folds are
averaged (Forman and Scholz, SIGKDD Explorations 2010, 12:49-57; Airola et al., Computational Statistics & Data Analysis 2011,
55:1828-1844). Each area is weighted by what it is a mean over: AUROC by pairs of a positive and a negative, AUPRC by positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raygen.classes.statistics import Bootstrap, times_drawn
from raygen.evaluation.beside import Beside, Rivals
from raygen.evaluation.clusters import ClusterChoice, Clusters, Places
from raygen.evaluation.counted_areas import CountedScore, mean_areas
from raygen.evaluation.discrimination import Discrimination, Interval, discriminate
from raygen.variants.contig_names import contig_order

WHY_NOT_POOLED = "pooled compares variants across chromosomes, whose levels and shares differ; the mean does not"


@dataclass(frozen=True)
class ByChromosome:
    """Areas by chromosome.

    Attributes:
        areas: of each that holds both classes, in the order of assemblies, with what stands beside the score there.
        mean_auroc: mean weighted by pairs of a positive and a negative.
        mean_auprc: mean weighted by positives; that of useless scores is ``mean_base_rate``, weighted alike.
        mean_auroc_interval, mean_auprc_interval: from the clusters that the overall areas are drawn by; None as there.
        num_left_out: chromosomes that lack a class.
        beside: means, weighted alike, of what stands beside the score within each chromosome.
    """

    areas: dict[str, Discrimination]
    mean_auroc: float
    mean_auroc_interval: Interval | None
    mean_auprc: float
    mean_auprc_interval: Interval | None
    mean_base_rate: float
    num_left_out: int
    beside: Beside | None = None


def areas_by_chromosome(
    risk: np.ndarray, positive: np.ndarray, choice: ClusterChoice, bootstrap: Bootstrap, rivals: Rivals | None = None
) -> ByChromosome | None:
    """Areas of (R,) risks by chromosome; None where fewer than two hold both classes, or rows have no coordinates."""
    if choice.places is None:
        return None
    rows_of = _rows_of_mixed(choice.places, positive)
    if len(rows_of) < 2:
        return None
    areas = {
        name: discriminate(risk[rows], positive[rows], choice.within(rows, positive), bootstrap)
        for name, rows in rows_of.items()
    }
    mean_beside = None
    if rivals:
        areas = {name: replace(area, beside=rivals.within(rows_of[name], bootstrap)) for name, area in areas.items()}
        mean_beside = rivals.mean_over(_part_of_row(list(rows_of.values()), len(positive)), bootstrap)
    numbers = np.array([[area.num_positive, area.num_negative] for area in areas.values()], float).T
    of_each = np.array([[area.auroc, area.auprc] for area in areas.values()], float).T
    mean_auroc, mean_auprc = mean_areas(of_each, numbers)
    drawn = _drawn_means(risk, positive, list(rows_of.values()), choice.chosen, bootstrap)
    return ByChromosome(
        areas,
        mean_auroc=float(mean_auroc),
        mean_auroc_interval=bootstrap.interval(drawn[0]),
        mean_auprc=float(mean_auprc),
        mean_auprc_interval=bootstrap.interval(drawn[1]),
        mean_base_rate=float(np.average([area.prevalence for area in areas.values()], weights=numbers[0])),
        num_left_out=len(choice.places.contigs) - len(areas),
        beside=mean_beside,
    )


def _part_of_row(rows_of: Sequence[np.ndarray], num_rows: int) -> np.ndarray:
    """(R,) the number of the part that holds each row; -1 where none does."""
    part = np.full(num_rows, -1)
    for number, rows in enumerate(rows_of):
        part[rows] = number
    return part


def _rows_of_mixed(places: Places, positive: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each chromosome that holds both classes, in the order of assemblies."""
    order = np.argsort(places.contig, kind="stable")[: int(places.is_known.sum())]
    rows_of = np.split(order, np.flatnonzero(np.diff(places.contig[order])) + 1)
    by_name = dict(zip(places.contigs, rows_of, strict=True))
    names = sorted(places.contigs, key=contig_order)
    return {name: by_name[name] for name in names if 0 < positive[by_name[name]].sum() < len(by_name[name])}


def _drawn_means(
    risk: np.ndarray,
    positive: np.ndarray,
    rows_of: Sequence[np.ndarray],
    clusters: Clusters,
    bootstrap: Bootstrap,
) -> np.ndarray:
    """(2, B) means in bootstrap samples of clusters; none where drawing again would show nothing.

    A chromosome that is drawn twice counts twice: its variants are not compared with those of its copy.
    """
    if clusters.why_no_interval:
        return np.empty((2, 0))
    means = [np.empty((2, 0))]
    scores = [
        CountedScore(risk[rows], positive[rows], clusters.of_row[rows], clusters.num_clusters) for rows in rows_of
    ]
    for times in times_drawn(clusters.num_clusters, bootstrap):
        drawn = [score.drawn_with_numbers(times) for score in scores]
        means.append(mean_areas(*(np.stack(values, axis=1) for values in zip(*drawn, strict=True))))
    drawn_means = np.concatenate(means, axis=1)
    return drawn_means[:, np.isfinite(drawn_means).all(axis=0)]
