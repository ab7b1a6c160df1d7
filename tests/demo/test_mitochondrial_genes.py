"""Gene coordinates and consequences on the shipped reference."""

from importlib.resources import files

import pysam
import pytest

from raygen.demo.mitochondrial_genes import CODE, GENES, SEVERITY, START_CODONS, coding_sequence, consequence, genes_at
from tests.builders import shared


@pytest.fixture(scope="module")
def bases() -> str:
    text = files("raygen.demo").joinpath("rCRS.fa").read_text()
    return "".join(line for line in text.splitlines() if not line.startswith(">")).upper()


def protein(gene, bases) -> str:
    coding = coding_sequence(gene, bases)
    return "".join(CODE[coding[at : at + 3]] for at in range(0, len(coding) // 3 * 3, 3))


@pytest.mark.parametrize("gene", [gene for gene in GENES if gene.kind == "protein"], ids=lambda gene: gene.name)
def test_a_protein_starts_at_a_start_codon_and_stops_nowhere_inside(gene, bases):
    assert coding_sequence(gene, bases)[:3] in START_CODONS
    assert "*" not in protein(gene, bases)[:-1]
    assert len(coding_sequence(gene, bases)) % 3 or protein(gene, bases)[-1] == "*"


def test_the_genes_are_the_37_of_the_human_mitochondrion():
    kinds = [gene.kind for gene in GENES]
    assert (kinds.count("protein"), kinds.count("tRNA"), kinds.count("rRNA")) == (13, 22, 2)


def test_consequences_worked_out_by_hand(bases):
    """MT-ND1 starts ATACCCATGGCC (M P M A) at 3307; MT-ND6 lies on the other strand and ends at 14149."""
    assert bases[3306:3318] == "ATACCCATGGCC"
    assert consequence(bases, 3308, "C") == "start_lost"  # ATA to ACA
    assert consequence(bases, 3309, "G") == "synonymous_variant"  # ATA to ATG, another start
    assert consequence(bases, 3310, "T") == "missense_variant"  # CCC (Pro) to TCC (Ser)
    assert consequence(bases, 3312, "T") == "synonymous_variant"  # CCC to CCT, Pro both
    assert consequence(bases, 3315, "A") == "synonymous_variant"  # ATG to ATA, Met both in this code
    assert consequence(bases, 3305, "G") == "intergenic_variant"
    assert consequence(bases, 3243, "G") == "non_coding_transcript_exon_variant"  # MT-TL1, the MELAS variant


def test_a_gene_on_the_other_strand_is_read_backwards(bases):
    """MT-ND6 starts at 14673 downwards with ATG: its T, read as A, changed to G (a C there) loses the start."""
    assert coding_sequence(next(gene for gene in GENES if gene.name == "MT-ND6"), bases)[:3] == "ATG"
    assert bases[14672] == "T"
    assert consequence(bases, 14672, "G") == "start_lost"


def test_a_stop_codon_is_gained_and_lost(bases):
    """MT-CO1 ends AAA TCT AGA (Lys, Ser, stop), 7437 to 7445."""
    assert bases[7436:7445] == "AAATCTAGA"
    assert consequence(bases, 7437, "T") == "stop_gained"  # AAA to TAA
    assert consequence(bases, 7443, "G") == "stop_lost"  # AGA to GGA (Gly)
    assert consequence(bases, 7445, "G") == "stop_retained_variant"  # AGA to AGG


def test_where_genes_overlap_the_more_severe_consequence_counts(bases):
    for pos in range(8527, 8573):
        assert [gene.name for gene in genes_at(pos)] == ["MT-ATP8", "MT-ATP6"]
        for alt in "ACGT":
            if alt != bases[pos - 1]:
                assert consequence(bases, pos, alt) in SEVERITY[:7]


def test_the_genes_are_those_that_clinvar_names():
    names = {gene.name for gene in GENES}
    with pysam.VariantFile(str(shared("mt/mt.clinvar_20220525.vcf"))) as records:
        told = [(record.pos, record.info["GENE"]) for record in records if record.info.get("GENE") in names]
    missed = [one for one in told if one[1] not in {gene.name for gene in genes_at(one[0])}]
    assert len(told) > 2000
    assert not missed
