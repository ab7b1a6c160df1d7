"""Kinds of regions by name, and which of them a position lies in.

In: lines of a BED file whose fourth column is a kind (exon, repeat, enhancer). Out: for positions, their kind, or ``ELSEWHERE``. Where lines
overlap the one that stands first in the file holds.

Shapes: S segments that do not overlap, R positions
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from raygen.errors import InputError
from raygen.sequence.reference import Reference
from raygen.variants.bed import BedRegions, read_bed

ELSEWHERE = "elsewhere"
_COLUMNS = ("chrom", "start", "end", "kind")


@dataclass(frozen=True)
class _Segments:
    """Stretches of one contig that ascend and do not overlap: (S,) ``starts`` and ``ends``, 0-based and half-open, and (S,) numbers of kinds."""

    starts: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray


class RegionKinds:
    """Which kind of region a position lies in.

    Attributes:
        names: the kinds; the last is ``ELSEWHERE``.
    """

    def __init__(self, names: Sequence[str], segments: dict[str, _Segments]) -> None:
        self.names = [*names, ELSEWHERE]
        self._segments = segments

    def at(self, chrom: str | None, pos: np.ndarray) -> np.ndarray:
        """(R,) numbers into ``names`` of (R,) positions (1-based) on a contig of the reference's name."""
        elsewhere = np.full(len(pos), len(self.names) - 1)
        segments = self._segments.get(chrom or "")
        if segments is None:
            return elsewhere
        place = np.searchsorted(segments.starts, pos - 1, side="right") - 1
        is_inside = (place >= 0) & (pos - 1 < segments.ends[np.maximum(place, 0)])
        return np.where(is_inside, segments.kinds[np.maximum(place, 0)], elsewhere)

    def stretches(self, chrom: str) -> list[tuple[int, int]]:
        """The first and the last position (1-based) of each stretch of a contig that is of any kind, ascending."""
        segments = self._segments.get(chrom)
        if segments is None:
            return []
        begins = np.append(True, segments.starts[1:] > segments.ends[:-1])
        ends = np.append(begins[1:], True)
        return list(zip((segments.starts[begins] + 1).tolist(), segments.ends[ends].tolist(), strict=True))

    def to_table(self) -> pa.Table:
        """The segments as rows of chrom, start, end (0-based, half-open) and kind."""
        parts = [
            pa.table(
                [pa.repeat(chrom, len(of.starts)), of.starts, of.ends, pa.array(self.names).take(of.kinds)], _COLUMNS
            )
            for chrom, of in self._segments.items()
        ]
        empty = pa.table([pa.array([], t) for t in (pa.string(), pa.int64(), pa.int64(), pa.string())], _COLUMNS)
        return pa.concat_tables([empty, *parts])

    @classmethod
    def from_table(cls, table: pa.Table) -> RegionKinds:
        """Read back what ``to_table`` wrote."""
        encoded = table["kind"].combine_chunks().dictionary_encode()
        chroms = np.asarray(table["chrom"].to_pylist(), object)
        arrays = [table["start"].to_numpy(), table["end"].to_numpy(), encoded.indices.to_numpy()]
        segments = {
            chrom: _Segments(*(values[chroms == chrom] for values in arrays)) for chrom in dict.fromkeys(chroms)
        }
        return cls(encoded.dictionary.to_pylist(), segments)


def read_region_kinds(path: str, reference: Reference) -> tuple[RegionKinds, list[str]]:
    """The kinds of a BED file, and sentences about it.

    Raises:
        InputError: as ``read_bed``; a line has no fourth column.
    """
    bed = read_bed(path, reference)
    if None in bed.names:
        number = bed.names.index(None) + 1
        raise InputError(f"{path}: region {number:,} has no fourth column, where the kind of the region is wanted.")
    return _painted(bed), bed.remarks


def read_regions(path: str, reference: Reference, kind: str) -> tuple[RegionKinds, list[str]]:
    """All regions of a BED file as of one ``kind``, and sentences about it.

    Raises:
        InputError: as ``read_bed``.
    """
    bed = read_bed(path, reference)
    return _painted(replace(bed, names=[kind] * len(bed.regions))), bed.remarks


def _painted(bed: BedRegions) -> RegionKinds:
    names = list(dict.fromkeys(str(name) for name in bed.names))
    number_of_kind = {name: number for number, name in enumerate(names)}
    lines = [(region, number_of_kind[str(name)]) for region, name in zip(bed.regions, bed.names, strict=True)]
    lines.sort(key=lambda line: line[0].chrom)  # stable: in a contig the order of the file stays
    return RegionKinds(
        names,
        {
            chrom: _without_overlaps([(region.start - 1, region.end, kind) for region, kind in of_contig])
            for chrom, of_contig in groupby(lines, key=lambda line: line[0].chrom)
        },
    )


def _without_overlaps(lines: Sequence[tuple[int, int, int]]) -> _Segments:
    """Lines of one contig in the order of their file, as (start, end, kind), cut where they overlap."""
    starts, ends, kinds = np.array(lines).T
    edges = np.unique([starts, ends])
    painted = np.full(len(edges) - 1, -1)
    for start, end, kind in zip(*(np.searchsorted(edges, side) for side in (starts, ends)), kinds, strict=True):
        of_line = painted[start:end]
        of_line[of_line < 0] = kind
    is_kind = painted >= 0
    return _Segments(edges[:-1][is_kind], edges[1:][is_kind], painted[is_kind])
