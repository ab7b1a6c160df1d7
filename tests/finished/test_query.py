"""Looking finished scores up: what is found, and what is said of what is not."""

import io
import json

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raygen.errors import InputError, SettingsError
from raygen.finished.query import Asked, Query
from raygen.finished.query_output import show, write_file, write_json, write_tsv
from raygen.sequence.reference import open_reference
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import REJECTS
from tests.builders import fasta, snvs, vcf
from tests.finished_runs import finished_run

BASES = "ACGTACGTTTGGCCAACGTA"  # positions 1 to 20
DELTAS = {"1-2-C-G": -8.125, "1-2-C-T": 0.1, "1-7-GT-G": -3.5, "1-11-G-A": 2.5, "MT-3-G-A": -1.75}


@pytest.fixture
def out(tmp_path):
    reference = fasta(tmp_path, {"1": BASES, "MT": BASES, "9": BASES})
    return finished_run(tmp_path / "out", DELTAS, reference=reference, shard_rows=2)


def answer(out, **asked):
    """(ids found, remarks) of a query."""
    query = Query(out, Asked(**asked))
    return [name for rows in query.tables() for name in rows["variant_id"].to_pylist()], query.remarks


@pytest.mark.parametrize(
    "written", ["1-2-C-T", "chr1-2-C-T", "1:2:C:T", "chr1:2C>T", "1-2-c-t", "1:2 C/T", "1_2_C_T", " 1-2-C-T "]
)
def test_a_variant_is_found_however_it_is_written(out, written):
    assert answer(out, variants=[written]) == (["1-2-C-T"], [])


def test_an_indel_is_found_in_any_of_its_spellings(out):
    assert answer(out, variants=["1-9-TT-T", "1-7-GTT-GT", "1-7-GT-G"]) == (["1-7-GT-G"] * 3, [])


def test_an_indel_beside_an_n_or_an_r_is_found_by_its_own_id_and_by_others(tmp_path):
    """Position 5 is an N, 9 an R, which VCF writes as A."""
    reference = fasta(tmp_path, {"1": "ACGTNAACRTCG"})
    out = finished_run(tmp_path / "out", {"1-5-NA-N": 1.5, "1-9-AT-A": -2.5}, reference=reference)
    asked = ["1-5-NA-N", "chr1:6:AA:A", "1-9-AT-A", "1-9-GT-G", "1-9-NT-N"]
    assert answer(out, variants=asked) == (["1-5-NA-N"] * 2 + ["1-9-AT-A"] * 3, [])
    records = ["1 5 . NA N", "1 9 . GT G"]
    assert answer(out, vcf=str(vcf(tmp_path, records))) == (["1-5-NA-N", "1-9-AT-A"], [])


def test_variants_come_in_the_order_asked_and_once(out):
    asked = ["M-3-G-A", "1-11-G-A", "1-2-C-G", "1-11-G-A"]
    assert answer(out, variants=asked)[0] == ["MT-3-G-A", "1-11-G-A", "1-2-C-G"]


def test_what_is_not_scored_is_said_with_the_reason_where_it_is_known(out):
    row = {"chrom": "chr1", "pos": 12, "id": None, "ref": "G", "alt": "T", "source": "a.vcf:7"}
    rejects = REJECTS.empty_table().from_pylist([{**row, "reason": "scoring_failed", "detail": "nan"}], REJECTS)
    RunFolder(out).commit_rejects("x", rejects)
    found, remarks = answer(out, variants=["1-3-G-A", "1-4-A-C", "1-12-G-T", "1-99-A-C", "9-1-A-C"])
    assert found == []
    assert remarks == [
        "1-3-G-A: not scored here",
        "1-4-A-C: not scored here (the reference has T there, not A)",
        "1-12-G-T: not scored here (rejected as scoring_failed: nan)",
        "1-99-A-C: not scored here (the reference has no base there, not A)",
        "9-1-A-C: not scored here",
    ]


@pytest.mark.parametrize(
    ("regions", "found"),
    [
        (["1:2-7"], ["1-2-C-G", "1-2-C-T", "1-7-GT-G"]),
        (["chr1:7-10", "1:1-8"], ["1-7-GT-G", "1-2-C-G", "1-2-C-T"]),  # what overlaps comes once
        (["M:1-20"], ["MT-3-G-A"]),
        (["1:1-1,000,000,000"], ["1-2-C-G", "1-2-C-T", "1-7-GT-G", "1-11-G-A"]),
    ],
)
def test_a_region_gives_its_scores_in_order(out, regions, found):
    assert answer(out, regions=regions) == (found, [])


def test_a_region_without_scores_is_said(out):
    said = "9:3-8: not scored here (no score in 9:3-8)"
    assert answer(out, regions=["9:3-8"]) == ([], [said])


def test_a_region_behind_the_end_of_its_contig_is_said(out):
    assert answer(out, regions=["chr9:21-30"]) == ([], ["chr9:21-30: not scored here (9 has 20 bases)"])


