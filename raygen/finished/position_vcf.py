"""The alleles of a file against a position table, a block of them at a time.

In: a VCF (as text by its first columns, the fast way), a BCF or Parquet. Out: what the table says of them, in file order, and how many have
no number, by reason. A file of which most REF alleles differ from the table's bases is of another assembly, and an InputError, as where an
input is looked up among scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.finished.position_lookup import Matched, PositionTable
from raygen.tables.schemas import Reason
from raygen.variants.alleles import AlleleReader
from raygen.variants.assembly import AssemblyWatch
from raygen.variants.check import NameTally, RefTally, Tallies
from raygen.variants.inputs import open_readers
from raygen.variants.normalise import REFERENCE_ALTS
from raygen.variants.single_base import REASONS, WHY
from raygen.variants.vcf import VcfReader
from raygen.variants.vcf_stream import quiet_htslib
from raygen.variants.vcf_text import TextAlleles, text_alleles


class AlleleSource:
    """The alleles of one file, to be looked up in a table.

    ``missing`` counts those without a number by reason, and ``warnings`` has sentences about the assembly, once all were read.

    Raises:
        InputError: the file is a folder or cannot be read, or it is from another assembly than the table.
    """

    def __init__(self, table: PositionTable, path: str) -> None:
        readers = open_readers([path])
        if len(readers) > 1 or Path(path).is_dir():
            raise InputError(f"{path} is a folder. Give one file.")
        self.missing: Counter[str] = Counter()
        self.warnings: list[str] = []
        self._table = table
        self._reader = readers[0]

    def matched(self) -> Iterator[Matched]:
        """What the table says of the file's alleles, in their order, a block at a time."""
        tallies = _Tallies(_Bases(self._table))
        watch = AssemblyWatch(tallies, [])
        for alleles in _alleles(self._reader):
            table = alleles.table
            chrom, ref, alt = (table[name].combine_chunks() for name in ("chrom", "ref", "alt"))
            matched = self._table.match(chrom, ref, alt, table["pos"].to_numpy())
            self._count(matched, alleles.num_malformed)
            tallies.add(matched, chrom)
            watch.after_batch()
            yield matched
        watch.after_file()
        watch.at_end(self.missing)  # type: ignore[arg-type]  # reasons are their own text
        self.warnings = watch.doubtful_contigs()

    def _count(self, matched: Matched, num_malformed: int) -> None:
        counts = np.bincount(matched.why, minlength=len(REASONS) + 1)[1:].tolist()
        self.missing.update({reason: count for reason, count in zip(REASONS, counts, strict=True) if count})
        if num_malformed:
            self.missing[Reason.MALFORMED_RECORD] += num_malformed


def _alleles(reader: AlleleReader) -> Iterator[TextAlleles]:
    if isinstance(reader, VcfReader) and reader.is_text:
        for alleles in text_alleles(reader.path):
            is_block = pc.and_(pc.equal(alleles.table["alt"], "."), reader.is_gvcf)
            yield TextAlleles(_with_blocks(alleles.table, is_block), alleles.num_malformed)
        return
    with quiet_htslib():
        for batch in reader.batches([]):
            rows = batch.table.filter(pc.and_(pc.is_null(batch.table["fault"]), pc.is_valid(batch.table["pos"])))
            is_block = pc.and_(pc.is_null(rows["alt"]), pc.is_valid(rows["span"]))
            yield TextAlleles(_with_blocks(rows, is_block), batch.table.num_rows - rows.num_rows)


def _with_blocks(rows: pa.Table, is_block: pa.ChunkedArray) -> pa.Table:
    """chrom, pos, ref and alt, where an allele without ALT that is a gVCF's block has one that says so."""
    alt = pc.if_else(is_block, REFERENCE_ALTS[0], rows["alt"])
    return rows.select(["chrom", "pos", "ref"]).append_column("alt", alt)


@dataclass(frozen=True)
class _Bases:
    """What an ``AssemblyWatch`` names of a reference, of a table."""

    table: PositionTable

    @property
    def path(self) -> str:
        return self.table.path

    @property
    def lengths(self) -> dict[str, int]:
        """Contigs; how long they are the table does not say."""
        return dict.fromkeys(self.table.contigs, 0)


@dataclass
class _Tallies(Tallies):
    """REF alleles that were compared with the table's bases."""

    reference: _Bases

    def add(self, matched: Matched, chrom: pa.Array) -> None:
        """Count the alleles of a block, whose contigs are called ``chrom`` in the file."""
        table = self.reference.table
        for counted in chrom.value_counts():
            name, count = counted["values"].as_py(), counted["counts"].as_py()
            self.seen_contigs[name] = table.contig_of(name)
            self.name_tallies.setdefault(name, NameTally()).alleles += count
        is_other = (matched.why == WHY[Reason.REF_MISMATCH]) & (matched.hits.base != 0)
        self.batch_contigs = set()
        for number in np.unique(matched.contig[is_other | matched.hits.held]).tolist():
            of_contig = matched.contig == number
            other = np.flatnonzero(is_other & of_contig)
            swapped = np.count_nonzero(matched.hits.base[other] == matched.alt[other])
            first = _in_words(table.contigs[number], matched, other[0]) if len(other) else ""
            checked = len(other) + np.count_nonzero(matched.hits.held & of_contig)
            compared = RefTally(int(checked), len(other), int(swapped), first)
            self.count_refs(table.contigs[number], compared)


def _in_words(contig: str, matched: Matched, row: int) -> str:
    """An allele whose REF differs, as messages show it."""
    ref, alt, base = (chr(letters[row]) for letters in (matched.ref, matched.alt, matched.hits.base))
    return f"{contig}:{matched.pos[row]}-{ref}-{alt}, the reference has {base!r}"
