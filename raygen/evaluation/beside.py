"""A score beside what it must pass: position alone, consequence alone, and other tools' scores, all on the same rows.

In: labelled rows and their clusters. Out: areas of each, and paired differences to the score with intervals from the same samples of
clusters, of all rows and of any part of them. A row counts where every score has a number; how many were left out is said. Position is
learnt from all labelled rows but the site's own, consequence from the rows of other folds, which part no cluster; its areas, and the
score's that it is compared with, are means over the folds (see ``baselines``). A part of the rows learns from all of them, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.baselines import nearest_label, share_elsewhere
from raygen.evaluation.clusters import ClusterChoice, Clusters, numbered
from raygen.evaluation.grouped_folds import FOLDS, grouped_folds
from raygen.evaluation.labelled_scores import LabelledScores, beside_column
from raygen.evaluation.labels import NO_VALUE
from raygen.evaluation.paired_areas import PairedArea, paired_within_folds
from raygen.number_of import number_of

POSITION = "position alone"
CONSEQUENCE = "consequence alone"
COMPARED_ON = "compared on"  # how the remark on rows without a number begins


@dataclass(frozen=True)
class Beside:
    """A score and what stands beside it.

    Attributes:
        areas: by name, the score first; differences are to it.
        num_positive, num_negative: rows that all were measured on.
        drawn_by, num_clusters: level of the clusters that were drawn again for the intervals, and how many there are.
        how_learnt: how consequence alone was learnt, in words; None where it is not compared.
        remarks: sentences on what could not be compared, and on rows that were left out.
    """

    areas: dict[str, PairedArea]
    num_positive: int
    num_negative: int
    drawn_by: str
    num_clusters: int
    how_learnt: str | None = None
    remarks: list[str] = field(default_factory=list)


class Rivals:
    """What a score must pass, learnt once of all labelled rows, both classes among them; measured on any part of them.

    Attributes:
        num_rows: labelled rows.
        remarks: sentences on rows without a number of another score, and on what could not be learnt.
    """

    def __init__(self, labelled: LabelledScores, choice: ClusterChoice, seed: int) -> None:
        self._choice = choice
        self.num_rows = len(labelled.frame)
        self._positive = labelled.frame["positive"].to_numpy()
        position = {} if choice.places is None else {POSITION: nearest_label(choice.places, self._positive)}
        self._learnt_of_all = {labelled.score_column: labelled.risk.to_numpy(), **position}
        self._others, self.remarks = _usable_others(labelled, self._positive)
        self._sign = {other.column: 1 if other.higher_is_positive else -1 for other in labelled.extra.others}
        self._share: np.ndarray | None = None
        self._how_learnt = ""
        if (codes := consequence_codes(labelled)) is not None:
            try:
                self._learn(codes, seed)
            except InputError as error:
                self.remarks.append(_not_compared(str(error)))

    def _learn(self, codes: np.ndarray, seed: int) -> None:
        """The share of positives of each row's consequence elsewhere, and which fold a row is in.

        Raises:
            InputError: a label is in one cluster only, so that nothing could be learnt of it elsewhere.
        """
        clusters = self._choice.chosen
        if clusters.fewest < 2:
            raise InputError(f"{clusters.why_no_interval}, so nothing is left to learn it from.")
        num_folds = min(FOLDS, clusters.fewest)
        folds = list(grouped_folds(self._positive, clusters, num_folds, seed))
        self._share = share_elsewhere(codes, self._positive, folds)
        self._fold = np.empty(len(codes), np.int64)
        for number, (_, test) in enumerate(folds):
            self._fold[test] = number
        self._how_learnt = (
            f"{CONSEQUENCE}: learnt from the other {num_folds - 1} of {num_folds} folds, which part no {clusters.level}; "
            "its areas and differences are means over folds"
        )

    def within(self, rows: np.ndarray, bootstrap: Bootstrap) -> Beside | None:
        """Areas on some of the rows, by their indices; None where they lack a class."""
        if _lacks_a_class(self._positive[rows]):
            return None
        part = np.zeros(self.num_rows, np.int64)
        others, rows, remarks = self._comparable(rows, part)
        clusters = self._choice.within(rows, self._positive)
        return self._measured(others, rows, part[rows], clusters, bootstrap, remarks)

    def mean_over(self, part: np.ndarray, bootstrap: Bootstrap) -> Beside | None:
        """Means over parts of the rows of the areas within each, weighted as ``mean_areas`` does; None where no part holds both classes.

        Args:
            part: (R,) numbers of the parts, below 0 where a row is in none.
        """
        rows = np.flatnonzero(part >= 0)
        if not _mixed_parts(part[rows], self._positive[rows]):
            return None
        others, rows, remarks = self._comparable(rows, part)
        chosen = self._choice.chosen
        clusters = replace(chosen, of_row=chosen.of_row[rows])
        return self._measured(others, rows, part[rows], clusters, bootstrap, remarks)

    def _comparable(self, rows: np.ndarray, part: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
        """The other scores that have numbers for both classes among some rows, the rows where all have one, and remarks.

        Args:
            part: (R,) numbers of the parts that the areas are within; all scores have numbers for both classes in one of them, or none
                of the other scores is compared.
        """
        positive = self._positive[rows]
        lacking = {name: _lacks_numbers(name, np.isfinite(risk[rows]), positive) for name, risk in self._others.items()}
        remarks = [sentence for sentence in lacking.values() if sentence]
        others = {name: risk for name, risk in self._others.items() if not lacking[name]}
        if not others:
            return {}, rows, remarks
        is_complete = np.all([np.isfinite(risk[rows]) for risk in others.values()], axis=0)
        if is_complete.all():
            return others, rows, remarks
        if not _mixed_parts(part[rows[is_complete]], positive[is_complete]):
            names = " and ".join(others)
            return (
                {},
                rows,
                [*remarks, f"no two labels are left where {names} all have numbers: they are not compared."],
            )
        left = f"{int(is_complete.sum()):,} of {number_of(len(rows), 'row')}"
        return others, rows[is_complete], [*remarks, f"{COMPARED_ON} the {left} where all of them have a number."]

    def _measured(
        self,
        others: dict[str, np.ndarray],
        rows: np.ndarray,
        part: np.ndarray,
        clusters: Clusters,
        bootstrap: Bootstrap,
        remarks: list[str],
    ) -> Beside:
        """Areas on (N,) rows of (N,) parts in clusters."""
        positive = self._positive[rows]
        risks = {name: risk[rows] for name, risk in {**self._learnt_of_all, **others}.items()}
        remarks += [
            f"{name} is {self._sign[name] * risks[name][0] + 0.0:g} in all rows compared: it tells nothing apart."
            for name in others
            if risks[name].min() == risks[name].max()
        ]
        drawn = Bootstrap(0) if clusters.why_no_interval else bootstrap
        stacked = np.stack(list(risks.values()))
        areas = paired_within_folds(stacked, positive, clusters, _mixed_parts(part, positive), drawn)
        by_name, how_learnt = dict(zip(risks, areas, strict=True)), None
        if self._share is not None:
            # Shares of two folds must not be compared.
            cells = _mixed_parts(part * (int(self._fold.max()) + 1) + self._fold[rows], positive)
            if cells:
                pair = np.stack([stacked[0], self._share[rows]])
                alone = paired_within_folds(pair, positive, clusters, cells, drawn)[1]
                by_name, how_learnt = _with_consequence(by_name, alone), self._how_learnt
            else:
                remarks.append(_not_compared("No fold that parts no cluster holds both labels."))
        return Beside(
            areas=by_name,
            num_positive=int(positive.sum()),
            num_negative=int((~positive).sum()),
            drawn_by=clusters.level,
            num_clusters=clusters.num_clusters,
            how_learnt=how_learnt,
            remarks=remarks,
        )


def compare_beside(rivals: Rivals, bootstrap: Bootstrap) -> Beside:
    """The score beside baselines and other scores on all labelled rows."""
    beside = rivals.within(np.arange(rivals.num_rows), bootstrap)
    assert beside is not None, "there are labels of both classes"
    return replace(beside, remarks=[*rivals.remarks, *beside.remarks])


def consequence_codes(labelled: LabelledScores) -> np.ndarray | None:
    """(R,) numbers of the rows' consequences; None where no column holds them."""
    if not labelled.extra.consequence:
        return None
    return numbered(labelled.frame[labelled.extra.consequence].cast(pl.String).fill_null(NO_VALUE))[1]


