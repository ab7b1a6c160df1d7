"""A position table read by place as scores: a row for each single-base change.

In: the rows of a position table. Out: its changes, sorted by position and ALT, with columns of SCORES, a window of bounded size at a time; what
exports scores exports these.

Shapes:  R bases
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import ALTS, BASES, DELTAS, changes_schema, deltas_of, flag_lists
from raygen.tables.schemas import variant_ids
from raygen.tables.score_index import LAST_POS, WINDOW_ROWS


class PositionScores:
    """The changes of a position table by place. A base has three rows, by ALT; of a delta that is null there is none.

    Attributes:
        schema: columns of SCORES that the table has an answer for, and ``entropy``.
    """

    def __init__(self, rows: PositionRows) -> None:
        self._rows = rows
        self.path, self.folder, self.identity, self.contigs = rows.path, rows.folder, rows.identity, rows.contigs
        self.schema = changes_schema(rows.has_both_strands)

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover all changes from ``start`` to ``end``, each with about ``rows`` changes or fewer."""
        return self._rows.windows(chrom, rows // ALTS, start, end)

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases from ``start`` to ``end`` (1-based, both included), sorted by pos and alt."""
        return self._changes(self._rows.rows_between(chrom, start, end, _columns_for(columns)), columns)

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases at any of ``positions`` (1-based, in any order), sorted by pos and alt."""
        return self._changes(self._rows.rows_at(chrom, positions, _columns_for(columns)), columns)

    def _changes(self, bases: pa.Table, columns: Sequence[str]) -> pa.Table:
        change = np.flatnonzero(~np.isnan(deltas_of(bases)))  # row * 4 + the base that it is changed to
        row = change // len(BASES)
        changes = bases.select(["chrom", "pos", "ref"]).take(pa.array(row))
        changes = changes.append_column("alt", pa.array(BASES).take(pa.array(change % len(BASES))))
        for name in columns:
            if name in DELTAS:
                changes = changes.append_column(name, pa.array(deltas_of(bases, name).reshape(-1)[change]))
            elif name == "entropy":
                changes = changes.append_column(name, bases[name].take(pa.array(row)))
            elif name == "flags":
                changes = changes.append_column(name, flag_lists(bases[name].to_numpy()[row]))
            elif name == "variant_id":
                changes = changes.append_column(name, variant_ids(changes))
        return changes.select(list(columns))


def _columns_for(columns: Sequence[str]) -> list[str]:
    """Columns of a position table that these columns of changes are read off."""
    deltas = [f"delta_{base}{DELTAS[name]}" for name in ("delta_llr", *columns) if name in DELTAS for base in BASES]
    others = [name for name in columns if name in ("entropy", "flags")]
    return list(dict.fromkeys(["chrom", "pos", "ref", *deltas, *others]))
