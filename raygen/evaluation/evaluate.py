"""A score against labels: overall, by group, and with the least certain variants left out.

Overall numbers hide the mix of what they are made of: a score that only tells stop codons from synonymous changes has a high
overall area. So areas are given by any column, and a group is marked where its whole interval lies below the overall area.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.discrimination import Discrimination, discriminate
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest, gather
from raygen.evaluation.labels import in_order
from raygen.evaluation.risk_coverage import RiskCoverage, risk_coverage
from raygen.number_of import three_places
from raygen.version import __version__

_MOST_ROWS = 40
_WIDEST = 20
_WIDTHS = (7, 5, 5, 5, 12, 5, 16)  # never cut short; names of groups are, on a narrow screen


@dataclass(frozen=True)
class Evaluation:
    """A score measured against labels: overall, and in ``by`` the areas of each value of each column to group by."""

    labelled: LabelledScores
    request: LabelRequest
    bootstrap: Bootstrap
    overall: Discrimination
    by: dict[str, dict[str, Discrimination]]
    risk_coverage: RiskCoverage

    def is_worse(self, group: Discrimination) -> bool:
        """Whether a group's whole interval lies below the overall area."""
        return bool(group.auroc_interval and self.overall.auroc and group.auroc_interval[1] < self.overall.auroc)

    def points_the_other_way(self) -> str | None:
        """A sentence where the overall AUROC is below 0.5, else None."""
        auroc, interval = self.overall.auroc, self.overall.auroc_interval
        if auroc is None or auroc >= 0.5:
            return None
        sentence = f"on these labels the score points the other way (AUROC {auroc:.3f}, below 0.5)"
        if interval and interval[1] >= 0.5:
            return f"{sentence}, though no more than chance can make it."
        other = "without" if self.labelled.higher_is_positive else "with"
        return f"{sentence}; run it {other} --higher-is-positive if that is what it means."

    def shown(self, column: str, most: int) -> list[tuple[str, Discrimination]]:
        """Groups of a column to show where there is room for ``most``: of too many those that are worse come first."""
        groups = list(self.by[column].items())
        return groups if len(groups) <= most else sorted(groups, key=lambda group: not self.is_worse(group[1]))[:most]


def evaluate(request: LabelRequest, bootstrap: Bootstrap | None = None, cut: float | None = None) -> Evaluation:
    """Join scores and labels, and measure how well the score tells the labels apart.

    Args:
        bootstrap: how the intervals are made.
        cut: where calls are made for the risk-coverage curve, in the score's unit; None: what tells these labels apart best.

    Raises:
        SettingsError, InputError: see ``gather``; InputError where all labelled variants are of one class.
    """
    bootstrap = bootstrap or Bootstrap()
    labelled = gather(request)
    if not labelled.num_positive or not labelled.num_negative:
        lacking = "negative" if labelled.num_positive else "positive"
        raise InputError(
            f"All {len(labelled.frame):,} labelled variants with a score are "
            f"{'positive' if lacking == 'negative' else 'negative'}: without {lacking} ones there is nothing to tell apart."
        )
    risk, positive = labelled.risk.to_numpy(), labelled.frame["positive"].to_numpy()
    return Evaluation(
        labelled=labelled,
        request=request,
        bootstrap=bootstrap,
        overall=discriminate(risk, positive, bootstrap),
        by={name: _by_value(labelled.frame[name], risk, positive, bootstrap) for name in request.groups},
        risk_coverage=risk_coverage(labelled.frame, labelled.higher_is_positive, cut),
    )


