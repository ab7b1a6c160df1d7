"""A contig's rows by stretches of positions, of bounded size, out of files that each are sorted by position and overlap.

The stretches are planned from footers: the rows of a row group are thought to be spread evenly between its first and last
position. Where that is far off, a stretch is halved until it holds no more than twice what is wanted, or one position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.tables.damage import naming_damage
from raygen.tables.layout import PARQUET

_BINS = 1 << 14


class Stretches:
    """The rows of some files of one contig. Row groups without positions (pairs) are left out.

    Args:
        max_rows: of a stretch, about; one position that holds more is still one stretch.
    """

    def __init__(self, paths: Sequence[str], filesystem: fs.FileSystem, max_rows: int) -> None:
        self._dataset = ds.dataset(list(paths), filesystem=filesystem, format=PARQUET) if paths else None
        self._max_rows = max_rows
        groups = [group for path in paths for group in _row_groups(path, filesystem)]
        self._groups = np.array(groups, np.int64).reshape(-1, 3)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Every row once, in stretches that follow each other by position; within one the rows are not sorted."""
        for low, high in self._planned():
            yield from self._read(low, high, columns)

    def _planned(self) -> Iterator[tuple[int, int]]:
        """(first, last) positions, both included, that together cover all rows."""
        if not len(self._groups):
            return
        first, last, rows = self._groups.T
        start, end = int(first.min()), int(last.max())
        width = max(-(-(end - start + 1) // _BINS), 1)
        from_bin, to_bin = (first - start) // width, (last - start) // width
        rows_a_bin = rows / (to_bin - from_bin + 1)
        change = np.zeros(_BINS + 1)
        np.add.at(change, from_bin, rows_a_bin)
        np.add.at(change, to_bin + 1, -rows_a_bin)
        low, rows_in_stretch = start, 0.0
        for number, expected in enumerate(np.cumsum(change[:-1]).tolist()):
            bin_start = start + number * width
            if bin_start > end:
                break
            if rows_in_stretch and rows_in_stretch + expected > self._max_rows:
                yield low, bin_start - 1
                low, rows_in_stretch = bin_start, 0.0
            rows_in_stretch += expected
        yield low, end

    def _read(self, low: int, high: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        assert self._dataset is not None
        first, last, rows = self._groups.T
        at_most = int(rows[(last >= low) & (first <= high)].sum())
        if not at_most:
            return
        here = (ds.field("pos") >= low) & (ds.field("pos") <= high)
        if at_most > 2 * self._max_rows and low < high and self._dataset.count_rows(filter=here) > 2 * self._max_rows:
            middle = (low + high) // 2
            yield from self._read(low, middle, columns)
            yield from self._read(middle + 1, high, columns)
            return
        table = self._dataset.to_table(columns=list(columns) if columns else None, filter=here)
        if len(table):
            yield table


def _row_groups(path: str, filesystem: fs.FileSystem) -> Iterator[tuple[int, int, int]]:
    """First position, last position and rows of each row group that has positions."""
    with naming_damage(path), filesystem.open_input_file(path) as file:
        footer = pq.read_metadata(file)
    column = footer.schema.names.index("pos")
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        statistics = group.column(column).statistics
        if group.num_rows and statistics is not None and statistics.has_min_max:
            yield statistics.min, statistics.max, group.num_rows
