"""Numbers of a VCF are what its text says, or null with a word about it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pysam import bcftools

from raygen.variants.ingest import ingest
from raygen.variants.vcf import VcfReader
from raygen.variants.vcf_numbers import float_number, whole_number
from tests.variants.conftest import MemoryReference

HEADER = [
    "##fileformat=VCFv4.2",
    "##contig=<ID=1>",
    *(
        f'##INFO=<ID={name},Number={number},Type={kind},Description="-">'
        for name, number, kind in (
            ("RS", 1, "Integer"),
            ("DP", 1, "Integer"),
            ("AF", "A", "Float"),
            ("AD", "R", "Integer"),
            ("P", 1, "Float"),
            ("MLEAC", ".", "Integer"),
            ("END", 1, "Integer"),
        )
    ),
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
]


def written(folder: Path, *records: str) -> Path:
    """A VCF of ``ALT QUAL INFO`` at the positions 1, 5, 9, ... of a reference ACGTACGT..."""
    lines = []
    for number, record in enumerate(records):
        alt, qual, info = record.split(" ")
        lines.append(f"1\t{1 + 4 * number}\t.\tA\t{alt}\t{qual}\t.\t{info}")
    path = folder / "v.vcf"
    path.write_text("\n".join([*HEADER, *lines]) + "\n")
    return path


def read(path: Path, *columns: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The values of the columns of each allele, and what the reader says of them."""
    reader = VcfReader(path, path.name)
    rows = [row for batch in reader.batches(columns) for row in batch.table.to_pylist()]
    return [tuple(row[f"source.{name}"] for name in columns) for row in rows], list(reader.remarks)


@pytest.mark.parametrize(
    "text, number",
    [
        ("2148352434", 2148352434),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", None),
        ("1" * 5000, None),
        ("-" + "0" * 5000 + "7", -7),
        ("0", 0),
        ("+000", 0),
        ("1e3", 1000),
        ("7.0", 7),
        ("1.5", None),
        ("1e300", None),
        ("abc", None),
        ("1_0", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_a_whole_number_is_exact_or_none(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text, number",
    [
        ("0.1", 0.1),
        ("1e-60", 1e-60),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("12345678.9", 12345678.9),
        ("0.0e0", 0.0),
        ("Inf", math.inf),
        ("1e400", None),
        ("1e-400", None),
        ("0.1x", None),
        ("1_0", None),
    ],
)
def test_a_float_is_the_float64_of_its_text_or_none(text, number):
    assert float_number(text) == number


def test_numbers_that_htslib_cannot_hold_are_carried(tmp_path):
    path = written(
        tmp_path,
        "C 12345678.9 RS=2148352434;AF=1e-60;P=0.123456789",
        "C,G . DP=1e3;AD=1,2,3000000000;MLEAC=3000000000,1;AF=0.1,.",
        "C . END=3000000000;RS=5;DP=7;DP=8",
    )
    names = ("QUAL", "RS", "DP", "AF", "P", "AD", "MLEAC", "END")
    rows, remarks = read(path, *names)
    assert rows == [
        (12345678.9, 2148352434, None, 1e-60, 0.123456789, None, None, None),
        (None, None, 1000, 0.1, None, 2, "3000000000,1", None),
        (None, None, 1000, None, None, 3000000000, "3000000000,1", None),
        (None, 5, 7, None, None, None, None, 3000000000),
    ]
    assert remarks == []


def test_values_that_become_null_are_counted_and_the_first_is_shown(tmp_path):
    path = written(tmp_path, "C . DP=5;AF=0.5", "C . DP=1.5;AF=0.1,0.2", "C . DP=abc;AF=.", "C . DP=1,2;AF=")
    rows, remarks = read(path, "DP", "AF")
    assert rows == [(5, 0.5), (None, None), (None, None), (None, None)]
    assert remarks == [
        "v.vcf: DP is null in 3 records, whose value is no whole number of 64 bits or not a single one (the first: '1.5' in record 2).",
        "v.vcf: AF is null in 1 record, whose value is no number that float64 holds or not one for each ALT (the first: '0.1,0.2' in "
        "record 2).",
    ]
    result = ingest([path], MemoryReference({"1": "ACGT" * 5}), tmp_path / "in", source_columns=["DP", "AF"])
    assert result.warnings == remarks


def test_a_line_that_htslib_refuses_is_still_one_row(tmp_path):
    path = written(tmp_path, "C . RS=1", "C . RS=2", "C . RS=3000000000")
    path.write_text(path.read_text().replace("\t5\t.", "\tfive\t."))
    assert read(path, "RS")[0] == [(1,), (None,), (3000000000,)]


def test_a_bcf_has_the_numbers_that_it_holds(tmp_path):
    path = written(tmp_path, "C 12.5 RS=7;AF=0.1;MLEAC=1,2")
    bcftools.view("-O", "b", "-o", str(tmp_path / "v.bcf"), str(path), catch_stdout=False)
    assert read(tmp_path / "v.bcf", "QUAL", "RS", "AF", "MLEAC") == ([(12.5, 7, 0.1, "1,2")], [])
