"""The rows of a position table by place, without loading it: only row groups that can hold a wanted position are read.

In: a folder of ``raygen tabulate``. Out: rows of a contig at positions or between two, and windows that cut a contig into parts of bounded size.

Which file holds a position is known without looking into it: a shard has in its name where its tile begins, and the tiles of a reference do
not overlap. Two shards share a tile where regions were added later; both are asked. Of other files (compacted ones are numbered in the order
of their positions) the footer says where they begin, and it is read when it is needed: five footers of thirty for one position.

Reading is Arrow's work, in threads: some 25 million rows a second and core, checksums included.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.errors import InputError, first_line
from raygen.tables.damage import naming_damage
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.identity import Identity, identity_of
from raygen.tables.layout import RunFolder
from raygen.tables.position_table import PositionFolder, has_both_strands
from raygen.tables.score_index import LAST_POS, WINDOW_ROWS

_TILE = re.compile(r"(.+/part-[0-9a-f]{12}-[0-9]{5,})-([0-9]{10,})(?:-[0-9a-f]{8})?\.parquet")
"""A shard as ``pipeline.position_shards`` names it: the hash of all tiles and its contig's number, then its tile's first base (0-based)."""
_NUMBERED = re.compile(r"(.+/part-compact-[0-9a-f]{12})-[0-9]{4,}\.parquet")
"""A file as ``compact`` names it: the hash of what was merged, and its number there."""
_PIECE = 1 << 16
"""Positions that are looked for in one go in one file: four row groups where every base is wanted, some 4 MB."""
_AT_ONCE_FAR_AWAY = 16
"""Files that are read at a time from object storage, where most of the time is waiting."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class PositionRows:
    """The rows of one position table by place.

    Attributes:
        schema: the columns of the table, ``chrom`` first.

    Raises:
        InputError: there is no such folder, it is no position table, or a file of it cannot be read.
    """

    def __init__(self, path: str) -> None:
        refuse_no_folder(path)
        self.path = path
        self.folder = PositionFolder(path)
        files = self.folder.score_files()
        if not files:
            raise _no_positions(self.folder)
        with naming_damage(files[0].path), self._open(files[0].path) as source:
            schema = pq.read_schema(source)
        if b"raygen.fingerprint" not in (schema.metadata or {}):
            raise InputError(f"{files[0].path} was not written by raygen.")
        self.identity: Identity = identity_of(schema)
        self.schema: pa.Schema = pa.schema([pa.field("chrom", pa.string()), *schema])
        self.has_both_strands = has_both_strands(schema)
        self._series: dict[str, dict[str, _Series]] = {}
        for file in files:
            matched = _TILE.fullmatch(file.path) or _NUMBERED.fullmatch(file.path)
            assert file.chrom is not None, "bases lie on contigs"
            series_of_contig = self._series.setdefault(file.chrom, {})
            series_of_contig.setdefault(matched[1] if matched else file.path, _Series(self._first_pos)).add(file.path)

    @property
    def contigs(self) -> list[str]:
        """Contigs that have rows in the table."""
        return list(self._series)

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Rows at any of ``positions`` (1-based, in any order), sorted by them."""
        wanted = _distinct(np.asarray(positions, np.int64))
        pieces: list[tuple[str, _Wanted]] = []
        for file in self._files(chrom, int(wanted[0]), int(wanted[-1])) if len(wanted) else ():
            low, high = np.searchsorted(wanted, [file.first, file.last + 1])
            pieces += [
                (file.path, _Places(wanted[start : min(start + _PIECE, high)])) for start in range(low, high, _PIECE)
            ]
        return self._rows(chrom, pieces, columns)

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Rows from ``start`` to ``end`` (1-based, both included), sorted by position; none without a contig."""
        files = self._files(chrom, start, end)
        return self._rows(chrom, [(file.path, _Stretch(start, end)) for file in files], columns)

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover all rows from ``start`` to ``end`` and do not overlap, each with about ``rows`` rows or fewer."""
        files = self._files(chrom, start, end)
        groups = sorted(
            group for of_file in self._each(self._groups, [file.path for file in files]) for group in of_file
        )
        window: tuple[int, int, int] | None = None
        for first, last, num_rows in (
            (max(first, start), min(last, end), num_rows) for first, last, num_rows in groups
        ):
            if first > last:
                continue
            if window and (window[2] + num_rows <= rows or first <= window[1]):
                window = window[0], max(window[1], last), window[2] + num_rows
                continue
            if window:
                yield window[:2]
            window = first, last, num_rows
        if window:
            yield window[:2]

    def _files(self, chrom: str | None, start: int, end: int) -> list[_File]:
        """The files that can hold rows from ``start`` to ``end``, in the order of their positions."""
        series_of_contig = self._series.get(chrom or "", {}).values()
        return sorted(
            (file for series in series_of_contig for file in series.between(start, end)), key=lambda file: file.first
        )

    def _rows(self, chrom: str | None, pieces: Sequence[tuple[str, _Wanted]], columns: Sequence[str]) -> pa.Table:
        names = [name for name in dict.fromkeys(["pos", *columns]) if name != "chrom"]
        schema = pa.schema([self.schema.field(name) for name in names])
        parts = self._each(lambda piece: self._read(*piece, schema), pieces)
        rows = pa.concat_tables([schema.empty_table(), *(part for of_piece in parts for part in of_piece)])
        pos = rows["pos"].to_numpy()
        if not bool((pos[1:] > pos[:-1]).all()):  # regions that were added later lie between others
            rows = rows.sort_by("pos")
        if "chrom" in columns:
            rows = rows.append_column("chrom", pa.repeat(pa.scalar(chrom, pa.string()), len(rows)))
        return rows.select(list(columns))

    def _read(self, path: str, wanted: _Wanted, schema: pa.Schema) -> list[pa.Table]:
        """The wanted rows of a file, row group by row group: one of them is in memory at a time."""
        tables = []
        with self._opened(path) as file:
            for number, (first, last, _) in enumerate(_groups_of(file.metadata)):
                if wanted.may_be_in(first, last):
                    rows = wanted.taken_from(file.read_row_group(number, schema.names, use_threads=False))
                    tables.append(_as_declared(path, rows, schema))
        return tables

    def _groups(self, path: str) -> list[tuple[int, int, int]]:
        """(first position, last position, rows) of each row group of a file."""
        with self._opened(path) as file:
            return list(_groups_of(file.metadata))

    def _first_pos(self, path: str) -> int:
        """The first position in a file; behind all others where it has no rows."""
        return min((first for first, _, num_rows in self._groups(path) if num_rows), default=LAST_POS)

    @contextmanager
    def _opened(self, path: str) -> Iterator[pq.ParquetFile]:
        """A file to be read from; InputError, too, where that fails after it was opened."""
        try:
            with (
                naming_damage(path),
                self._open(path) as source,
                pq.ParquetFile(
                    source, page_checksum_verification=True, read_dictionary=["ref"], pre_buffer=not self._is_local
                ) as file,
            ):
                yield file
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read: {first_line(error)}.") from error

    def _open(self, path: str) -> Any:
        return self.folder.filesystem.open_input_file(path)

    @property
    def _is_local(self) -> bool:
        return isinstance(self.folder.filesystem, fs.LocalFileSystem)

    def _each(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """``function`` of each item, in order, in threads where there are several."""
        items = list(items)
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(os.cpu_count() if self._is_local else _AT_ONCE_FAR_AWAY) as pool:
            return list(pool.map(function, items))


class _File(NamedTuple):
    """A file that can hold rows from ``first`` to ``last``, and no others."""

    path: str
    first: int
    last: int


class _Series:
    """Files of one contig in the order of their positions; the rows of two overlap only where both begin at the same place."""

    def __init__(self, first_pos: Callable[[str], int]) -> None:
        self._paths: list[str] = []
        self._firsts: dict[int, int] = {}
        self._first_pos = first_pos

    def add(self, path: str) -> None:
        """Add the next file."""
        if tile := _TILE.fullmatch(path):
            self._firsts[len(self._paths)] = int(tile[2]) + 1
        self._paths.append(path)

    def between(self, start: int, end: int) -> Iterator[_File]:
        """The files that can hold rows from ``start`` to ``end``."""
        count = len(self._paths)
        low = max(bisect_right(range(count), start, key=self._first) - 1, 0)
        while low and self._first(low - 1) == self._first(low):
            low -= 1
        high = bisect_right(range(count), end, key=self._first)
        last = self._first(high) - 1 if high < count else LAST_POS
        files: list[_File] = []
        for number in range(high - 1, low - 1, -1):
            first = self._first(number)
            if files and files[-1].first > first:
                last = files[-1].first - 1
            files.append(_File(self._paths[number], first, last))
        yield from reversed(files)

    def _first(self, number: int) -> int:
        if number not in self._firsts:
            self._firsts[number] = self._first_pos(self._paths[number])
        return self._firsts[number]


class _Wanted(Protocol):
    """Which rows of a file are wanted."""

    def may_be_in(self, first: int, last: int) -> bool:
        """Whether any of them may lie between two positions, both included."""

    def taken_from(self, rows: pa.Table) -> pa.Table:
        """Those of ``rows``, which are sorted by position."""


class _Places(NamedTuple):
    """Positions, ascending."""

    positions: np.ndarray

    def may_be_in(self, first: int, last: int) -> bool:
        low, high = np.searchsorted(self.positions, [first, last + 1])
        return bool(low < high)

    def taken_from(self, rows: pa.Table) -> pa.Table:
        pos = rows["pos"].to_numpy()
        low, high = np.searchsorted(self.positions, [pos[0], pos[-1] + 1])
        wanted = self.positions[low:high]
        place = np.searchsorted(pos, wanted)
        return rows.take(pa.array(place[pos[place] == wanted]))


class _Stretch(NamedTuple):
    """All positions between two, both included."""

    start: int
    end: int

    def may_be_in(self, first: int, last: int) -> bool:
        return first <= self.end and last >= self.start

    def taken_from(self, rows: pa.Table) -> pa.Table:
        low, high = np.searchsorted(rows["pos"].to_numpy(), [self.start, self.end + 1])
        return rows.slice(low, high - low)


def _distinct(positions: np.ndarray) -> np.ndarray:
    """Positions, ascending, each once."""
    if not bool((positions[1:] >= positions[:-1]).all()):
        positions = np.sort(positions)
    return positions[np.concatenate([positions[:1] == positions[:1], positions[1:] > positions[:-1]])]


def _groups_of(metadata: pq.FileMetaData) -> Iterator[tuple[int, int, int]]:
    """(first position, last position, rows) of each row group, by the statistics in a footer."""
    pos = metadata.schema.names.index("pos")
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        statistics = group.column(pos).statistics
        first, last = (statistics.min, statistics.max) if statistics else (0, LAST_POS)
        yield (first, last, group.num_rows) if group.num_rows else (1, 0, 0)


def _as_declared(path: str, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of a file with the schema of the table, and so REF as text: dictionaries of row groups differ.

    Raises:
        InputError: the file lacks a column or has one of another type.
    """
    columns = {
        name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }
    for column in schema:
        arrow_type = columns[column.name].type if column.name in columns else None
        if arrow_type != column.type:
            raise InputError(
                f"{path} cannot be read as one table with the files before it: {column.name} is {arrow_type or 'not'} there and "
                f"{column.type} before. `raygen verify` lists every such file."
            )
    return pa.table(list(columns.values()), schema=schema)


def _no_positions(folder: RunFolder) -> InputError:
    """The error that says that a folder has no rows of a position table."""
    if folder.is_folder(RunFolder.rows):
        return InputError(
            f"{folder.path} holds scores of variants and is no position table: `raygen query` and raygen.read_scores read them."
        )
    is_empty = folder.is_folder(folder.rows)
    return InputError(
        f"{folder.path} {'holds no positions yet' if is_empty else 'is no position table'}: "
        f"there are no files {folder.path}/{folder.rows}/chrom=.../part-*.parquet."
    )
