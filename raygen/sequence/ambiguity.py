"""Letters of a reference that stand for several bases, and what a VCF writes for them.

Since VCF 4.3 a file has no such letter but N: where the reference has R (A or G), REF has a base that R stands for, the
first in the alphabet by the specification (VCF 4.3, 1.6.1, REF). GATK writes N instead. N stays N.
"""

from __future__ import annotations

_TWO = {"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"}
_THREE = {"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG"}
STANDS_FOR = {**_TWO, **_THREE, "U": "T"}
"""IUPAC's letters but N, with their bases in alphabetical order."""
LETTERS = "ACGTN" + "".join(STANDS_FOR)
_IN_VCF = str.maketrans({letter: bases[0] for letter, bases in STANDS_FOR.items()})


def agrees(ref: str, reference_bases: str) -> bool:
    """Whether REF is what the reference has in its place, or holds bases that the reference's letters stand for."""
    if ref == reference_bases:
        return True
    return len(ref) == len(reference_bases) and all(
        letter == base or (base in STANDS_FOR and letter in STANDS_FOR[base] + "N")
        for letter, base in zip(ref, reference_bases, strict=True)
    )


def as_vcf_has_it(reference_bases: str) -> str:
    """Bases of the reference as a VCF writes them: for each letter but N the first base that it stands for."""
    return reference_bases.translate(_IN_VCF)
