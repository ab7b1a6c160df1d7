"""Where the reference has R, Y, M, B or N: what a VCF may write there, and what is scored."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import raygen
from raygen.sequence.ambiguity import agrees, as_vcf_has_it
from raygen.sequence.windows import StrandView
from raygen.tables.schemas import variant_id
from raygen.variants.alleles import RAW_ALLELES, AlleleBatch
from raygen.variants.check import AlleleChecker
from raygen.variants.haplotypes import join
from raygen.variants.region import SPELLING, parse_variant
from tests.builders import InMemoryReference, bigram_model, fasta, random_bases

#        123456789012345678901
BASES = "ACGTRCGTAMTTNNAACGTYB"
REFERENCE = InMemoryReference({"1": BASES})


def outcome(pos: int, ref: str, alt: str, span: int | None = None) -> tuple[object, ...]:
    """(pos, REF, ALT) normalised, or (reason, detail)."""
    row = {"chrom": "1", "pos": pos, "ref": ref, "alt": alt, "record": 1, "span": span}
    checked = AlleleChecker(REFERENCE, 100).check(AlleleBatch(pa.Table.from_pylist([row], RAW_ALLELES), 1), "VCF")
    if checked.refused:
        return checked.refused[0][1].value, checked.refused[0][2]
    return int(checked.pos[0]), checked.ref[0].as_py(), checked.alt[0].as_py()


def test_a_letter_agrees_with_what_it_stands_for_and_with_n():
    assert [base for base in "ACGTNR" if agrees(base, "R")] == ["A", "G", "N", "R"]
    assert [base for base in "ACGTN" if agrees(base, "B")] == ["C", "G", "T", "N"]
    assert [base for base in "ACGTN" if agrees(base, "N")] == ["N"]
    assert agrees("CAG", "CRG")
    assert not agrees("CA", "CRG")
    assert as_vcf_has_it("ACGTNRYSWKMBDHV") == "ACGTNACCAGACAAA"  # the first of each in the alphabet


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((5, "A", "G"), (5, "A", "G")),
        ((5, "g", "t"), (5, "G", "T")),
        ((10, "A", "C"), (10, "A", "C")),
        ((20, "T", "C"), (20, "T", "C")),
        ((21, "C", "G"), (21, "C", "G")),
        ((4, "TA", "T"), (4, "TA", "T")),  # the R itself is deleted
        ((4, "TGC", "T"), (4, "TGC", "T")),
        ((4, "T", "<DEL>", 2), (4, "TAC", "T")),
        ((5, "G", "GT"), (5, "A", "AT")),  # beside the R, which VCF writes as A
        ((5, "AC", "A"), (5, "AC", "A")),
        ((5, "NC", "N"), (5, "AC", "A")),
        ((15, "AA", "A"), (14, "NA", "N")),
        ((14, "NA", "N"), (14, "NA", "N")),
        ((15, "NA", "N"), (14, "NA", "N")),  # N before an indel is the reference's own base, here A
        ((14, "N", "NAC"), (14, "N", "NAC")),
        ((14, "NA", "NC"), (15, "A", "C")),
    ],
)
def test_a_vcf_may_have_a_base_that_the_reference_s_letter_stands_for(written, expected):
    assert outcome(*written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((5, "C", "T"), ("ref_mismatch", "the VCF says 'C', ref has 'R' at 1:5")),
        ((4, "TT", "T"), ("ref_mismatch", "the VCF says 'TT', ref has 'TR' at 1:4")),
        ((14, "AA", "A"), ("ref_mismatch", "the VCF says 'AA', ref has 'NA' at 1:14")),
        ((5, "R", "G"), ("non_acgt_allele", "REF 'R' holds 'R'; only A, C, G and T can be scored")),
        ((5, "N", "G"), ("non_acgt_allele", "REF 'N' holds 'N'; only A, C, G and T can be scored")),
        ((13, "NN", "N"), ("non_acgt_allele", "REF 'NN' holds 'N'; only A, C, G and T can be scored")),
        ((14, "NA", "A"), ("non_acgt_allele", "REF 'NA' holds 'N'; only A, C, G and T can be scored")),
        ((14, "N", "N"), ("non_acgt_allele", "REF 'N' holds 'N'; only A, C, G and T can be scored")),
        ((12, "T", "<DEL>", 2), ("non_acgt_allele", "REF 'TNN' holds 'N'; only A, C, G and T can be scored")),
    ],
)
def test_what_it_does_not_stand_for_and_bases_that_nobody_knows_are_refused(written, expected):
    reason, detail = outcome(*written)
    assert (reason, str(detail).replace(REFERENCE.path, "ref")) == expected


@pytest.mark.parametrize("indel", [(15, "AA", "A"), (14, "N", "NAC"), (5, "GC", "G"), (5, "A", "AT")])
def test_the_id_of_an_indel_is_read_again_as_the_same_variant(indel):
    """Typed at a command, and as a record of a VCF that was exported."""
    pos, ref, alt = outcome(*indel)
    (row,) = parse_variant(variant_id("1", pos, ref, alt), REFERENCE).to_pylist()
    assert (row["pos"], row["ref"], row["alt"]) == (pos, ref, alt) == outcome(pos, ref, alt)
    assert SPELLING.fullmatch(variant_id("1", pos, ref, alt)).groups() == ("1", str(pos), ref, alt)


@pytest.mark.parametrize(
    ("members", "joined"),
    [
        ([(5, "G", "A"), (6, "C", "T")], (5, "GC", "AT")),
        ([(4, "T", "C"), (6, "C", "A")], (4, "TAC", "CAA")),  # between them the R as VCF has it
        ([(6, "C", "CT"), (7, "G", "A")], (7, "G", "TA")),
    ],
)
def test_haplotypes_have_the_bases_of_their_members(members, joined):
    assert join(members, np.frombuffer(BASES.encode(), np.uint8), 100) == joined


def test_wt_has_the_base_that_ref_says():
    bases = np.frombuffer(BASES.encode(), np.uint8)
    wt, mut = StrandView(bases, "forward").pair(4, "G", "T", 2, 7)
    assert (wt.tobytes(), mut.tobytes()) == (b"GTGCG", b"GTTCG")
    wt, mut = StrandView(bases, "reverse").pair(16, "G", "T", 14, 19)  # 21 bases: the R is the 17th read
    assert (wt.tobytes(), mut.tobytes()) == (b"CGCAC", b"CGAAC")
    wt, mut = StrandView(bases, "forward").pair(3, "TAC", "T", 2, 5)
    assert (wt.tobytes(), mut.tobytes()) == (b"GTA", b"GTG")


@pytest.mark.parametrize("method", ["fork", "pair"])
@pytest.mark.parametrize("strand", ["forward", "reverse"])
@pytest.mark.parametrize("window", [raygen.Window(20, 20), raygen.Window(20, 20, "grid", 16)])
def test_scores_are_those_of_a_reference_that_has_the_base(tmp_path, method, strand, window):
    """A>C and G>C at an R score as on the same FASTA with A, and with G, in its place; they share a window and no WT."""
    known = random_bases(200, 8)
    model = bigram_model()

    def deltas(base: str, refs: str) -> list[float]:
        path = fasta(tmp_path, {"1": known[:99] + base + known[100:]}, f"{base}.fa")
        rows = {"chrom": ["1"] * len(refs), "pos": [100] * len(refs), "ref": list(refs), "alt": ["C"] * len(refs)}
        scored = raygen.score_variants(model, pa.table(rows), path, method=method, strand=strand, window=window)
        return scored["delta_llr"].to_pylist()

    assert deltas("R", "AG") == pytest.approx([*deltas("A", "A"), *deltas("G", "G")])
