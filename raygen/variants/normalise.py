"""One spelling for each variant: trimmed and left-aligned, as ``vt normalize`` and ``bcftools norm`` write it.

In: a variant as VCF spells it (1-based ``pos``, upper-case ``ref`` and ``alt``) and the bases of its contig. Out: the same change
as (pos, ref, alt), leftmost and with as few bases as VCF allows (Tan, Abecasis and Kang, "Unified representation of genetic
variants", Bioinformatics 2015, 31(13):2202-2204, algorithm 1).

Algorithm 1 moves an indel left one base at a time by rebuilding both strings. Here the strings are trimmed once; what is then
left of a pure insertion or deletion is a word that turns as it moves, so moving is counting, and the work is linear.

At the start of a contig there is no base before an indel to anchor it: the base after it is kept, as bcftools does
(``1 GA A`` stays ``1 GA A``).

``spell_out`` turns symbolic alleles that stand for a known sequence into bases.

``<DEL>``, ``<DEL:...>``, ``<DUP>``, ``<DUP:TANDEM>`` and ``<INV>`` say everything once their length is known; it comes from INFO
END or SVLEN as ``span``, the number of bases after POS that the change covers. All else (``<CN0>``, ``<INS:ME:ALU>``,
``<NON_REF>``, ``<*>``, breakends) does not name a sequence.

Up to VCF 4.3 END is taken before SVLEN, because callers round SVLEN (1000 Genomes has END - POS = 1446 beside SVLEN = 1677); only
where a record has several ALTs and one SVLEN each does SVLEN win, since END is then the furthest of them. From VCF 4.4 on SVLEN
holds, and END follows from it. An END that is not after POS says nothing, in any version: SVLEN is then asked.
"""

from __future__ import annotations

import re

import numpy as np

from raygen.sequence.ambiguity import as_vcf_has_it

_CHUNK = 1024  # bases looked at in one go while moving left; longer repeats take several


def normalise(pos: int, ref: str, alt: str, bases: np.ndarray) -> tuple[int, str, str]:
    """Trim and left-align one variant.

    ``pos`` is 1-based; ``ref`` must agree with what ``bases`` ((length,) uint8, upper-case ASCII) hold there, neither allele
    may be empty, and they must differ. Returns (pos, ref, alt). Neither comes out empty. An anchor base is taken from
    ``bases``, so it is an N where an indel ends up right after an N, and A after an R (A or G), as VCF has it.
    """
    if len(ref) == 1 and len(alt) == 1:
        return pos, ref, alt
    start, ref, alt = trim(pos - 1, ref, alt)
    if ref and alt:
        return start + 1, ref, alt
    word = ref or alt
    shift = _steps_left(start, word, bases)
    start -= shift
    turn = shift % len(word)
    word = word[-turn:] + word[:-turn] if turn else word
    start, word, anchor = _anchored(start, word, is_deletion=bool(ref), bases=bases)
    return (start + 1, word, anchor) if ref else (start + 1, anchor, word)


def trim(start: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Shared end, then shared beginning taken off: (0-based start, REF, ALT). One allele comes out empty for a pure indel."""
    shorter = min(len(ref), len(alt))
    suffix = 0
    while suffix < shorter and ref[-1 - suffix] == alt[-1 - suffix]:
        suffix += 1
    ref, alt = ref[: len(ref) - suffix], alt[: len(alt) - suffix]
    shorter -= suffix
    prefix = 0
    while prefix < shorter and ref[prefix] == alt[prefix]:
        prefix += 1
    return start + prefix, ref[prefix:], alt[prefix:]


def _steps_left(start: int, word: str, bases: np.ndarray) -> int:
    """How many bases the inserted or deleted ``word`` at 0-based ``start`` can move left without changing the haplotype.

    Each step takes the base before the word in at its front and lets its last base go: they must be equal, and the word turns
    by one.
    """
    shift, size = 0, len(word)
    while shift < start:
        end = start - shift
        before = bases[max(0, end - _CHUNK) : end].tobytes().decode("ascii")
        for base in reversed(before):
            if base != word[(size - 1 - shift) % size]:
                return shift
            shift += 1
    return shift


def _anchored(start: int, word: str, *, is_deletion: bool, bases: np.ndarray) -> tuple[int, str, str]:
    """(start, word with its anchor base, anchor base): the base before, or at the start of a contig the one after."""
    if start > 0:
        before = as_vcf_has_it(chr(bases[start - 1]))
        return start - 1, before + word, before
    after = as_vcf_has_it(chr(bases[len(word) if is_deletion else 0]))
    return start, word + after, after


_DELETION = re.compile(r"<DEL(:[^<>]*)?>")
_DUPLICATIONS = ("<DUP>", "<DUP:TANDEM>")
_INVERSION = "<INV>"
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def is_symbolic(alt: str) -> bool:
    """True for ``<...>`` and for breakends (``G]17:198982]``, ``.A``, ``A.``)."""
    return alt.startswith("<") or "[" in alt or "]" in alt or (len(alt) > 1 and (alt[0] == "." or alt[-1] == "."))


REFERENCE_ALTS = ("<NON_REF>", "<*>", "<X>")
"""ALTs that say "any other allele", by GATK, by VCF 4.3 and bcftools, by old samtools: with them a gVCF writes what is no variant."""


def names_a_sequence(alt: str) -> bool:
    """True for the symbolic alleles that ``spell_out`` can turn into sequence."""
    return alt in _DUPLICATIONS or alt == _INVERSION or _DELETION.fullmatch(alt) is not None


def span_from_info(info: str, pos: int, allele: int, num_alts: int, *, svlen_holds: bool = False) -> int | None:
    """Bases after ``pos`` that ALT number ``allele`` (from 0) covers, from the text of an INFO column; None if it does not say.

    ``svlen_holds``: SVLEN goes before END, as from VCF 4.4 on.
    """
    fields = dict(item.partition("=")[::2] for item in info.split(";"))
    lengths = fields.get("SVLEN", "").split(",")
    length = abs(_integer(lengths[allele if len(lengths) == num_alts else 0]) or 0) or None
    if length and len(lengths) == num_alts and (svlen_holds or num_alts > 1):
        return length
    end = _integer(fields.get("END", ""))
    if end is not None and end > pos:
        return end - pos
    return length if len(lengths) in (1, num_alts) else None


def spell_out(pos: int, alt: str, span: int, bases: np.ndarray) -> tuple[str, str]:
    """(ref, alt) in bases for a symbolic ``alt`` that ``names_a_sequence``, both starting with the base at 1-based ``pos``.

    Deletion: the ``span`` bases after ``pos`` go. Duplication: they come twice. Inversion: their reverse complement stands in
    their place. ``bases`` is the whole contig, (length,) uint8; ``pos + span`` must lie in it.
    """
    anchor = as_vcf_has_it(chr(bases[pos - 1]))
    covered = as_vcf_has_it(bases[pos : pos + span].tobytes().decode("ascii"))
    if alt in _DUPLICATIONS:
        return anchor, anchor + covered
    if alt == _INVERSION:
        return anchor + covered, anchor + covered[::-1].translate(_COMPLEMENT)
    return anchor + covered, anchor


def _integer(text: str) -> int | None:
    match = re.fullmatch(
        r"(-?)0*([0-9]{1,18})", text
    )  # more digits reach beyond any contig, and need more than 64 bits
    return int(match[1] + match[2]) if match else None
