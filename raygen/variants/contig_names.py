"""One rule for the many names of one contig.

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


def natural_order(name: str) -> list[tuple[int, str]]:
    """To sort contigs by: 2 before 10, numbers before letters."""
    return [
        (int(part), "") if part.isdigit() else (10**9, part)
        for part in re.findall(r"\d+|\D+", name.removeprefix("chr"))
    ]
