"""One variant as it is written in tables and typed on a command line: ``chrom-pos-ref-alt``, or ``chr1:5:A:C``, ``1:5A>C``."""

from __future__ import annotations

import re

import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.sequence.reference_protocol import Reference
from raygen.tables.schemas import VARIANTS
from raygen.variants.alleles import RAW_ALLELES, AlleleBatch
from raygen.variants.check import AlleleChecker
from raygen.variants.region import MAX_POS, TOO_FAR

SPELLING = re.compile(r"(.+?)[-:_ ](\d+)[-:_ ]?([ACGT]+)[-:_/> ]+([ACGT]+)", re.IGNORECASE)
"""The ways in which people write a variant: contig, position, REF and ALT."""


def parse_variant(text: str, reference: Reference, max_allele_length: int = 1000) -> pa.Table:
    """A variant, checked and normalised as ``ingest`` does: a table of one row with chrom, pos, ref, alt.

    The contig may be written with or without ``chr`` and may itself hold hyphens.

    Raises:
        SettingsError: it is written in another way.
        InputError: it cannot be scored on this reference; REF is not what it holds there, say.
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
    if checked.refused:
        _, reason, detail = checked.refused[0]
        ask = " Is it from another assembly?" if reason == "ref_mismatch" else ""
        raise InputError(f"{text}: {detail}.{ask}")
    name = list(reference.lengths)[int(checked.contig[0])]
    columns = [pa.array([name]), pa.array(checked.pos), checked.ref, checked.alt]
    return pa.table(columns, names=VARIANTS.names[:4])
