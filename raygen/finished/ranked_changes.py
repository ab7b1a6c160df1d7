"""A position table's changes with their ranks in a background, which are computed as they are read: the table itself has none.

In: changes by place, and a background of their fingerprint. Out: the same rows with ``percentile`` and ``phred``, the columns of groups where a
position table can tell them (it has no column to group by), and ``delta_context`` where the FASTA is at hand.

Shapes:  R changes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from raygen.classes.background import DELTA_CONTEXT, Background, phred_of
from raygen.finished.run_facts import TableByPlace
from raygen.tables.score_index import LAST_POS, WINDOW_ROWS

_OF_ALL = ("percentile", "phred")
_OF_GROUPS = ("percentile_in_group", "background_group")
_NEEDED = ("chrom", "pos", "ref", "alt", "delta_llr")


class RankedChanges:
    """Changes by place with the columns of a background.

    Attributes:
        schema: that of the changes, with what is added behind.
    """

    def __init__(
        self, changes: TableByPlace, background: Background, bases: Callable[[str], np.ndarray] | None
    ) -> None:
        """``bases`` gives the bases of a contig of the FASTA that was scored; None where that is not at hand."""
        self._changes, self._bases = changes, bases
        self._background = background if bases else replace(background, contexts=None)
        self.path, self.folder, self.contigs = changes.path, changes.folder, changes.contigs
        self.identity = replace(changes.identity, background=background.digest)
        left_out = _OF_GROUPS if background.facts.group_column else ()
        self._added = [name for name in self._background.columns if name not in left_out]
        types = {"background_group": pa.string()}
        self.schema = pa.schema(
            [*changes.schema, *(pa.field(name, types.get(name, pa.float64())) for name in self._added)]
        )

    @property
    def remarks(self) -> list[str]:
        """What of the background's columns is not there, and why."""
        remarks = []
        if column := self._background.facts.group_column:
            remarks.append(f"{' and '.join(_OF_GROUPS)} are left out: a position table has no {column} to group by.")
        if self._bases is None and DELTA_CONTEXT not in self._added:
            remarks.append(f"{DELTA_CONTEXT} is left out: the FASTA of the scores is not at hand (--reference).")
        return remarks

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover all changes from ``start`` to ``end``, each with about ``rows`` changes or fewer."""
        return self._changes.windows(chrom, rows, start, end)

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases from ``start`` to ``end`` (1-based, both included), sorted by pos and alt."""
        return self._ranked(self._changes.rows_between(chrom, start, end, self._read(columns)), columns)

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases at any of ``positions`` (1-based, in any order), sorted by pos and alt."""
        return self._ranked(self._changes.rows_at(chrom, positions, self._read(columns)), columns)

    def _read(self, columns: Sequence[str]) -> list[str]:
        """Columns of the changes that these columns are made of."""
        needed = _NEEDED if any(name in self._added for name in columns) else ()
        return list(dict.fromkeys([*(name for name in columns if name not in self._added), *needed]))

    def _ranked(self, rows: pa.Table, columns: Sequence[str]) -> pa.Table:
        added = [name for name in columns if name in self._added]
        if added and set(added) <= set(_OF_ALL):  # nine tenths of the work is groups and contexts
            shares = self._background.every.shares(rows["delta_llr"].to_numpy())
            rows = rows.append_column("percentile", pa.array(shares)).append_column("phred", pa.array(phred_of(shares)))
        elif added:
            rows = self._background.append_columns(rows, None, self._bases)
        return rows.select(list(columns))
