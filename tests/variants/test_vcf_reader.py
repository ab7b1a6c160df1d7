from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysam
import pysam.bcftools
import pytest

from raygen.errors import InputError
from raygen.variants.vcf import VcfReader
from raygen.variants.vcf_stream import BROKEN_GZIP, opened_text


def rows_of(path: Path, *columns: str) -> list[dict[str, Any]]:
    batches = VcfReader(path, path.name).batches(columns)
    return [row for batch in batches for row in batch.table.to_pylist()]


def alleles_of(path: Path) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("chrom", "pos", "id", "ref", "alt", "record")) for row in rows_of(path)]


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz", "a.plain.vcf.gz", "a.bcf"])
def test_every_packing_gives_the_same_alleles(vcf: Callable[..., Path], name: str) -> None:
    path = vcf(
        ["1 10 rs1 A C", "1 12 . a c,t", "MT 5 x;y ACG A"], name, header="##contig=<ID=1>\n##contig=<ID=MT,length=9>\n"
    )
    assert alleles_of(path) == [
        ("1", 10, "rs1", "A", "C", 1),
        ("1", 12, None, "a", "c", 2),
        ("1", 12, None, "a", "t", 2),
        ("MT", 5, "x;y", "ACG", "A", 3),
    ]
    assert VcfReader(path, name).contig_lengths == {"MT": 9}


def test_genotypes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "g.vcf"
    path.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description=x>\n"
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\tnonsense:x\n"
    )
    assert alleles_of(path) == [("1", 5, None, "A", "C", 1)]


def test_header_only_gives_no_alleles(vcf: Callable[..., Path]) -> None:
    batches = list(VcfReader(vcf(), "a.vcf").batches([]))
    assert sum(batch.table.num_rows + batch.num_records for batch in batches) == 0


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz", "a.plain.vcf.gz"])
def test_bad_lines_are_faults_and_reading_goes_on(vcf: Callable[..., Path], name: str) -> None:
    raw = [
        "1\t10\trs1\tA\tC\t.\t.\t.",
        "1\tten\trs2\tA\tC,T\t.\t.\t.",
        "1\t12\t.\tA",
        "",
        "1\t-5\t.\tA\tC\t.\t.\t.",
        "1 15 . A C . . .",
        "##a header line in the body",
        "1\t99999999999999999999999\t.\tA\tC\t.\t.\t.",
        "1\t16\trs\udce9\tA\tC\t.\t.\t.",
        "1\t17\trs9\tA\tG\t.\t.\t.",
        "",
    ]
    rows = rows_of(vcf([], name, raw=raw) if name == "a.vcf" else _packed(vcf([], "b.vcf", raw=raw), name))
    assert [(row["record"], row["pos"], row["id"], row["ref"], row["alt"]) for row in rows] == [
        (1, 10, "rs1", "A", "C"),
        (2, None, "rs2", "A", "C,T"),
        (3, 12, None, "A", None),
        (4, -5, None, "A", "C"),
        (5, None, None, None, None),
        (6, None, None, None, None),
        (7, None, None, "A", "C"),
        (8, 16, "rs\ufffd", "A", "C"),
        (9, 17, "rs9", "A", "G"),
    ]
    assert [row["fault"] for row in rows] == [
        None,
        "POS is 'ten', not a whole number",
        "4 tab-separated columns, a VCF record has at least 8",
        "POS is -5, below 0",
        "1 tab-separated columns, a VCF record has at least 8",
        "a line that starts with '#' among the records",
        "POS is '99999999999999999999999', not a whole number",
        "the record holds bytes that are not UTF-8 text",
        None,
    ]


def _packed(plain: Path, name: str) -> Path:
    path = plain.with_name(name)
    if "plain" in name:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        pysam.tabix_compress(str(plain), str(path), force=True)
    return path


LATIN1 = '##INFO=<ID=DIS,Number=.,Type=String,Description="maladie h\udce9r\udce9ditaire">\n##INFO=<ID=\udce9,Number=1,Type=Integer,Description="">\n'


