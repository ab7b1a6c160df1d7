"""Ingests of the real files in ``../shared/data``: every allele of them is accounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raygen.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data: {DATA} is not there")

RCRS = "mt/rCRS.NC_012920.1.fa"
BRCA1 = "brca1/brca1.GRCh37.chr17_41100001_41300000.fa"
CHR20 = "chr20/chr20.hs37d5_1000001_1200000.fa"
PHIX = "phage/phix174.NC_001422.1.fa"


@pytest.mark.parametrize(
    ("vcf", "reference", "num_alleles", "rejects"),
    [
        ("mt/mt.clinvar_20220525.vcf", RCRS, 2750, {"malformed_record": 1}),
        ("mt/mt.gnomad_v3.1_PASS.vcf", RCRS, 10_850, {}),
        ("brca1/brca1.1000g_phase3.vcf", BRCA1, 2058, {"symbolic_allele": 1}),
        ("brca1/brca1.clinvar_20180701.vcf", BRCA1, 1041, {"allele_too_long": 15}),
        ("chr20/chr20.1000g_phase3.vcf", CHR20, 5484, {"symbolic_allele": 7}),
        ("phage/phix174.observed_snvs.vcf", PHIX, 798, {}),
        ("malformed/mitomap.lowercase_letter_ref.vcf", RCRS, 60, {"non_acgt_allele": 60}),
        ("malformed/mitotip.colon_alt.vcf", RCRS, 3000, {"non_acgt_allele": 750}),
    ],
)
def test_real_file_is_accounted_for(
    run_ingest: Any, fasta: Any, vcf: str, reference: str, num_alleles: int, rejects: dict[str, int]
) -> None:
    out = run_ingest(DATA / vcf, fasta(DATA / reference))
    assert (out.result.num_alleles, out.result.rejects) == (num_alleles, rejects)
    assert len(out.ids) == len(set(out.ids)) == num_alleles - sum(rejects.values())
    assert Counter(out.reasons) == rejects
    assert out.result.warnings == []
    positions = [row["pos"] for row in out.variants]
    assert positions == sorted(positions)


def test_clinvar_row_whose_alt_is_its_ref_is_malformed(run_ingest: Any, fasta: Any) -> None:
    (reject,) = run_ingest(DATA / "mt/mt.clinvar_20220525.vcf", fasta(DATA / RCRS)).rejects
    assert (reject["pos"], reject["ref"], reject["alt"], reject["source"]) == (
        1438,
        "A",
        "A",
        "mt.clinvar_20220525.vcf:96",
    )


def test_mitochondrial_files_together_share_their_duplicates(run_ingest: Any, fasta: Any) -> None:
    inputs = [DATA / "mt/mt.clinvar_20220525.vcf", DATA / "mt/mt.gnomad_v3.1_PASS.vcf"]
    out = run_ingest(inputs, fasta(DATA / RCRS), source_columns=["CLNSIG", "AF_hom"])
    assert out.result.num_alleles == 13_600 == len(out.ids) + len(out.rejects)
    assert set(out.reasons) == {"duplicate", "malformed_record"}
    assert sum(row["CLNSIG"] is not None for row in out.variants) == 2749


def test_mitochondrial_vcf_against_the_old_hg19_chrm_stops(run_ingest: Any, fasta: Any, tmp_path: Path) -> None:
    reference = fasta(DATA / "malformed/hg19.chrM.wrong_assembly.fa")
    with pytest.raises(
        InputError, match=r"2,080 of 2,750 REF alleles differ from hg19\.chrM.*16,569 bases.*16,571"
    ) as error:
        run_ingest(DATA / "mt/mt.clinvar_20220525.vcf", reference)
    assert error.value.exit_code == 3
    assert not (tmp_path / "out").exists()


def test_vcf_against_another_species_stops(run_ingest: Any, fasta: Any) -> None:
    with pytest.raises(InputError, match=r"No contig of the input is in lambda\.NC_001416\.1\.fa"):
        run_ingest(DATA / "mt/mt.clinvar_20220525.vcf", fasta(DATA / "phage/lambda.NC_001416.1.fa"))
