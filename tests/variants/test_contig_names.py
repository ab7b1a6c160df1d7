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
    ],
)
def test_contig_is_found_under_its_other_name(name: str, names: list[str], expected: str | None) -> None:
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