@pytest.mark.parametrize("name", ["a.vcf", "a.bcf"])
def test_a_byte_that_is_no_utf8_is_a_fault_only_where_it_is_read(
    vcf: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    raw = [
        "1\t10\trs1\tA\tC\t.\t.\tDIS=h\udce9r",
        "1\t20\trs2\tA\t<DEL>\t.\t.\tEND=24;DIS=h\udce9r",
        "1\t30\trs3\tA\tG,<INS>\t.\t.\tDIS=her",
        "1\t40\trs\udce9\tA\tT\t.\t.\tDIS=her",
    ]
    header = "##contig=<ID=1>\n##contig=<ID=\udce9,length=9>\n" + LATIN1
    path = vcf([], "plain.vcf", header=header, raw=raw)
    if name == "a.bcf":  # pysam cannot copy such records
        path = tmp_path / name
        pysam.bcftools.view("-Ob", "-o", str(path), str(tmp_path / "plain.vcf"), catch_stdout=False)
    not_read = [(row["record"], row["id"], row["alt"], row["span"], row["fault"]) for row in rows_of(path)]
    assert not_read == [
        (1, "rs1", "C", None, None),
        (2, "rs2", "<DEL>", 4, None),
        (3, "rs3", "G", None, None),
        (3, "rs3", "<INS>", None, None),
        (4, "rs\ufffd", "T", None, "the record holds bytes that are not UTF-8 text"),
    ]
    faults = [(row["id"], row["source.DIS"], row["fault"] is None) for row in rows_of(path, "DIS")]
    assert faults == [
        ("rs1", None, False),
        ("rs2", None, False),
        ("rs3", "her", True),
        ("rs3", "her", True),
        ("rs\ufffd", None, False),
    ]
    assert "\udce9" not in VcfReader(path, name).columns


def test_record_without_alt_is_one_row(vcf: Callable[..., Path]) -> None:
    assert [row["alt"] for row in rows_of(vcf(["1 10 . A .", "1 11 . A C"]))] == [None, "C"]


def test_span_is_read_for_symbolic_alleles_only(vcf: Callable[..., Path]) -> None:
    path = vcf(
        [
            "1 10 . A <DEL> . . END=14",
            "1 11 . A C,<DUP> . . SVLEN=.,7",
            "1 12 . A <INV> . . SVTYPE=INV",
            "1 13 . A C . . END=20",
        ]
    )
    assert [row["span"] for row in rows_of(path)] == [4, None, 7, None, None]


@pytest.mark.parametrize(("version", "span"), [("4.2", 9), ("4.3", 9), ("4.4", 5), ("4.5", 5)])
@pytest.mark.parametrize("name", ["a.vcf", "a.bcf"])
def test_span_follows_the_version_of_the_header(
    vcf: Callable[..., Path], tmp_path: Path, name: str, version: str, span: int
) -> None:
    path = vcf(["1 16 . A <DEL> . . SVLEN=5;END=25"], "v.vcf", header="##contig=<ID=1>\n")
    path.write_text(path.read_text().replace("VCFv4.2", f"VCFv{version}"))
    if name == "a.bcf":
        pysam.bcftools.view("-Ob", "-o", str(tmp_path / name), str(path), catch_stdout=False)
        path = tmp_path / name
    assert [row["span"] for row in rows_of(path)] == [span]


def test_source_columns_follow_the_header(vcf: Callable[..., Path]) -> None:
    path = vcf(
        [
            "1 10 . A C,G 30.5 PASS AF=0.1,.;AD=7,8,9;DP=4;DB;CLNSIG=Benign,_low;END=12",
            "1 11 . A C,G . q10 AF=0.1;AD=7",
            "1 12 . A . . . DP=x",
        ]
    )
    columns = ["QUAL", "FILTER", "AF", "AD", "DP", "DB", "CLNSIG", "END"]
    rows = [tuple(row[f"source.{name}"] for name in columns) for row in rows_of(path, *columns)]
    assert rows == [
        (30.5, "PASS", 0.1, 8, 4, True, "Benign,_low", 12),
        (30.5, "PASS", None, 9, 4, True, "Benign,_low", 12),
        (None, "q10", None, None, None, False, None, None),
        (None, "q10", None, None, None, False, None, None),
        (None, None, None, None, None, False, None, None),
    ]
    types = VcfReader(path, "a.vcf").columns
    assert [str(types[name]) for name in columns] == [
        "double",
        "string",
        "double",
        "int64",
        "int64",
        "bool",
        "string",
        "int64",
    ]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.vcf: no such file"):
        VcfReader(tmp_path / "nowhere.vcf", "nowhere.vcf")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.vcf", b"", "empty"),
        ("empty.vcf.gz", gzip.compress(b"", mtime=0), "no valid header"),
        ("garbage.vcf", bytes(range(256)) * 40, "cannot be read as VCF or BCF"),
        ("garbage.vcf.gz", gzip.compress(bytes(range(256)) * 40_000, mtime=0), "cannot be read as VCF or BCF"),
        ("words.vcf", b"once upon a time\n", "cannot be read as VCF or BCF"),
        ("table.vcf", b"#CHROM\tPOS\n1\t2\n", "cannot be read as VCF or BCF"),
    ],
)
def test_file_that_is_no_vcf_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        VcfReader(path, name)


