"""Shards: the unit of work and of commit. A shard is a stretch of consecutive rows of one contig in one input file; where
it begins and ends is planned from Parquet footers, so planning reads no rows.

A shard's name depends on the input's content and its place in it. Started again, a run finds its committed shards by
listing and does not read them.

Why this and not Ray Data's checkpoint: that reads the ids of all finished rows at a restart (50 million: 144 s). Measured here on
10 million rows in 2,450 shards, all committed: planning 0.04 s, listing 0.02 s. 10^9 rows are 61,000 shards and files: 1 s
and 0.5 s on a local disk, and on object storage 61 pages of 1,000 names, at 0.1 s a page 6 s; a restart lists once.

Nothing is lost by a shard of a slow model that takes long (4,096 rows at 3 a second: 23 minutes), because it is scored and
kept in pieces of half a minute (``pieces``). What large shards cost is that actors wait for the last ones at the end of a run; what
small ones cost is some 30 ms of Ray's work and 16 KB of the driver's memory each (jobs/benchmarks/bench_pipeline.py), and files.
So 64 shards where there are few rows, 4,096 rows each where there are more, and from four million rows on 1,024 shards until each
has 16,384.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError
from raygen.remote import join, resolve, shown, stamp
from raygen.tables.columns import constant
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, PAIRS, REF_SWAPPED, VARIANTS
from raygen.variants.ingested_folder import VARIANTS_FOLDER

CARRIED = "carried:"
_OWN_COLUMNS = {*VARIANTS.names, *PAIRS.names, HAPLOTYPE_MEMBERS, REF_SWAPPED}

MIN_SHARD_ROWS, USUAL_SHARD_ROWS, MAX_SHARD_ROWS, MAX_PAIR_ROWS = 64, 4096, 16384, 256
_DAMAGE = (OSError, pa.ArrowException, ValueError)
_FEW_SHARDS, _MANY_SHARDS = 64, 1024  # enough to keep some actors, or many, busy to the end


class ShardToScore(Protocol):
    """A shard that was planned; ``num_rows`` of it count as progress."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    def read(self) -> pa.Table:
        """The shard's rows."""
        ...


@dataclass(frozen=True)
class Shard:
    """Rows ``offset`` to ``offset + num_rows`` of some consecutive row groups. ``chrom`` is None for pairs."""

    name: str
    path: str
    row_groups: tuple[int, ...]
    offset: int
    num_rows: int
    chrom: str | None
    first_row: int
    stamp: tuple[int, int]

    def read(self) -> pa.Table:
        """The shard's rows, each with the shard's name and with ``source``, its place as file:row.

        Columns that are carried for the user wear the prefix ``CARRIED`` from here on, so that they may have any name.

        Raises:
            InputError: the file is not the one that was planned, or is damaged.
        """
        if stamp(self.path) != self.stamp:
            raise InputError(f"{shown(self.path)} was changed while it was being scored. Run the same command again.")
        table = self._read_row_groups().slice(self.offset, self.num_rows)
        table = table.rename_columns([name if name in _OWN_COLUMNS else CARRIED + name for name in table.column_names])
        rows = pa.array(np.arange(self.first_row + 1, self.first_row + len(table) + 1)).cast(pa.string())
        file = shown(self.path).rpartition("/")[2]
        table = table.append_column("shard", constant(self.name, len(table)))
        return table.append_column("source", pc.binary_join_element_wise(file, rows, ":")).combine_chunks()

    def _read_row_groups(self) -> pa.Table:
        try:
            filesystem, path = resolve(self.path)
            with filesystem.open_input_file(path) as file:
                return pq.ParquetFile(file, page_checksum_verification=True).read_row_groups(self.row_groups)
        except _DAMAGE as error:
            rows = f"rows {self.first_row + 1:,} to {self.first_row + self.num_rows:,}"
            raise InputError(_damaged(self.path, rows, error)) from error


