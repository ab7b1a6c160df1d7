"""Scores of every change in a region as a table of position by change, for a file, a picture and a screen.

Shapes: P positions of the region, C the five changes (to A, C, G, T, and the deletion of the base).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raygen.classes.colours import text_colour, tint
from raygen.tables.schemas import variant_ids

CHANGES = ("A", "C", "G", "T", "deletion")
_DELETION = 4


@dataclass(frozen=True)
class Saturation:
    """What every change in a region does.

    Attributes:
        chrom, start: where the first position is, 1-based.
        reference: (P,) letters of the reference.
        delta: (P, C) float64 ``delta_llr`` in nats; NaN where there is no such change or no score.
    """

    chrom: str
    start: int
    reference: str
    delta: np.ndarray

    @property
    def end(self) -> int:
        """The last position, 1-based and included."""
        return self.start + len(self.reference) - 1

    @property
    def num_scored(self) -> int:
        """Cells that hold a score; a deletion in a run of equal bases fills several."""
        return int(np.isfinite(self.delta).sum())

    @cached_property
    def limit(self) -> float:
        """Where the colours end, in nats on both sides of 0: 99 of 100 substitutions lie within.

        Deletions move all that follows against the window's end, so their scores spread wider; by their scale
        substitutions would all look white.
        """
        magnitudes = np.abs(self.delta[:, :_DELETION][np.isfinite(self.delta[:, :_DELETION])])
        return max(float(np.percentile(magnitudes, 99)), 1e-3) if len(magnitudes) else 1.0

    def most_negative(self, count: int) -> list[int]:
        """Rows of the positions whose worst substitution is the most negative, worst first."""
        substitutions = self.delta[:, :_DELETION]
        worst = np.min(np.where(np.isfinite(substitutions), substitutions, np.inf), axis=1)
        order = np.argsort(worst, kind="stable")[:count]
        return [int(row) for row in order if np.isfinite(worst[row])]


def lay_out(chrom: str, start: int, reference: str, variants: pa.Table, deltas: Mapping[str, float]) -> Saturation:
    """Put scores in their places.

    Args:
        reference: letters of the region's P positions.
        variants: as ``saturating_variants`` makes them: with ``first`` and ``last``, the positions each stands for.
        deltas: ``delta_llr`` by variant id; a variant that is not in it has no score.
    """
    table = np.full((len(reference), len(CHANGES)), np.nan)
    columns = [variants[name].to_pylist() for name in ("ref", "alt", "first", "last")]
    for name, ref, alt, first, last in zip(variant_ids(variants).to_pylist(), *columns, strict=True):
        change = CHANGES.index(alt) if len(ref) == 1 else _DELETION
        table[first - start : last - start + 1, change] = deltas.get(name, np.nan)
    return Saturation(chrom, start, reference, table)


def as_tsv(saturation: Saturation) -> str:
    """``pos, ref, A, C, G, T, deletion``: one line a position, empty where there is no score."""
    lines = ["\t".join(("pos", "ref", *CHANGES))]
    for row, (ref, deltas) in enumerate(zip(saturation.reference, saturation.delta.tolist(), strict=True)):
        values = ["" if np.isnan(delta) else f"{delta:.6g}" for delta in deltas]
        lines.append("\t".join((str(saturation.start + row), ref, *values)))
    return "\n".join(lines) + "\n"


def print_most_negative(saturation: Saturation, console: Console, count: int = 12) -> None:
    """Print the positions where a substitution costs the most, as a table with the picture's colours."""
    rows = saturation.most_negative(count)
    if not rows:
        return
    shown = [change for change in range(len(CHANGES)) if np.isfinite(saturation.delta[:, change]).any()]
    table = Table("position", "ref", *(CHANGES[change] for change in shown), box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        cells = [_cell(saturation, row, change) for change in shown]
        table.add_row(f"{saturation.chrom}:{saturation.start + row}", saturation.reference[row], *cells)
    console.print(table)


def _cell(saturation: Saturation, row: int, change: int) -> Text:
    delta = float(saturation.delta[row, change])
    if np.isnan(delta):
        return Text("·" if saturation.reference[row] == CHANGES[change] else "", justify="right")
    colour = tint(delta / saturation.limit)
    return Text(f"{delta:7.2f}", style=f"{text_colour(colour)} on {colour}")
