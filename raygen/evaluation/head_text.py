"""A head in the terminal: what it reads and holds for, how it was tested, what stands beside it on the same rows, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from raygen.classes.head import Compared, ComparedRows, HeadFacts
from raygen.evaluation.evaluation_text import say, signed
from raygen.evaluation.head_fit import HEAD, ZERO_SHOT
from raygen.number_of import number_of

_WIDEST = 28


def print_head(facts: HeadFacts, digest: str, console: Console) -> None:
    """Print a head: what it is, its areas beside the others', by consequence, and what they say."""
    for line in describe_head(facts, digest):
        say(console, line)
    console.print(_areas_table(facts.result))
    say(console, "All were measured on the rows that each fold left out; areas and differences are means over folds.")
    if facts.by_consequence:
        console.print(_consequence_table(facts.by_consequence))
    for sentence in facts.verdict:
        say(console, sentence)
    for remark in facts.remarks:
        say(console, f"note: {remark}")


def describe_head(facts: HeadFacts, digest: str) -> Iterator[str]:
    """What a head holds for, what it reads and how its folds were made, a line each; folds of random rows are said first."""
    if facts.folds.random_rows:
        yield "warning: tested on folds of random rows, as asked for: its areas flatter."
    inputs, folds, labels = facts.inputs, facts.folds, facts.labels
    of_model = f" of model {facts.model}" if facts.model else ""
    yield f"head {digest}, for scores{of_model} with fingerprint {facts.fingerprint}"
    strands = (
        "" if len(inputs.strands) == 1 else f", strands {'averaged' if inputs.strand_use == 'mean' else 'side by side'}"
    )
    states = "WT and MUT less WT" if inputs.feature == "concat" else "the amount of MUT less WT"
    beside = f", beside {' and '.join(inputs.columns)}" if inputs.columns else ""
    yield (
        f"reads {inputs.layer} over {inputs.pool}: {states}{strands}{beside}; {inputs.num_features:,} features, penalty {facts.penalty:g}"
    )
    licence = f", licence {facts.labels_licence}" if facts.labels_licence else ""
    yield (
        f"labels: {labels.num_positive:,} positive ({', '.join(labels.positive)}) and {labels.num_negative:,} negative "
        f"({', '.join(labels.negative)}) by {labels.label} of {labels.source}{licence}"
    )
    why = f" ({folds.why_not_larger})" if folds.why_not_larger else ""
    yield (
        f"{number_of(folds.num_folds, 'fold')} part none of {folds.groups}{why}; the penalty was chosen by {folds.num_inner_folds} inner "
        f"ones; seed {folds.seed}"
    )


def _areas_table(result: ComparedRows) -> Table:
    rows = f"{result.num_positive:,} pos., {result.num_negative:,} neg."
    table = _table(rows, "AUROC", "less the head's, 95%", "AUPRC", "less the head's, 95%")
    for name, area in result.areas.items():
        auroc, auprc = ("", "") if name == HEAD else _differences(area)
        table.add_row(name, f"{area.auroc:.3f}", auroc, f"{area.auprc:.3f}", auprc)
    return table


def _consequence_table(by_consequence: Mapping[str, ComparedRows]) -> Table:
    table = _table(
        "under each consequence",
        "pos.",
        "neg.",
        "groups",
        "head",
        "zero-shot",
        "less the head's, 95%",
        "AUPRC",
        "zero-shot",
    )
    for value, result in by_consequence.items():
        head, zero_shot = result.areas[HEAD], result.areas[ZERO_SHOT]
        counts = (f"{result.num_positive:,}", f"{result.num_negative:,}", f"{result.num_groups:,}")
        auroc = (f"{head.auroc:.3f}", f"{zero_shot.auroc:.3f}", _differences(zero_shot)[0])
        table.add_row(value, *counts, *auroc, f"{head.auprc:.3f}", f"{zero_shot.auprc:.3f}")
    return table


def _differences(area: Compared) -> tuple[str, str]:
    return (
        signed(area.difference, area.difference_interval),
        signed(area.auprc_difference, area.auprc_difference_interval),
    )


def _table(*heads: str) -> Table:
    table = Table(*heads, box=None, pad_edge=False, collapse_padding=True)
    table.columns[0].max_width = _WIDEST
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    return table
