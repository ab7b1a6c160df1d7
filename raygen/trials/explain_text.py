"""A variant looked into, on a terminal: where along the window its delta comes from, the bases that matter most, and what the
other alleles of its site score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raygen.classes.classify import CLASSES, class_index
from raygen.classes.words import class_words
from raygen.trials.explain import Explanation, StrandExplanation

LESS, MORE = "#b2182b", "#2166ac"
"""The ends of the colours of ``saturate``: red is less likely, blue is more."""
_BLOCKS = " ▁▂▃▄▅▆▇█"
_HANGING = " ▔▀█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NUM_BASES = 12
_BAR = 14
_REACHES = (
    (-np.inf, 0, "the variant itself"),
    (1, 10, "1 to 10 bases on"),
    (11, 100, "11 to 100 bases on"),
    (101, np.inf, "farther"),
)


def print_explanation(explanation: Explanation, cuts: Sequence[float] | None, console: Console) -> None:
    """Print a variant looked into: strand by strand, then every change at its site. Without ``cuts`` there are no classes."""
    console.print(headline(explanation, cuts), soft_wrap=True, markup=False)
    for strand in explanation.strands:
        console.print()
        _print_strand(strand, console)
    console.print()
    console.print(f"every change at {explanation.chrom}:{explanation.site:,}", markup=False)
    console.print(_allele_table(explanation, cuts))


def headline(explanation: Explanation, cuts: Sequence[float] | None) -> str:
    """The variant, its delta and its class."""
    by_strand = ", ".join(f"{strand.strand} {strand.delta:+.2f}" for strand in explanation.strands)
    strands = f" ({by_strand})" if len(explanation.strands) > 1 else ""
    text = f"{explanation.variant_id}  delta_llr {explanation.delta:+.2f} nats{strands}"
    if (expected := explanation.expected.get(explanation.variant_id)) is not None:
        text += f", delta_context {explanation.delta - expected:+.2f}"
    title = class_of(explanation, explanation.variant_id, explanation.delta, cuts)
    return f"{text}: {title}" if title else text


def class_of(explanation: Explanation, variant_id: str, delta: float, cuts: Sequence[float] | None) -> str:
    """The title of the class of a change at the site with this delta (nats); empty without cut points."""
    if cuts is None:
        return ""
    left = delta - explanation.expected.get(variant_id, 0.0)
    return class_words(CLASSES[int(class_index(np.array(left), cuts))]).title


def by_reach(strand: StrandExplanation) -> list[tuple[str, float]]:
    """How much of the delta lies at the variant and how much at which distance after it, nats.

    An insertion or deletion moves what follows, so at the window's end some bases are in one sequence only; their
    likelihoods do not cancel, and they are shown apart.
    """
    in_one = np.array([not (wt and mut) for wt, mut in zip(strand.wt, strand.mut, strict=True)])
    differs = np.array([wt != mut for wt, mut in zip(strand.wt, strand.mut, strict=True)])
    same = np.flatnonzero(~differs & (np.arange(len(differs)) > strand.first))
    last = int(same[0]) - 1 if len(same) else len(differs) - 1
    at_end = in_one & (np.arange(len(differs)) > last)
    reach = np.arange(len(differs)) - last
    sums = [
        (name, float(strand.difference[(reach >= low) & (reach <= high) & ~at_end].sum()))
        for low, high, name in _REACHES
    ]
    return [*sums, ("the window's end", float(strand.difference[at_end].sum()))] if at_end.any() else sums


def _print_strand(strand: StrandExplanation, console: Console) -> None:
    after = strand.difference[strand.first :]
    console.print(f"{strand.strand} strand: where along the window {strand.delta:+.2f} nats come from", markup=False)
    width = min(max(console.width - 12, 20), 100, len(after))
    edges = np.linspace(0, len(after), width + 1).astype(int)
    sums = np.add.reduceat(after, edges[:-1]) if len(after) else np.zeros(0)
    limit = max(float(np.abs(sums).max(initial=0)), 1e-9)
    console.print(Text(f"{limit:+9.2f}  ", style="dim"), Text(_up(sums, limit), style=MORE), sep="")
    console.print(Text(f"{-limit:+9.2f}  ", style="dim"), Text(_down(sums, limit), style=LESS), sep="")
    first, last = strand.position[strand.first], strand.position[-1]
    bases = f"a column is {len(after) / max(width, 1):,.1f} bases"
    console.print(Text(f"           {first:,} to {last:,}, as it is read; {bases}", style="dim"))
    console.print()
    for name, nats in by_reach(strand):
        console.print(Text(f"  {name:<20}{nats:+8.2f}  "), _bar(nats, max(abs(strand.delta), limit)), sep="")
    console.print()
    console.print(_base_table(strand))


def _base_table(strand: StrandExplanation) -> Table:
    """The bases with the largest differences, in the order in which they are read."""
    order = np.argsort(-np.abs(strand.difference), kind="stable")[:_NUM_BASES]
    rows = sorted(int(index) for index in order if strand.difference[index] != 0)
    limit = max((abs(float(strand.difference[row])) for row in rows), default=1.0)
    table = Table("position", "WT", "MUT", "ln P(WT)", "ln P(MUT)", "difference", "", box=None, pad_edge=False)
    for column in table.columns[3:6]:
        column.justify = "right"
    table.columns[0].justify = "right"
    for row in rows:
        wt, mut = strand.wt[row] or "·", strand.mut[row] or "·"
        style = "bold" if wt != mut else ""
        numbers = [_number(value) for value in (strand.ll_wt[row], strand.ll_mut[row])]
        delta = float(strand.difference[row])
        table.add_row(
            f"{strand.position[row]:,}",
            Text(wt, style),
            Text(mut, style),
            *numbers,
            f"{delta:+.2f}",
            _bar(delta, limit),
        )
    return table


def _allele_table(explanation: Explanation, cuts: Sequence[float] | None) -> Table:
    rows = explanation.alleles.to_pylist()
    limit = max((abs(row["delta_llr"]) for row in rows), default=1.0) or 1.0
    table = Table("allele", "delta_llr", "class", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        is_explained = row["variant_id"] == explanation.variant_id
        name = Text(row["variant_id"] + ("  <" if is_explained else ""), "bold" if is_explained else "")
        title = class_of(explanation, row["variant_id"], row["delta_llr"], cuts)
        table.add_row(name, f"{row['delta_llr']:+.2f}", title, _bar(row["delta_llr"], limit))
    return table


def _bar(value: float, limit: float) -> Text:
    """A bar of eighths of a letter, red below 0 and blue above."""
    eighths = round(min(abs(value) / limit, 1) * _BAR * 8)
    text = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text(text, style=LESS if value < 0 else MORE)


def _up(sums: np.ndarray, limit: float) -> str:
    return "".join(_BLOCKS[round(max(value, 0) / limit * 8)] for value in sums.tolist())


def _down(sums: np.ndarray, limit: float) -> str:
    """Bars that hang; there are only these three heights in Unicode."""
    return "".join(_HANGING[round(max(-value, 0) / limit * 3)] for value in sums.tolist())


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"