def _by_value(
    column: pl.Series, risk: np.ndarray, positive: np.ndarray, bootstrap: Bootstrap
) -> dict[str, Discrimination]:
    counts = column.value_counts().sort(["count", column.name], descending=[True, False])
    order = np.argsort(column.cast(pl.Categorical).to_physical().to_numpy(), kind="stable")
    by_value = {}
    values = column.to_numpy()[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        rows = order[start:end]
        by_value[str(values[start])] = discriminate(risk[rows], positive[rows], bootstrap)
    return {value: by_value[value] for value in in_order(column.name, counts[column.name].to_list())}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as ``--json`` writes it. Areas are null, with a note, where a group lacks a class."""
    labelled, request = evaluation.labelled, evaluation.request
    return {
        "kind": "raygen evaluation",
        "raygen": __version__,
        "scores": request.scores,
        "labels_from": request.labels or request.scores,
        "label": request.label,
        "positive": labelled.labels.positive,
        "negative": labelled.labels.negative,
        "left_out": labelled.labels.left_out,
        "score_column": labelled.score_column,
        "higher_is_positive": labelled.higher_is_positive,
        "model": labelled.model,
        "fingerprint": labelled.fingerprint,
        "counts": labelled.counts,
        "bootstrap": asdict(evaluation.bootstrap),
        "overall": asdict(evaluation.overall),
        "by": {
            column: {
                value: {**asdict(group), "worse_than_overall": evaluation.is_worse(group)}
                for value, group in groups.items()
            }
            for column, groups in evaluation.by.items()
        },
        "risk_coverage": asdict(evaluation.risk_coverage),
    }


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print an evaluation: what was joined, the areas overall and by group, and what abstaining does."""
    print_join(evaluation.labelled, console)
    console.print(_area_table(evaluation))
    _say(console, f"AUPRC of a useless score is the share of positives, {evaluation.overall.prevalence:.3f} overall.")
    if turned := evaluation.points_the_other_way():
        _say(console, f"warning: {turned}")
    for line in describe_risk(evaluation.risk_coverage):
        _say(console, line)


def _area_table(evaluation: Evaluation) -> Table:
    table = Table(
        "group", "pos.", "neg.", "AUROC", "95% interval", "AUPRC", "", box=None, pad_edge=False, collapse_padding=True
    )
    for number, column in enumerate(table.columns):
        column.justify = "left" if number in (0, 6) else "right"
        column.no_wrap = True
        column.min_width = _WIDTHS[number]
    table.add_row("overall", *_cells(evaluation.overall), evaluation.overall.note or "")
    for name, groups in evaluation.by.items():
        table.add_row(f"by {name}")
        for value, group in evaluation.shown(name, _MOST_ROWS):
            note = group.note or ("below overall" if evaluation.is_worse(group) else "")
            table.add_row(f"  {_shortened(value)}", *_cells(group), note)
        if len(groups) > _MOST_ROWS:
            table.add_row(f"  {len(groups) - _MOST_ROWS:,} more, see --json")
    return table


def print_join(labelled: LabelledScores, console: Console) -> None:
    """Print how scores and labels were joined: numbers of rows, which labels count as what, and what was left out."""
    _say(console, ", ".join(f"{name}: {count:,}" for name, count in labelled.counts.items()))
    labels = labelled.labels
    for meaning, values, number in (
        ("positive", labels.positive, labelled.num_positive),
        ("negative", labels.negative, labelled.num_negative),
    ):
        _say(console, f"{meaning} ({number:,} with a score): {', '.join(values)}")
    if labels.left_out:
        some = [f"{value} ({count:,})" for value, count in list(labels.left_out.items())[:_MOST_ROWS]]
        _say(console, f"left out ({sum(labels.left_out.values()):,}): {', '.join(some)}")
    turned = "higher" if labelled.higher_is_positive else "lower"
    of = f" of model {labelled.model}, fingerprint {labelled.fingerprint}" if labelled.fingerprint else ""
    _say(console, f"score: {labelled.score_column}{of}; {turned} means positive")
    for remark in labelled.remarks:
        _say(console, f"note: {remark}")
    for warning in labelled.warnings:
        _say(console, f"warning: {warning}")


def describe_risk(curve: RiskCoverage) -> list[str]:
    """A risk-coverage curve in sentences, one a line."""
    whose = "the cut given" if curve.cut_given else "the best cut for these labels"
    lines = [f"risk and coverage, called at {curve.cut:.3g} ({whose}): {curve.error:.1%} wrong of all"]
    for points, which in ((curve.by_margin, "farthest from the cut"), (curve.by_strands, "whose strands agree best")):
        if points:
            half = min(points, key=lambda point: abs(point.coverage - 0.5))
            lines.append(f"  {half.error:.1%} wrong of the {half.coverage:.0%} {which}")
    if curve.abstained and curve.abstained.num_abstained:
        remainder = (
            "none is left" if curve.abstained.error is None else f"{curve.abstained.error:.1%} wrong of the rest"
        )
        lines.append(f"  abstained on {curve.abstained.num_abstained:,}: {remainder} ({curve.abstained.coverage:.0%})")
    return lines


def _cells(group: Discrimination) -> list[str]:
    return [
        f"{group.num_positive:,}",
        f"{group.num_negative:,}",
        three_places(group.auroc),
        _interval(group.auroc_interval),
        three_places(group.auprc),
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"


def _interval(low_high: tuple[float, float] | None) -> str:
    return "" if low_high is None else f"{low_high[0]:.3f}-{low_high[1]:.3f}"


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False)
