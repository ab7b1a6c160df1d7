from __future__ import annotations

import pytest

from raygen.variants.contig_names import resolve_contig


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
