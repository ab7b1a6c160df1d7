"""Tables of text as they are handed over: columns by usual names, by settings, and out of ids."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pytest

from raygen.errors import InputError
from raygen.variants.delimited import DelimitedReader
from raygen.variants.file_kinds import kind_of
from raygen.variants.inputs import open_readers
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns

BASES = "ACGTACGTAC" * 10
SITES = [("chr1", 1, "A", "G"), ("chr1", 2, "C", "T")]


def written(folder: Path, text: str, name: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def read(path: Path, columns: TableColumns = USUAL_COLUMNS, source_columns: tuple[str, ...] = ()) -> pa.Table:
    [reader] = open_readers([path], columns)
    return pa.concat_tables([batch.table for batch in reader.batches(source_columns)])


def sites(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in ("chrom", "pos", "ref", "alt")), strict=True))


@pytest.mark.parametrize("gap", ["\t", ",", ";", "  "])
@pytest.mark.parametrize(
    "header",
    [
        "CHROM pos REF alt",
        "#chr BP Ref_Allele ALT-ALLELE",
        "contig position ref_base alt_base",
        "Chromosome POS reference_allele alternate",
    ],
)
def test_columns_are_known_by_usual_names_in_any_case(tmp_path: Path, header: str, gap: str) -> None:
    lines = [header, *(f"{chrom} {pos} {ref} {alt}" for chrom, pos, ref, alt in SITES)]
    path = written(tmp_path, "\n".join(line.replace(" ", gap) for line in lines), "sites.anything")
    assert kind_of(path) == "table"
    assert sites(read(path)) == SITES


def test_a_table_is_unpacked_by_its_first_bytes(tmp_path: Path) -> None:
    text = "chrom\tpos\tref\talt\n" + "".join("\t".join(map(str, site)) + "\n" for site in SITES)
    plain = written(tmp_path, text, "a.tsv")
    pysam.tabix_compress(str(plain), str(tmp_path / "b"), force=True)
    (tmp_path / "c").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d").write_bytes(pa.compress(text.encode(), "zstd", asbytes=True))
    for name in ("a.tsv", "b", "c", "d"):
        assert sites(read(tmp_path / name)) == SITES


@pytest.mark.parametrize("gap", ["\t", " ", ","])
def test_names_and_values_may_stand_between_quotation_marks(tmp_path: Path, gap: str) -> None:
    lines = ['"CHR" "BP" "REF" "ALT"', '"chr1" 1 "A" "G"', '"chr1" 2 "C" "T"']
    assert sites(read(written(tmp_path, "\n".join(line.replace(" ", gap) for line in lines), "a.txt"))) == SITES


def test_other_columns_ride_along_as_text(tmp_path: Path) -> None:
    text = 'rsid,chrom,pos,ref,alt,gene,score\nrs1,1,1,A,"G,T","a, ""b""",007\n,1,2,C,T,,1e3\n'
    table = read(written(tmp_path, text, "a.csv"), source_columns=("gene", "score"))
    assert sites(table) == [("1", 1, "A", "G"), ("1", 1, "A", "T"), ("1", 2, "C", "T")]
    assert table["id"].to_pylist() == ["rs1", "rs1", None]
    assert table["source.gene"].to_pylist() == ['a, "b"', 'a, "b"', None]
    assert table["source.score"].to_pylist() == ["007", "007", "1e3"]


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("chrom,pos,ref,alt,CHR", {}, "chrom and CHR both fit chrom. Say which it is: input.columns: {chrom: chrom}"),
        ("chrom,pos,ref,allele", {}, "has no column for alt; it has chrom, pos, ref, allele"),
        ("chrom,pos,ref,alt", {"pos": "bp38"}, "has no column bp38, which input.columns or input.id_column names"),
        ("chrom,pos,ref,alt,x,x", {}, "the header names x twice"),
    ],
)
def test_a_header_that_fits_twice_or_not_at_all_is_refused(
    tmp_path: Path, header: str, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        open_readers([written(tmp_path, header + "\n1,1,A,C\n", "a.csv")], TableColumns(columns))
    assert message in str(error.value)


def test_the_settings_name_columns_of_text_and_of_parquet(tmp_path: Path) -> None:
    columns = TableColumns({"chrom": "seq", "pos": "start", "ref": "from", "alt": "to", "id": "name"})
    text = "seq,start,from,to,name,pos\nchr1,1,A,G,x,99\n"
    path = written(tmp_path, text, "a.csv")
    table = {"seq": ["chr1"], "start": [1], "from": ["A"], "to": ["G"], "name": ["x"], "pos": [99]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    for source in (path, tmp_path / "a.parquet"):
        rows = read(source, columns)
        assert (sites(rows), rows["id"].to_pylist()) == ([("chr1", 1, "A", "G")], ["x"])


IDS = {
    "1-55051215-G-GA": ("1", 55051215, "G", "GA"),
    "chr1:55051215:G:GA": ("chr1", 55051215, "G", "GA"),
    "1:55051215_G/GA": ("1", 55051215, "G", "GA"),
    "1_55051215_G_GA": ("1", 55051215, "G", "GA"),
    "chr1:55051215:G>GA": ("chr1", 55051215, "G", "GA"),
    "chr1_KI270706v1_random-12-A-T": ("chr1_KI270706v1_random", 12, "A", "T"),
    "HLA-A*01:01:01:01:100:A:T": ("HLA-A*01:01:01:01", 100, "A", "T"),
    "NC_000001.11:55051214:G:GA": ("NC_000001.11", 55051215, "G", "GA"),
    "NC_000001.11:55051215::A": ("NC_000001.11", 55051215, "N", "NA"),
    "NC_000001.11:55051215:A:": ("NC_000001.11", 55051215, "NA", "N"),
}
NO_IDS = {
    "rs7412": "not contig, position and two alleles",
    "1-x-A-C": "not contig",
    "": "not contig",
    "NC_000001.11:5:2:A": "and not which",
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_id_is_split(tmp_path: Path, kind: str) -> None:
    texts, genes = [*IDS, *NO_IDS], ["g"] * (len(IDS) + len(NO_IDS))
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        path.write_text("variant,gene\n" + "".join(f"{text},g\n" for text in texts))
    else:
        pq.write_table(pa.table({"variant": texts, "gene": genes}), path)
    table = read(path, TableColumns(id_column="variant"), ("gene",))
    assert sites(table.slice(0, len(IDS))) == list(IDS.values())
    faults = table["fault"].to_pylist()
    assert faults[: len(IDS)] == [None] * len(IDS)
    assert all(part in fault for part, fault in zip(NO_IDS.values(), faults[len(IDS) :], strict=True))
    assert table["source.gene"].to_pylist() == genes


def test_spdi_counts_from_0_and_its_empty_sequences_get_the_base_before(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    lines = "NC_9.1:1:C:T\nNC_9.1:1::G\nNC_9.1:4:A:\n"
    path = written(tmp_path, "spdi\n" + lines, "a.tsv")
    done = run_ingest([path], reference_of({"NC_9.1": BASES}), table_columns=TableColumns(id_column="spdi"))
    assert done.ids == ["NC_9.1-1-A-AG", "NC_9.1-2-C-T", "NC_9.1-4-TA-T"]


def test_hails_locus_and_alleles_are_a_table(tmp_path: Path) -> None:
    text = 'locus\talleles\trsid\nchr1:1\t["A","G"]\trs1\nchr1:2\t["C", "T", "CA"]\tNA\nchr1:x\t["C"]\tNA\n'
    path = written(tmp_path, text, "rows.tsv")
    assert isinstance(open_readers([path])[0], DelimitedReader)
    table = read(path)
    assert sites(table)[:3] == [("chr1", 1, "A", "G"), ("chr1", 2, "C", "T"), ("chr1", 2, "C", "CA")]
    assert table["fault"].to_pylist()[:3] == [None] * 3
    assert (table["fault"][3].as_py(), table["alt"][3].as_py()) == ("POS is 'x', not a whole number", None)


def test_effect_alleles_leave_ref_to_the_reference(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    text = "SNP CHR BP A1 A2\nr1 1 1 A G\nr2 1 2 T C\n"
    done = run_ingest([written(tmp_path, text, "gwas.txt")], reference_of({"1": BASES}))
    assert [(row["ref"], row["alt"], row["ref_swapped"]) for row in done.variants] == [
        ("A", "G", True),
        ("C", "T", False),
    ]


def test_a_folder_reads_tables_of_sites_and_names_other_tables(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "in", "chrom,pos,ref,alt\n1,1,A,G\n1,2,C,T,9\n1,1e1,A,C\n", "sites.csv")
    written(tmp_path / "in", "sample,sex\nx,f\n", "samples.csv")
    done = run_ingest([tmp_path / "in"], reference_of({"1": BASES}))
    assert done.ids == ["1-1-A-G"]
    assert [(row["source"], row["detail"]) for row in done.rejects] == [
        ("sites.csv:2", "5 columns, a line has 4, parted by commas"),
        ("sites.csv:3", "POS is '1e1', not a whole number"),
    ]
    assert any("samples.csv" in text for text in done.result.warnings)