FIRST, COLUMNS = "##fileformat=VCFv4.2\n", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"\ufeff{FIRST}{COLUMNS}\n", "its first 3 bytes are a byte order mark"),
        (f"{COLUMNS}\n", "its first line is not ##fileformat=VCFv4.2 or another version"),
        (f"\n{FIRST}{COLUMNS}\n", "##fileformat is in line 2; make it the first"),
        (f" {FIRST}{COLUMNS}\n", "a blank stands before ##fileformat"),
        (f"{FIRST}{COLUMNS}\n".replace("\n", "\r"), "its lines end with CR alone"),
        (f"{FIRST}1\t5\t.\tA\tC\t.\t.\t.\n", "after the lines that begin with ## there is no line with #CHROM POS"),
        (FIRST, "after the lines that begin with ## there is no line with #CHROM POS"),
        (f"{FIRST}{COLUMNS}\n".replace("\t", " "), "line 2, #CHROM, has blanks instead of tabs"),
        (f"{FIRST}##x=1\n{COLUMNS} \n", "column 8 of line 3, #CHROM, is 'INFO ', not 'INFO'"),
        (f"{FIRST}{COLUMNS.removesuffix('INFO').rstrip()}\n", "line 2, #CHROM, has 7 columns and lacks INFO"),
        (f"{FIRST}{COLUMNS}\t\n", "column 9 of line 2, #CHROM, has no name; remove the tab"),
        (f"{FIRST}{COLUMNS}\tFORMAT\ts\t\n", "column 11 of line 2, #CHROM, has no name; remove the tab"),
        (f"{FIRST}{COLUMNS}\tFORMAT\n", "line 2, #CHROM, has FORMAT and no samples, as vcfanno 0.3.5 writes it"),
        (f"{FIRST}{COLUMNS}\tsecret\n", "column 9 of line 2, #CHROM, is not FORMAT"),
        (
            f"{FIRST}{COLUMNS}\tFORMAT\ta\tsecret\tb\tsecret\n",
            "columns 11 and 13 of line 2, #CHROM, name the same sample",
        ),
    ],
)
def test_what_is_wrong_with_a_header_is_said(tmp_path: Path, text: str, cause: str, is_packed: bool) -> None:
    path = tmp_path / "a.vcf"
    path.write_bytes(gzip.compress(text.encode()) if is_packed else text.encode())
    with pytest.raises(InputError, match=re.escape(f"a.vcf cannot be read as VCF or BCF: {cause}")) as error:
        VcfReader(path, "a.vcf")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("first_bytes", "cause"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"), (b"\xff\xfe", "UTF-16")]
)
def test_files_packed_in_other_ways_are_known(tmp_path: Path, first_bytes: bytes, cause: str) -> None:
    (tmp_path / "a.vcf").write_bytes(first_bytes + b"rest of it" * 9)
    with pytest.raises(InputError, match=cause):
        VcfReader(tmp_path / "a.vcf", "a.vcf")


def test_folder_is_not_read_as_a_vcf(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        VcfReader(tmp_path, "folder")


BGZF_EOF_BYTES = 28


@pytest.mark.parametrize("name", ["a.vcf.gz", "a.bcf", "a.plain.vcf.gz"])
@pytest.mark.parametrize("keep", [0.5, 0.9, -BGZF_EOF_BYTES, -4])
def test_truncated_file_is_refused(vcf: Callable[..., Path], name: str, keep: float) -> None:
    path = _many_records(vcf, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep) if keep < 0 else int(len(content) * keep)])
    with pytest.raises(InputError, match="truncated or corrupt"):
        rows_of(path)


@pytest.mark.parametrize("name", ["a.vcf.gz", "a.bcf", "a.plain.vcf.gz"])
def test_flipped_bits_in_the_middle_are_refused(vcf: Callable[..., Path], name: str) -> None:
    path = _many_records(vcf, name)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or corrupt"):
        rows_of(path)


def _many_records(vcf: Callable[..., Path], name: str) -> Path:
    records = [
        f"1 {10 + i * 7919 % 100_003} rs{i * 104_729 % 1_000_003} A C . . AF=0.{i * 7 % 997}" for i in range(20_000)
    ]
    return vcf(records, name, header="##contig=<ID=1>\n")


def test_reader_can_be_left_before_the_end(vcf: Callable[..., Path]) -> None:
    batches = VcfReader(_many_records(vcf, "a.plain.vcf.gz"), "a").batches([])
    assert next(batches).num_records > 0
    batches.close()  # type: ignore[attr-defined]


def test_htslib_verbosity_is_put_back(vcf: Callable[..., Path]) -> None:
    before = pysam.get_verbosity()
    rows_of(vcf(["1 10 . A C"]))
    assert pysam.get_verbosity() == before


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz", "a.plain.vcf.gz"])
def test_text_is_the_same_however_it_is_packed(vcf: Callable[..., Path], name: str) -> None:
    raw = ["1\t5\t.\tA\tC\t.\t.\t.\r", "", "  ", "1\t6\t\udcff\tA\tC\t.\t.\t."] + ["x" * 1000] * 500
    expected = vcf(raw=raw, name="b.vcf").read_bytes()
    if name == "a.plain.vcf.gz":
        path = vcf(name="a.plain.vcf.gz")
        path.write_bytes(gzip.compress(expected))
    else:
        path = vcf(raw=raw, name=name)
    with opened_text(path) as lines:
        assert b"".join(lines) == expected
    if name != "a.vcf":
        path.write_bytes(path.read_bytes()[:-60])
        with opened_text(path) as lines, pytest.raises(BROKEN_GZIP):
            lines.read()
