"""From labelled scores to a calibration: a fitted curve, how well it holds for variants it has not seen, strengths of evidence.

The curve is isotonic (no shape but that more extreme means more likely) or logistic (two numbers, for few variants). Its quality and the
reliability table come from folds that were left out of the fit; the curve itself is then fitted to all. Folds part no cluster, and the
bounds of the evidence are from clusters drawn again (see ``clusters``): the alleles of a site share their label and nearly their score, and
a fold that holds one of them is no test of a fit that saw the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from raygen.classes.calibration import (
    Calibration,
    Curve,
    EvidencePoint,
    Grouping,
    LabelSet,
    Quality,
    ReliabilityBin,
    Strengths,
)
from raygen.classes.evidence import (
    LocalEvidence,
    benign_thresholds,
    local_evidence,
    odds_of_pathogenicity,
    pathogenic_thresholds,
)
from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.clusters import FEW, ChosenLevel, ClusterChoice, Clusters, choose_clusters, count_of
from raygen.evaluation.grouped_folds import grouped_folds
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest
from raygen.version import __version__

_BINS = 10
_MOST_POINTS = 200


@dataclass(frozen=True)
class FitPlan:
    """How to fit a calibration.

    Attributes:
        prior: probability of being pathogenic before the score; 0.0441 is that of Pejaver et al. 2022 for rare missense
            variants in disease genes, 0.1 that of Tavtigian et al. 2018.
        folds, seed: of the folds that are left out of the fit for the quality and the reliability table; fewer where there are not as
            many clusters of either label.
        min_window: labelled variants around a score that its local likelihood ratio is made of.
        replicates: bootstrap replicates behind the bounds of the ratios.
        cluster: level of what folds do not part, and of what is drawn again.
        tuned_on: what these labels also chose, in a user's words; None for nothing.
    """

    method: Literal["isotonic", "logistic"] = "isotonic"
    prior: float = 0.0441
    folds: int = 10
    seed: int = 0
    min_window: int = 100
    replicates: int = 1000
    cluster: ChosenLevel = "auto"
    tuned_on: str | None = None


def fit_calibration(labelled: LabelledScores, request: LabelRequest, plan: FitPlan) -> Calibration:
    """Fit a calibration to labelled scores; ``request`` says where they came from.

    Raises:
        InputError: too few labelled variants for the folds or for a window, or one value for all.
        SettingsError: the rows do not carry the level of clusters.
    """
    _refuse_too_few(labelled, plan)
    choice = choose_clusters(labelled, plan.cluster, max(FEW, plan.folds))
    num_folds = _num_folds(choice.chosen, plan.folds)
    scores, positive = labelled.frame["score"].to_numpy(), labelled.frame["positive"].to_numpy()
    risk, cluster_of_row = labelled.risk.to_numpy(), choice.chosen.of_row
    unseen = np.empty(len(scores))
    for train, test in grouped_folds(positive, choice.chosen, num_folds, plan.seed):
        unseen[test] = _fit(scores[train], positive[train], labelled.higher_is_positive, plan.method).shares_of(
            scores[test]
        )
    odds = odds_of_pathogenicity(plan.prior)
    local = local_evidence(risk, positive, cluster_of_row, plan.min_window, Bootstrap(plan.replicates, plan.seed))
    sign = 1.0 if labelled.higher_is_positive else -1.0
    return Calibration(
        raygen=__version__,
        fingerprint=labelled.fingerprint,
        model=labelled.model,
        score_column=labelled.score_column,
        higher_is_positive=labelled.higher_is_positive,
        prior=plan.prior,
        curve=_fit(scores, positive, labelled.higher_is_positive, plan.method),
        odds=odds,
        pathogenic=_turned(pathogenic_thresholds(local, odds), sign),
        benign=_turned(benign_thresholds(local, odds), sign),
        min_window=plan.min_window,
        labels=label_set(labelled, request),
        quality=Quality(
            auroc=float(roc_auc_score(positive, risk)),
            brier=float(brier_score_loss(positive, unseen)),
            brier_of_share=float(positive.mean() * (1 - positive.mean())),
            log_loss=float(log_loss(positive, unseen)),
            folds=num_folds,
            seed=plan.seed,
        ),
        reliability=_reliability(unseen, positive),
        local_evidence=_points(local, sign),
        grouping=_grouping(choice, plan.folds),
        tuned_on=plan.tuned_on,
    )


def _refuse_too_few(labelled: LabelledScores, plan: FitPlan) -> None:
    numbers = f"{labelled.num_positive:,} positive and {labelled.num_negative:,} negative variants with a score"
    if min(labelled.num_positive, labelled.num_negative) < plan.folds:
        raise InputError(
            f"{numbers}: {plan.folds} folds need at least {plan.folds} of each. Take more labels or fewer --folds."
        )
    if len(labelled.frame) < 2 * plan.min_window:
        raise InputError(
            f"{numbers}: local likelihood ratios need at least {2 * plan.min_window:,}, twice --min-window. Take more labels; "
            "a smaller window makes the strengths of evidence less certain."
        )
    if labelled.one_value:
        raise InputError(f"{labelled.one_value[:-1]}, and there is nothing to calibrate.")


def _num_folds(clusters: Clusters, requested: int) -> int:
    """As many folds as requested, or as there are clusters of the label that is in fewer.

    Raises:
        InputError: a label is in one cluster only, so that no fold could be left out.
    """
    if clusters.fewest < 2:
        which = "positive" if clusters.num_with_positive < 2 else "negative"
        raise InputError(
            f"All {which} variants are in one {clusters.level} ({clusters.in_words} in all), which no fold may part: the fit could not be "
            "tested on variants it has not seen. Take labels from more places, or a smaller --cluster."
        )
    return min(requested, clusters.fewest)


def _grouping(choice: ClusterChoice, num_folds_requested: int) -> Grouping:
    holders = count_of(choice.chosen.fewest, choice.chosen.level)
    which = "positives" if choice.chosen.num_with_positive <= choice.chosen.num_with_negative else "negatives"
    fewer = f"{num_folds_requested} were asked for, and {which} are in {holders} only"
    unnamed = choice.chosen.num_unnamed
    of_them = f"{unnamed:,} of the {choice.chosen.num_clusters:,} without a name of their own" if unnamed else ""
    return Grouping(
        level=choice.chosen.level,
        num_clusters=choice.chosen.num_clusters,
        num_rows=len(choice.chosen.of_row),
        num_sites=None if choice.places is None else choice.places.num_sites,
        why_not_larger="; ".join(filter(None, [choice.reason, of_them])) or None,
        why_fewer_folds=fewer if choice.chosen.fewest < num_folds_requested else None,
    )


def _fit(scores: np.ndarray, positive: np.ndarray, higher_is_positive: bool, method: str) -> Curve:
    """The curve fitted to (R,) scores with (R,) labels. No share is more extreme than half a variant in all."""
    least = 0.5 / (len(scores) + 1)
    if method == "isotonic":
        isotonic = IsotonicRegression(increasing=higher_is_positive, out_of_bounds="clip").fit(scores, positive)
        x, y = isotonic.X_thresholds_, isotonic.y_thresholds_
        return Curve(method="isotonic", scores=tuple(x.tolist()), shares=tuple(y.tolist()), least=least)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    logistic = LogisticRegression().fit(((scores - centre) / spread)[:, None], positive)
    slope = float(logistic.coef_[0, 0]) / spread
    intercept = float(logistic.intercept_[0]) - slope * centre
    return Curve(method="logistic", intercept=intercept, slope=slope, least=least)


def _reliability(predicted: np.ndarray, positive: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """The reliability table: bins of predictions of about equal numbers, equal predictions never parted."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BINS + 1)))
    bin_of_row = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    return tuple(
        ReliabilityBin(
            predicted=float(predicted[bin_of_row == bin_index].mean()),
            observed=float(positive[bin_of_row == bin_index].mean()),
            num_variants=int((bin_of_row == bin_index).sum()),
        )
        for bin_index in np.unique(bin_of_row)
    )


def _turned(thresholds: dict[str, float | None], sign: float) -> Strengths:
    return Strengths(**{name: None if risk is None else sign * risk + 0.0 for name, risk in thresholds.items()})


def _points(local: LocalEvidence, sign: float) -> tuple[EvidencePoint, ...]:
    indices = np.unique(np.linspace(0, len(local.risk) - 1, min(_MOST_POINTS, len(local.risk))).astype(int))
    rows = zip(
        sign * local.risk[indices] + 0.0, local.ratio[indices], local.lower[indices], local.upper[indices], strict=True
    )
    points = [EvidencePoint(score=score, ratio=ratio, lower=lower, upper=upper) for score, ratio, lower, upper in rows]
    return tuple(sorted(points, key=lambda point: point.score))


def label_set(labelled: LabelledScores, request: LabelRequest) -> LabelSet:
    """The labels of labelled rows as a calibration or a head names them."""
    return LabelSet(
        source=Path(request.labels or request.scores).name,
        label=request.label,
        positive=tuple(labelled.labels.positive),
        negative=tuple(labelled.labels.negative),
        num_positive=labelled.num_positive,
        num_negative=labelled.num_negative,
        left_out=labelled.labels.left_out,
    )
