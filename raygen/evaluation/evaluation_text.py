"""An evaluation in the terminal: what was joined, the areas, what stands beside them, and what to know before reading any of it.

Numbers of an ``Evaluation`` in, some sixty lines of at most 100 columns out: all tables share ``_MOST_ROWS`` rows. What has no place is in
``--json``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from raygen.evaluation.beside import COMPARED_ON, CONSEQUENCE, POSITION, Beside
from raygen.evaluation.by_chromosome import WHY_NOT_POOLED, ByChromosome
from raygen.evaluation.clusters import FEW, count_of
from raygen.evaluation.discrimination import Discrimination, Interval
from raygen.evaluation.evaluate import Evaluation
from raygen.evaluation.labelled_scores import LabelledScores
from raygen.evaluation.paired_areas import PairedArea
from raygen.evaluation.risk_coverage import RiskCoverage
from raygen.number_of import number_of, three_places

_MOST_ROWS = 26
_MOST_NAMES = 40
_WIDEST = 20
_COLUMNS = 100
_GROUP_WIDTHS = (7, 5, 5, 5, 12, 5)  # never cut short; names of groups are, on a narrow screen
_NOTE_WIDTH = 16
_CHROMOSOME_WIDTHS = (13, 5, 5, 5, 12, 5, 9)
_MOST_BESIDE = 2  # columns of what stands beside a group, where there is room; all of them, with intervals, in the page and in --json
_BESIDE_WIDTH = 8
_HEADS = {POSITION: "position", CONSEQUENCE: "conseq."}


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print an evaluation: what was joined, the areas overall, beside others, by chromosome and group, and what abstaining does."""
    print_join(evaluation.labelled, console, already_warned=evaluation.warnings)
    for line in describe_clusters(evaluation):
        say(console, line)
    for warning in evaluation.warnings:
        say(console, f"warning: {warning}")
    chromosomes = evaluation.by_chromosome
    of_chromosomes, *of_groups = _rows_each(
        [len(chromosomes.areas) if chromosomes else 0, *(len(groups) for groups in evaluation.by.values())]
    )
    beside_groups = _beside_groups(evaluation, console.width)
    console.print(_area_table(evaluation, of_groups, beside_groups))
    say(console, _describe_areas(evaluation, bool(beside_groups)))
    if len(evaluation.beside.areas) > 1:
        console.print(_beside_table(evaluation.beside))
    for line in describe_beside(evaluation.beside, of_groups=bool(beside_groups)):
        say(console, line)
    if chromosomes:
        console.print(_chromosome_table(evaluation, chromosomes, of_chromosomes, beside_groups))
        say(console, f"  {WHY_NOT_POOLED}.")
    for line in describe_risk(evaluation.risk_coverage):
        say(console, line)


def print_join(labelled: LabelledScores, console: Console, already_warned: Sequence[str] = ()) -> None:
    """Print how scores and labels were joined: numbers of rows, which labels count as what, and what was left out.

    Args:
        already_warned: warnings that the caller prints among its own.
    """
    say(console, ", ".join(f"{name}: {count:,}" for name, count in labelled.counts.items()))
    labels = labelled.labels
    for meaning, values, number in (
        ("positive", labels.positive, labelled.num_positive),
        ("negative", labels.negative, labelled.num_negative),
    ):
        say(console, f"{meaning} ({number:,} with a score): {', '.join(values)}")
    if labels.left_out:
        some = [f"{value} ({count:,})" for value, count in list(labels.left_out.items())[:_MOST_NAMES]]
        say(console, f"left out ({sum(labels.left_out.values()):,}): {', '.join(some)}")
    turned = "higher" if labelled.higher_is_positive else "lower"
    of = f" of model {labelled.model}, fingerprint {labelled.fingerprint}" if labelled.fingerprint else ""
    say(console, f"score: {labelled.score_column}{of}; {turned} means positive")
    for remark in labelled.remarks:
        say(console, f"note: {remark}")
    for warning in labelled.warnings:
        if warning not in already_warned:
            say(console, f"warning: {warning}")


