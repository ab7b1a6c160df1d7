"""Which group of a background a variant is ranked in: its type, for insertions and deletions with their length, and where they are
given the value of a column (a consequence, say) and the kind of the region that it lies in.

An insertion or deletion moves what follows it against the window's end, so its deltas spread wider the longer it is: among all variants it
would seem harmful for its length alone.

Shapes: R rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.tables.columns import Column, flat_column
from raygen.variants.region_kinds import RegionKinds

SNV, MNV, PAIR = "SNV", "MNV", "pair"
LENGTH_CLASSES = (1, 2, 4, 11, 51)
"""The fewest bases that an insertion or deletion of each class adds or takes away."""
NONE = "none"
"""The value of a column where it is null."""


def _lengths_in_words() -> list[str]:
    lasts = [first - 1 for first in LENGTH_CLASSES[1:]]
    words = [
        str(first) if first == last else f"{first} to {last}"
        for first, last in zip(LENGTH_CLASSES, lasts, strict=False)
    ]
    return [*words, f"{LENGTH_CLASSES[-1]} or more"]


TYPES = (
    SNV,
    MNV,
    *(f"{change} of {words}" for change in ("deletion", "insertion") for words in _lengths_in_words()),
    PAIR,
)


def variant_types(rows: pa.Table) -> np.ndarray:
    """(R,) numbers into ``TYPES`` of rows with ``ref`` and ``alt``, which are null for pairs."""
    ref, alt = (pc.binary_length(rows[name]).fill_null(0).to_numpy() for name in ("ref", "alt"))
    growth = alt.astype(np.int64) - ref
    length_class = np.searchsorted(LENGTH_CLASSES, np.abs(growth), side="right") - 1
    indel = 2 + np.where(growth < 0, 0, len(LENGTH_CLASSES)) + length_class
    number = np.where(growth != 0, indel, np.where(ref == 1, 0, 1))
    return np.where(ref == 0, len(TYPES) - 1, number)


def variant_groups(
    rows: pa.Table, column: Column | None = None, kinds: RegionKinds | None = None
) -> tuple[list[str], np.ndarray]:
    """The names of the groups among rows of one contig, and (R,) which of them each row is in.

    Args:
        rows: with ``chrom, pos, ref, alt``.
        column: (R,) values by which rows are grouped besides; what is no text is grouped by how it is written.
    """
    names, number = list(TYPES), variant_types(rows)
    if column is not None:
        texts = flat_column(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))
        values = pc.fill_null(texts.cast(pa.string()), NONE)
        encoded = (values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values).dictionary_encode()
        names, number = _crossed(names, number, encoded.dictionary.to_pylist(), encoded.indices.to_numpy())
    if kinds is not None:
        chrom = rows["chrom"][0].as_py() if len(rows) else None
        names, number = _crossed(names, number, kinds.names, kinds.at(chrom, rows["pos"].fill_null(0).to_numpy()))
    present, number = np.unique(number, return_inverse=True)
    return [names[group] for group in present], number


def rows_by_group(names: Sequence[str], group: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each name that has rows, and these, ascending; (R,) ``group`` are numbers into ``names``."""
    if not len(group):
        return
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    for start, rows in zip(starts, np.split(order, starts[1:]), strict=True):
        yield names[group[order[start]]], rows


def _crossed(
    names: Sequence[str], number: np.ndarray, other_names: Sequence[str], other: np.ndarray
) -> tuple[list[str], np.ndarray]:
    pairs, number = np.unique(number * len(other_names) + other, return_inverse=True)
    firsts, seconds = np.divmod(pairs, max(len(other_names), 1))
    return [f"{names[first]}, {other_names[second]}" for first, second in zip(firsts, seconds, strict=True)], number
