"""Regions of a reference from a BED file: three columns or more, 0-based and half-open, plain, gzip or bgzip.

In: a file and the reference that it is of. Out: regions under the reference's own names, and sentences about what was passed over. Track and
browser lines and comments are no regions. A region that does not lie in the reference is another assembly's and refused; one without bases
says nothing and is counted.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raygen.errors import InputError
from raygen.number_of import number_of
from raygen.sequence.reference import Reference, reference_name
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.region import Region

_NO_REGION = ("#", "track", "browser")
_NUMBER = re.compile(r"[0-9]{1,15}")  # no contig is longer


@dataclass(frozen=True)
class BedRegions:
    """The regions of a file in its order, and what there is to say of it. ``names``: the fourth column of each, None without one."""

    regions: list[Region]
    names: list[str | None]
    remarks: list[str]


def read_bed(path: str, reference: Reference) -> BedRegions:
    """Read the regions of a BED file.

    Raises:
        InputError: no such file, a line that is no region, a contig that the reference lacks, a region past a contig's end, or no
            region at all.
    """
    is_human = human_assembly(reference.lengths) is not None
    regions: list[Region] = []
    names: list[str | None] = []
    num_empty = 0
    for number, fields in _lines(path):
        where = f"{path}, line {number:,}"
        start, end = _ends(fields, where)
        chrom = resolve_contig(fields[0], reference.lengths, is_human=is_human)
        if chrom is None:
            raise InputError(f"{where}: {reference_name(reference)} has no contig {fields[0]!r}.")
        if end > reference.lengths[chrom]:
            raise InputError(
                f"{where}: it ends at {end:,}, but {chrom} has {reference.lengths[chrom]:,} bases in {reference_name(reference)}. "
                "Is it of another assembly?"
            )
        if start == end:
            num_empty += 1
        else:
            regions.append(Region(chrom, start + 1, end))
            names.append(fields[3].strip() or None if len(fields) > 3 else None)
    if not regions:
        raise InputError(f"{path}: no line of it is a region with bases.")
    return BedRegions(regions, names, _remarks(path, regions, num_empty))


def _remarks(path: str, regions: list[Region], num_empty: int) -> list[str]:
    remarks = []
    if num_empty:
        remarks.append(f"{path}: {number_of(num_empty, 'line')} without bases passed over.")
    ascending = sorted(regions, key=lambda region: (region.chrom, region.start))
    furthest: dict[str, int] = {}
    num_overlapping = 0
    for region in ascending:
        num_overlapping += region.start <= furthest.get(region.chrom, 0)
        furthest[region.chrom] = max(furthest.get(region.chrom, 0), region.end)
    if num_overlapping:
        remarks.append(f"{path}: {number_of(num_overlapping, 'region')} overlap others; each base counts once.")
    return remarks


def _ends(fields: list[str], where: str) -> tuple[int, int]:
    if len(fields) < 3:
        raise InputError(
            f"{where} is no BED: it has {number_of(len(fields), 'column')}, a region has chrom, start and end."
        )
    if not all(_NUMBER.fullmatch(text) for text in fields[1:3]):
        raise InputError(
            f"{where} is no BED: start and end are {fields[1][:20]!r} and {fields[2][:20]!r}, not whole numbers."
        )
    start, end = int(fields[1]), int(fields[2])
    if end < start:
        raise InputError(f"{where}: it ends at {end:,}, before it starts ({start:,}).")
    return start, end


def _lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that may be a region."""
    try:
        with Path(path).open("rb") as file:
            is_gzip = file.peek(2)[:2] == b"\x1f\x8b"
            for number, line in enumerate(gzip.GzipFile(fileobj=file) if is_gzip else file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").rstrip("\r\n")
                if text.strip() and not text.startswith(_NO_REGION):
                    yield number, text.split("\t") if "\t" in text else text.split()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
