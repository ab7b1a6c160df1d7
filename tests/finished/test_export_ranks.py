"""Ranks in exports and queries: what a table has of them, and what a background adds to a position table."""

import gzip
from io import StringIO

import numpy as np
import polars as pl
import pyarrow as pa
import pysam
import pytest
from rich.console import Console

from raygen.classes.background_file import write_background
from raygen.classes.class_rule import class_rule
from raygen.errors import SettingsError
from raygen.finished.export import export_scores
from raygen.finished.position_query import open_query
from raygen.finished.query import Asked
from raygen.finished.query_output import show
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from tests.builders import fasta
from tests.finished_runs import finished_run
from tests.position_tables import write_positions
from tests.ranked_folders import background_of, ranked_folder
from tests.run_folders import row

HUNDRED = background_of(np.arange(-100.0, 0.0), dict.fromkeys(range(11, 400, 8), -5.5))
ROWS = [row("chr1", 11 + 8 * at, "G", "A", -100.0 + at, gene="G1") for at in range(5)]
BASES = "ACGTTGCA" * 5


@pytest.fixture
def ranked(tmp_path):
    return ranked_folder(tmp_path, ROWS, class_rule((0, 3, 10, 20), "phred", HUNDRED))


@pytest.fixture
def positions(tmp_path):
    """A position table, its FASTA, and a background file of its fingerprint that knows contexts."""
    reference = fasta(tmp_path, {"chr1": BASES})
    digest = open_reference(str(reference)).digest
    table = write_positions(tmp_path / "t", {"chr1": BASES}, identity=Identity("f" * 16, digest), reference=reference)
    background = background_of(
        np.arange(-2, 2, 0.01), {11: -1.0}, fingerprint="f" * 16, reference_digest=digest, contig_lengths={"chr1": 40}
    )
    write_background(background, tmp_path / "b.zip")
    return table, background, str(tmp_path / "b.zip")


def lines_of(path):
    with gzip.open(path, "rt") as file:
        return file.read().splitlines()


def test_the_layout_of_cadd_has_the_phred_of_the_scores(tmp_path, ranked):
    done = export_scores(ranked, str(tmp_path / "x.cadd.tsv.gz"))
    _, meaning, _, *lines = lines_of(done.path)
    assert "no background" not in meaning and meaning.endswith(
        f"PHRED is a rank in background {HUNDRED.digest} of 100 scores"
    )
    assert [line.split("\t")[4:] for line in lines[:2]] == [["100", "20"], ["99", "16.9897"]]
    with pysam.TabixFile(done.path, index=done.index) as file:
        assert [line.split("\t")[1] for line in file.fetch("1", 18, 19)] == ["19"]


def test_a_vcf_says_what_ranks_are_and_of_which_background(tmp_path, ranked):
    export_scores(ranked, str(tmp_path / "x.vcf.gz"))
    with pysam.VariantFile(str(tmp_path / "x.vcf.gz")) as file:
        (run,) = [entry for entry in file.header.records if entry.key == "raygen"]
        assert run["Background"].strip('"') == f"{HUNDRED.digest} of 100 scores"
        described = {name: entry.description for name, entry in file.header.info.items()}
        assert "raygen_percentile" not in described  # PHRED is enough unless --fields asks for more
        assert described["raygen_phred"].startswith("-10 log10 of percentile: 20 is the most harmful hundredth of")
        assert described["raygen_classification"].startswith("class of phred, ")
        assert next(iter(file)).info["raygen_phred"] == (20.0,)
    wanted = ["percentile", "percentile_in_group", "background_group", "delta_context"]
    export_scores(ranked, str(tmp_path / "all.vcf.gz"), fields=wanted)
    with pysam.VariantFile(str(tmp_path / "all.vcf.gz")) as file:
        assert all(HUNDRED.digest in file.header.info[f"raygen_{name}"].description for name in wanted)
        info = dict(next(iter(file)).info)
    assert info["raygen_percentile"] == info["raygen_percentile_in_group"] == (pytest.approx(0.01),)
    assert info["raygen_background_group"] == ("SNV",) and info["raygen_delta_context"] == (-94.5,)


