"""A score beside what it must pass: position alone, consequence alone, and other tools' scores, all on the same rows.

In: labelled rows and their clusters. Out: areas of each, and paired differences to the score with intervals from the same samples of
clusters. A row counts where every score has a number; how many were left out is said. Position and consequence are learnt from all
labelled rows (see ``baselines``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.baselines import nearest_label, share_of_value
from raygen.evaluation.clusters import ClusterChoice, numbered
from raygen.evaluation.labelled_scores import LabelledScores, beside_column
from raygen.evaluation.labels import NO_VALUE
from raygen.evaluation.paired_areas import PairedArea, paired_areas
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
        remarks: sentences on what could not be compared, and on rows that were left out.
    """

    areas: dict[str, PairedArea]
    num_positive: int
    num_negative: int
    drawn_by: str
    num_clusters: int
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
    beside = {labelled.score_column: labelled.risk.to_numpy(), **_baselines(labelled, choice, positive), **others}
    risks = np.stack([risk[rows] for risk in beside.values()])
    remarks += [
        f"{name} is {abs(risk[0]):g} in all rows compared: it tells nothing apart."
        for name, risk in zip(beside, risks, strict=True)
        if name in others and risk.min() == risk.max()
    ]
    clusters = choice.within(rows, positive)
    drawn = Bootstrap(0) if clusters.why_no_interval else bootstrap
    areas = paired_areas(risks, positive[rows], clusters.of_row, drawn)
    return Beside(
        areas=dict(zip(beside, areas, strict=True)),
        num_positive=int(positive[rows].sum()),
        num_negative=int((~positive[rows]).sum()),
        drawn_by=clusters.level,
        num_clusters=clusters.num_clusters,
        remarks=remarks,
    )


def consequence_codes(labelled: LabelledScores) -> np.ndarray | None:
    """(R,) numbers of the rows' consequences; None where no column holds them."""
    if not labelled.extra.consequence:
        return None
    return numbered(labelled.frame[labelled.extra.consequence].cast(pl.String).fill_null(NO_VALUE))[1]


def _baselines(labelled: LabelledScores, choice: ClusterChoice, positive: np.ndarray) -> dict[str, np.ndarray]:
    baselines = {}
    if choice.places is not None:
        baselines[POSITION] = nearest_label(choice.places, positive)
    if (codes := consequence_codes(labelled)) is not None:
        baselines[CONSEQUENCE] = share_of_value(codes, positive, choice.site_of_row)
    return baselines


def _usable_others(labelled: LabelledScores, positive: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """(R,) risks of each other score, NaN where it has no number; sentences on those without a number for both labels."""
    usable, remarks = {}, []
    for other in labelled.extra.others:
        column = labelled.frame[beside_column(other.column)].fill_null(float("nan")).to_numpy()
        is_number = np.isfinite(column)
        if num_missing := int((~is_number).sum()):
            remarks.append(f"{other.column} is no number in {num_missing:,} of {number_of(len(column), 'row')}.")
        if _lacks_a_class(positive[is_number]):
            remarks.append(f"{other.column} has no number for either label: it is not compared.")
        else:
            usable[other.column] = np.where(is_number, column if other.higher_is_positive else -column, np.nan)
    return usable, remarks


def _lacks_a_class(positive: np.ndarray) -> bool:
    return bool(positive.all() or not positive.any())
