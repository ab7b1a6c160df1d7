"""Alleles as they come out of a file, before anything is checked: the form that all readers share.

A reader yields ``AlleleBatch``es. Their table has one row per input allele and these columns, then one ``source.NAME`` column for
each source column asked for:

    chrom, pos, id, ref, alt   as in the file; null where the file has nothing, or nothing that fits the type
    record   int64   1-based number of the record (VCF) or row (Parquet) in its file
    span     int64   for a symbolic allele: bases after ``pos`` that it covers, null if the record does not say; without ALT:
                     the same for a record that is a gVCF's block
    fault    string  what is wrong with the record, in words; null for a well-formed one
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

BATCH_ROWS = 16_384
SOURCE_PREFIX = "source."  # keeps a user's column named "record" apart from ours
NOT_UTF8 = "the record holds bytes that are not UTF-8 text"
"""The fault of a record with such bytes in a field that is read."""

RAW_ALLELES = pa.schema(
    [
        pa.field("chrom", pa.string()),
        pa.field("pos", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("ref", pa.string()),
        pa.field("alt", pa.string()),
        pa.field("record", pa.int64()),
        pa.field("span", pa.int64()),
        pa.field("fault", pa.string()),
    ]
)


@dataclass(frozen=True)
class AlleleBatch:
    """Some consecutive alleles of one file. Every row of ``table`` is accounted for in the end: as a variant or as a reject."""

    table: pa.Table
    num_records: int
    has_provisional_ref: np.ndarray | None = None
    """(N,) bool: rows whose REF is only one of two alleles; the reference decides which is REF. None where there are none."""


class AlleleReader(Protocol):
    """One input file."""

    @property
    def kind(self) -> str:
        """``VCF`` or ``table``: how messages call a file of this kind."""

    @property
    def name(self) -> str:
        """The file's name in ``source`` and in messages."""

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """The source columns that the file could give, with the type of each."""

    @property
    def contig_lengths(self) -> Mapping[str, int]:
        """Contig lengths that the file itself declares, by its own names."""

    @property
    def recognised(self) -> str:
        """What kind of file it is, and how its columns are taken, in words."""

    @property
    def has_provisional_ref(self) -> bool:
        """Whether REF of some rows may be ALT, so that the reference decides."""

    @property
    def remarks(self) -> Sequence[str]:
        """Sentences about values that could not be taken as they are; after all batches were read."""

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All alleles in file order. ``source_columns`` are some of ``columns``. InputError where the file breaks off."""


def first_bytes(strings: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) uint8 first byte and (N,) int32 length in bytes of each string; both 0 for null and empty."""
    if len(strings) == 0:
        return np.zeros(0, np.uint8), np.zeros(0, np.int32)
    _, offset_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    lengths = np.diff(offsets)
    data = (
        np.frombuffer(data_buffer, np.uint8) if data_buffer is not None and data_buffer.size else np.zeros(1, np.uint8)
    )
    first = data[np.minimum(offsets[:-1], len(data) - 1)]
    return np.where(lengths > 0, first, 0).astype(np.uint8), lengths
