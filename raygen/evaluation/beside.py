"""A score beside what it must pass: position alone, consequence alone, and other tools' scores, all on the same rows.

In: labelled rows and their clusters. Out: areas of each, and paired differences to the score with intervals from the same samples of
clusters. A row counts where every score has a number; how many were left out is said. Position is learnt from all labelled rows but
the site's own, consequence from the rows of other folds, which part no cluster; its areas, and the score's that it is compared with,
are means over the folds (see ``baselines``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.baselines import nearest_label, share_elsewhere
from raygen.evaluation.clusters import ClusterChoice, Clusters, numbered
from raygen.evaluation.grouped_folds import FOLDS, grouped_folds
from raygen.evaluation.labelled_scores import LabelledScores, beside_column
from raygen.evaluation.labels import NO_VALUE
from raygen.evaluation.paired_areas import PairedArea, paired_areas, paired_within_folds
from raygen.number_of import number_of

POSITION = "position alone"
CONSEQUENCE = "consequence alone"


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


def compare_beside(labelled: LabelledScores, choice: ClusterChoice, bootstrap: Bootstrap) -> Beside:
    """The score beside baselines and other scores; both classes must be among the labelled rows."""
    positive = labelled.frame["positive"].to_numpy()
    others, remarks = _usable_others(labelled, positive)
    rows = (
        np.flatnonzero(np.all([np.isfinite(risk) for risk in others.values()], axis=0))
        if others
        else np.arange(len(positive))
    )
    if _lacks_a_class(positive[rows]):
        remarks.append(f"no two labels are left where {' and '.join(others)} all have numbers: they are not compared.")
        others, rows = {}, np.arange(len(positive))
    elif len(rows) < len(positive):
        remarks.append(
            f"compared on the {len(rows):,} of {number_of(len(positive), 'row')} where all of them have a number."
        )
    position = {} if choice.places is None else {POSITION: nearest_label(choice.places, positive)}
    beside = {labelled.score_column: labelled.risk.to_numpy(), **position, **others}
    risks = np.stack([risk[rows] for risk in beside.values()])
    remarks += [
        f"{name} is {abs(risk[0]):g} in all rows compared: it tells nothing apart."
        for name, risk in zip(beside, risks, strict=True)
        if name in others and risk.min() == risk.max()
    ]
    clusters = choice.within(rows, positive)
    drawn = Bootstrap(0) if clusters.why_no_interval else bootstrap
    areas = dict(zip(beside, paired_areas(risks, positive[rows], clusters.of_row, drawn), strict=True))
    how_learnt = None
    if (codes := consequence_codes(labelled)) is not None:
        try:
            alone, how_learnt = _consequence_alone(codes[rows], risks[0], positive[rows], clusters, drawn)
        except InputError as error:
            remarks.append(f"{CONSEQUENCE} is not compared: {str(error)[0].lower()}{str(error)[1:]}")
        else:
            areas = {name: alone if name == CONSEQUENCE else areas[name] for name in _order(areas)}
    return Beside(
        areas=areas,
        num_positive=int(positive[rows].sum()),
        num_negative=int((~positive[rows]).sum()),
        drawn_by=clusters.level,
        num_clusters=clusters.num_clusters,
        how_learnt=how_learnt,
        remarks=remarks,
    )


def consequence_codes(labelled: LabelledScores) -> np.ndarray | None:
    """(R,) numbers of the rows' consequences; None where no column holds them."""
    if not labelled.extra.consequence:
        return None
    return numbered(labelled.frame[labelled.extra.consequence].cast(pl.String).fill_null(NO_VALUE))[1]


def _consequence_alone(
    codes: np.ndarray, risk: np.ndarray, positive: np.ndarray, clusters: Clusters, bootstrap: Bootstrap
) -> tuple[PairedArea, str]:
    """Consequence alone beside the score on the same folds, and how it was learnt.

    Raises:
        InputError: a label is in one cluster only, so that nothing could be learnt of it elsewhere.
    """
    if clusters.fewest < 2:
        raise InputError(f"{clusters.why_no_interval}, so nothing is left to learn it from.")
    num_folds = min(FOLDS, clusters.fewest)
    folds = list(grouped_folds(positive, clusters, num_folds, bootstrap.seed))
    risks = np.stack([risk, share_elsewhere(codes, positive, folds)])
    rows_of = [test for _, test in folds if not _lacks_a_class(positive[test])]
    if not rows_of:
        raise InputError(f"No fold that parts no {clusters.level} holds both labels.")
    alone = paired_within_folds(risks, positive, clusters, rows_of, bootstrap)[1]
    learnt = (
        f"{CONSEQUENCE}: learnt from the other {num_folds - 1} of {num_folds} folds, which part no {clusters.level}; "
    )
    return alone, f"{learnt}its areas and differences are means over folds"


def _order(areas: dict[str, PairedArea]) -> list[str]:
    """Names with that of consequence alone behind the score and position alone."""
    names = list(areas)
    first = 1 + (POSITION in areas)
    return [*names[:first], CONSEQUENCE, *names[first:]]


def _usable_others(labelled: LabelledScores, positive: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """(R,) risks of each other score, NaN where it has no number; sentences on those without a number for both labels."""
    usable, remarks = {}, []
    for other in labelled.extra.others:
        column = labelled.frame[beside_column(other.column)].fill_null(float("nan")).to_numpy()
        is_number = np.isfinite(column)
        if num_missing := int((~is_number).sum()):
            remarks.append(f"{other.column} is no number in {num_missing:,} of {number_of(len(column), 'row')}.")
        if _lacks_a_class(positive[is_number]):
            lacking = [
                name for name, kind in (("positive", positive), ("negative", ~positive)) if not (kind & is_number).any()
            ]
            remarks.append(f"{other.column} has no number in any {' or '.join(lacking)} row: it is not compared.")
        else:
            usable[other.column] = np.where(is_number, column if other.higher_is_positive else -column, np.nan)
    return usable, remarks


def _lacks_a_class(positive: np.ndarray) -> bool:
    return bool(positive.all() or not positive.any())
