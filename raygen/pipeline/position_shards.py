"""Stretches of a reference as shards of a position table: which bases are scored together and committed together.

A contig is cut into tiles whose edges lie where windows of the forward strand change, so that no window is read for two tiles (on the
reverse strand one at each edge is). How long a tile is hangs on the reference and the window alone: a run over one contig and a later one over
all cut it alike, and find by name what is committed. A region that covers a part of a tile is a shard under a name of its own; bases that
are in the table already are left out when the shard is read.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from raygen.scoring.positions import IS_BASE
from raygen.sequence.reference import Reference, staged_reference
from raygen.sequence.windows import Window
from raygen.tables.columns import constant
from raygen.variants.region import Region

MAX_TILE = 1 << 18
"""Bases: half a minute of a GPU that reads 28,000 tokens a second, both strands; a genome of 3.1e9 bases is 12,000 tiles."""
_MANY_TILES = 64  # as many keep some actors busy to the end
_FEWEST_STRIDES = 4  # of a tile: at its edge a window is read again on the reverse strand


@dataclass(frozen=True)
class PositionShard:
    """Bases of one contig that are committed together.

    Attributes:
        path: of the reference.
        intervals: [start, end) of its bases, 0-based, ascending.
        num_bases: in them that are A, C, G or T.
    """

    name: str
    path: str
    chrom: str
    intervals: tuple[tuple[int, int], ...]
    num_bases: int

    @property
    def num_rows(self) -> int:
        """Single-base changes, which are what a run counts."""
        return 3 * self.num_bases

    def first(self, bases: np.ndarray) -> np.ndarray:
        """The places of the shard's bases, 0-based and ascending; ``bases`` are those of its contig."""
        return np.concatenate([start + np.flatnonzero(IS_BASE[bases[start:end]]) for start, end in self.intervals])

    def read(self) -> pa.Table:
        """The places of the shard's bases, each with the shard's name."""
        first = self.first(staged_reference(self.path).bases(self.chrom))
        return pa.table({"first": pa.array(first, pa.int64()), "shard": constant(self.name, len(first))}).append_column(
            "chrom", constant(self.chrom, len(first))
        )


def tile_length(num_bases: int, window: Window) -> int:
    """Bases of a tile for a reference of this size, a multiple of the stride where there is one."""
    stride = window.stride or 1
    wanted = min(max(num_bases // _MANY_TILES, _FEWEST_STRIDES * stride), MAX_TILE)
    return max(wanted // stride, 1) * stride


def plan_position_shards(
    reference: Reference, regions: Sequence[Region], window: Window, identity_text: str, path: str
) -> list[PositionShard]:
    """The shards of some regions, in the reference's order.

    Args:
        regions: may overlap; each base is in one shard.
        identity_text: what the scores hang on; goes into the names.
        path: of the reference as workers find it.
    """
    length = tile_length(sum(reference.lengths.values()), window)
    stem = hashlib.sha256(f"{identity_text} {length} {window}".encode()).hexdigest()[:12]
    merged = merged_intervals(regions)
    shards = []
    for number, (chrom, contig_length) in enumerate(reference.lengths.items()):
        for start, end in _tiles(contig_length, length, window):
            intervals = _within(merged.get(chrom, ()), start, end)
            if not intervals:
                continue
            part = (
                "" if intervals == ((start, end),) else f"-{hashlib.sha256(repr(intervals).encode()).hexdigest()[:8]}"
            )
            bases = reference.bases(chrom)
            num_bases = sum(int(np.count_nonzero(IS_BASE[bases[first:last]])) for first, last in intervals)
            if num_bases:
                shards.append(
                    PositionShard(f"{stem}-{number:05d}-{start:010d}{part}", path, chrom, intervals, num_bases)
                )
    return shards


def merged_intervals(regions: Iterable[Region]) -> dict[str, tuple[tuple[int, int], ...]]:
    """The bases of regions by contig, as [start, end) that neither overlap nor touch, 0-based and ascending."""
    by_contig: dict[str, list[tuple[int, int]]] = {}
    for region in regions:
        by_contig.setdefault(region.chrom, []).append((region.start - 1, region.end))
    return {chrom: tuple(_merged(sorted(intervals))) for chrom, intervals in by_contig.items()}


def _merged(ascending: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in ascending:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _tiles(num_bases: int, length: int, window: Window) -> list[tuple[int, int]]:
    """[start, end) of a contig's tiles: the first is as much longer as windows change later."""
    edges = [0, *range(window.left % length + length if window.stride else length, num_bases, length), num_bases]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def _within(intervals: Sequence[tuple[int, int]], start: int, end: int) -> tuple[tuple[int, int], ...]:
    begin = bisect_right(intervals, start, key=lambda interval: interval[1])
    stop = bisect_left(intervals, end, lo=begin, key=lambda interval: interval[0])
    return tuple((max(first, start), min(last, end)) for first, last in intervals[begin:stop])


def letter_counts(reference: Reference, merged: Mapping[str, Sequence[tuple[int, int]]]) -> dict[str, int]:
    """How often each letter that is no A, C, G or T stands in these bases."""
    counts: dict[str, int] = {}
    for chrom, intervals in merged.items():
        bases = reference.bases(chrom)
        for start, end in intervals:
            for first in range(start, end, MAX_TILE):
                letters = bases[first : min(first + MAX_TILE, end)]
                others = letters[~IS_BASE[letters]]
                for letter, number in zip(*np.unique(others, return_counts=True), strict=True):
                    counts[chr(letter)] = counts.get(chr(letter), 0) + int(number)
    return counts