def describe_clusters(evaluation: Evaluation) -> list[str]:
    """How many of the rows are independent, what the intervals are from, and why from nothing larger, a line each."""
    lines = [sites] if (sites := evaluation.leaks.in_words) else []
    if not evaluation.bootstrap.replicates:
        return lines
    chosen, reason = evaluation.choice.chosen, evaluation.choice.reason
    because = f" ({reason})" if reason else ""
    if chosen.why_no_interval:
        return [*lines, f"no intervals: {chosen.why_no_interval}{because}"]
    drawn = f"intervals: {chosen.in_words} drawn again{because}"
    if chosen.fewest < FEW:
        which = "positive" if chosen.num_with_positive <= chosen.num_with_negative else "negative"
        drawn += f"; only {count_of(chosen.fewest, chosen.level)} with a {which}, so they say little"
    elif chosen.spread < FEW:
        drawn += f"; labels are spread as over {chosen.spread:.1f} equal ones, so they say little"
    elif len(evaluation.choice.levels) > 1 and (evaluation.by or evaluation.by_chromosome):
        drawn += "; a group with too few is drawn by the next smaller kind"
    return [*lines, drawn]


def describe_beside(beside: Beside, of_groups: bool = False) -> list[str]:
    """How consequence alone was learnt, and what cannot be compared, a sentence each.

    Args:
        of_groups: groups show what stands beside the score, too, which is then of as few rows.
    """
    remarks = [remark for remark in (beside.how_learnt, *beside.remarks) if remark]
    return [
        f"note: {remark}{' So is each group.' if of_groups and remark.startswith(COMPARED_ON) else ''}"
        for remark in remarks
    ]


def describe_fewer_rows(evaluation: Evaluation) -> str | None:
    """That what stands beside a group is of fewer rows than the group's own areas, where that is so in any."""
    groups = [replace(evaluation.overall, beside=evaluation.beside)]
    groups += [group for by_value in evaluation.by.values() for group in by_value.values()]
    groups += evaluation.by_chromosome.areas.values() if evaluation.by_chromosome else []
    if all(group.beside is None or _num_rows(group.beside) == _num_rows(group) for group in groups):
        return None
    return "What stands beside a group is of those of its rows where every other score compared has a number, and so is its difference."


def _num_rows(areas: Beside | Discrimination) -> int:
    return areas.num_positive + areas.num_negative


def is_passed(area: PairedArea, has_replicates: bool) -> bool:
    """Whether the score is better than what stands beside it, by its AUROC: the whole interval says so.

    Args:
        has_replicates: intervals were asked for. An area that has none for all that, as in one cluster, shows nothing.
    """
    if area.difference_interval is None:
        return area.difference < 0 and not has_replicates
    return area.difference_interval[1] < 0


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


