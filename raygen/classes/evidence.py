"""How strong a score is as evidence, in the steps of the ACMG/AMP criteria PP3 (pathogenic) and BP4 (benign).

Odds of pathogenicity of each strength, from Tavtigian et al., "Modeling the ACMG/AMP variant classification guidelines as a
Bayesian classification framework", Genet Med 2018, 20:1054-1060: very strong c, strong c^(1/2), moderate c^(1/4), supporting
c^(1/8). c is the smallest number with which the combining rules reach "likely pathogenic": one strong and two supporting (c^(3/4)) take the
prior to a posterior of 0.90, so c = (9 (1 - prior) / prior)^(4/3). At a prior of 0.10 that is 350, as published; at 0.0441 it is 1,131,
where Pejaver et al. give 1,124.

Likelihood ratios are local, as in Pejaver et al., "Calibration of computational tools for missense variant pathogenicity
classification and ClinGen recommendations for PP3/BP4 criteria", AJHG 2022, 109:2163-2177: around each score the smallest symmetric
window that holds ``min_window`` labelled variants, in it the share of all positives over the share of all negatives. A strength is reached
where the one-sided 95% bootstrap bound passes, at this score and at all that are more extreme. Three things differ from the paper: its
second condition on a window (3% of gnomAD's rare variants) is left out, since a set of unlabelled variants is not asked for; half a
variant is added to each count, since a window without negatives would claim an infinite ratio; and the bootstrap draws clusters, not
variants, since alleles of a site would make the bounds too narrow.

Shapes: R labelled rows, G centres of windows, B replicates. ``risk``: larger means pathogenic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raygen.classes.statistics import Bootstrap, times_drawn

STRENGTHS = ("supporting", "moderate", "strong", "very_strong")
_EXPONENTS = (1 / 8, 1 / 4, 1 / 2, 1.0)
_LIKELY_PATHOGENIC_ODDS = 9.0  # 0.90 / 0.10
_MOST_CENTRES = 400
_ONE_SIDED = 0.95


@dataclass(frozen=True)
class LocalEvidence:
    """(G,) risks ascending, and (G,) local likelihood ratios at them with their one-sided 95% bounds."""

    risk: np.ndarray
    ratio: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def odds_of_pathogenicity(prior: float) -> dict[str, float]:
    """The likelihood ratio of each strength at a prior (Tavtigian et al. 2018); benign evidence needs its inverse."""
    very_strong = (_LIKELY_PATHOGENIC_ODDS * (1 - prior) / prior) ** (4 / 3)
    return {name: very_strong**exponent for name, exponent in zip(STRENGTHS, _EXPONENTS, strict=True)}


def local_evidence(
    risk: np.ndarray, positive: np.ndarray, cluster_of_row: np.ndarray, min_window: int, bootstrap: Bootstrap
) -> LocalEvidence:
    """Local likelihood ratios (Pejaver et al. 2022) of (R,) risks with (R,) Boolean labels; R at least ``min_window``.

    Args:
        cluster_of_row: (R,) whole numbers from 0 on, none left out; rows of one are drawn together.
    """
    order = np.argsort(risk, kind="stable")
    risk, positive, cluster_of_row = risk[order], positive[order], cluster_of_row[order]
    centres = np.unique(np.quantile(risk, np.linspace(0, 1, _MOST_CENTRES), method="nearest"))
    low, high = _windows(risk, centres, min_window)
    edges = np.unique(np.concatenate([[0], low, high, [len(risk)]]))
    places = np.searchsorted(edges, low), np.searchsorted(edges, high)
    counts = [np.add.reduceat(kind.astype(np.int64), edges[:-1]) for kind in (positive, ~positive)]
    ratio = _ratios(counts[0][None], counts[1][None], places)[0]
    drawn = []
    for times in times_drawn(int(cluster_of_row.max()) + 1, bootstrap, len(risk)):
        of_rows = times[cluster_of_row]
        positives, negatives = (
            np.add.reduceat(of_rows * kind[:, None], edges[:-1], axis=0).T for kind in (positive, ~positive)
        )
        drawn.append(_ratios(positives, negatives, places))
    lower, upper = np.quantile(np.concatenate(drawn), [1 - _ONE_SIDED, _ONE_SIDED], axis=0)
    return LocalEvidence(centres, ratio, np.minimum(lower, ratio), np.maximum(upper, ratio))


def pathogenic_thresholds(local: LocalEvidence, odds: dict[str, float]) -> dict[str, float | None]:
    """The risk from which on each strength of pathogenic evidence is reached; None where it is not."""
    return {name: _last_of_run(local.risk[::-1], local.lower[::-1] >= needed) for name, needed in odds.items()}


def benign_thresholds(local: LocalEvidence, odds: dict[str, float]) -> dict[str, float | None]:
    """The risk up to which each strength of benign evidence is reached; None where it is not."""
    return {name: _last_of_run(local.risk, local.upper <= 1 / needed) for name, needed in odds.items()}


def posterior(ratio: np.ndarray, prior: float) -> np.ndarray:
    """Probability of being pathogenic after evidence of these likelihood ratios, at a prior (Bayes' rule on odds)."""
    odds = ratio * prior / (1 - prior)
    return odds / (1 + odds)


def _windows(risk: np.ndarray, centres: np.ndarray, min_window: int) -> tuple[np.ndarray, np.ndarray]:
    """(G,) first and (G,) past-the-last row of the smallest symmetric window with so many rows; ties are kept whole."""
    widths = np.array([np.partition(np.abs(risk - centre), min_window - 1)[min_window - 1] for centre in centres])
    slack = 1e-12 * np.maximum(np.abs(centres), widths)
    low = np.searchsorted(risk, centres - widths - slack, side="left")
    return low, np.searchsorted(risk, centres + widths + slack, side="right")


def _ratios(positives: np.ndarray, negatives: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(B, G) likelihood ratios from (B, segments) counts."""
    shares = []
    for counts in (positives, negatives):
        before = np.concatenate([np.zeros((len(counts), 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
        inside = before[:, places[1]] - before[:, places[0]]
        shares.append((inside + 0.5) / (counts.sum(axis=1, keepdims=True) + 1))
    ratio: np.ndarray = shares[0] / shares[1]
    return ratio


def _last_of_run(risk: np.ndarray, reached: np.ndarray) -> float | None:
    """The last risk of the unbroken run of ``reached`` at the beginning; None where the first is not reached."""
    length = int(np.argmin(np.append(reached, False)))
    return float(risk[length - 1]) if length else None
