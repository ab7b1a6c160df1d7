"""Alleles by the first columns of a text VCF: the same as htslib's reader gives, and what is no record."""

import gzip
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pysam
import pytest

from raygen.errors import InputError
from raygen.variants import vcf_text
from raygen.variants.vcf import VcfReader
from raygen.variants.vcf_text import text_alleles
from tests.builders import random_bases, shared, snvs, vcf

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def read(path: Path) -> tuple[list[tuple], int]:
    """(chrom, pos, ref, alt) of all alleles, and the number of lines that are no records."""
    rows, num_malformed = [], 0
    for alleles in text_alleles(path):
        rows += [tuple(row.values()) for row in alleles.table.to_pylist()]
        num_malformed += alleles.num_malformed
    return rows, num_malformed


def by_htslib(path: Path) -> list[tuple]:
    """The same of the well-formed rows, by the reader that ``ingest`` has."""
    batches = [batch.table for batch in VcfReader(path, "it").batches([])]
    return [
        (row["chrom"], row["pos"], row["ref"], row["alt"])
        for row in pa.concat_tables(batches).to_pylist()
        if row["fault"] is None
    ]


def written(tmp_path: Path, body: str | bytes) -> Path:
    path = tmp_path / "in.vcf"
    path.write_bytes(HEADER.encode() + (body if isinstance(body, bytes) else body.encode()))
    return path


def test_each_alt_is_a_row(tmp_path):
    path = vcf(tmp_path, ["1 5 rs1 A C,GT", "chr2 123456789 . ACGT A", "HLA-A*01:01 7 . g *,<DEL>"])
    assert read(path) == (
        [
            ("1", 5, "A", "C"),
            ("1", 5, "A", "GT"),
            ("chr2", 123456789, "ACGT", "A"),
            ("HLA-A*01:01", 7, "g", "*"),
            ("HLA-A*01:01", 7, "g", "<DEL>"),
        ],
        0,
    )


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 22])
@pytest.mark.parametrize("packed", ["plain", "gzip", "bgzip"])
def test_blocks_of_any_size_give_the_same(tmp_path, monkeypatch, block, packed):
    monkeypatch.setattr(vcf_text, "_BLOCK", block)
    bases = random_bases(30)
    path = vcf(tmp_path, [*snvs("1", bases, range(1, 20)), "X 3 . A C,G,T", *snvs("chrX", bases, (4, 9))])
    expected = by_htslib(path)
    if packed == "gzip":
        (tmp_path / "in.vcf.gz").write_bytes(gzip.compress(path.read_bytes()))
    elif packed == "bgzip":
        pysam.tabix_compress(str(path), str(tmp_path / "in.vcf.gz"))
    assert read(path if packed == "plain" else tmp_path / "in.vcf.gz") == (expected, 0)
    assert len(expected) == 24


@pytest.mark.parametrize(
    ("body", "rows", "num_malformed"),
    [
        ("", 0, 0),
        ("\n\n", 0, 0),
        ("1\t5\t.\tA\tC\t.\t.\t.", 1, 0),
        ("1\t5\t.\tA\tC\t.\t.\t.\r\n\r\n1\t6\t.\tA\tC\t.\t.\tX=1\r\n", 2, 0),
        ("1\t5\t.\tA\tC\t.\t.\n1\t6\t.\tA\tC\t.\t.\t.\n", 1, 1),  # seven columns
        ("# remark\t\t\t\t\t\t\t\n1\t6\t.\tA\tC\t.\t.\t.\n", 1, 1),
        ("1\tx\t.\tA\tC\t.\t.\t.\n1\t\t.\tA\tC\t.\t.\t.\n1\t-5\t.\tA\tC\t.\t.\t.\n1\t5.0\t.\tA\tC\t.\t.\t.\n", 0, 4),
        ("1\t9223372036854775808\t.\tA\tC\t.\t.\t.\n1\t005\t.\tA\tC\t.\t.\t.\n", 1, 1),
        ("1\t5\t.\tA\tC\t.\t.\tA=\xe4\tGT\t0/1\n", 1, 0),
    ],
)
def test_what_is_no_record_is_counted(tmp_path, body, rows, num_malformed):
    found, malformed = read(written(tmp_path, body))
    assert (len(found), malformed) == (rows, num_malformed)
    assert {row[1] for row in found} <= {5, 6}


def test_bytes_that_are_no_text_are_replaced(tmp_path):
    body = b"1\t5\t.\tA\tC\t.\t.\t.\nchr\xff\t6\t.\tA\t\xc3\xa4\t.\t.\tX=\xff\n"
    assert read(written(tmp_path, body))[0] == [("1", 5, "A", "C"), ("chr\ufffd", 6, "A", "\u00e4")]


def test_a_file_that_breaks_off_is_an_input_error(tmp_path):
    path = vcf(tmp_path, snvs("1", "ACGT" * 5000, range(1, 20_000)))
    content = gzip.compress(path.read_bytes())
    (tmp_path / "in.vcf.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is truncated or corrupt: gzip says"):
        read(tmp_path / "in.vcf.gz")


def test_real_files_read_as_by_htslib():
    paths = [path for path in sorted(shared(".").rglob("*.vcf*")) if path.name.endswith((".vcf", ".vcf.gz"))]
    num_read = 0
    for path in paths:
        with suppress(InputError):  # htslib does not read the header
            expected = by_htslib(path)
            assert read(path)[0] == expected, path
            num_read += 1
    assert num_read >= 20
