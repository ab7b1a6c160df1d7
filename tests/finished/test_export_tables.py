"""TSV, Parquet and CSV of finished scores, read back."""

import shutil
import subprocess

import polars as pl
import pyarrow.parquet as pq
import pysam
import pysam.bcftools
import pytest

from raygen.errors import InputError, SettingsError
from raygen.finished import export_tables
from raygen.finished.export import export_scores
from raygen.tables import score_index
from raygen.tables.layout import read_scores
from tests.builders import fasta, random_bases
from tests.finished_runs import finished_run

DELTAS = {f"{chrom}-{pos}-A-{alt}": pos / 8 - 7 for chrom in ("10", "2") for pos in range(1, 60) for alt in "CG"}


@pytest.fixture
def out(tmp_path):
    reference = fasta(tmp_path, {"10": random_bases(99), "2": random_bases(99, 1)})
    flags = {"2-5-A-C": ["short_window", "n_in_window"]}
    return finished_run(tmp_path / "out", DELTAS, reference=reference, shard_rows=7, flags=flags)


def by_id(table):
    return {row["variant_id"]: row for row in table.to_pylist()}


def test_parquet_holds_every_row_and_column_sorted(tmp_path, out, monkeypatch):
    monkeypatch.setattr(score_index, "WINDOW_ROWS", 10)
    done = export_scores(out, str(tmp_path / "to.parquet"))
    table, scores = pq.read_table(tmp_path / "to.parquet"), read_scores(out)
    assert done.num_rows == len(DELTAS)
    assert table.schema.equals(scores.schema)
    assert by_id(table) == by_id(scores)
    places = table.select(["chrom", "pos", "alt"]).to_pylist()
    assert [row["chrom"] for row in places] == ["10"] * 118 + ["2"] * 118  # as in the FASTA


def test_a_contig_order_that_is_not_known_is_said(tmp_path):
    out = finished_run(tmp_path / "out", {"chr10-1-A-C": 1.0, "chr2-1-A-C": 1.0, "chrX-1-A-C": 1.0})
    done = export_scores(out, str(tmp_path / "to.tsv"), fields=["delta_llr"])
    assert "sorted by their names" in done.remarks[0]
    assert pl.read_csv(tmp_path / "to.tsv", separator="\t")["variant_id"].to_list() == [
        "chr2-1-A-C",
        "chr10-1-A-C",
        "chrX-1-A-C",
    ]


def test_csv_holds_the_asked_columns_with_lists_joined(tmp_path, out):
    export_scores(out, str(tmp_path / "to.csv"), fields=["delta_llr", "flags"])
    frame = pl.read_csv(tmp_path / "to.csv")
    assert frame.columns == ["variant_id", "delta_llr", "flags"]
    assert dict(zip(frame["variant_id"], frame["delta_llr"], strict=True)) == DELTAS
    flags = dict(zip(frame["variant_id"], frame["flags"], strict=True))
    assert (flags["2-5-A-C"], flags["2-5-A-G"]) == ("short_window&n_in_window", None)


def test_the_tsv_is_found_by_region_and_says_what_its_columns_are(tmp_path, out):
    done = export_scores(out, str(tmp_path / "to.tsv.gz"))
    assert done.index == f"{tmp_path}/to.tsv.gz.tbi"
    with pysam.TabixFile(str(tmp_path / "to.tsv.gz")) as file:
        assert file.header[-1].split("\t")[:5] == ["#chrom", "pos", "ref", "alt", "raygen_delta_llr"]
        lines = [line.split("\t") for line in file.fetch("2", 3, 5)]
    assert [line[:4] for line in lines] == [["2", pos, "A", "C,G"] for pos in "45"]
    assert [[float(value) for value in line[4].split(",")] for line in lines] == [
        [DELTAS[f"2-{pos}-A-{alt}"] for alt in "CG"] for pos in "45"
    ]
    assert [line[7] for line in lines] == [".,.", "short_window&n_in_window,."]


SCORED = {
    "1-10-A-C": 1.0,
    "1-10-A-G": 2.0,
    "1-12-A-C": 3.0,
    "1-12-A-G": 4.0,
    "1-20-A-AT": 5.0,
    "1-20-AT-A": 6.0,
    "1-20-ATG-A": 7.0,
    "1-20-A-C": 8.0,
    "1-40-A-C": 10.0,
    "1-40-G-C": 11.0,
    "1-50-A-C": 12.0,
    "1-50-AG-A": 13.0,
    "1-50-AT-A": 14.0,
    "HLA-A*01:01-10-A-C": 9.0,
}
RECORDS = {
    "1 10 A C,G": ("1,2", "C,G"),
    "1 12 A G,T,C": ("4,.,3", "G,.,C"),
    "1 13 A C": (None, None),
    "1 20 AT A,ATT": ("6,5", "del1,ins"),
    "1 20 ATG CTG,ATTG,A": ("8,5,7", "C,ins,del2"),
    "1 20 A C": ("8", "C"),
    "1 20 A G": (None, None),
    "1 40 A C": ("10", "C"),
    "1 40 G T,C": (".,11", ".,C"),
    "1 50 A C": ("12", "C"),
    "1 50 AG CG,A": ("12,13", "C,del3"),
    "1 50 AT A,CT": ("14,12", "del4,C"),
    "HLA-A*01:01 10 A C,G": ("9,.", "C,."),
}
"""Records of a VCF: the delta of each ALT and its name as it has to come out of ``bcftools annotate``."""
NAMES = {"1-20-A-AT": "ins", "1-20-AT-A": "del1", "1-20-ATG-A": "del2", "1-50-AG-A": "del3", "1-50-AT-A": "del4"}


