"""Regions of a reference from BED, and what is said of lines that are none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from raygen.errors import InputError
from raygen.sequence.reference import Reference, open_reference
from raygen.variants.bed import read_bed
from raygen.variants.region import Region
from tests.builders import fasta, random_bases


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    return open_reference(str(fasta(tmp_path, {"1": random_bases(500, 1), "X": random_bases(80, 2)})))


def bed(folder: Path, text: str) -> str:
    (folder / "regions.bed").write_text(text)
    return str(folder / "regions.bed")


def test_regions_are_one_based_and_under_the_references_names(tmp_path, reference) -> None:
    text = "# a comment\ntrack name=x\nbrowser position 1\n1\t0\t10\tname\t0\t+\nchrX\t79\t80\r\n1 20 30\n\n"
    read = read_bed(bed(tmp_path, text), reference)
    assert read.regions == [Region("1", 1, 10), Region("X", 80, 80), Region("1", 21, 30)]
    assert read.remarks == []


def test_a_byte_order_mark_is_no_part_of_a_contig(tmp_path, reference) -> None:
    assert read_bed(bed(tmp_path, "\ufeff1\t0\t10\n"), reference).regions == [Region("1", 1, 10)]


def test_compressed(tmp_path, reference) -> None:
    (tmp_path / "regions.bed.gz").write_bytes(gzip.compress(b"1\t5\t6\n"))
    assert read_bed(str(tmp_path / "regions.bed.gz"), reference).regions == [Region("1", 6, 6)]
    whole = gzip.compress(b"1\t5\t6\n" * 500)
    (tmp_path / "cut.bed.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_bed(str(tmp_path / "cut.bed.gz"), reference)


def test_what_is_passed_over_is_counted(tmp_path, reference) -> None:
    text = "1\t0\t10\n1\t10\t20\n1\t15\t18\n1\t19\t30\n1\t40\t40\nX\t0\t10\n"
    read = read_bed(bed(tmp_path, text), reference)
    assert len(read.regions) == 5
    assert [remark.partition(": ")[2] for remark in read.remarks] == [
        "1 line without bases passed over.",
        "2 regions overlap others; each base counts once.",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1\t490\t501\n", r"line 1: it ends at 501, but 1 has 500 bases in .*Is it of another assembly\?"),
        ("1\t0\t5\nchr2\t0\t5\n", r"line 2: .* has no contig 'chr2'"),
        ("1\t9\t5\n", r"line 1: it ends at 5, before it starts \(9\)"),
        ("1\t1e3\t5\n", r"line 1 is no BED: start and end are '1e3' and '5'"),
        ("1\t-1\t5\n", r"line 1 is no BED: start and end are '-1' and '5'"),
        ("1\t5\n", r"line 1 is no BED: it has 2 columns"),
        ("1\t5\t" + "9" * 5000 + "\n", r"start and end are '5' and '9{20}', not whole numbers"),
        ("1\t5\t5\n", r"no line of it is a region with bases"),
        ("", r"no line of it is a region with bases"),
    ],
)
def test_a_line_that_is_no_region_is_named(tmp_path, reference, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_bed(bed(tmp_path, text), reference)


def test_no_file(tmp_path, reference) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_bed(str(tmp_path / "none.bed"), reference)
