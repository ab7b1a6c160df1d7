"""From labelled rows with stored states to a head, and to what it is worth on rows that it was not learnt from.

Outer folds part no chromosome, else no gene, else no group of overlapping windows. In each the penalty is chosen by inner folds of the
other rows, which part none either, so that no row left out has a say in anything it is measured with. On those rows stand beside the
head the zero-shot score, the label of the nearest site of the other folds, the consequence's share of positives in the other folds, and
head and score together (weighed by what the inner folds said of the rows learnt from). All areas are means over folds, and differences
are paired. The head that is kept is then fitted to all rows.

Folds of random rows put neighbours, whose windows hold the same bases, on both sides. They flatter, and are only made when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl

from raygen.classes.head import Compared, ComparedRows, HeadFacts, HeadFolds, site_digests
from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError, SettingsError
from raygen.evaluation.baselines import nearest_label, share_elsewhere
from raygen.evaluation.beside import CONSEQUENCE, POSITION, consequence_codes
from raygen.evaluation.calibration_fit import label_set
from raygen.evaluation.clusters import (
    FEW,
    ROW,
    ChosenLevel,
    ClusterChoice,
    Clusters,
    choose_clusters,
    clusters_of,
)
from raygen.evaluation.grouped_folds import FOLDS, grouped_folds
from raygen.evaluation.head_overlap import row_sites
from raygen.evaluation.head_rows import HeadRows, StateChoice, read_head_rows
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest, gather
from raygen.evaluation.labels import NO_VALUE
from raygen.evaluation.paired_areas import paired_within_folds
from raygen.evaluation.ridge_logistic import PENALTIES, Fitted, RowsToFit, centre_in_place, search_penalty
from raygen.number_of import number_of
from raygen.version import __version__

HEAD, ZERO_SHOT, TOGETHER = "head", "zero-shot", "head + zero-shot"
LEAST_ROWS, LEAST_GROUPS = 300, 3
"""What a consequence needs for areas of its own."""
_TOGETHER_PENALTY = 1e-4
Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TrainPlan:
    """How a head is trained and tested.

    Attributes:
        states: which states it reads.
        num_folds: outer folds; fewer where there are not as many clusters of either label.
        cluster: level of what no fold parts.
        random_rows: folds of sites drawn at random, instead.
        labels_licence: of the labels, in a user's words.
    """

    states: StateChoice = field(default_factory=StateChoice)
    num_folds: int = FOLDS
    seed: int = 0
    cluster: ChosenLevel = "auto"
    random_rows: bool = False
    replicates: int = 1000
    labels_licence: str | None = None


@dataclass(frozen=True)
class TrainedHead:
    """What ``write_head`` takes, and the labelled rows that it was trained on."""

    facts: HeadFacts
    numbers: Fitted
    training_sites: np.ndarray
    labelled: LabelledScores


def train_head(request: LabelRequest, plan: TrainPlan) -> TrainedHead:
    """Train a head on a run's stored states and labels.

    Raises:
        SettingsError: scores of no run, no such states, or folds that would flatter and were not asked for.
        InputError: labels of one class, or in one cluster; see ``gather``, too.
    """
    labelled = gather(request)
    if labelled.fingerprint is None:
        raise SettingsError(f"{request.scores} is no folder of a run: a head holds for the fingerprint of one.")
    _refuse_one_class(labelled)
    rows = read_head_rows(request, labelled, plan.states)
    _refuse_one_class(rows.labelled)
    choice = _folds_by(rows.labelled, plan)
    return _Training(rows, choice, plan, request).head()


def _refuse_one_class(labelled: LabelledScores) -> None:
    if not labelled.num_positive or not labelled.num_negative:
        which = "positive" if labelled.num_positive else "negative"
        raise InputError(
            f"All {len(labelled.frame):,} labelled variants with states are {which}: a head learns what tells two labels apart."
        )


def _folds_by(labelled: LabelledScores, plan: TrainPlan) -> ClusterChoice:
    """The clusters that no fold parts.

    Raises:
        SettingsError: they would be sites or rows, and that was not asked for.
        InputError: a label is in one of them only.
    """
    if plan.random_rows and plan.cluster != "auto":
        raise SettingsError(f"--random-rows and --cluster {plan.cluster} are two kinds of folds. Leave out one.")
    choice = choose_clusters(labelled, plan.cluster, plan.num_folds)
    if plan.random_rows:
        choice = choose_clusters(labelled, "auto" if choice.places is None else "site")
    elif choice.chosen.level in ("site", ROW):
        reason = f" ({choice.reason})" if choice.reason else ""
        raise SettingsError(
            f"Nothing but {choice.chosen.level}s can be kept whole in folds{reason}: neighbours with the same bases would be on both "
            "sides, and the result would flatter. Give labels of more genes or chromosomes (--gene-column), or ask for it with "
            "--random-rows, which the head then says wherever it is shown."
        )
    if why := choice.chosen.why_no_interval:
        raise InputError(
            f"The labels lie so that no fold can be left out: {why} ({choice.chosen.in_words}), which no fold may part. "
            "Take labels from more places, or a smaller --cluster."
        )
    return choice


class _Training:
    """One training: rows, folds and what they say, step by step."""

    def __init__(self, rows: HeadRows, choice: ClusterChoice, plan: TrainPlan, request: LabelRequest) -> None:
        self._rows, self._choice, self._plan, self._request = rows, choice, plan, request
        self._features = rows.features
        self._positive = rows.labelled.frame["positive"].to_numpy()
        self._zero_shot = rows.labelled.risk.to_numpy()
        self._enlarged = _enlarged(rows)

    @property
    def _clusters(self) -> Clusters:
        return self._choice.chosen

    def head(self) -> TrainedHead:
        shift, spread = centre_in_place(self._features)
        folds = self._folds(np.arange(len(self._positive)), self._plan.num_folds)
        risks, num_inner_folds = self._risks(folds)
        result, by_consequence = self._compared(risks, folds)
        search = search_penalty(self._features, self._positive, folds, self._enlarged)
        fitted = RowsToFit(self._features, self._positive, np.arange(len(self._positive)), self._enlarged).fit(
            search.penalty
        )
        remarks = [*self._rows_left_out(), *self._few_clusters(), *([search.remark] if search.remark else [])]
        labelled = self._rows.labelled
        facts = HeadFacts(
            raygen=__version__,
            fingerprint=str(labelled.fingerprint),
            model=labelled.model,
            embeddings=self._rows.embeddings,
            inputs=self._rows.inputs,
            penalty=search.penalty,
            penalties=PENALTIES,
            folds=self._described_folds(len(folds), num_inner_folds),
            labels=label_set(labelled, self._request),
            labels_licence=self._plan.labels_licence,
            result=result,
            by_consequence=by_consequence,
            verdict=tuple(verdict(result, self._plan.random_rows)),
            remarks=tuple(remarks),
        )
        numbers = Fitted(shift + spread * fitted.centre, spread * fitted.scale, fitted.weight, fitted.intercept)
        return TrainedHead(facts, numbers, np.unique(site_digests(row_sites(labelled.frame["key"]))), labelled)

    def _folds(self, rows: np.ndarray, num_folds: int) -> list[Fold]:
        """Folds of some of the rows, by indices of all."""
        positive = self._positive[rows]
        clusters = clusters_of(self._clusters.level, self._clusters.of_row[rows], positive)
        if clusters.why_no_interval:
            raise InputError(
                f"With a fold left out, {clusters.why_no_interval}: no penalty could be chosen. Take labels from more places."
            )
        folds = grouped_folds(positive, clusters, min(num_folds, clusters.fewest), self._plan.seed)
        return [(rows[train], rows[test]) for train, test in folds]

    def _risks(self, folds: Sequence[Fold]) -> tuple[dict[str, np.ndarray], int]:
        """(R,) risks by name, each learnt from the other folds, and how many inner folds there were at least."""
        positive, num_inner_folds = self._positive, FOLDS
        head, together = np.empty(len(positive)), np.empty(len(positive))
        for train, test in folds:
            inner = self._folds(train, FOLDS)
            num_inner_folds = min(num_inner_folds, len(inner))
            search = search_penalty(self._features, positive, inner, self._enlarged)
            fitted = RowsToFit(self._features, positive, train, self._enlarged).fit(search.penalty)
            head[test] = fitted.log_odds(self._features)[test]
            known = search.unseen.copy()
            known[test] = head[test]
            both = np.stack([known, self._zero_shot], axis=1).astype(np.float32)
            together[test] = RowsToFit(both, positive, train).fit(_TOGETHER_PENALTY).log_odds(both)[test]
        return {HEAD: head, ZERO_SHOT: self._zero_shot, **self._baselines(folds), TOGETHER: together}, num_inner_folds

    def _baselines(self, folds: Sequence[Fold]) -> dict[str, np.ndarray]:
        baselines, places = {}, self._choice.places
        if places is not None:
            baselines[POSITION] = np.empty(len(self._positive))
            for train, test in folds:
                learnt = np.zeros(len(self._positive), bool)
                learnt[train] = True
                baselines[POSITION][test] = nearest_label(places, self._positive, learnt)[test]
        if (codes := consequence_codes(self._rows.labelled)) is not None:
            baselines[CONSEQUENCE] = share_elsewhere(codes, self._positive, folds)
        return baselines

    def _compared(
        self, risks: Mapping[str, np.ndarray], folds: Sequence[Fold]
    ) -> tuple[ComparedRows, dict[str, ComparedRows]]:
        """What the scores are worth on all rows, and on those of each consequence that has enough."""
        everything = self._on_rows(risks, [test for _, test in folds])
        if everything is None:
            raise InputError(f"No fold that parts no {self._clusters.level} holds both labels. Take more labels.")
        column = self._rows.labelled.extra.consequence
        if column is None:
            return everything, {}
        values = self._rows.labelled.frame[column].cast(pl.String).fill_null(NO_VALUE).to_numpy()
        others = {name: risk for name, risk in risks.items() if name != CONSEQUENCE}
        compared = {}
        for value in sorted(set(values)):
            chosen = values == value
            few_groups = len(np.unique(self._clusters.of_row[chosen])) < LEAST_GROUPS
            if chosen.sum() < LEAST_ROWS or few_groups:
                continue
            if of_value := self._on_rows(others, [test[chosen[test]] for _, test in folds]):
                compared[str(value)] = of_value
        return everything, compared

    def _on_rows(self, risks: Mapping[str, np.ndarray], rows_of: Sequence[np.ndarray]) -> ComparedRows | None:
        """Areas on the rows of each fold, those aside that lack a label; None where none is left."""
        both = [rows for rows in rows_of if 0 < self._positive[rows].sum() < len(rows)]
        if not both:
            return None
        rows = np.concatenate(both)
        bootstrap = Bootstrap(self._plan.replicates, self._plan.seed)
        areas = paired_within_folds(np.stack(list(risks.values())), self._positive, self._clusters, both, bootstrap)
        return ComparedRows(
            areas={name: Compared(**asdict(area)) for name, area in zip(risks, areas, strict=True)},
            num_positive=int(self._positive[rows].sum()),
            num_negative=int((~self._positive[rows]).sum()),
            num_groups=len(np.unique(self._clusters.of_row[rows])),
        )

    def _rows_left_out(self) -> list[str]:
        number = self._rows.num_without
        return (
            [f"{number_of(number, 'labelled variant')} with a score had no states, and trained nothing."]
            if number
            else []
        )

    def _few_clusters(self) -> list[str]:
        clusters = self._clusters
        if clusters.spread >= FEW:
            return []
        return [
            f"the labels are spread as over {clusters.spread:.1f} equal ones of {clusters.in_words}: intervals say little."
        ]

    def _described_folds(self, num_folds: int, num_inner_folds: int) -> HeadFolds:
        return HeadFolds(
            level=self._clusters.level,
            groups=self._clusters.in_words,
            why_not_larger=self._choice.reason or None,
            num_folds=num_folds,
            num_inner_folds=num_inner_folds,
            random_rows=self._plan.random_rows,
            seed=self._plan.seed,
        )


def _enlarged(rows: HeadRows) -> np.ndarray | None:
    """(F,) how much larger a feature is taken: each column beside the states weighs as much as all of these together.

    Held back like one of thousands of states, the score could not be used at the penalties that these need.
    """
    inputs = rows.inputs
    if not inputs.columns:
        return None
    enlarged = np.ones(inputs.num_features)
    enlarged[inputs.num_state_features :] = np.sqrt(inputs.num_state_features)
    return enlarged


def verdict(result: ComparedRows, random_rows: bool) -> list[str]:
    """What the areas say of a head, in sentences: whether it is better than the score that needs no labels, and than no model at all."""
    names = [name for name in (ZERO_SHOT, POSITION, CONSEQUENCE) if name in result.areas]
    sentences = [_against(result, name) for name in names]
    if random_rows:
        sentences.append(
            "Folds are of random rows, as asked for: neighbours with the same bases were on both sides, so every area of what was learnt "
            "flatters, and none of them holds for genes that the labels do not know."
        )
    return sentences


def _against(result: ComparedRows, name: str) -> str:
    head, other = result.areas[HEAD], result.areas[name]
    interval = other.difference_interval
    if interval is None:
        how = "higher than" if head.auroc > other.auroc else "not higher than"
    elif interval[1] < 0:
        how = "better than"
    else:
        how = "worse than" if interval[0] > 0 else "not better than"
    words = f", 95% {-interval[1]:+.3f} to {-interval[0]:+.3f}" if interval else ""
    return (
        f"The head is {how} {name} on these rows: AUROC {head.auroc:.3f} against {other.auroc:.3f} "
        f"(difference {-other.difference:+.3f}{words}), AUPRC {head.auprc:.3f} against {other.auprc:.3f}."
    )
