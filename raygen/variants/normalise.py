"""One spelling for each variant: trimmed and left-aligned, as ``vt normalize`` and ``bcftools norm`` write it.

In: a variant as VCF spells it (1-based ``pos``, upper-case ``ref`` and ``alt``) and the bases of its contig. Out: the same change
as (pos, ref, alt), leftmost and with as few bases as VCF allows (Tan, Abecasis and Kang, "Unified representation of genetic
variants", Bioinformatics 2015, 31(13):2202-2204, algorithm 1).

Algorithm 1 moves an indel left one base at a time by rebuilding both strings. Here the strings are trimmed once; what is then
left of a pure insertion or deletion is a word that turns as it moves, so moving is counting, and the work is linear.

At the start of a contig there is no base before an indel to anchor it: the base after it is kept, as bcftools does
(``1 GA A`` stays ``1 GA A``).
"""

from __future__ import annotations

import numpy as np

_CHUNK = 1024  # bases looked at in one go while moving left; longer repeats take several


def normalise(pos: int, ref: str, alt: str, bases: np.ndarray) -> tuple[int, str, str]:
    """Trim and left-align one variant.

    ``pos`` is 1-based; ``ref`` must be what ``bases`` ((length,) uint8, upper-case ASCII) hold there, neither allele may be
    empty, and they must differ. Returns (pos, ref, alt). Neither comes out empty. An anchor base is taken from ``bases``, so it
    is an N where an indel ends up right after an N.
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
        before = chr(bases[start - 1])
        return start - 1, before + word, before
    after = chr(bases[len(word) if is_deletion else 0])
    return start, word + after, after