def by_program(arguments: list[str]) -> str:
    return subprocess.run(["bcftools", *arguments], check=True, capture_output=True, text=True).stdout


def by_pysam(arguments: list[str]) -> str:
    return str(pysam.bcftools.annotate(*arguments[1:]))


@pytest.mark.parametrize(
    "annotate",
    [
        pytest.param(by_program, marks=pytest.mark.skipif(not shutil.which("bcftools"), reason="no bcftools here")),
        by_pysam,  # a later bcftools than the one of Debian 12
    ],
)
def test_bcftools_fills_every_alt_of_a_record_from_the_tsv(tmp_path, annotate):
    names = {name: NAMES.get(name, name[-1]) for name in SCORED}
    run = finished_run(
        tmp_path / "out",
        SCORED,
        columns={"name": names},
        delta_fwd={"1-10-A-C": 0.5, "1-10-A-G": 0.25},
        delta_rev={"1-10-A-C": 0.5},
    )
    to, source = str(tmp_path / "to.tsv.gz"), str(tmp_path / "in.vcf")
    done = export_scores(run, to, fields=["delta_llr", "name", "delta_fwd", "delta_rev"], prefix="")
    assert done.num_rows == len(SCORED)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", "##contig=<ID=HLA-A*01:01>"]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    lines += ["\t".join([*record.split(" ")[:2], ".", *record.split(" ")[2:], ".", ".", "."]) for record in RECORDS]
    (tmp_path / "in.vcf").write_text("\n".join(lines) + "\n")
    columns = done.remarks[-1].split(" -c ")[1].split(" ")[0]
    annotated = annotate(["annotate", "-a", to, "-h", f"{to}.hdr", "-c", columns, source])
    infos = [
        dict(entry.split("=") for entry in line.split("\t")[7].split(";") if entry != ".")
        for line in annotated.splitlines()
        if not line.startswith("#")
    ]
    assert [(info.get("delta_llr"), info.get("name")) for info in infos] == list(RECORDS.values())
    assert [(info.get("delta_fwd"), info.get("delta_rev")) for info in infos[:2]] == [
        ("0.5,0.25", "0.5,."),
        (None, None),
    ]
    types = [line.split("Type=")[1].split(",")[0] for line in (tmp_path / "to.tsv.gz.hdr").read_text().splitlines()]
    assert types == ["Float", "String", "Float", "String"], "bcftools stops at a number beside a missing one"


def test_the_info_lines_beside_the_tsv_are_valid_in_a_header(tmp_path, out):
    export_scores(out, str(tmp_path / "to.tsv.gz"), prefix="a_", fields=["delta_llr", "classification"])
    header = pysam.VariantHeader()
    for line in (tmp_path / "to.tsv.gz.hdr").read_text().splitlines():
        header.add_line(line)
    assert {name: (entry.number, entry.type) for name, entry in header.info.items()} == {
        "a_delta_llr": ("A", "Float"),
        "a_classification": ("A", "String"),
    }


def test_positions_behind_a_tbi_make_a_csi(tmp_path, out, monkeypatch):
    monkeypatch.setattr(export_tables, "TBI_LIMIT", 50)
    assert export_scores(out, str(tmp_path / "to.tsv.gz")).index == f"{tmp_path}/to.tsv.gz.csi"
    with pysam.TabixFile(str(tmp_path / "to.tsv.gz"), index=str(tmp_path / "to.tsv.gz.csi")) as file:
        assert len(list(file.fetch("10", 54, 59))) == 5


def test_pairs_go_to_tables_and_to_nothing_that_needs_coordinates(tmp_path):
    out = finished_run(tmp_path / "out", {"one": -1.0, "two": 2.0})
    export_scores(out, str(tmp_path / "to.parquet"))
    assert by_id(pq.read_table(tmp_path / "to.parquet")) == by_id(read_scores(out))
    for name in ("to.vcf.gz", "to.tsv.gz"):
        with pytest.raises(InputError, match="no coordinates"):
            export_scores(out, str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("to.xlsx", {}, r"\.vcf\.gz, .*\.parquet"),
        ("to.csv", {"vcf": "x.vcf"}, "takes every score"),
        ("to.csv", {"fields": ["delta"]}, "no column delta. There are: variant_id"),
        ("to.tsv.gz", {"fields": ["pos"]}, "no column pos"),
        ("to.vcf.gz", {"prefix": "1 "}, "--prefix"),
        ("no/such/to.csv", {}, "there is no folder"),
        ("out/scores/to.parquet", {}, "among the scores themselves"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path, out, name, options, words):
    with pytest.raises(SettingsError, match=words):
        export_scores(out, str(tmp_path / name), **options)


def test_what_was_there_stays_when_an_export_fails(tmp_path, out):
    (tmp_path / "to.csv").write_text("before")
    last = sorted((tmp_path / "out/scores/chrom=2").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated or corrupt"):
        export_scores(out, str(tmp_path / "to.csv"))
    assert (tmp_path / "to.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*to.csv*"))
