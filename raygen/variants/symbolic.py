"""Symbolic alleles that stand for a known sequence.

``<DEL>``, ``<DEL:...>``, ``<DUP>``, ``<DUP:TANDEM>`` and ``<INV>`` say everything once their length is known; it comes from INFO
END or SVLEN as ``span``, the number of bases after POS that the change covers. All else (``<CN0>``, ``<INS:ME:ALU>``,
``<NON_REF>``, ``<*>``, breakends) does not name a sequence.

END is taken before SVLEN, because callers round SVLEN (1000 Genomes has END - POS = 1446 beside SVLEN = 1677); only where a
record has several ALTs and one SVLEN each does SVLEN win, since END is then the furthest of them.
"""

from __future__ import annotations

import re

import numpy as np

_DELETION = re.compile(r"<DEL(:[^<>]*)?>")
_DUPLICATIONS = ("<DUP>", "<DUP:TANDEM>")
_INVERSION = "<INV>"
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def is_symbolic(alt: str) -> bool:
    """True for ``<...>`` and for breakends (``G]17:198982]``, ``.A``, ``A.``)."""
    return alt.startswith("<") or "[" in alt or "]" in alt or (len(alt) > 1 and (alt[0] == "." or alt[-1] == "."))


def names_a_sequence(alt: str) -> bool:
    """True for the symbolic alleles that ``spell_out`` can turn into sequence."""
    return alt in _DUPLICATIONS or alt == _INVERSION or _DELETION.fullmatch(alt) is not None


def span_from_info(info: str, pos: int, allele: int, num_alts: int) -> int | None:
    """Bases after ``pos`` that ALT number ``allele`` (from 0) covers, from the text of an INFO column; None if it does not say."""
    fields = dict(item.partition("=")[::2] for item in info.split(";"))
    lengths = fields.get("SVLEN", "").split(",")
    if num_alts > 1 and len(lengths) == num_alts and (length := _integer(lengths[allele])):
        return abs(length)
    end = _integer(fields.get("END", ""))
    if end is not None:
        return end - pos if end > pos else None
    length = _integer(lengths[0]) if len(lengths) == 1 else None
    return abs(length) if length else None


def spell_out(pos: int, alt: str, span: int, bases: np.ndarray) -> tuple[str, str]:
    """(ref, alt) in bases for a symbolic ``alt`` that ``names_a_sequence``, both starting with the base at 1-based ``pos``.

    Deletion: the ``span`` bases after ``pos`` go. Duplication: they come twice. Inversion: their reverse complement stands in
    their place. ``bases`` is the whole contig, (length,) uint8; ``pos + span`` must lie in it.
    """
    anchor = chr(bases[pos - 1])
    covered = bases[pos : pos + span].tobytes().decode("ascii")
    if alt in _DUPLICATIONS:
        return anchor, anchor + covered
    if alt == _INVERSION:
        return anchor + covered, anchor + covered[::-1].translate(_COMPLEMENT)
    return anchor + covered, anchor


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None
