"""A background in words: how many scores each group has, and where its most harmful hundredth and thousandth begin."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raygen.classes.score_counts import ScoreCounts
from raygen.finished.make_background import MadeBackground
from raygen.number_of import number_of

_MOST_ROWS = 30
_LOWEST = np.array([-np.inf])


def print_background(made: MadeBackground, console: Console) -> None:
    """Print what a background holds; deltas in nats."""
    background = made.background
    table = Table("group", "scores", "median", "PHRED 20", "PHRED 30", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    groups = sorted(background.groups.items(), key=lambda group: -group[1].num_scores)
    if len(groups) > 1:
        table.add_row("all", *_cells(background.every))
    for name, counts in groups[:_MOST_ROWS]:
        table.add_row(escape(name), *_cells(counts))
    console.print(table)
    facts = background.facts
    lines = [f"fingerprint {facts.fingerprint}, model {facts.model}; from {'; '.join(facts.sources)}"]
    if len(groups) > _MOST_ROWS:
        lines.insert(0, f"{len(groups) - _MOST_ROWS:,} more groups")
    lines.append(
        f"PHRED reaches {background.phred(_LOWEST)[0]:.1f}; a percentile is too large by at most {background.every.rank_error:.1e}"
    )
    if background.contexts:
        seen = int((background.contexts.num_sites > 0).sum())
        lines.append(
            f"contexts learnt from {number_of(background.contexts.num_changes, 'change')}, {facts.neutral}; {number_of(seen, 'context')} of 3,072 seen"
        )
    lines += [f"note: {remark}" for remark in made.remarks]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _cells(counts: ScoreCounts) -> list[str]:
    shares = (0.5, 0.01, 0.001)
    return [
        f"{counts.num_scores:,}",
        *(f"{counts.score_at(share):.3f}" if counts.num_scores * share >= 1 else "" for share in shares),
    ]
