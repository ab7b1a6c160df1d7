"""A stretch of a contig as samtools writes it: ``chrom:start-end``, 1-based, both ends included.

One variant as it is written in tables and typed on a command line: ``chrom-pos-ref-alt``, or ``chr1:5:A:C``, ``1:5A>C``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.sequence.ambiguity import LETTERS
from raygen.sequence.reference import Reference, reference_name
from raygen.tables.schemas import VARIANTS
from raygen.variants.alleles import RAW_ALLELES, AlleleBatch
from raygen.variants.check import AlleleChecker
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly

MAX_REGION = 1_000_000
"""The most bases of a region. Every SNV of a longer one is a job for ``raygen score`` on a table of variants."""
MAX_POS = 2**40
"""No contig of any organism is near as long; a position past it is a mistake in typing."""
TOO_FAR = "no contig is that long"
_WRITTEN = re.compile(r"(.+):([\d,]+)-([\d,]+)")  # a contig's own name may hold colons


@dataclass(frozen=True)
class Region:
    """A stretch of a contig: ``chrom`` as the reference names it, ``start`` and ``end`` 1-based and both included."""

    chrom: str
    start: int
    end: int

    @property
    def length(self) -> int:
        """Bases in the region."""
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start}-{self.end}"


def split_region(text: str) -> tuple[str, int, int]:
    """The contig, as it is written, and the first and last position (1-based) of ``chrom:start-end``.

    Raises:
        SettingsError: the region is written in another way or ends before it starts.
    """
    match = _WRITTEN.fullmatch(text.strip())
    digits = [part.replace(",", "") for part in match.groups()[1:]] if match else []
    if not match or not all(digits):
        raise SettingsError(f"--region {text!r}: write it as chrom:start-end, 1-based, e.g. 17:41276000-41276400.")
    start, end = map(int, digits)
    if start < 1 or end < start or end > MAX_POS:
        fault = "the first base is 1" if start < 1 else "it ends before it starts" if end < start else TOO_FAR
        raise SettingsError(f"--region {text}: {fault}.")
    return match[1], start, end


def parse_region(text: str, reference: Reference) -> Region:
    """A region of the reference; the contig may be written with or without ``chr``.

    Raises:
        SettingsError: the region is written in another way, ends before it starts, or is longer than ``MAX_REGION``.
        InputError: the reference has no such contig, or the contig ends before the region does.
    """
    name, start, end = split_region(text)
    chrom = resolve_contig(name, reference.lengths, is_human=human_assembly(reference.lengths) is not None)
    if chrom is None:
        raise InputError(f"--region {text}: {reference_name(reference)} has no contig {name!r}.")
    if end > reference.lengths[chrom]:
        raise InputError(
            f"--region {text}: {chrom} has {reference.lengths[chrom]:,} bases, the region ends at {end:,}."
        )
    if end - start >= MAX_REGION:
        raise SettingsError(
            f"--region {text}: it has {end - start + 1:,} bases, and at most {MAX_REGION:,} fit one picture. "
            "Take a part of it, or score a table of variants with `raygen score`."
        )
    return Region(chrom, start, end)


SPELLING = re.compile(rf"(.+?)[-:_ ](\d+)[-:_ ]?([{LETTERS}]+)[-:_/> ]+([{LETTERS}]+)", re.IGNORECASE)
"""The ways in which people write a variant: contig, position, REF and ALT. Indels beside an N have one in both."""


def parse_variant(text: str, reference: Reference, max_allele_length: int = 1000) -> pa.Table:
    """A variant, checked and normalised as ``ingest`` does: a table of one row with chrom, pos, ref, alt.

    The contig may be written with or without ``chr`` and may itself hold hyphens.

    Raises:
        SettingsError: the variant is written in another way.
        InputError: the variant cannot be scored on this reference; REF is not what the reference has there, say.
    """
    parts = text.rsplit("-", 3)
    if len(parts) != 4 and (spelled := SPELLING.fullmatch(text.strip())):
        parts = list(spelled.groups())
    pos = parts[1].replace(",", "") if len(parts) == 4 else ""
    if pos.isdecimal() and int(pos) > MAX_POS:
        raise SettingsError(f"{text!r}: {TOO_FAR}.")
    if not pos.isdecimal() or not all(parts):
        raise SettingsError(f"{text!r} is not a variant. Write chrom-pos-ref-alt, e.g. 17-41276135-T-G.")
    chrom, _, ref, alt = parts
    allele = {"chrom": chrom, "pos": int(pos), "ref": ref.upper(), "alt": alt.upper(), "record": 1}
    table = pa.Table.from_pylist([allele], schema=RAW_ALLELES)
    checker = AlleleChecker(reference, max_allele_length)
    checked = checker.check(AlleleBatch(table, 1), "variant")
    if len(checked.blocks):
        raise InputError(f"{text}: {alt} is no allele, but stands for any other one.")
    if checked.refused:
        _, reason, detail = checked.refused[0]
        ask = " Is it from another assembly?" if reason == "ref_mismatch" else ""
        raise InputError(f"{text}: {detail}.{ask}")
    name = list(reference.lengths)[int(checked.contig[0])]
    columns = [pa.array([name]), pa.array(checked.pos), checked.ref, checked.alt]
    return pa.table(columns, names=VARIANTS.names[:4])
