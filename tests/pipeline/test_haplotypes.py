"""Haplotypes through a run, on a local Ray."""

import pyarrow.parquet as pq
import pytest

import raygen
from raygen.errors import SettingsError
from raygen.pipeline.run import run_score
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from raygen.variants.ingest import ingest
from tests.builders import fasta, random_bases

pytestmark = pytest.mark.ray

BASES = random_bases(500, 9)
OTHER = dict(zip("ACGT", "CGTA", strict=True))
HEADER = "##fileformat=VCFv4.2\n##contig=<ID=1>\n" + '##INFO=<ID=HAP,Number=1,Type=String,Description="haplotype">\n'


@pytest.fixture
def reference(tmp_path):
    return fasta(tmp_path, {"1": BASES})


def write_vcf(tmp_path, phased):
    """``{pos: haplotype or None}`` as SNVs."""
    lines = [
        f"1\t{pos}\t.\t{BASES[pos - 1]}\t{OTHER[BASES[pos - 1]]}\t.\t.\t{f'HAP={name}' if name else '.'}\n"
        for pos, name in phased.items()
    ]
    path = tmp_path / "variants.vcf"
    path.write_text(HEADER + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(lines))
    return path


PHASED = {100: "a", 104: "a", 110: None, 200: "b", 205: "b", 300: "long", 340: "long"}


def score(tmp_path, reference, variants, out="out", **more):
    given = {"input.variants": [str(variants)], "input.reference": str(reference), "output.path": str(tmp_path / out)}
    given |= {"window.left": 40, "window.right": 30, "model.device": "cpu", "cluster.actors": 1}
    return run_score(
        load_settings(None, given={**given, "input.haplotype_column": "HAP", **more}), say=lambda line: None
    )


def test_haplotypes_are_counted_scored_and_flagged_beside_their_members(tmp_path, reference):
    variants = write_vcf(tmp_path, PHASED)
    counts = score(tmp_path, reference, variants).counts
    assert (counts.alleles_in, counts.scored, counts.rejected) == (10, 9, {"allele_too_long": 1})
    assert counts.flags == {"haplotype": 2}
    table = read_scores(str(tmp_path / "out"))
    assert table.column_names[-2:] == ["HAP", "haplotype_members"]
    rows = {row["variant_id"]: row for row in table.to_pylist()}
    together = [row for row in rows.values() if row["haplotype_members"]]
    assert [row["HAP"] for row in together] == ["a", "b"]
    for row in together:
        assert all(rows[member]["HAP"] == row["HAP"] for member in row["haplotype_members"].split(";"))
    (rejected,) = pq.read_table(tmp_path / "out/rejects").to_pylist()
    assert (rejected["id"], rejected["source"]) == ("hap:long", "variants.vcf:6")
    with pytest.warns(UserWarning, match="1 of 10 alleles left out: 1 allele_too_long"):
        expected = raygen.score_variants(
            raygen.load_model("demo", device="cpu"),
            variants,
            reference,
            window=raygen.Window(40, 30),
            haplotype_column="HAP",
        )
    for row in expected.to_pylist():
        assert rows[row["variant_id"]]["delta_llr"] == pytest.approx(row["delta_llr"], abs=1e-4)
    again = score(tmp_path, reference, variants).counts
    assert (again.scored, again.already_scored) == (0, 9)


def test_an_ingested_folder_brings_its_haplotypes_and_is_refused_where_they_do_not_fit(tmp_path, reference):
    taken = ingest(
        [write_vcf(tmp_path, PHASED)], open_reference(str(reference)), tmp_path / "in", haplotype_column="HAP"
    )
    assert taken.num_haplotypes == 3
    with pytest.raises(SettingsError, match=r"window.right is 30 bases, but a haplotype in .*in spans 41"):
        score(tmp_path, reference, tmp_path / "in")
    counts = score(tmp_path, reference, tmp_path / "in", **{"window.right": 50}).counts
    assert (counts.scored, counts.flags) == (10, {"haplotype": 3})
    with pytest.raises(SettingsError, match="ingested with haplotypes"):
        score(tmp_path, reference, tmp_path / "in", "other", **{"input.source_columns": ["QUAL"]})


def test_a_haplotype_whose_members_change_is_another_variant(tmp_path, reference):
    score(tmp_path, reference, write_vcf(tmp_path, {100: "a", 104: "a"}))
    counts = score(tmp_path, reference, write_vcf(tmp_path, {100: "a", 104: "a", 107: "a"})).counts
    assert (counts.scored, counts.already_scored) == (2, 2)