def _damaged(path: str, part: str, error: Exception) -> str:
    folder = shown(path).rpartition(f"/{VARIANTS_FOLDER}/")[0]
    return (
        f"{shown(path)} is damaged: {part} cannot be read ({str(error).strip().partition(chr(10))[0]}). Delete {folder} and "
        "make it again: `raygen score` does so by itself for what it ingested, else by `raygen ingest`."
    )


@dataclass(frozen=True)
class _RowGroup:
    path: str
    index: int
    num_rows: int
    chrom: str | None
    first_row: int


def shard_rows(num_rows: int) -> int:
    """Rows of a shard for an input of this size: a small input still makes many shards, a large one not too many."""
    usual = min(max(num_rows // _FEW_SHARDS, MIN_SHARD_ROWS), USUAL_SHARD_ROWS)
    return min(max(num_rows // _MANY_SHARDS, usual), MAX_SHARD_ROWS)


def plan_shards(folder: Path, digest: str, read_at: str | None = None, most_rows: int | None = None) -> list[Shard]:
    """The shards of an ingested folder, in order.

    Args:
        folder: of Parquet files ``part-*.parquet`` whose row groups hold one contig each.
        digest: of the input's content.
        read_at: where the workers find the same files, if that is another place.
        most_rows: of a shard, where scored rows are large.
    """
    groups = list(_row_groups(folder))
    rows_per_shard = min(shard_rows(sum(group.num_rows for group in groups)), most_rows or MAX_SHARD_ROWS)
    if groups and groups[0].chrom is None:
        rows_per_shard = min(rows_per_shard, MAX_PAIR_ROWS)  # pairs bring their sequences, kilobytes each
    sizes = [group.num_rows for group in groups]
    stem = hashlib.sha256(f"{digest} {rows_per_shard} {sizes}".encode()).hexdigest()[:12]
    pieces = [piece for piece in _pieces(groups, rows_per_shard) if piece.num_rows]
    places = {group.path: join(read_at, Path(group.path).name) if read_at else group.path for group in groups}
    stamps = {path: stamp(place) for path, place in places.items()}
    pieces = [replace(piece, path=places[piece.path], stamp=stamps[piece.path]) for piece in pieces]
    return [replace(piece, name=f"{stem}-{index:06d}") for index, piece in enumerate(pieces)]


def _row_groups(folder: Path) -> Iterator[_RowGroup]:
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            metadata = pq.read_metadata(path)
        except _DAMAGE as error:
            raise InputError(_damaged(str(path), "its footer", error)) from error
        row = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            yield _RowGroup(str(path), index, group.num_rows, _contig(group), row)
            row += group.num_rows


def _contig(row_group: pq.RowGroupMetaData) -> str | None:
    for index in range(row_group.num_columns):
        column = row_group.column(index)
        if column.path_in_schema == "chrom" and column.statistics is not None and column.statistics.has_min_max:
            assert column.statistics.min == column.statistics.max, "a row group of ingested variants holds one contig"
            return str(column.statistics.min)
    return None


def _pieces(groups: Sequence[_RowGroup], rows_per_shard: int) -> Iterator[Shard]:
    """Cut or join row groups to about ``rows_per_shard`` rows, never across files or contigs; names and stamps are
    given later.
    """
    for (path, chrom), same in groupby(groups, key=lambda group: (group.path, group.chrom)):
        joined: list[_RowGroup] = []
        for group in same:
            if joined and sum(row_group.num_rows for row_group in joined) + group.num_rows > rows_per_shard:
                yield from _cut(path, chrom, joined, rows_per_shard)
                joined = []
            joined.append(group)
        yield from _cut(path, chrom, joined, rows_per_shard)


def _cut(path: str, chrom: str | None, joined: Sequence[_RowGroup], rows_per_shard: int) -> Iterator[Shard]:
    total = sum(group.num_rows for group in joined)
    indices = tuple(group.index for group in joined)
    for offset in range(0, total, rows_per_shard):
        rows = min(rows_per_shard, total - offset)
        yield Shard("", path, indices, offset, rows, chrom, joined[0].first_row + offset, (0, 0))
