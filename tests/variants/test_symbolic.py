from __future__ import annotations

import numpy as np
import pytest

from raygen.variants.normalise import is_symbolic, names_a_sequence, span_from_info, spell_out

BASES = np.frombuffer(b"ACGTTGCA", np.uint8)


@pytest.mark.parametrize(
    ("info", "pos", "allele", "num_alts", "span"),
    [
        ("END=20", 16, 0, 1, 4),
        ("SVTYPE=DEL;END=20;SVLEN=-100", 16, 0, 1, 4),
        ("SVLEN=-4", 16, 0, 1, 4),
        ("END=20;SVLEN=" + "1" * 5000, 16, 0, 1, 4),
        ("SVLEN=" + "1" * 20, 16, 0, 1, None),
        ("SVLEN=-" + "0" * 5000 + "4", 16, 0, 1, 4),
        ("SVLEN=4;SVTYPE=DUP", 16, 0, 1, 4),
        ("SVLEN=-7,9;END=25", 16, 0, 2, 7),
        ("SVLEN=-7,9;END=25", 16, 1, 2, 9),
        ("SVLEN=-7;END=25", 16, 1, 2, 9),
        ("SVLEN=-7,9;END=16", 16, 1, 2, 9),
        ("SVLEN=20;END=16", 16, 0, 1, 20),
        ("SVLEN=-20;END=15", 16, 0, 1, 20),
        ("SVLEN=20;END=.", 16, 0, 1, 20),
        ("SVLEN=.,9;END=16", 16, 0, 2, None),
        ("SVLEN=0;END=16", 16, 0, 1, None),
        ("END=5", 16, 0, 1, None),
        ("END=16", 16, 0, 1, None),
        ("END=.;SVLEN=.", 16, 0, 1, None),
        ("CIEND=-75,76;MEND=20", 16, 0, 1, None),
        (".", 16, 0, 1, None),
    ],
)
def test_span_comes_from_end_or_svlen(info: str, pos: int, allele: int, num_alts: int, span: int | None) -> None:
    assert span_from_info(info, pos, allele, num_alts) == span


@pytest.mark.parametrize(
    ("info", "allele", "num_alts", "span"),
    [
        ("SVLEN=5;END=25", 0, 1, 5),
        ("SVLEN=.;END=25", 0, 1, 9),
        ("END=25", 0, 1, 9),
        ("SVLEN=7,9;END=25", 0, 2, 7),
        ("SVLEN=7;END=25", 1, 2, 9),
    ],
)
def test_svlen_holds_from_vcf_4_4_on(info: str, allele: int, num_alts: int, span: int) -> None:
    assert span_from_info(info, 16, allele, num_alts, svlen_holds=True) == span


@pytest.mark.parametrize(
    ("alt", "expected"),
    [
        ("<DEL>", ("CGTT", "C")),
        ("<DEL:ME:ALU>", ("CGTT", "C")),
        ("<DUP>", ("C", "CGTT")),
        ("<DUP:TANDEM>", ("C", "CGTT")),
        ("<INV>", ("CGTT", "CAAC")),
    ],
)
def test_symbolic_allele_becomes_sequence(alt: str, expected: tuple[str, str]) -> None:
    assert names_a_sequence(alt)
    assert spell_out(2, alt, 3, BASES) == expected


@pytest.mark.parametrize(
    "alt", ["<CN0>", "<INS:ME:ALU>", "<INS>", "<NON_REF>", "<*>", "<DUP:INV>", "<DELLY>", "<", "G]17:198982]"]
)
def test_other_symbolic_alleles_name_no_sequence(alt: str) -> None:
    assert is_symbolic(alt)
    assert not names_a_sequence(alt)


@pytest.mark.parametrize(
    ("alt", "expected"), [("]13:1]T", True), ("A.", True), (".A", True), (".", False), ("ACG", False), ("*", False)]
)
def test_breakends_are_symbolic_and_bases_are_not(alt: str, expected: bool) -> None:
    assert is_symbolic(alt) is expected
