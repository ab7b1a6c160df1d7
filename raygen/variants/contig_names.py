"""One rule for the many names of one contig, and one for the order of contigs.

In: a name from a VCF or table. Out: the reference's name for the same contig, or None. Tried in this order:

1. the name itself;
2. the name with ``chr`` taken off or put on (``chr1`` and ``1``);
3. any other name of the mitochondrion (``MT``, ``M``, ``chrM``, ``chrMT``).

The order matters for hg19 of UCSC, which holds the old ``chrM`` and the revised ``chrMT`` side by side: ``M`` is the first and
``MT`` the second.
"""

from __future__ import annotations

import re
from collections.abc import Container

MITOCHONDRIAL_NAMES = ("MT", "M", "chrM", "chrMT")
_LETTERED = ("X", "Y", "M", "MT")
_AFTER_NUMBERS = 2**63


def resolve_contig(name: str, names: Container[str]) -> str | None:
    """The one of ``names`` that means the same contig as ``name``; None where there is none."""
    if name in names:
        return name
    toggled = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
    if toggled in names:
        return toggled
    if name in MITOCHONDRIAL_NAMES:
        return next((alias for alias in MITOCHONDRIAL_NAMES if alias in names), None)
    return None


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