def _rows_each(wanted: Sequence[int]) -> list[int]:
    """How many of the ``_MOST_ROWS`` rows each table gets: what it wants, or an equal part of what the smaller ones leave."""
    rows, left = [0] * len(wanted), _MOST_ROWS
    smallest_first = sorted(range(len(wanted)), key=lambda table: wanted[table])
    for number, table in enumerate(smallest_first):
        rows[table] = min(wanted[table], left // (len(wanted) - number))
        left -= rows[table]
    return rows


def _describe_areas(evaluation: Evaluation, has_beside: bool) -> str:
    useless = f"A useless score's AUPRC is the share of positives, {evaluation.overall.prevalence:.3f} overall"
    if has_beside:
        surely = "surely " if evaluation.bootstrap.replicates else ""
        return f"{useless}; *: the score is not {surely}better"
    if len(evaluation.beside.areas) > 1 and evaluation.by:
        return f"{useless}. What stands beside each group: on a screen of {_COLUMNS} columns, or --json."
    return f"{useless}."


def _area_table(evaluation: Evaluation, rows_of_groups: Sequence[int], names: Sequence[str]) -> Table:
    table = _table("group", "pos.", "neg.", "AUROC", "95% interval", "AUPRC", *map(_head, names), "")
    _fit(table, _GROUP_WIDTHS, names)
    overall = evaluation.overall
    table.add_row("overall", *_cells(overall), *_beside_cells(evaluation, evaluation.beside, names), overall.note or "")
    for (name, groups), most in zip(evaluation.by.items(), rows_of_groups, strict=True):
        table.add_row(f"by {_shortened(name)}")
        for value, group in evaluation.shown(name, most):
            beside = _beside_cells(evaluation, group.beside, names)
            table.add_row(f"  {_shortened(value)}", *_cells(group), *beside, note_of(evaluation, group))
        if len(groups) > most:
            table.add_row(f"  {len(groups) - most:,} more: --json")
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


def _chromosome_table(evaluation: Evaluation, chromosomes: ByChromosome, most: int, names: Sequence[str]) -> Table:
    overall = evaluation.overall
    table = _table(
        "by chromosome", "pos.", "neg.", "AUROC", "95% interval", "AUPRC", "base rate", *map(_head, names), ""
    )
    _fit(table, _CHROMOSOME_WIDTHS, names)
    for name, area in list(chromosomes.areas.items())[:most]:
        cells = (*_cells(area), f"{area.prevalence:.3f}", *_beside_cells(evaluation, area.beside, names))
        table.add_row(f"  {_shortened(name)}", *cells, note_of(evaluation, area))
    if len(chromosomes.areas) > most:
        table.add_row(f"  {len(chromosomes.areas) - most:,} more: --json")
    if chromosomes.num_left_out:
        table.add_row(f"  {number_of(chromosomes.num_left_out, 'other')} lack a label")
    mean = (chromosomes.mean_auroc, chromosomes.mean_auroc_interval, chromosomes.mean_auprc, chromosomes.mean_base_rate)
    pooled = (overall.auroc, overall.auroc_interval, overall.auprc, overall.prevalence)
    for name, (auroc, interval, auprc, base_rate), beside in (
        ("weighted mean", mean, chromosomes.beside),
        ("pooled", pooled, evaluation.beside),
    ):
        cells = (three_places(auroc), _interval(interval), three_places(auprc), three_places(base_rate))
        table.add_row(name, "", "", *cells, *_beside_cells(evaluation, beside, names))
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


def _fit(table: Table, widths: Sequence[int], names: Sequence[str]) -> None:
    """Give every column of a table of areas its least width; the last is for notes."""
    all_widths = (*widths, *(max(len(_head(name)), 6) for name in names), _NOTE_WIDTH)
    for column, width in zip(table.columns, all_widths, strict=True):
        column.min_width = width
    table.columns[-1].justify = "left"


def _beside_groups(evaluation: Evaluation, width: int) -> list[str]:
    """What has a column in the tables of groups: the baselines, then other scores as far as there is room."""
    has_groups = evaluation.by or evaluation.by_chromosome
    return list(evaluation.beside.areas)[1 : 1 + _MOST_BESIDE] if has_groups and width >= _COLUMNS else []


def _head(name: str) -> str:
    return _HEADS.get(name, name if len(name) <= _BESIDE_WIDTH else f"{name[: _BESIDE_WIDTH - 1]}…")


def _beside_cells(evaluation: Evaluation, beside: Beside | None, names: Sequence[str]) -> list[str]:
    has_replicates = evaluation.bootstrap.replicates > 0
    areas = {name: area for name, area in beside.areas.items() if name in names} if beside else {}
    cells = {name: f"{area.auroc:.3f}{' ' if is_passed(area, has_replicates) else '*'}" for name, area in areas.items()}
    return [cells.get(name, "") for name in names]


def _shortened(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"


def _interval(low_high: Interval | None) -> str:
    return "" if low_high is None else f"{low_high[0]:.3f}-{low_high[1]:.3f}"


def say(console: Console, line: str) -> None:
    """Print a sentence on lines of at most 100 columns; what is longer than a line and has no space stays whole."""
    text = textwrap.fill(line, _COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    console.print(text, soft_wrap=True, markup=False)
