"""Sorts more variants than fit in memory, by contig and position, and finds duplicates on the way.

In: tables of variants in input order. Out: the same rows, sorted by (contig, pos, ref, alt, order), in tables of bounded size.

Rows are collected up to a budget and then written to one scratch file (a run), arranged by bin: a bin is 2^18 positions of one
contig. When all are in, neighbouring bins are read back from every run, together no more than the budget asks for, and sorted.
A variant and its duplicates share a position, so they meet in one bin. One bin of a genome where every base is mutated to all
others holds 786,432 rows, which bounds the memory from the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

SORT_KEYS = ["contig", "pos", "ref", "alt", "order"]
_BIN_BITS = 18
_BATCH_ROWS = 1024  # a bin is read back with up to two of these more than it needs, from each run
_CONTIG_BITS = 40  # a key is contig << 40 | bin


@dataclass(frozen=True)
class _Run:
    """Rows arranged by bin: those of ``bins[i]`` are ``starts[i]`` to ``starts[i + 1]``. In memory, or in a scratch file.

    A file holds record batches that begin at the rows ``batch_starts``. They are read, not mapped: pages of a map stay resident, and
    shuffled input touches all of them.
    """

    bins: np.ndarray
    starts: np.ndarray
    batch_starts: np.ndarray
    source: pa.Table | Path

    def rows_between(self, first_bin: int, last_bin: int) -> pa.Table | None:
        """Rows of the bins from ``first_bin`` to ``last_bin``, both included."""
        low, high = np.searchsorted(self.bins, [first_bin, last_bin + 1])
        start, end = int(self.starts[low]), int(self.starts[high])
        if start == end:
            return None
        if isinstance(self.source, pa.Table):
            return self.source.slice(start, end - start)
        first_batch = int(np.searchsorted(self.batch_starts, start, side="right")) - 1
        end_batch = int(np.searchsorted(self.batch_starts, end))
        with pa.OSFile(str(self.source), "rb") as file, pa.ipc.open_file(file) as reader:
            table = pa.Table.from_batches([reader.get_batch(index) for index in range(first_batch, end_batch)])
        return table.slice(start - int(self.batch_starts[first_batch]), end - start)


def _write_run(path: Path, table: pa.Table, batch_starts: np.ndarray) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for start, end in zip(batch_starts, [*batch_starts[1:], table.num_rows], strict=True):
            writer.write_table(table.slice(start, end - start))


class ExternalSort:
    """Collects rows; ``sorted_tables`` gives them back in order.

    ``scratch`` is an existing folder; at most about ``budget_rows`` rows (or ``budget_bytes``) are held at a time. Tables need
    the columns ``contig`` (int32, 0 or more), ``pos`` (int64, 1-based), ``ref``, ``alt`` (string) and ``order`` (int64, unique).
    """

    def __init__(self, scratch: Path, budget_rows: int = 200_000, budget_bytes: int = 1 << 28) -> None:
        self._scratch = scratch
        self._budget_rows = budget_rows
        self._budget_bytes = budget_bytes
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._runs: list[_Run] = []

    def add(self, table: pa.Table) -> None:
        """Take in some rows; now and then this writes a scratch file."""
        self._pending.append(table)
        self._pending_rows += table.num_rows
        self._pending_bytes += table.nbytes
        if self._pending_rows >= self._budget_rows or self._pending_bytes >= self._budget_bytes:
            self._end_run(to_disk=True)

    def sorted_tables(self) -> Iterator[pa.Table]:
        """All rows in order of ``SORT_KEYS``; rows that differ only in ``order`` are always in the same table."""
        if self._pending_rows:
            self._end_run(to_disk=bool(self._runs))
        for first_bin, last_bin in self._bin_ranges():
            parts = [part for run in self._runs if (part := run.rows_between(first_bin, last_bin)) is not None]
            yield _sorted(pa.concat_tables(parts))

    def _end_run(self, *, to_disk: bool) -> None:
        table = pa.concat_tables(self._pending).combine_chunks()
        keys = (table["contig"].to_numpy().astype(np.int64) << _CONTIG_BITS) | (
            (table["pos"].to_numpy() - 1) >> _BIN_BITS
        )
        if np.any(np.diff(keys) < 0):
            order = np.argsort(keys, kind="stable")
            table, keys = table.take(pa.array(order)), keys[order]
        bins, starts = np.unique(keys, return_index=True)
        batch_starts = np.arange(0, len(keys), _BATCH_ROWS)
        source: pa.Table | Path = table
        if to_disk:
            source = self._scratch / f"run-{len(self._runs):06d}.arrow"
            _write_run(source, table, batch_starts)
        self._runs.append(_Run(bins, np.append(starts, len(keys)), batch_starts, source))
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def _bin_ranges(self) -> Iterator[tuple[int, int]]:
        """Neighbouring bins that together hold about ``budget_rows`` rows, or one that holds more."""
        if not self._runs:
            return
        bins, inverse = np.unique(np.concatenate([run.bins for run in self._runs]), return_inverse=True)
        sizes = np.bincount(inverse, np.concatenate([np.diff(run.starts) for run in self._runs])).astype(np.int64)
        first, rows = 0, 0
        for index, size in enumerate(sizes.tolist()):
            if rows and rows + size > self._budget_rows:
                yield int(bins[first]), int(bins[index - 1])
                first, rows = index, 0
            rows += size
        yield int(bins[first]), int(bins[-1])


def _sorted(table: pa.Table) -> pa.Table:
    """The rows in order of ``SORT_KEYS``. Polars orders the keys and Arrow moves the rows: source columns keep their
    types.
    """
    keys = pl.from_arrow(table.select(SORT_KEYS))
    assert isinstance(keys, pl.DataFrame)
    order = keys.with_row_index("row").sort(SORT_KEYS)["row"].to_numpy()
    return table.combine_chunks().take(pa.array(order))


def repeats_of_previous(table: pa.Table) -> np.ndarray:
    """Which rows of a sorted table name the same variant as the row before: (N,) bool."""
    keys = pl.from_arrow(table.select(SORT_KEYS[:-1]))
    assert isinstance(keys, pl.DataFrame)
    same = keys.select(
        pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in SORT_KEYS[:-1])
        .fill_null(False)
        .alias("same")
    )
    return same["same"].to_numpy()
