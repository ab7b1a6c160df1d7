"""An evaluation in the terminal: what was joined, the areas, what stands beside them, and what to know before reading any of it.

Numbers of an ``Evaluation`` in, at most some sixty lines of 100 columns out; what has no place is in ``--json``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from raygen.evaluation.beside import Beside
from raygen.evaluation.by_chromosome import WHY_NOT_POOLED, ByChromosome
from raygen.evaluation.clusters import FEW, count_of
from raygen.evaluation.discrimination import Discrimination, Interval
from raygen.evaluation.evaluate import Evaluation
from raygen.evaluation.labelled_scores import LabelledScores
from raygen.evaluation.risk_coverage import RiskCoverage
from raygen.number_of import number_of, three_places

_MOST_ROWS = 40
_MOST_CHROMOSOMES = 25
_WIDEST = 20
_WIDTHS = (7, 5, 5, 5, 12, 5, 16)  # never cut short; names of groups are, on a narrow screen


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print an evaluation: what was joined, the areas overall, beside others, by chromosome and group, and what abstaining does."""
    print_join(evaluation.labelled, console, already_warned=evaluation.warnings)
    for line in describe_clusters(evaluation):
        _say(console, line)
    for warning in evaluation.warnings:
        _say(console, f"warning: {warning}")
    console.print(_area_table(evaluation))
    _say(console, f"AUPRC of a useless score is the share of positives, {evaluation.overall.prevalence:.3f} overall.")
    if len(evaluation.beside.areas) > 1:
        console.print(_beside_table(evaluation.beside))
    for line in describe_beside(evaluation.beside):
        _say(console, line)
    if evaluation.by_chromosome:
        console.print(_chromosome_table(evaluation.by_chromosome, evaluation.overall))
        _say(console, f"  {WHY_NOT_POOLED}.")
    for line in describe_risk(evaluation.risk_coverage):
        _say(console, line)


def print_join(labelled: LabelledScores, console: Console, already_warned: Sequence[str] = ()) -> None:
    """Print how scores and labels were joined: numbers of rows, which labels count as what, and what was left out.

    Args:
        already_warned: warnings that the caller prints among its own.
    """
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
        if warning not in already_warned:
            _say(console, f"warning: {warning}")


def describe_clusters(evaluation: Evaluation) -> list[str]:
    """How many of the rows are independent, what the intervals are from, and why from nothing larger, a line each."""
    lines = [sites] if (sites := evaluation.leaks.in_words) else []
    if not evaluation.bootstrap.replicates:
        return lines
    chosen, reason = evaluation.choice.chosen, evaluation.choice.reason
    drawn = f"intervals: {chosen.in_words} drawn again{f' ({reason})' if reason else ''}"
    if chosen.fewest < FEW:
        which = "positive" if chosen.num_with_positive <= chosen.num_with_negative else "negative"
        drawn += f"; only {count_of(chosen.fewest, chosen.level)} with a {which}, so they say little"
    elif len(evaluation.choice.levels) > 1 and (evaluation.by or evaluation.by_chromosome):
        drawn += "; a group with too few is drawn by the next smaller kind"
    return [*lines, drawn]


def describe_beside(beside: Beside) -> list[str]:
    """What cannot be compared and what the differences are from, a sentence each."""
    return [f"note: {remark}" for remark in beside.remarks]


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


def note_of(evaluation: Evaluation, group: Discrimination) -> str:
    """What to say beside a group: why it has no number or no interval, that it is worse, or what was drawn for it."""
    if group.note:
        return group.note
    if evaluation.is_worse(group):
        return "below overall"
    is_other = group.auroc_interval and group.drawn_by != evaluation.overall.drawn_by
    return f"drawn by {group.drawn_by}" if is_other else ""


def signed(difference: float, interval: Interval | None) -> str:
    """A difference with its sign and its interval."""
    return f"{difference:+.3f}" + (f" ({interval[0]:+.3f}, {interval[1]:+.3f})" if interval else "")


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
            table.add_row(f"  {_shortened(value)}", *_cells(group), note_of(evaluation, group))
        if len(groups) > _MOST_ROWS:
            table.add_row(f"  {len(groups) - _MOST_ROWS:,} more, see --json")
    return table


def _beside_table(beside: Beside) -> Table:
    table = _table("on the same rows", "AUROC", "less the score's, 95%", "AUPRC", "less the score's, 95%")
    for number, (name, area) in enumerate(beside.areas.items()):
        differences = (
            signed(area.difference, area.difference_interval),
            signed(area.auprc_difference, area.auprc_difference_interval),
        )
        first, second = differences if number else ("", "")
        table.add_row(_shortened(name), f"{area.auroc:.3f}", first, f"{area.auprc:.3f}", second)
    return table


def _chromosome_table(chromosomes: ByChromosome, overall: Discrimination) -> Table:
    table = _table("by chromosome", "pos.", "neg.", "AUROC", "95% interval", "AUPRC", "base rate")
    for name, area in list(chromosomes.areas.items())[:_MOST_CHROMOSOMES]:
        table.add_row(f"  {_shortened(name)}", *_cells(area), f"{area.prevalence:.3f}")
    if len(chromosomes.areas) > _MOST_CHROMOSOMES:
        table.add_row(f"  {len(chromosomes.areas) - _MOST_CHROMOSOMES:,} more, see --json")
    if chromosomes.num_left_out:
        table.add_row(f"  {number_of(chromosomes.num_left_out, 'other')} lack a label")
    mean = (chromosomes.mean_auroc, chromosomes.mean_auroc_interval, chromosomes.mean_auprc, chromosomes.mean_base_rate)
    pooled = (overall.auroc, overall.auroc_interval, overall.auprc, overall.prevalence)
    for name, (auroc, interval, auprc, base_rate) in (("weighted mean", mean), ("pooled", pooled)):
        cells = (three_places(auroc), _interval(interval), three_places(auprc), three_places(base_rate))
        table.add_row(name, "", "", *cells)
    return table


def _table(*heads: str) -> Table:
    table = Table(*heads, box=None, pad_edge=False, collapse_padding=True)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    return table


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


def _interval(low_high: Interval | None) -> str:
    return "" if low_high is None else f"{low_high[0]:.3f}-{low_high[1]:.3f}"


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False)
