"""Genes of the human mitochondrion, and what a change of one base does to them, in Sequence Ontology terms.

Coordinates are those of NC_012920.1 (RefSeq, public domain), 1-based, both ends included. Proteins are read with the
vertebrate mitochondrial code (NCBI translation table 2): ATA is Met, TGA is Trp, AGA and AGG stop. Several genes end within
their stop codon; the poly-A tail completes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raygen.sequence.tokens import encode, reverse_complement

Kind = Literal["protein", "tRNA", "rRNA"]

STANDARD_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
"""Amino acids of the 64 codons, bases in the order T, C, A, G (NCBI translation table 1)."""
VERTEBRATE_MITOCHONDRIAL = {"AGA": "*", "AGG": "*", "ATA": "M", "TGA": "W"}
CODE = {
    first + second + third: STANDARD_CODE[16 * first_rank + 4 * second_rank + third_rank]
    for first_rank, first in enumerate("TCAG")
    for second_rank, second in enumerate("TCAG")
    for third_rank, third in enumerate("TCAG")
} | VERTEBRATE_MITOCHONDRIAL


@dataclass(frozen=True)
class Gene:
    """A gene from ``start`` to ``end``; ``reverse`` where the plus strand holds its complement."""

    name: str
    start: int
    end: int
    kind: Kind
    reverse: bool = False


GENES = (
    Gene("MT-TF", 577, 647, "tRNA"),
    Gene("MT-RNR1", 648, 1601, "rRNA"),
    Gene("MT-TV", 1602, 1670, "tRNA"),
    Gene("MT-RNR2", 1671, 3229, "rRNA"),
    Gene("MT-TL1", 3230, 3304, "tRNA"),
    Gene("MT-ND1", 3307, 4262, "protein"),
    Gene("MT-TI", 4263, 4331, "tRNA"),
    Gene("MT-TQ", 4329, 4400, "tRNA", reverse=True),
    Gene("MT-TM", 4402, 4469, "tRNA"),
    Gene("MT-ND2", 4470, 5511, "protein"),
    Gene("MT-TW", 5512, 5579, "tRNA"),
    Gene("MT-TA", 5587, 5655, "tRNA", reverse=True),
    Gene("MT-TN", 5657, 5729, "tRNA", reverse=True),
    Gene("MT-TC", 5761, 5826, "tRNA", reverse=True),
    Gene("MT-TY", 5826, 5891, "tRNA", reverse=True),
    Gene("MT-CO1", 5904, 7445, "protein"),
    Gene("MT-TS1", 7446, 7514, "tRNA", reverse=True),
    Gene("MT-TD", 7518, 7585, "tRNA"),
    Gene("MT-CO2", 7586, 8269, "protein"),
    Gene("MT-TK", 8295, 8364, "tRNA"),
    Gene("MT-ATP8", 8366, 8572, "protein"),
    Gene("MT-ATP6", 8527, 9207, "protein"),
    Gene("MT-CO3", 9207, 9990, "protein"),
    Gene("MT-TG", 9991, 10058, "tRNA"),
    Gene("MT-ND3", 10059, 10404, "protein"),
    Gene("MT-TR", 10405, 10469, "tRNA"),
    Gene("MT-ND4L", 10470, 10766, "protein"),
    Gene("MT-ND4", 10760, 12137, "protein"),
    Gene("MT-TH", 12138, 12206, "tRNA"),
    Gene("MT-TS2", 12207, 12265, "tRNA"),
    Gene("MT-TL2", 12266, 12336, "tRNA"),
    Gene("MT-ND5", 12337, 14148, "protein"),
    Gene("MT-ND6", 14149, 14673, "protein", reverse=True),
    Gene("MT-TE", 14674, 14742, "tRNA", reverse=True),
    Gene("MT-CYB", 14747, 15887, "protein"),
    Gene("MT-TT", 15888, 15953, "tRNA"),
    Gene("MT-TP", 15956, 16023, "tRNA", reverse=True),
)

SEVERITY = (
    "stop_gained",
    "stop_lost",
    "start_lost",
    "missense_variant",
    "incomplete_terminal_codon_variant",
    "stop_retained_variant",
    "synonymous_variant",
    "non_coding_transcript_exon_variant",
    "intergenic_variant",
)
"""Consequences from the most severe on, as Ensembl VEP ranks them."""

START_CODONS = ("ATG", "ATA", "ATT", "ATC", "GTG")


def genes_at(pos: int) -> list[Gene]:
    """The genes that hold a position, in the order of their start."""
    return [gene for gene in GENES if gene.start <= pos <= gene.end]


def consequence(bases: str, pos: int, alt: str) -> str:
    """The most severe consequence of an SNV at the 1-based ``pos`` of NC_012920.1, whose plus strand is ``bases``."""
    consequences = [_in_gene(gene, bases, pos, alt) for gene in genes_at(pos)]
    return min(consequences, key=SEVERITY.index, default="intergenic_variant")


def coding_sequence(gene: Gene, bases: str) -> str:
    """A gene's sequence in the direction in which it is read."""
    plus = bases[gene.start - 1 : gene.end]
    return reverse_complement(encode(plus)).tobytes().decode() if gene.reverse else plus


def _in_gene(gene: Gene, bases: str, pos: int, alt: str) -> str:
    if gene.kind != "protein":
        return "non_coding_transcript_exon_variant"
    before = coding_sequence(gene, bases)
    changed = coding_sequence(gene, bases[: pos - 1] + alt + bases[pos:])
    offset = gene.end - pos if gene.reverse else pos - gene.start
    first = offset // 3 * 3
    return _of_codon(before[first : first + 3], changed[first : first + 3], is_start=first == 0)


def _of_codon(before: str, changed: str, is_start: bool) -> str:
    if len(before) < 3:
        return "incomplete_terminal_codon_variant"
    if is_start:
        return "synonymous_variant" if changed in START_CODONS else "start_lost"
    was, now = CODE.get(before, "X"), CODE.get(changed, "X")
    if was == now:
        return "stop_retained_variant" if was == "*" else "synonymous_variant"
    if now == "*":
        return "stop_gained"
    return "stop_lost" if was == "*" else "missense_variant"
