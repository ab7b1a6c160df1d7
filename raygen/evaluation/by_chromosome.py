"""Areas of each chromosome, and their weighted mean beside the pooled number.

Pooling compares a positive of one chromosome with negatives of another, whose scores may lie elsewhere and whose share of positives is
another; whether that lowers the area or raises it, it is no property of the order within a chromosome. So areas of folds are
averaged (Forman and Scholz, SIGKDD Explorations 2010, 12:49-57; Airola et al., Computational Statistics & Data Analysis 2011,
55:1828-1844). Each area is weighted by what it is a mean over: AUROC by pairs of a positive and a negative, AUPRC by positives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import ClusterChoice
from raygen.evaluation.discrimination import Discrimination, discriminate
from raygen.variants.contig_names import contig_order

WHY_NOT_POOLED = (
    "pooled, a variant is also compared with those of other chromosomes, where shares of positives and levels of scores differ; "
    "the mean is of pairs within a chromosome"
)


@dataclass(frozen=True)
class ByChromosome:
    """Areas by chromosome.

    Attributes:
        areas: of each that holds both classes, in the order of assemblies.
        mean_auroc: mean weighted by pairs of a positive and a negative.
        mean_auprc: mean weighted by positives; that of useless scores is ``mean_base_rate``, weighted alike.
        num_left_out: chromosomes that lack a class.
    """

    areas: dict[str, Discrimination]
    mean_auroc: float
    mean_auprc: float
    mean_base_rate: float
    num_left_out: int


def areas_by_chromosome(
    risk: np.ndarray, positive: np.ndarray, choice: ClusterChoice, bootstrap: Bootstrap
) -> ByChromosome | None:
    """Areas of (R,) risks by chromosome; None where fewer than two hold both classes, or rows have no coordinates."""
    if choice.places is None:
        return None
    contigs = choice.places.contigs
    order = np.argsort(choice.places.contig, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(choice.places.contig[order])) + 1)
    rows_by_name = dict(zip(contigs, rows_of, strict=True))
    mixed = {
        name: rows_by_name[name]
        for name in sorted(contigs, key=contig_order)
        if 0 < positive[rows_by_name[name]].sum() < len(rows_by_name[name])
    }
    if len(mixed) < 2:
        return None
    areas = {
        name: discriminate(risk[rows], positive[rows], choice.within(rows, positive), bootstrap)
        for name, rows in mixed.items()
    }
    groups = list(areas.values())
    positives = [group.num_positive for group in groups]
    pairs = [group.num_positive * group.num_negative for group in groups]
    return ByChromosome(
        areas,
        mean_auroc=float(np.average([group.auroc for group in groups], weights=pairs)),
        mean_auprc=float(np.average([group.auprc for group in groups], weights=positives)),
        mean_base_rate=float(np.average([group.prevalence for group in groups], weights=positives)),
        num_left_out=len(contigs) - len(mixed),
    )
