"""Which base each allele changes, of alleles as a file has them; or why it changes no single one.

In: positions, REF and ALT. Out: for each allele a position and two letters, of one whose alleles are longer and differ in one base that base, as
``normalise`` trims it; for all others a reason, by the same names as ``ingest`` gives them where it rejects them, too.

Shapes:  N alleles   F bases beside changed ones
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.tables.schemas import NOT_SCORED, Reason
from raygen.variants.alleles import first_bytes
from raygen.variants.normalise import REFERENCE_ALTS, trim

NOT_SNV = "not_snv"
"""Why there is no number: the table holds single-base changes only."""
REASONS = (
    *(reason.value for reason in (Reason.MALFORMED_RECORD, Reason.UNKNOWN_CONTIG, Reason.OUT_OF_BOUNDS)),
    *(reason.value for reason in (Reason.STAR_ALLELE, Reason.REFERENCE_BLOCK, Reason.SYMBOLIC_ALLELE)),
    *(Reason.NON_ACGT_ALLELE.value, NOT_SNV, Reason.REF_MISMATCH.value, NOT_SCORED),
)
"""Why an allele has no number, as ``ingest`` names it where it would reject it, too."""
WHY: dict[str, int] = {reason: number for number, reason in enumerate(REASONS, 1)}
"""The number of each reason, from 1 on; 0 says that there is none."""
UPPER = np.zeros(256, np.uint8)
"""(256,) the capital letter of A, C, G and T in ASCII, of either case; 0 of all else."""
UPPER[np.frombuffer(b"ACGTacgt", np.uint8)] = np.frombuffer(b"ACGTACGT", np.uint8)
_SYMBOLIC = r"^<|[\[\]]|^\..|.\.$"


@dataclass(frozen=True)
class Flanks:
    """Bases of REF beside the one that changes: rows of their alleles, positions, letters in ASCII."""

    row: np.ndarray
    pos: np.ndarray
    letter: np.ndarray


@dataclass(frozen=True)
class SingleBases:
    """The base that each of N alleles changes.

    Attributes:
        pos: (N,) int64, where it is; where there is none the allele's own position.
        ref, alt: (N,) uint8, capital letters in ASCII, 0 where there is none.
        why: (N,) uint8, why there is none, a number of ``WHY``; 0 where there is one.
        flanks: the bases of longer alleles beside it, which the reference has to have, too.
    """

    pos: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    why: np.ndarray
    flanks: Flanks


def single_bases(pos: np.ndarray, ref: pa.StringArray, alt: pa.StringArray) -> SingleBases:
    """Which base each allele changes; ``pos``: (N,) int64, ``ref`` and ``alt``: (N,) letters of either case, or null."""
    (ref_byte, ref_length), (alt_byte, alt_length) = first_bytes(ref), first_bytes(alt)
    pos, ref_base, alt_base, why = pos.copy(), UPPER[ref_byte], UPPER[alt_byte], np.zeros(len(pos), np.uint8)
    is_snv = (ref_length == 1) & (alt_length == 1) & (ref_base != 0) & (alt_base != 0) & (ref_base != alt_base)
    others = np.flatnonzero(~is_snv)
    if len(others):
        ref_base[others] = alt_base[others] = 0
        why[others] = _why_no_snv(ref.take(pa.array(others)), alt.take(pa.array(others)))
    flanks: list[tuple[int, int, int]] = []
    for row in np.flatnonzero((ref_length == alt_length) & (ref_length > 1)).tolist():
        if change := _one_base(ref[row].as_py(), alt[row].as_py()):
            offset, ref_base[row], alt_base[row] = change
            letters = ref[row].as_py().upper().encode()
            flanks += [(row, pos[row] + place, letters[place]) for place in range(len(letters)) if place != offset]
            pos[row], why[row] = pos[row] + offset, 0
    rows, places, letters_of = np.array(flanks, np.int64).reshape(-1, 3).T
    return SingleBases(pos, ref_base, alt_base, why, Flanks(rows, places, letters_of.astype(np.uint8)))


def _one_base(ref: str, alt: str) -> tuple[int, int, int] | None:
    """(offset from its position, REF and ALT in ASCII) of the one base that alleles of equal length differ in; None where they differ in more."""
    offset, changed_ref, changed_alt = trim(0, ref.upper(), alt.upper())
    is_of_bases = set(ref.upper() + changed_alt) <= set("ACGT")
    return (offset, ord(changed_ref), ord(changed_alt)) if len(changed_ref) == 1 and is_of_bases else None


def _why_no_snv(ref: pa.StringArray, alt: pa.StringArray) -> np.ndarray:
    """(N,) uint8: why alleles that are no change of one letter have no number."""
    ref, alt = pc.utf8_upper(ref).fill_null(""), alt.fill_null("")
    is_one_letter = np.logical_and(*(pc.less_equal(pc.utf8_length(texts), 1).to_numpy(False) for texts in (ref, alt)))
    conditions = {
        Reason.STAR_ALLELE: pc.equal(alt, "*").to_numpy(False),
        Reason.REFERENCE_BLOCK: pc.is_in(alt, pa.array(REFERENCE_ALTS)).to_numpy(False),
        Reason.SYMBOLIC_ALLELE: pc.match_substring_regex(alt, _SYMBOLIC).to_numpy(False),
        Reason.MALFORMED_RECORD: pc.and_(pc.equal(ref, pc.utf8_upper(alt)), pc.not_equal(ref, "")).to_numpy(False),
        Reason.NON_ACGT_ALLELE: is_one_letter | pc.is_in(alt, pa.array(["", "."])).to_numpy(False),
    }
    return np.select(list(conditions.values()), [WHY[reason] for reason in conditions], WHY[NOT_SNV])
