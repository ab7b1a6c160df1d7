"""PLINK's tables of variants, written by hand after their specification: PLINK itself is not needed."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raygen.errors import InputError
from raygen.variants import text_table
from raygen.variants.alleles import SOURCE_PREFIX
from raygen.variants.inputs import open_readers
from raygen.variants.pvar import PvarReader

HEADER = "#CHROM\tPOS\tID\tREF\tALT\n"
BASES = "ACGTACGTAC" * 10


def alleles(reader: Any, columns: Sequence[str] = ()) -> pa.Table:
    batches = list(reader.batches(columns))
    table = pa.concat_tables([batch.table for batch in batches])
    assert sum(batch.num_records for batch in batches) == (max(table["record"].to_pylist()) if len(table) else 0)
    return table


def rows(path: Path) -> list[tuple[Any, ...]]:
    [reader] = open_readers([path])
    table = alleles(reader)
    names = ["chrom", "pos", "id", "ref", "alt", "record", "fault"]
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def written(folder: Path, text: str | bytes, name: str = "a.pvar") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def zstd(text: str) -> bytes:
    return pa.compress(text.encode(), "zstd", asbytes=True)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "##fileformat=PVARv1.0\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t7\trs1\tA\tC\nchr1\t9\t.\tG\tGA,T\n",
        "#CHROM ALT  ID\tREF POS CM\nchr1 C rs1 A 7 0\nchr1   GA,T\t . G\t\t9 0\n",
        "\n chr1 rs1 0 7 C A\n\nchr1\t. 0\t9\tGA,T\tG",
        "chr1\trs1\t7\tC\tA\nchr1\t.\t9\tGA,T\tG\n",
    ],
    ids=["header", "any order, runs of blanks", "six columns", "five columns"],
)
def test_columns_are_known_by_a_header_or_by_how_many_there_are(tmp_path: Path, text: str, end: str) -> None:
    expected = [
        ("chr1", 7, "rs1", "A", "C", 1, None),
        ("chr1", 9, None, "G", "GA", 2, None),
        ("chr1", 9, None, "G", "T", 2, None),
    ]
    text = text.replace("\n", end)
    assert rows(written(tmp_path, text)) == expected
    assert rows(written(tmp_path, gzip.compress(text.encode()), "a.pvar.gz")) == expected
    assert rows(written(tmp_path, zstd(text), "a.pvar.zst")) == expected


@pytest.mark.parametrize("name", ["sites", "sites.txt", "sites.zst"])
def test_a_header_makes_a_pvar_of_any_name_but_that_of_a_vcf(tmp_path: Path, name: str) -> None:
    for head in ("", "##contig=<ID=1>\n", "##fileformat=PVARv1.0\n"):
        [reader] = open_readers([written(tmp_path, head + HEADER + "1\t7\t.\tA\tC\n", name)])
        assert isinstance(reader, PvarReader)
    with pytest.raises(InputError, match="its first line is not ##fileformat=VCF"):
        open_readers([written(tmp_path, HEADER + "1\t7\t.\tA\tC\n", "a.vcf")])


def test_a_line_that_is_no_record_is_a_reject_with_its_number(tmp_path: Path) -> None:
    lines = [
        *("1\t7\t.\tA\tC", "1\t8\t.\tC", "1\t1e6\t.\tA\tC", "1\t1,000\t.\tA\tC", "1\t-3\t.\tA\tC", "1\t8\t.\tA\tC\t9"),
        *("1\t8\tr\xff\tC\tT", "", "1\t10\t.\tC\t."),
    ]
    path = written(tmp_path, (HEADER + "\n".join(lines)).encode("latin-1"))
    assert [(number, fault) for *_, number, fault in rows(path)] == [
        (1, None),
        (2, "4 columns, a line has 5, parted by tabs or spaces"),
        (3, "POS is '1e6', not a whole number"),
        (4, "POS is '1,000', not a whole number"),
        (5, "POS is -3, below 0"),
        (6, "6 columns, a line has 5, parted by tabs or spaces"),
        (7, "the record holds bytes that are not UTF-8 text"),
        (8, None),
    ]


def test_qual_filter_and_info_ride_along_by_allele(tmp_path: Path) -> None:
    text = (
        '##INFO=<ID=AF,Number=A,Type=Float,Description="f">\n##INFO=<ID=DB,Number=0,Type=Flag,Description="d">\n'
        '##INFO=<ID=GENE,Number=1,Type=String,Description="g">\n##INFO=<ID=AD,Number=R,Type=Integer,Description="a">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "1\t7\t.\tA\tC,G\t3.5\tPASS\tAF=0.1,0.2;DB;GENE=X;AD=1,2,3\n1\t9\t.\tA\tC\t.\t.\tGENE=.\n1\t10\t.\tA\tC\n"
    )
    [reader] = open_readers([written(tmp_path, text)])
    table = alleles(reader, ["QUAL", "FILTER", "AF", "DB", "GENE", "AD"])
    carried = [table[SOURCE_PREFIX + name].to_pylist() for name in ("QUAL", "FILTER", "AF", "DB", "GENE", "AD")]
    assert list(zip(*carried, strict=True)) == [
        (3.5, "PASS", 0.1, True, "X", 2),
        (3.5, "PASS", 0.2, True, "X", 3),
        (None, None, None, False, None, None),
        (None, None, None, None, None, None),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_any_table_is_read_as_a_plain_parser_reads_it_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(text_table, "BLOCK_BYTES", dice.choice([1, 7, 40, 1000]))
    names = dice.sample(["CHROM", "POS", "ID", "REF", "ALT", "CM"], 6)
    end = dice.choice(["\n", "\r\n"])
    gap = (lambda: dice.choice([" ", "\t", "  ", "\t "])) if seed % 2 else (lambda: "\t")
    lines, expected = ["#" + "\t".join(names)], []
    for number in range(1, 40):
        site = {
            "CHROM": dice.choice(["1", "chrX"]),
            "POS": dice.choice(["1", str(dice.randrange(10**9)), "x"]),
            "ID": dice.choice([".", "rs" + "9" * dice.randrange(1, 60)]),
            "REF": dice.choice("ACGT") * dice.randrange(1, 30),
            "ALT": ",".join(dice.choice("ACGT") * dice.randrange(1, 9) for _ in range(dice.randrange(1, 4))),
            "CM": "0",
        }
        lines.append("".join(site[name] + gap() for name in names).rstrip(" \t"))
        pos = int(site["POS"]) if site["POS"].isdigit() else None
        name = None if site["ID"] == "." else site["ID"]
        expected += [(site["CHROM"], pos, name, site["REF"], alt, number) for alt in site["ALT"].split(",")]
        lines += [""] * dice.choice([0, 0, 1])
    text = end.join(lines) + end * dice.choice([0, 1])
    pack, ending = dice.choice([(str.encode, ""), (zstd, ".zst"), (lambda text: gzip.compress(text.encode()), ".gz")])
    assert [row[:6] for row in rows(written(tmp_path, pack(text), f"a.pvar{ending}"))] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "no variants, and no header"),
        ("1 rs1 7 C\n", "its first line has 4 columns"),
        ("##contig=<ID=1>\n1 rs1 0 7 C A\n", "after ## lines its first line has 6 columns"),
        ("#CHROM\tPOS\tID\tREF\n", "has no column ALT"),
        ("#CHROM\tPOS\tID\tREF\tALT\tPOS\n", "names POS twice"),
    ],
)
def test_a_header_that_names_too_little_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_readers([written(tmp_path, text)])


@pytest.mark.parametrize("ending", ["zst", "gz"])
def test_a_cut_file_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any], ending: str
) -> None:
    dice = random.Random(1)
    lines = [f"1\t{dice.randrange(1, 99)}\trs{dice.random()}\tA\tC\n" for _ in range(20_000)]
    text = HEADER + "".join(lines)
    packed = zstd(text) if ending == "zst" else gzip.compress(text.encode())
    path = written(tmp_path, packed[: len(packed) // 2], f"a.pvar.{ending}")
    with pytest.raises(InputError, match="is truncated or corrupt"):
        run_ingest([path], reference_of({"1": BASES}))
    assert not list(tmp_path.rglob("part-*.parquet"))


def test_a_bim_has_the_reference_decide_which_allele_is_ref(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    sites = [
        *("1 as_it_is 0 1 G A", "1 swapped 0 2 C T", "1 neither 0 3 A C", "1 missing 0 4 0 T", "1 coded 0 5 I D"),
        *(
            "1 deletion 0 6 C CG",
            "1 insertion 0 6 CGT C",
            "1 longer 0 6 CG CA",
            "1 lower 0 8 t a",
            "1 no_number 0 x A C",
            "0 nowhere 0 0 A C",
        ),
    ]
    result = run_ingest([written(tmp_path, "\n".join(sites), "a.bim")], reference_of({"1": BASES}))
    assert [(row["pos"], row["ref"], row["alt"], row["id"], row["ref_swapped"]) for row in result.variants] == [
        (1, "A", "G", "as_it_is", False),
        (2, "C", "T", "swapped", True),
        (6, "C", "CGT", "insertion", False),
        (6, "CG", "C", "deletion", False),
        (7, "G", "A", "longer", True),
        (8, "T", "A", "lower", True),
    ]
    rejects = {row["id"]: row for row in result.rejects}
    assert {name: row["reason"] for name, row in rejects.items()} == {
        "neither": "ref_mismatch",
        "missing": "malformed_record",
        "coded": "malformed_record",
        "no_number": "malformed_record",
        "nowhere": "unknown_contig",
    }
    assert (rejects["neither"]["ref"], rejects["neither"]["alt"]) == ("C", "A")
    assert "neither is what" in rejects["neither"]["detail"]
    assert "0, PLINK's code for a missing one" in rejects["missing"]["detail"]
    assert "code I or D" in rejects["coded"]["detail"]
    assert any("of 3 variants the reference has the other allele" in text for text in result.result.warnings)
    assert any("of 2 insertions and deletions both alleles fit" in text for text in result.result.warnings)


def test_only_records_marked_pr_have_a_provisional_ref_in_a_pvar(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    text = (
        '##INFO=<ID=PR,Number=0,Type=Flag,Description="Provisional reference allele">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tINFO\n1\t1\topen\tG\tA\tX=1;PR\n1\t2\tfixed\tT\tC\tPRE\n1\t3\tright\tG\tA\tPR\n"
    )
    result = run_ingest([written(tmp_path, text)], reference_of({"1": BASES}))
    assert [(row["id"], row["ref"], row["ref_swapped"]) for row in result.variants] == [
        ("open", "A", True),
        ("right", "G", False),
    ]
    [reject] = result.rejects
    assert (reject["id"], reject["reason"]) == ("fixed", "ref_mismatch")


def test_a_damaged_end_of_a_frame_and_frames_after_another_are_seen(tmp_path: Path) -> None:
    whole = zstd(HEADER + "1\t7\t.\tA\tC\n") + zstd("1\t9\t.\tA\tG\n")
    assert [row[1] for row in rows(written(tmp_path, whole, "a.pvar.zst"))] == [7, 9]