def test_columns_of_an_input_that_are_called_so_are_no_ranks(tmp_path):
    run = finished_run(tmp_path / "out", {"1-5-A-C": -2.5}, columns={"phred": {"1-5-A-C": 7.0}})
    export_scores(run, str(tmp_path / "x.cadd.tsv.gz"))
    assert lines_of(tmp_path / "x.cadd.tsv.gz")[3:] == ["1\t5\tA\tC\t2.5\t."]
    export_scores(run, str(tmp_path / "x.vcf.gz"), fields=["phred"])
    with pysam.VariantFile(str(tmp_path / "x.vcf.gz")) as file:
        assert file.header.info["raygen_phred"].description.startswith("phred, as the input had it")


def test_a_background_ranks_a_position_table_in_every_format(tmp_path, positions):
    table, background, file = positions
    export_scores(table, str(tmp_path / "x.parquet"), background=file)
    rows = pl.read_parquet(tmp_path / "x.parquet")
    assert rows.columns[-5:] == ["percentile", "phred", "percentile_in_group", "background_group", "delta_context"]
    changes = rows.select("chrom", "pos", "ref", "alt", "delta_llr").to_arrow()
    changes = changes.cast(
        pa.schema(
            [field.with_type(pa.string()) if field.type == pa.large_string() else field for field in changes.schema]
        )
    )
    expected = background.append_columns(changes, None, lambda chrom: np.frombuffer(BASES.encode(), np.uint8))
    for name in background.columns:
        assert rows[name].to_list() == expected[name].to_pylist(), name
    assert rows["delta_context"].null_count() == 12  # two bases at each end have no context
    done = export_scores(table, str(tmp_path / "x.cadd.tsv.gz"), background=file, regions=["1:3-4"])
    phred = np.array([float(line.split("\t")[5]) for line in lines_of(done.path)[3:]], np.float32)
    assert phred.tolist() == rows.filter(pl.col("pos").is_between(3, 4))["phred"].cast(pl.Float32).to_list()
    with pysam.TabixFile(done.path, index=done.index) as index:
        assert len(list(index.fetch("1", 2, 3))) == 3
    export_scores(table, str(tmp_path / "x.vcf.gz"), background=file)
    with pysam.VariantFile(str(tmp_path / "x.vcf.gz")) as records:
        assert [record.info["raygen_phred"][0] for record in records] == rows["phred"].cast(pl.Float32).to_list()


def test_what_a_position_table_cannot_be_ranked_by_is_said(tmp_path, positions):
    table, background, _ = positions
    facts = background.facts.model_copy(update={"group_column": "consequence"})
    write_background(type(background)(facts, background.groups, background.contexts), tmp_path / "by.zip")
    for fasta_file in tmp_path.glob("*.fa*"):
        fasta_file.unlink()
    done = export_scores(table, str(tmp_path / "x.parquet"), background=str(tmp_path / "by.zip"))
    assert pl.read_parquet(tmp_path / "x.parquet").columns[-2:] == ["percentile", "phred"]
    said = " ".join(done.remarks)
    assert "has no consequence to group by" in said and "delta_context is left out: the FASTA" in said


def test_a_background_is_refused_where_it_ranks_nothing(tmp_path, positions, ranked):
    table, _, file = positions
    with pytest.raises(SettingsError, match="raygen reclassify"):
        export_scores(ranked, str(tmp_path / "x.parquet"), background=file)
    with pytest.raises(SettingsError, match="no place"):
        export_scores(table, str(tmp_path / "x.bedgraph.gz"), background=file)
    write_background(HUNDRED, tmp_path / "other.zip")
    with pytest.raises(SettingsError, match="background of the fingerprint 0123456789abcdef"):
        export_scores(table, str(tmp_path / "x.parquet"), background=str(tmp_path / "other.zip"))


def test_a_query_shows_phred_beside_the_score_and_shares_with_four_digits(ranked):
    shown = StringIO()
    show(open_query(ranked, Asked(("1-19-G-A",))), Console(width=250, file=shown))
    head, line, *_ = shown.getvalue().splitlines()
    assert head.split() == [
        *("variant_id", "delta_llr", "phred", "classification", "abstained", "flags", "gene"),
        *("percentile", "percentile_in_group", "background_group", "delta_context"),
    ]
    assert line.split() == [
        "chr1-19-G-A",
        "-99.000",
        "16.99",
        "likely_pathogenic",
        "no",
        "G1",
        "0.02",
        "0.02",
        "SNV",
        "-93.500",
    ]
