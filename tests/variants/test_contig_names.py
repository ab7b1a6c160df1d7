from __future__ import annotations

import pytest

from raygen.variants.contig_names import contig_order, resolve_contig


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("1", ["1", "chr1"], "1"),
        ("chr1", ["1", "chr1"], "chr1"),
        ("1", ["chr1"], "chr1"),
        ("chr1", ["1"], "1"),
        ("chrX", ["X"], "X"),
        ("MT", ["chrM"], "chrM"),
        ("M", ["MT"], "MT"),
        ("chrM", ["MT"], "MT"),
        ("chrMT", ["M"], "M"),
        ("chrM", ["chrMT"], "chrMT"),
        ("HLA-A*01:01:01:01", ["HLA-A*01:01:01:01"], "HLA-A*01:01:01:01"),
        ("2", ["1", "chr1"], None),
        ("Chr1", ["1"], None),
        ("", ["1", "chr1"], None),
        ("mt", ["MT"], None),
        ("01", ["1", "10"], "1"),
        ("09", ["chr9"], "chr9"),
        ("chr03", ["3"], "3"),
        ("01", ["01", "1"], "01"),
        ("00", ["0", "1"], None),
        ("0X", ["chrX"], "chrX"),
        ("23", ["22", "X"], "X"),
        ("24", ["chr22", "chrY"], "chrY"),
        ("25", ["X", "Y"], "X"),
        ("XY", ["chrX", "chrY"], "chrX"),
        ("PAR2", ["X"], "X"),
        ("26", ["chrM"], "chrM"),
        ("chr26", ["MT"], "MT"),
        ("23", ["23", "X"], "23"),
        ("chr23", ["23", "X"], "23"),
        ("26", ["22", "23", "24", "25", "MT"], None),  # of a zebrafish
        ("27", ["X", "Y", "MT"], None),
        ("23", ["chr1", "chr2"], None),
    ],
)
def test_contig_is_found_under_its_other_name(name: str, names: list[str], expected: str | None) -> None:
    assert resolve_contig(name, names, is_human=True) == expected


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("23", ["1", "X"], None),  # of a cow's genome in part
        ("chr26", ["chrX", "MT"], None),
        ("23", ["1", "chr23"], "chr23"),
        ("01", ["1", "X"], "1"),
        ("PAR1", ["1", "X"], "X"),
    ],
)
def test_numbers_are_codes_for_human_references_alone(name: str, names: list[str], expected: str | None) -> None:
    assert resolve_contig(name, names) == expected


def test_hg19_with_both_mitochondria_keeps_them_apart() -> None:
    names = ["chrM", "chrMT"]
    assert [resolve_contig(name, names) for name in ("chrM", "chrMT", "M", "MT")] == ["chrM", "chrMT", "chrM", "chrMT"]


def test_contigs_are_sorted_as_an_assembly_has_them() -> None:
    shuffled = ["GL000192.2", "MT", "10", "X", "1_KI270706v1_random", "chr2", "chrY", "GL000192.1", "chr22", "1"]
    assert sorted(shuffled, key=contig_order) == [
        *("1", "chr2", "10", "chr22", "X", "chrY", "MT"),
        *("1_KI270706v1_random", "GL000192.1", "GL000192.2"),
    ]


def test_names_of_other_organisms_are_sorted_with_their_numbers_as_numbers() -> None:
    assert sorted(["scaffold_10", "scaffold_9", "scaffold_9b", "plasmid"], key=contig_order) == [
        "plasmid",
        "scaffold_9",
        "scaffold_9b",
        "scaffold_10",
    ]
