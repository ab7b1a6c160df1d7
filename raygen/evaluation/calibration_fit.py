"""From labelled scores to a calibration: a fitted curve, how well it holds for variants it has not seen, strengths of evidence.

The curve is isotonic (no shape but that more extreme means more likely) or logistic (two numbers, for few variants). Its quality and the
reliability table come from folds that were left out of the fit; the curve itself is then fitted to all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from raygen.classes.calibration import (
    Calibration,
    Curve,
    EvidencePoint,
    LabelSet,
    Quality,
    ReliabilityBin,
    Strengths,
)
from raygen.classes.evidence import (
    STRENGTHS,
    LocalEvidence,
    benign_thresholds,
    local_evidence,
    odds_of_pathogenicity,
    pathogenic_thresholds,
)
from raygen.errors import InputError
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
        folds, seed: of the folds that are left out of the fit for the quality and the reliability table.
        min_window: labelled variants around a score that its local likelihood ratio is made of.
        replicates: bootstrap replicates behind the bounds of the ratios.
    """

    method: Literal["isotonic", "logistic"] = "isotonic"
    prior: float = 0.0441
    folds: int = 10
    seed: int = 0
    min_window: int = 100
    replicates: int = 1000


def fit_calibration(labelled: LabelledScores, request: LabelRequest, plan: FitPlan) -> Calibration:
    """Fit a calibration to labelled scores; ``request`` says where they came from.

    Raises:
        InputError: too few labelled variants for the folds or for a window.
    """
    _refuse_too_few(labelled, plan)
    scores, positive = labelled.frame["score"].to_numpy(), labelled.frame["positive"].to_numpy()
    risk = labelled.risk.to_numpy()
    unseen = _predicted_unseen(scores, positive, labelled.higher_is_positive, plan)
    odds = odds_of_pathogenicity(plan.prior)
    local = local_evidence(risk, positive, plan.min_window, plan.replicates, plan.seed)
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
        labels=_label_set(labelled, request),
        quality=Quality(
            auroc=float(roc_auc_score(positive, risk)),
            brier=float(brier_score_loss(positive, unseen)),
            brier_of_share=float(positive.mean() * (1 - positive.mean())),
            log_loss=float(log_loss(positive, unseen)),
            folds=plan.folds,
            seed=plan.seed,
        ),
        reliability=_reliability(unseen, positive),
        local_evidence=_points(local, sign),
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


def _predicted_unseen(scores: np.ndarray, positive: np.ndarray, higher: bool, plan: FitPlan) -> np.ndarray:
    """(R,) predicted shares of positives, each by a curve that was fitted without the row's fold."""
    predicted = np.empty(len(scores))
    for train, test in StratifiedKFold(plan.folds, shuffle=True, random_state=plan.seed).split(scores, positive):
        predicted[test] = _fit(scores[train], positive[train], higher, plan.method).shares_of(scores[test])
    return predicted


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


def _label_set(labelled: LabelledScores, request: LabelRequest) -> LabelSet:
    return LabelSet(
        source=Path(request.labels or request.scores).name,
        label=request.label,
        positive=tuple(labelled.labels.positive),
        negative=tuple(labelled.labels.negative),
        num_positive=labelled.num_positive,
        num_negative=labelled.num_negative,
        left_out=labelled.labels.left_out,
    )


def print_calibration(calibration: Calibration, console: Console) -> None:
    """Print a calibration: quality of the fit, reliability, strengths of evidence, and what it can be used for."""
    quality = calibration.quality
    _say(
        console,
        f"{calibration.curve.method} fit: Brier score {quality.brier:.4f} on {quality.folds} held-out folds (always saying the share "
        f"of positives: {quality.brier_of_share:.4f}); AUROC of the score itself {quality.auroc:.3f}, on all labelled variants",
    )
    console.print(_reliability_table(calibration.reliability))
    console.print(_strength_table(calibration))
    for line in _what_follows(calibration):
        _say(console, line)


def _reliability_table(bins: Sequence[ReliabilityBin]) -> Table:
    table = Table("predicted", "observed", "variants", box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for reliability_bin in bins:
        table.add_row(
            f"{reliability_bin.predicted:.3f}", f"{reliability_bin.observed:.3f}", f"{reliability_bin.num_variants:,}"
        )
    return table


def _strength_table(calibration: Calibration) -> Table:
    table = Table("evidence", "likelihood ratio", "PP3 (pathogenic)", "BP4 (benign)", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    outwards = ("≥", "≤") if calibration.higher_is_positive else ("≤", "≥")
    for name in STRENGTHS:
        limits = (calibration.pathogenic.of(name), calibration.benign.of(name))
        cells = [
            "not reached" if limit is None else f"{sign} {limit:.3g}"
            for sign, limit in zip(outwards, limits, strict=True)
        ]
        table.add_row(name.replace("_", " "), f"{calibration.odds[name]:,.2f}", *cells)
    return table


def _what_follows(calibration: Calibration) -> list[str]:
    """Sentences on what the calibration can and cannot be used for."""
    lines = [f"at a prior of {calibration.prior:g}; a probability or a strength holds for that prior alone"]
    if calibration.pathogenic.supporting is None and calibration.benign.supporting is None:
        lines.append("warning: no score is evidence of any strength on these labels: every variant would be vus.")
    elif calibration.pathogenic.supporting is None:
        lines.append("warning: no score is evidence for pathogenicity on these labels.")
    if calibration.quality.auroc < 0.5:
        lines.append("warning: the score points the other way on these labels (AUROC below 0.5).")
    if calibration.fingerprint is None:
        lines.append(
            "note: these scores carry no fingerprint, so the calibration is to look at: score and reclassify refuse it."
        )
    return lines


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False)
