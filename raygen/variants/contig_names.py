"""One rule for the many names of one contig, and one for the order of contigs.

In: a name from a VCF or table. Out: the reference's name for the same contig, or None. Tried in this order:

1. the name itself;
2. the name with ``chr`` taken off or put on (``chr1`` and ``1``);
3. any other name of the mitochondrion (``MT``, ``M``, ``chrM``, ``chrMT``);
4. what a code of PLINK stands for, with or without ``chr``: ``01`` to ``09``, ``0X``, ``0Y``; ``23`` X, ``24`` Y, ``25``, ``XY``, ``PAR1``
   and ``PAR2`` X, because positions in pseudo-autosomal regions are X's; ``26`` the mitochondrion.

The order matters for hg19 of UCSC, which holds the old ``chrM`` and the revised ``chrMT`` side by side: ``M`` is the first and
``MT`` the second. ``23`` to ``26`` are codes for humans' 22 pairs alone: where the reference is not known to be human they are plain
numbers, so that a cow's chromosome 23 is not scored on X where the FASTA holds a part of the genome. So they are where it has a
contig of one of these numbers.
"""

from __future__ import annotations

import re
from collections.abc import Container

MITOCHONDRIAL_NAMES = ("MT", "M", "chrM", "chrMT")
_CODES = {"0X": "X", "0Y": "Y", "XY": "X", "PAR1": "X", "PAR2": "X"} | {
    f"0{digit}": str(digit) for digit in range(1, 10)
}
_HUMAN_CODES = {"23": "X", "24": "Y", "25": "X", "26": "MT"}
_LETTERED = ("X", "Y", "M", "MT")
_AFTER_NUMBERS = 2**63


def resolve_contig(name: str, names: Container[str], *, is_human: bool = False) -> str | None:
    """The one of ``names`` that means the same contig as ``name``; None where there is none.

    Args:
        is_human: whether ``names`` are those of a human assembly (see ``human_assemblies``), so that ``23`` is X.
    """
    bare = name.removeprefix("chr")
    code = _CODES.get(bare)
    if is_human and bare in _HUMAN_CODES and not any(_with_or_without_chr(number, names) for number in _HUMAN_CODES):
        code = _HUMAN_CODES[bare]
    return _by_name(name, names) or (_by_name(code, names) if code else None)


def name_without_reference(name: str) -> str:
    """One name for all names of a contig where no reference is at hand: without ``chr``, ``MT``, a code as what it stands for.

    ``23`` to ``26`` stay as they are: only a reference tells PLINK's codes from a dog's or a zebrafish's chromosomes.
    """
    bare = name.removeprefix("chr")
    return "MT" if bare in MITOCHONDRIAL_NAMES else _CODES.get(bare, bare)


def _by_name(name: str, names: Container[str]) -> str | None:
    if contig := _with_or_without_chr(name, names):
        return contig
    if name in MITOCHONDRIAL_NAMES:
        return next((alias for alias in MITOCHONDRIAL_NAMES if alias in names), None)
    return None


def _with_or_without_chr(name: str, names: Container[str]) -> str | None:
    if name in names:
        return name
    toggled = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
    return toggled if toggled in names else None


def contig_order(name: str) -> tuple[int, list[tuple[int, str]], str]:
    """Key by which contigs are sorted as assemblies are: 1 to 22, then X, Y and M, then the others (2 before 10).

    With or without ``chr``. For tables and pages that have no reference at hand, whose own order would be better.
    """
    bare = name.removeprefix("chr")
    if bare.isdecimal():
        return 0, [(int(bare), "")], name
    if bare in _LETTERED:
        return 1, [(_LETTERED.index(bare), "")], name
    digits_or_text = re.findall(r"\d+|\D+", bare)
    return 2, [(int(part), "") if part.isdecimal() else (_AFTER_NUMBERS, part) for part in digits_or_text], name