def test_an_index_of_another_fasta_says_nothing_about_the_reference(out, tmp_path):
    """By it 9 ends after 2 bases, and X is there."""
    (tmp_path / "reference.fa.fai").write_text("1\t20\t3\t60\t61\n9\t2\t40\t60\t61\nX\t20\t60\t60\t61\n")
    said = "9:3-8: not scored here (no score in 9:3-8)"
    assert answer(out, regions=["9:3-8"]) == ([], [said])
    with pytest.raises(InputError, match=r"have a contig 'X'\. There are 1, MT, 9\."):
        answer(out, regions=["X:1-2"])


def test_a_reference_that_is_another_one_now_says_nothing(out, tmp_path):
    fasta(tmp_path, {"1": BASES, "X": BASES})
    open_reference.cache_clear()
    with pytest.raises(InputError, match=r"have a contig 'X'\. There are 1, MT\."):
        answer(out, regions=["X:1-2"])


def test_a_gene_gives_the_scores_in_it(out, tmp_path):
    (tmp_path / "genes.bed").write_text("chr1\t5\t12\tTP53\nchr1\t16\t18\tEMPTY\n")
    found, remarks = answer(out, genes=(str(tmp_path / "genes.bed"), ["TP53", "EMPTY"]))
    assert found == ["1-7-GT-G", "1-11-G-A"]
    assert remarks == ["EMPTY: not scored here (no score in 1:17-18)"]


def test_a_vcf_with_a_doubtful_contig_is_looked_up_with_a_warning(out, tmp_path):
    wrong = ["MT 5 . T C", "MT 6 . T G", "MT 7 . T C"]
    path = vcf(tmp_path, [*snvs("1", BASES, range(1, 11)), *snvs("MT", BASES, (4,)), *wrong])
    found, remarks = answer(out, vcf=str(path))
    assert found == ["1-2-C-G"]
    assert remarks[-1] == (
        "warning: 3 of 4 REF alleles on MT differ from reference.fa (first: MT:5-T-C, the reference has 'A')."
    )


def test_a_vcf_gives_the_scores_of_its_alleles(out, tmp_path):
    records = ["chr1 8 . TT T", "chr1 2 . C A,G", "chr1 4 . T N", "chr1 5 . A C", "chr1 6 . C G"]
    given = vcf(tmp_path, records, contigs=["chr1"])
    found, remarks = answer(out, vcf=str(given))
    assert found == ["1-7-GT-G", "1-2-C-G"]
    assert remarks == ["3 alleles: not scored here", "1 allele: not scored here (non_acgt_allele)"]


@pytest.mark.parametrize("asked", [{"regions": ["X:1-2"]}, {"variants": ["X-1-A-C"]}])
def test_an_unknown_contig_is_an_input_error(out, asked):
    with pytest.raises(
        InputError, match=r"neither the scores nor their reference have a contig 'X'\. There are 1, MT, 9"
    ):
        answer(out, **asked)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Nothing is asked for"),
        ({"variants": ["rs123"]}, "'rs123' is no variant: write it as chrom-pos-ref-alt"),
        ({"regions": ["1"]}, "write it as chrom:start-end"),
        ({"vcf": "x.vcf", "regions": ["1:1-2"]}, "by itself"),
    ],
)
def test_what_cannot_be_asked_is_said(out, asked, words):
    with pytest.raises(SettingsError, match=words):
        answer(out, **asked)


def test_pairs_are_found_by_id(tmp_path):
    out = finished_run(tmp_path / "out", {"one": -1.0, "two": 2.0})
    assert answer(out, variants=["two", "three"]) == (["two"], ["three: not scored here"])
    with pytest.raises(InputError, match="no coordinates"):
        answer(out, regions=["1:1-2"])


def test_the_screen_shows_the_main_columns_and_how_many_there_are(out):
    console = Console(file=io.StringIO(), width=100)
    assert show(Query(out, Asked(regions=["1:1-20"])), console, most=2) == 4
    text = console.file.getvalue()
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["variant_id", "delta_llr", "classification", "abstained", "flags"],
        ["1-2-C-G", "-8.125", "pathogenic", "no"],
        ["1-2-C-T", "0.100", "benign", "no"],
    ]
    assert "4 scores, the first 2 are shown" in text


def test_every_form_of_output_holds_every_column(out, tmp_path):
    rows = [row for row in read_scores(out).to_pylist() if row["chrom"] == "1"]
    asked = Asked(regions=["1:1-20"])
    stream = io.StringIO()
    assert write_json(Query(out, asked), stream) == 4
    assert sorted(json.loads(stream.getvalue()), key=repr) == sorted(rows, key=repr)
    stream = io.StringIO()
    assert write_tsv(Query(out, asked), stream) == 4
    header, *lines = [line.split("\t") for line in stream.getvalue().splitlines()]
    assert header == list(rows[0])
    assert sorted(float(line[header.index("delta_llr")]) for line in lines) == sorted(row["delta_llr"] for row in rows)
    assert write_file(Query(out, asked), str(tmp_path / "found.parquet")) == 4
    assert sorted(pq.read_table(tmp_path / "found.parquet").to_pylist(), key=repr) == sorted(rows, key=repr)


def test_nothing_found_is_an_empty_array(out):
    stream = io.StringIO()
    write_json(Query(out, Asked(regions=["9:1-2"])), stream)
    assert json.loads(stream.getvalue()) == []
