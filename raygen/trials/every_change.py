"""Every change of one base in a region, as variants: what in-silico mutagenesis scores.

In: a region and its reference. Out: a table with ``chrom, pos, ref, alt``, normalised and unique, and ``first`` and
``last``: the 1-based positions of the region that the variant stands for. An SNV stands for one; the deletion of a base
in a run of equal bases is the same variant for the whole run, so it is written once and stands for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from raygen.sequence.reference import Reference
from raygen.tables.schemas import VARIANTS
from raygen.variants.normalise import normalise
from raygen.variants.region import Region

STANDS_FOR = ("first", "last")


def saturating_variants(region: Region, reference: Reference, deletions: bool = False) -> pa.Table:
    """Every SNV of a region, and with ``deletions`` every deletion of one base; none where the reference is no A, C, G or T."""
    bases = reference.bases(region.chrom)
    tables = [_snvs(region, bases)]
    if deletions:
        tables.append(_deletions(region, bases))
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in ("pos", "ref", "alt")])


def _snvs(region: Region, bases: np.ndarray) -> pa.Table:
    letters = bases[region.start - 1 : region.end]
    position = np.arange(region.start, region.end + 1)
    is_acgt = np.isin(letters, np.frombuffer(b"ACGT", np.uint8))
    rows_of_alt = [is_acgt & (letters != ord(alt)) for alt in "ACGT"]
    pos = np.concatenate([position[rows] for rows in rows_of_alt])
    refs = np.concatenate([letters[rows] for rows in rows_of_alt])
    alts = [alt for alt, rows in zip("ACGT", rows_of_alt, strict=True) for _ in range(int(rows.sum()))]
    return _table(region.chrom, pos, list(refs.tobytes().decode()), alts, pos, pos)


def _deletions(region: Region, bases: np.ndarray) -> pa.Table:
    stands_for: dict[tuple[int, str, str], tuple[int, int]] = {}
    for position in range(region.start, region.end + 1):
        variant = _deletion_of(position, bases)
        if variant is not None:
            stands_for[variant] = (stands_for.get(variant, (position,))[0], position)
    pos, refs, alts = (
        [pos for pos, _, _ in stands_for],
        [ref for _, ref, _ in stands_for],
        [alt for *_, alt in stands_for],
    )
    first, last = [ends[0] for ends in stands_for.values()], [ends[1] for ends in stands_for.values()]
    return _table(region.chrom, pos, refs, alts, first, last)


def _deletion_of(position: int, bases: np.ndarray) -> tuple[int, str, str] | None:
    """The deletion of the base at a 1-based position, normalised; None where it cannot be written in A, C, G and T."""
    if len(bases) < 2:
        return None
    anchor = max(position - 2, 0)  # at the contig's first base the anchor is the base after it
    ref = bases[anchor : anchor + 2].tobytes().decode()
    variant = normalise(anchor + 1, ref, ref[1] if position == 1 else ref[0], bases)
    return variant if set(variant[1]) <= set("ACGT") else None


def _table(
    chrom: str,
    pos: Sequence[int] | np.ndarray,
    refs: Sequence[str],
    alts: Sequence[str],
    first: Sequence[int] | np.ndarray,
    last: Sequence[int] | np.ndarray,
) -> pa.Table:
    columns = [pa.array([chrom] * len(pos), pa.string()), pa.array(pos, pa.int64()), pa.array(refs, pa.string())]
    columns += [pa.array(alts, pa.string()), pa.array(first, pa.int64()), pa.array(last, pa.int64())]
    return pa.table(columns, names=[*VARIANTS.names[:4], *STANDS_FOR])
