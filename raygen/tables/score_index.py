"""Finished scores by place, without loading them: only row groups that can hold a position are read.

In: a run's folder. Out: rows of a contig by positions or between two, and windows that cut a contig into parts of bounded size.

What a file holds is in its footer, and footers are read as they are needed. The shards of one input are numbered in the order
of their positions, because an input is sorted before it is cut; so the files that reach into a region are found by bisection: some
twenty footers of thousands. A file holds at most 16,384 rows of one contig, so a row group is a small stretch of the genome.

Pairs have no coordinates: their contig is None, and all of them are one window.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from raygen.errors import InputError, first_line
from raygen.tables.fingerprints import no_scores
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.identity import Identity, refuse_other_types
from raygen.tables.layout import RunFolder

WINDOW_ROWS = 1 << 17
"""Rows that are held at a time where nothing else is said: some tens of megabytes with all columns."""
LAST_POS = 2**62
"""A position behind those of every contig (1-based)."""
_SORT_KEYS = ("pos", "ref", "alt", "variant_id")
_NUMBERED = re.compile(r"(.+/part-[0-9a-f]{12})-[0-9]{6}\.parquet")
"""A shard as ``pipeline.shards`` names it: the hash of its input, and its number there. Of other names no order is taken for granted."""
_FOOTERS_A_SEARCH = 24  # of bisecting a million files; beyond as many it is cheaper to read them all


class _RowGroup(NamedTuple):
    """A row group: its first and last position (1-based, both included), its rows, its file and its number in the file.

    The file is named, not held open: a footer of a file with scores is some 50 kB in memory, and there may be 100,000 files.
    """

    first: int
    last: int
    num_rows: int
    file: ds.ParquetFileFragment
    number: int

    def fragment(self) -> ds.ParquetFileFragment:
        """A new fragment that reads this row group only; the footer that it loads is freed with it."""
        return _unread(self.file, [self.number])


class ScoreIndex:
    """The scores of one folder by place.

    Raises:
        InputError: there is no such folder, there are no scores in it, or a file of it cannot be read.
    """

    def __init__(self, path: str) -> None:
        refuse_no_folder(path)
        self.path = path
        self.folder = RunFolder(path)
        dataset = self.folder.scores_dataset()
        if not isinstance(dataset, ds.FileSystemDataset):
            raise no_scores(path)
        identity = self.folder.identity()
        assert identity is not None, "a folder with score files has an identity"
        self.identity: Identity = identity
        names = self.folder.columns.names
        names = [*names, *(name for name in dataset.schema.names if name not in names)]
        self.schema: pa.Schema = pa.schema([dataset.schema.field(name) for name in names])
        self._dataset = dataset
        self._series: dict[str | None, dict[str, _Series]] = {}
        for fragment in dataset.get_fragments():
            chrom = ds.get_partition_keys(fragment.partition_expression)["chrom"]
            numbered = _NUMBERED.fullmatch(fragment.path)
            input_name = numbered[1] if numbered else fragment.path
            series_of_contig = self._series.setdefault(chrom, {})
            series_of_contig.setdefault(input_name, _Series(dataset.schema, chrom is not None)).files.append(fragment)

    @property
    def contigs(self) -> list[str | None]:
        """Contigs that have scores in the folder; None stands for pairs."""
        return list(self._series)

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Rows from ``start`` to ``end`` (1-based, both included), sorted by pos, ref, alt.

        Pairs have no positions: of them all rows, sorted by ``variant_id``.
        """
        inside = (ds.field("pos") >= start) & (ds.field("pos") <= end)
        return self._read(self._groups(chrom, start, end), columns, None if chrom is None else inside)

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Rows at any of ``positions`` (1-based, in any order), sorted by pos, ref, alt."""
        unique_positions = np.unique(np.asarray(positions, np.int64))
        if not len(unique_positions):
            return self._read([], columns, None)
        groups = self._groups_at(chrom, unique_positions)
        return self._read(groups, columns, ds.field("pos").isin(in_memory_of_arrow(unique_positions)))

    def rows_named(self, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Pairs by their ids, sorted by them; every row group of pairs is looked at."""
        return self._read(self._groups(None, 0, LAST_POS), columns, ds.field("variant_id").isin(list(names)))

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover ``start`` to ``end`` without a gap, each with about ``rows`` rows or fewer.

        A window has more rows where many share their positions. Pairs are one window.
        """
        window_start, rows_in_window = start, 0
        for group in self._groups(chrom, start, end):
            if rows_in_window and rows_in_window + group.num_rows > rows and group.first > window_start:
                yield window_start, group.first - 1
                window_start, rows_in_window = group.first, 0
            rows_in_window += group.num_rows
        yield window_start, end

    def _groups(self, chrom: str | None, start: int, end: int) -> list[_RowGroup]:
        all_series = self._series.get(chrom, {}).values()
        return sorted(
            (group for series in all_series for group in series.groups(start, end)), key=lambda group: group[:2]
        )

    def _groups_at(self, chrom: str, positions: np.ndarray) -> list[_RowGroup]:
        """Row groups whose stretch holds one of ``positions``, which ascend."""
        num_files = sum(len(series.files) for series in self._series.get(chrom, {}).values())
        if len(positions) * _FOOTERS_A_SEARCH < num_files:
            spread = (group for pos in positions.tolist() for group in self._groups(chrom, pos, pos))
            return list({(group.file.path, group.number): group for group in spread}.values())
        groups = self._groups(chrom, int(positions[0]), int(positions[-1]))
        after = np.searchsorted(positions, [group.first for group in groups])
        return [
            group
            for group, index in zip(groups, after, strict=True)
            if index < len(positions) and positions[index] <= group.last
        ]

    def _read(self, groups: Sequence[_RowGroup], columns: Sequence[str], inside: ds.Expression | None) -> pa.Table:
        if not groups:
            return pa.schema([self._dataset.schema.field(name) for name in columns]).empty_table()
        fragments = [group.fragment() for group in groups]
        part = ds.FileSystemDataset(fragments, self._dataset.schema, self._dataset.format, self._dataset.filesystem)
        needed = [*columns, *(name for name in _SORT_KEYS if name not in columns)]
        try:
            rows = part.to_table(columns=needed, filter=inside)
            return rows.sort_by([(name, "ascending") for name in _SORT_KEYS]).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error


class _Series:
    """The files of one input on one contig, in the order of their numbers and so of their positions."""

    def __init__(self, of_table: pa.Schema, has_positions: bool) -> None:
        self.files: list[ds.ParquetFileFragment] = []
        self._schema, self._has_positions = of_table, has_positions
        self._groups_by_number: dict[int, list[_RowGroup]] = {}

    def groups(self, start: int, end: int) -> list[_RowGroup]:
        """The row groups that reach into ``start`` to ``end`` (1-based, both included)."""
        count = len(self.files)
        low = bisect_left(range(count), start, key=self._last_up_to)
        high = bisect_right(range(count), end, key=self._first_from)
        candidates = (group for number in range(low, high) for group in self._groups_in(number))
        return [group for group in candidates if group.first <= end and group.last >= start]

    def _groups_in(self, number: int) -> list[_RowGroup]:
        if number not in self._groups_by_number:
            self._groups_by_number[number] = list(_row_groups(self.files[number], self._schema, self._has_positions))
        return self._groups_by_number[number]

    def _last_up_to(self, number: int) -> int:
        """The last position in the files up to ``number``, 0 where they have no rows."""
        return next(
            (self._groups_in(earlier)[-1].last for earlier in range(number, -1, -1) if self._groups_in(earlier)), 0
        )

    def _first_from(self, number: int) -> int:
        return next(
            (self._groups_in(later)[0].first for later in range(number, len(self.files)) if self._groups_in(later)),
            LAST_POS + 1,
        )


def _row_groups(file: ds.ParquetFileFragment, of_table: pa.Schema, has_positions: bool) -> Iterator[_RowGroup]:
    """The row groups of a file that hold rows, from its footer.

    Raises:
        InputError: the footer cannot be read, or the file's columns are not those of the table.
    """
    fragment = _unread(file, None)
    try:
        fragment.ensure_complete_metadata()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file.path, error) from error
    refuse_other_types(file.path, fragment.physical_schema, of_table)
    pos = fragment.metadata.schema.names.index("pos")
    for number in range(fragment.metadata.num_row_groups):
        group = fragment.metadata.row_group(number)
        if group.num_rows:
            place = group.column(pos).statistics if has_positions else None
            first, last = (place.min, place.max) if place else (0, LAST_POS)
            yield _RowGroup(first, last, group.num_rows, file, number)


def _unread(file: ds.ParquetFileFragment, row_groups: Sequence[int] | None) -> ds.ParquetFileFragment:
    """The same file, or some row groups of it, with no footer loaded yet."""
    return file.format.make_fragment(file.path, file.filesystem, file.partition_expression, row_groups=row_groups)


def _unreadable(path: str, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as scores; a file may be truncated or corrupt: {first_line(error)}.")


def in_memory_of_arrow(positions: np.ndarray) -> pa.Array:
    """A copy of int64 values for a filter, in memory that Arrow can free without Python.

    Arrow's threads keep a filter for a moment after the last row. numpy's memory is given back through the interpreter; where that had
    begun to end, the process aborted ("terminate called without an active exception") after everything was printed.
    """
    return pc.unique(pa.array(positions, pa.int64()))
