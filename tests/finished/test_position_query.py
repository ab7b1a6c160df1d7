"""Looking a position table up: what comes out, and what is said of what is not there."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pytest
from rich.console import Console

from raygen.errors import InputError, SettingsError
from raygen.finished.position_query import PositionQuery, open_query
from raygen.finished.position_scores import PositionScores
from raygen.finished.query import Asked
from raygen.finished.query_output import show, write_file, write_json, write_tsv
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from raygen.tables.position_table import PositionFolder
from raygen.tables.schemas import REJECTS
from raygen.tables.score_index import LAST_POS
from tests.builders import fasta, random_bases, snvs, vcf
from tests.finished_runs import finished_run
from tests.position_tables import write_positions

BASES = "ACGTNRacgtGGCA"  # positions 1 to 14; 5 and 6 have no row
DELTAS = {"1-1-A-C": -2.5, "1-1-A-G": 0.125, "1-1-A-T": 3, "1-3-G-T": -7.75, "1-7-A-T": 0.1, "MT-2-C-G": -1.75}
COLUMNS = ["variant_id", "chrom", "pos", "ref", "alt", "delta_llr", "entropy", "flags", "model", "fingerprint"]


@pytest.fixture
def out(tmp_path):
    return write_positions(tmp_path / "out", {"1": BASES, "MT": "ACGT"}, deltas=DELTAS, flags={"1-3": ["n_in_window"]})


@pytest.fixture
def with_reference(tmp_path):
    """The table where the FASTA of it is at hand, with a contig 9 that has no rows."""
    reference = fasta(tmp_path, {"1": BASES, "MT": "ACGT", "9": "ACGT"})
    identity = Identity("f" * 16, open_reference(str(reference)).digest)
    return write_positions(
        tmp_path / "out", {"1": BASES, "MT": "ACGT"}, deltas=DELTAS, identity=identity, reference=reference
    )


def answer(out, **asked):
    """(ids, remarks) of a query."""
    query = open_query(out, Asked(**asked))
    return [name for rows in query.tables() for name in rows["variant_id"].to_pylist()], query.remarks


def test_a_row_says_the_change_its_number_and_what_made_it(out):
    query = open_query(out, Asked(variants=["chr1:3:G:T"]))
    assert query.schema.names == COLUMNS
    (rows,) = query.tables()
    (row,) = rows.to_pylist()
    assert row.pop("entropy") == pytest.approx(0.7, abs=0.7)
    assert row == {
        "variant_id": "1-3-G-T",
        "chrom": "1",
        "pos": 3,
        "ref": "G",
        "alt": "T",
        "delta_llr": -7.75,
        "flags": ["n_in_window"],
        "model": "demo",
        "fingerprint": "f" * 16,
    }


def test_both_strands_are_shown_where_both_were_read(tmp_path):
    out = write_positions(tmp_path / "out", {"1": BASES}, both=True, deltas=DELTAS)
    (rows,) = open_query(out, Asked(variants=["1-3-G-T"])).tables()
    assert rows.column_names == [*COLUMNS[:6], "delta_fwd", "delta_rev", *COLUMNS[6:]]
    assert rows.select(["delta_llr", "delta_fwd", "delta_rev"]).to_pylist()[0] == {
        "delta_llr": -7.75,
        "delta_fwd": -6.75,
        "delta_rev": -8.75,
    }


@pytest.mark.parametrize("written", ["1-1-A-C", "chr1-1-A-C", "1:1:A:C", "chr1:1A>C", "1-1-a-c", "1-1-ACG-CCG"])
def test_a_variant_is_found_however_it_is_written(out, written):
    assert answer(out, variants=[written]) == (["1-1-A-C"], [])


def test_variants_come_in_the_order_asked_and_once(out):
    asked = ["M-2-C-G", "1-3-G-T", "1-1-A-C", "1-3-G-T"]
    assert answer(out, variants=asked)[0] == ["MT-2-C-G", "1-3-G-T", "1-1-A-C"]


def test_what_is_not_there_is_said_with_the_reason(out):
    row = {"chrom": "chr1", "pos": 5, "id": None, "ref": "A", "alt": "T", "source": "ref.fa:5"}
    rejects = REJECTS.empty_table().from_pylist([{**row, "reason": "scoring_failed", "detail": "nan"}], REJECTS)
    PositionFolder(out).commit_rejects("x", rejects)
    asked = ["1-1-AC-A", "1-1-C-A", "1-5-A-T", "1-5-A-C", "1-99-A-C", "1-1-ATG-ATT", "1-4-TN-GN"]
    assert answer(out, variants=asked) == (
        [],
        [
            "1-1-AC-A: not scored here (the table holds single-base changes only)",
            "1-1-C-A: not scored here (the reference has A there, not C)",
            "1-5-A-T: not scored here (rejected as scoring_failed: nan)",
            "1-5-A-C: not scored here",
            "1-99-A-C: not scored here",
            "1-1-ATG-ATT: not scored here (the reference has ACG there, not ATG)",
            "1-4-TN-GN: not scored here (the table holds single-base changes only)",
        ],
    )


def test_a_reference_at_hand_knows_what_the_table_does_not(with_reference):
    asked = ["1-5-A-C", "1-99-A-C", "9-2-C-A", "9-2-A-C"]
    assert answer(with_reference, variants=asked) == (
        [],
        [
            "1-5-A-C: not scored here (the reference has N there, not A)",
            "1-99-A-C: not scored here (the reference has no base there, not A)",
            "9-2-C-A: not scored here",
            "9-2-A-C: not scored here (the reference has C there, not A)",
        ],
    )
    assert answer(with_reference, regions=["9:2-3", "chr9:5-6"])[1] == [
        "9:2-3: not scored here (no score in 9:2-3)",
        "chr9:5-6: not scored here (9 has 4 bases)",
    ]


@pytest.mark.parametrize("asked", [{"regions": ["X:1-2"]}, {"variants": ["X-1-A-C"]}])
def test_an_unknown_contig_is_an_input_error(out, asked):
    with pytest.raises(
        InputError, match=r"neither the scores nor their reference have a contig 'X'\. There are 1, MT\."
    ):
        answer(out, **asked)


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        (["1:1-1"], ["1-1-A-C", "1-1-A-G", "1-1-A-T"]),
        (["chr1:4-7"], ["1-4-T-A", "1-4-T-C", "1-4-T-G", "1-7-A-C", "1-7-A-G", "1-7-A-T"]),
        (["M:4-9", "MT:3-4"], ["MT-4-T-A", "MT-4-T-C", "MT-4-T-G", "MT-3-G-A", "MT-3-G-C", "MT-3-G-T"]),
    ],
)
def test_a_region_gives_three_changes_a_base_by_position_and_alt(out, regions, expected):
    assert answer(out, regions=regions) == (expected, [])


def test_a_region_without_rows_is_said(out):
    assert answer(out, regions=["1:5-6", "1:15-1,000,000,000"]) == (
        [],
        [
            "1:5-6: not scored here (no score in 1:5-6)",
            "1:15-1,000,000,000: not scored here (no score in 1:15-1,000,000,000)",
        ],
    )


def test_a_region_is_the_same_in_one_part_and_in_many(tmp_path, monkeypatch):
    """Files of 500 bases; regions added later lie between others, in tiles that there are already."""
    bases = random_bases(3000)
    whole = write_positions(tmp_path / "whole", {"1": bases}, seed=5)
    identity = Identity("f" * 16, "r" * 64)
    folder = PositionFolder(str(tmp_path / "parts"))
    folder.prepare()
    (file,) = PositionFolder(whole).score_files()
    rows = PositionFolder(whole).read_score_file(file)
    for number, (first, last) in enumerate([(500, 700), (900, 1000), (700, 900), (0, 500), (2500, 3000), (1000, 2500)]):
        name = f"0123456789ab-00000-{first // 500 * 500:010d}" + ("-1234567" + str(number)) * bool(
            first % 500 or last - first < 500
        )
        folder.commit_shard(name, "1", rows.slice(first, last - first), REJECTS.empty_table(), identity)
    monkeypatch.setattr(PositionScores.windows, "__defaults__", (300, 1, LAST_POS))
    region = "1:650-2,600"
    parts = list(open_query(str(tmp_path / "parts"), Asked(regions=[region])).tables())
    assert len(parts) > 3
    read = pa.concat_tables(parts).drop_columns("model")  # no run names it there
    assert read.num_rows == 3 * (2600 - 650 + 1)
    assert read == pa.concat_tables(open_query(whole, Asked(regions=[region])).tables()).drop_columns("model")


def test_a_gene_gives_the_changes_in_it(out, tmp_path):
    (tmp_path / "genes.bed").write_text("chr1\t2\t3\tTP53\nchr1\t4\t6\tEMPTY\n")
    found, remarks = answer(out, genes=(str(tmp_path / "genes.bed"), ["TP53", "EMPTY"]))
    assert found == ["1-3-G-A", "1-3-G-C", "1-3-G-T"]
    assert remarks == ["EMPTY: not scored here (no score in 1:5-6)"]


RECORDS = [
    "chr1 3 . G T,GA",
    "chr1 1 . ACG CCG",
    "chr1 1 . A <DEL>",
    "chr1 1 . A *",
    "chr1 5 . A C",
    "chr1 99 . A C",
    "chrM 2 . C G",
    "chr1 7 . a t",
    "chr1 1 . C G",
    "2 1 . A C",
    "chr1 2 . CG CGG",
]
FOUND = ["1-3-G-T", "1-1-A-C", "MT-2-C-G", "1-7-A-T"]
REMARKS = {
    "2 alleles: not scored here (the table holds single-base changes only)",
    "2 alleles: not scored here",
    "1 allele: not scored here (symbolic_allele)",
    "1 allele: not scored here (star_allele)",
    "1 allele: not scored here (ref_mismatch)",
    "1 allele: not scored here (unknown_contig)",
}


@pytest.mark.parametrize("kind", ["vcf", "vcf.gz", "gzip", "bcf", "parquet"])
def test_a_file_gives_the_numbers_of_its_alleles(out, tmp_path, kind):
    given = vcf(tmp_path, RECORDS, contigs=["chr1", "chrM", "2"])
    assert answer(out, vcf=str(as_kind(given, kind)))[0] == FOUND
    assert set(answer(out, vcf=str(as_kind(given, kind)))[1]) == REMARKS


def as_kind(path: Path, kind: str) -> Path:
    """The same records in a file of another kind."""
    if kind == "vcf":
        return path
    target = path.with_suffix(f".{kind}")
    if kind == "vcf.gz":
        pysam.tabix_compress(str(path), str(target), force=True)
    elif kind == "gzip":
        import gzip

        target.write_bytes(gzip.compress(path.read_bytes()))
    elif kind == "bcf":
        with pysam.VariantFile(str(path)) as source, pysam.VariantFile(str(target), "wb", header=source.header) as copy:
            for record in source:
                copy.write(record)
    else:
        rows = [record.split(" ") for record in RECORDS]
        alleles = [(chrom, int(pos), ref, alt) for chrom, pos, _, ref, alts in rows for alt in alts.split(",")]
        columns = zip(*alleles, strict=True)
        pq.write_table(pa.table(dict(zip(["chrom", "pos", "ref", "alt"], map(list, columns), strict=True))), target)
    return target


def test_lines_that_are_no_records_are_counted(out, tmp_path):
    given = vcf(tmp_path, ["1 3 . G T", "1 x . G T", "1 7 . A T"])
    given.write_text(given.read_text() + "1\t3\tcut off")
    assert answer(out, vcf=str(given)) == (["1-3-G-T", "1-7-A-T"], ["2 alleles: not scored here (malformed_record)"])


@pytest.mark.parametrize("kind", ["vcf", "bcf"])
def test_blocks_of_a_gvcf_are_no_variants(out, tmp_path, kind):
    given = vcf(tmp_path, ["1 1 . A . END=2", "1 3 . G T,<NON_REF>"])
    given.write_text(given.read_text().replace("##INFO", '##ALT=<ID=NON_REF,Description="x">\n##INFO', 1))
    assert answer(out, vcf=str(as_kind(given, kind))) == (
        ["1-3-G-T"],
        ["2 alleles: not scored here (reference_block)"],
    )


def test_a_vcf_of_another_assembly_is_refused(out, tmp_path):
    given = vcf(tmp_path, ["1 1 . C G", "1 2 . A G", "1 3 . T A", "1 4 . T G"])
    with pytest.raises(
        InputError,
        match=r"3 of 4 REF alleles differ from out \(first: 1:1-C-G, the reference has 'A'\)\. Is the input from another assembly\?",
    ):
        answer(out, vcf=str(given))


def test_a_vcf_with_a_doubtful_contig_is_looked_up_with_a_warning(tmp_path):
    bases = random_bases(40)
    out = write_positions(tmp_path / "out", {"1": bases, "MT": "ACGT"})
    given = vcf(tmp_path, [*snvs("1", bases, range(1, 11)), "MT 1 . C G", "MT 2 . A G", "MT 3 . A G"])
    found, remarks = answer(out, vcf=str(given))
    assert len(found) == 10
    assert remarks == [
        "3 alleles: not scored here (ref_mismatch)",
        "warning: 3 of 3 REF alleles on MT differ from out (first: MT:1-C-G, the reference has 'A').",
    ]


def test_a_vcf_of_other_contigs_is_refused(out, tmp_path):
    with pytest.raises(
        InputError, match=r"No contig of the input is in out: the input has 7, the reference has 1, MT\."
    ):
        answer(out, vcf=str(vcf(tmp_path, ["7 1 . A C"], contigs=["7"])))


def test_a_folder_of_files_is_refused(out, tmp_path):
    (tmp_path / "folder").mkdir()
    vcf(tmp_path / "folder", ["1 3 . G T"])
    with pytest.raises(InputError, match=r"folder is a folder\. Give one file"):
        answer(out, vcf=str(tmp_path / "folder"))


def test_a_query_is_of_what_lies_in_the_folder(out, tmp_path):
    scores = finished_run(tmp_path / "scores", {"1-5-A-C": -2.5})
    assert isinstance(open_query(out, Asked(variants=["1-1-A-C"])), PositionQuery)
    assert answer(scores, variants=["1-5-A-C"]) == (["1-5-A-C"], [])
    with pytest.raises(SettingsError, match="Nothing is asked for"):
        open_query(out, Asked())


def test_every_form_of_output_has_the_same_numbers(out, tmp_path):
    asked = Asked(variants=["1-7-A-T", "1-3-G-T", "1-5-A-C"])
    tsv, as_json, screen = io.StringIO(), io.StringIO(), io.StringIO()
    assert write_tsv(open_query(out, asked), tsv) == write_json(open_query(out, asked), as_json) == 2
    lines = [line.split("\t") for line in tsv.getvalue().splitlines()]
    assert lines[0] == COLUMNS
    assert [line[5] for line in lines[1:]] == ["0.1", "-7.75"]
    assert [row["delta_llr"] for row in json.loads(as_json.getvalue())] == [0.1, -7.75]
    for end in ("parquet", "csv"):
        assert write_file(open_query(out, asked), str(tmp_path / f"rows.{end}")) == 2
    assert pq.read_table(tmp_path / "rows.parquet").schema.field("delta_llr").type == pa.float32()
    assert (tmp_path / "rows.csv").read_text().splitlines()[1].startswith("1-7-A-T,1,7,A,T,0.1,")
    assert show(open_query(out, asked), Console(file=screen, width=100)) == 2
    assert (
        "n_in_window" in screen.getvalue()
        and "2 scores (model demo, fingerprint ffffffffffffffff)" in screen.getvalue()
    )
