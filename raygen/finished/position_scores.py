"""A position table read by place: as it is, a row for each base, or as scores, a row for each single-base change.

In: a folder of ``raygen tabulate``. Out: rows by position, sorted, a window of bounded size at a time; what exports scores exports these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.tables.columns import string_lists
from raygen.tables.layout import RunFolder
from raygen.tables.position_table import BASES, POSITIONS_FOLDER, PositionFolder, flags_of, has_both_strands
from raygen.tables.schemas import variant_ids
from raygen.tables.score_index import LAST_POS, WINDOW_ROWS, ScoreIndex

_SUFFIX_OF_DELTA = {"delta_llr": "", "delta_fwd": "_fwd", "delta_rev": "_rev"}
"""Which deltas of a base are those of a column of scores: ``delta_A`` and so on, with this at the end."""


def is_position_table(path: str) -> bool:
    """Whether the folder at ``path`` holds a position table, and no scores."""
    folder = RunFolder(path)
    return folder.is_folder(POSITIONS_FOLDER) and not folder.is_folder(folder.rows)


class PositionIndex(ScoreIndex):
    """The bases of a position table by place: columns ``chrom, pos, ref, delta_A`` to ``delta_T``, and on."""

    kind: ClassVar[type[RunFolder]] = PositionFolder
    sort_keys: ClassVar[Sequence[str]] = ("pos",)

    def no_rows(self) -> InputError:
        """The error that says that the table has no rows yet."""
        return InputError(
            f"{self.path} holds no positions yet: there are no files {self.path}/{POSITIONS_FOLDER}/chrom=.../part-*.parquet."
        )


class PositionScores(PositionIndex):
    """The changes of a position table by place, each a row with the columns of SCORES that the table has an answer for, and ``entropy``.

    A base has three rows, by ALT; of a delta that is null there is none.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._wide = self.schema
        strands = ["delta_fwd", "delta_rev"] if has_both_strands(self._wide) else []
        self.schema = pa.schema(
            [
                *(pa.field(name, pa.string()) for name in ("variant_id", "chrom")),
                pa.field("pos", pa.int64()),
                *(pa.field(name, pa.string()) for name in ("ref", "alt")),
                *(pa.field(name, pa.float32()) for name in ("delta_llr", *strands, "entropy")),
                pa.field("flags", pa.list_(pa.string())),
            ]
        )

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """As ``ScoreIndex.windows``, with about ``rows`` changes in each."""
        return super().windows(chrom, rows // (len(BASES) - 1), start, end)

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases from ``start`` to ``end`` (1-based, both included), sorted by pos and alt."""
        return self._changes(super().rows_between(chrom, start, end, self._needed(columns)), columns)

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """The changes of the bases at any of ``positions`` (1-based, in any order), sorted by pos and alt."""
        return self._changes(super().rows_at(chrom, positions, self._needed(columns)), columns)

    def _needed(self, columns: Sequence[str]) -> list[str]:
        """Columns of the table that these columns of changes are of."""
        deltas = [
            f"delta_{base}{_SUFFIX_OF_DELTA[name]}" for name in columns if name in _SUFFIX_OF_DELTA for base in BASES
        ]
        places = ["chrom", "pos", "ref", *(f"delta_{base}" for base in BASES)]
        return list(dict.fromkeys([*places, *deltas, *(name for name in columns if name in self._wide.names)]))

    def _changes(self, bases: pa.Table, columns: Sequence[str]) -> pa.Table:
        change = np.flatnonzero(~np.isnan(_deltas(bases, "")))  # row * 4 + the base that it is changed to
        row = pa.array(change // len(BASES))
        changes = bases.select(["chrom", "pos", "ref"]).take(row)
        changes = changes.append_column("alt", pa.array(BASES).take(pa.array(change % len(BASES))))
        for name in columns:
            if name in _SUFFIX_OF_DELTA:
                changes = changes.append_column(name, pa.array(_deltas(bases, _SUFFIX_OF_DELTA[name])[change]))
            elif name == "entropy":
                changes = changes.append_column(name, bases[name].take(row))
            elif name == "flags":
                changes = changes.append_column(name, _flag_names(bases[name]).take(row))
            elif name == "variant_id":
                changes = changes.append_column(name, variant_ids(changes))
        return changes.select(list(columns))


def _deltas(bases: pa.Table, suffix: str) -> np.ndarray:
    """(4 * R,) changes of R bases, those of a base beside each other; NaN where there is none."""
    return np.stack([bases[f"delta_{base}{suffix}"].to_numpy() for base in BASES], axis=1).reshape(-1)


def _flag_names(bitmaps: pa.ChunkedArray) -> pa.ListArray:
    """The names of the flags of each of R bitmaps."""
    distinct = pc.dictionary_encode(bitmaps).combine_chunks()
    values = distinct.dictionary.to_numpy()
    return string_lists(flags_of(values), len(values)).take(distinct.indices)