def _not_compared(why: str) -> str:
    return f"{CONSEQUENCE} is not compared: {why[0].lower()}{why[1:]}"


def _mixed_parts(part: np.ndarray, positive: np.ndarray) -> list[np.ndarray]:
    """The rows of each part that holds both classes, for (N,) numbers of parts from 0 on."""
    order = np.argsort(part, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
    return [rows for rows in parts if not _lacks_a_class(positive[rows])]


def _with_consequence(areas: dict[str, PairedArea], alone: PairedArea) -> dict[str, PairedArea]:
    """Areas by name with that of consequence alone behind the score's and that of position alone."""
    names = list(areas)
    first = 1 + (POSITION in areas)
    ordered = [*names[:first], CONSEQUENCE, *names[first:]]
    return {name: alone if name == CONSEQUENCE else areas[name] for name in ordered}


def _usable_others(labelled: LabelledScores, positive: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """(R,) risks of each other score, NaN where it has no number; sentences on those without a number for both labels."""
    usable, remarks = {}, []
    for other in labelled.extra.others:
        column = labelled.frame[beside_column(other.column)].fill_null(float("nan")).to_numpy()
        is_number = np.isfinite(column)
        if num_missing := int((~is_number).sum()):
            remarks.append(f"{other.column} is no number in {num_missing:,} of {number_of(len(column), 'row')}.")
        if sentence := _lacks_numbers(other.column, is_number, positive):
            remarks.append(sentence)
        else:
            usable[other.column] = np.where(is_number, column if other.higher_is_positive else -column, np.nan)
    return usable, remarks


def _lacks_numbers(name: str, is_number: np.ndarray, positive: np.ndarray) -> str | None:
    """A sentence on the classes in which another score has no number; None where it has some in both."""
    lacking = [kind for kind, rows in (("positive", positive), ("negative", ~positive)) if not (rows & is_number).any()]
    return f"{name} has no number in any {' or '.join(lacking)} row: it is not compared." if lacking else None


def _lacks_a_class(positive: np.ndarray) -> bool:
    return bool(positive.all() or not positive.any())
