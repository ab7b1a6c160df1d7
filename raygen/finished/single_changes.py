"""Single-base changes of two tables side by side: of position tables, or of scores.

In: a folder of either kind. Out: its changes by place, four deltas a base, a window of positions of bounded size at a time.

Shapes:  P bases
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from raygen.finished.run_facts import TableByPlace, refuse_pairs
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import BASES, codes_of, delta_columns, deltas_of
from raygen.tables.score_index import LAST_POS, ScoreIndex


@dataclass(frozen=True)
class Changes:
    """The changes of P bases of a contig.

    Attributes:
        pos: (P,) 1-based, ascending, each once.
        code: (P,) which of BASES the reference has there; below 0 for none of them.
        delta: (4, P) float64, the delta of the change to each of BASES in nats; NaN where there is none.
    """

    pos: np.ndarray
    code: np.ndarray
    delta: np.ndarray


class SingleChanges(Protocol):
    """The single-base changes of one table.

    Attributes:
        table: where they are read.
        num_others: rows of the windows that were read so far that are no single-base changes.
    """

    table: TableByPlace
    num_others: int

    def windows(self, chrom: str, rows: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover ``start`` to ``end`` without a gap, each with about ``rows`` rows or fewer."""
        ...

    def between(self, chrom: str, start: int, end: int) -> Changes:
        """The changes of the bases from ``start`` to ``end`` (1-based, both included)."""
        ...


def single_changes(path: str) -> SingleChanges:
    """The single-base changes of the table in a folder.

    Raises:
        InputError: there is no table, or it is one of scores of pairs.
    """
    return _OfPositions(path) if holds_positions(path) else _OfScores(path)


def joint_windows(
    old: SingleChanges, old_name: str, new: SingleChanges, new_name: str, rows: int
) -> Iterator[tuple[int, int]]:
    """Windows of positions of a contig, first to last, in which neither table has many more than ``rows`` rows."""
    for first, last in old.windows(old_name, rows, 1, LAST_POS):
        yield from new.windows(new_name, rows, first, last)


class _OfPositions:
    """Those of a position table."""

    def __init__(self, path: str) -> None:
        self._rows = PositionRows(path)
        self.table: TableByPlace = self._rows
        self.num_others = 0

    def windows(self, chrom: str, rows: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        firsts = [first for first, _ in self._rows.windows(chrom, rows, start, end)]
        edges = [start, *firsts[1:], end + 1]
        yield from ((first, after - 1) for first, after in pairwise(edges))

    def between(self, chrom: str, start: int, end: int) -> Changes:
        rows = self._rows.rows_between(chrom, start, end, ["pos", "ref", *delta_columns(both_strands=False)])
        delta = deltas_of(rows).T.astype(np.float64, order="C")
        return Changes(rows["pos"].to_numpy(), codes_of(rows["ref"]), delta)


class _OfScores:
    """Those of scores: the rows whose REF and ALT are one base each."""

    def __init__(self, path: str) -> None:
        self._index = ScoreIndex(path)
        refuse_pairs(self._index, "a comparison with a position table")
        self.table: TableByPlace = self._index
        self.num_others = 0

    def windows(self, chrom: str, rows: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        yield from self._index.windows(chrom, rows, start, end)

    def between(self, chrom: str, start: int, end: int) -> Changes:
        rows = self._index.rows_between(chrom, start, end, ["pos", "ref", "alt", "delta_llr"])
        ref, alt = codes_of(rows["ref"]), codes_of(rows["alt"])
        is_change = (ref >= 0) & (alt >= 0)
        self.num_others += int((~is_change).sum())
        pos, first, row = np.unique(rows["pos"].to_numpy()[is_change], return_index=True, return_inverse=True)
        delta = np.full((len(BASES), len(pos)), np.nan)
        delta[alt[is_change], row] = rows["delta_llr"].to_numpy()[is_change]
        return Changes(pos, ref[is_change][first], delta)
