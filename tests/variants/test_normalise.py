from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygen.variants.normalise import normalise

#         1234567890123456789012345
REPEATS = "GGGCACACACAGGGTTTTTACGNAA"
STARTS = "AAAACGCGT"
ENDS = "TCATTATTATT"
CONTIGS = {"repeats": REPEATS, "starts": STARTS, "ends": ENDS}

# contig, (pos, ref, alt) as given, (pos, ref, alt) as bcftools norm 1.16 writes it; the last test here asks bcftools itself
WORKED_CASES = [
    ("repeats", (4, "C", "T"), (4, "C", "T")),
    ("repeats", (4, "CA", "CG"), (5, "A", "G")),
    ("repeats", (4, "CAC", "TAC"), (4, "C", "T")),
    ("repeats", (4, "CAC", "CTC"), (5, "A", "T")),
    ("repeats", (4, "CA", "TG"), (4, "CA", "TG")),
    ("repeats", (4, "CACA", "TACG"), (4, "CACA", "TACG")),
    ("repeats", (3, "GCACA", "GTGCA"), (4, "CA", "TG")),
    ("repeats", (9, "ACA", "A"), (3, "GCA", "G")),
    ("repeats", (8, "CAC", "C"), (3, "GCA", "G")),
    ("repeats", (7, "ACACA", "A"), (3, "GCACA", "G")),
    ("repeats", (3, "GCA", "G"), (3, "GCA", "G")),
    ("repeats", (11, "A", "ACA"), (3, "G", "GCA")),
    ("repeats", (10, "C", "CAC"), (3, "G", "GCA")),
    ("repeats", (6, "C", "CACAC"), (3, "G", "GCACA")),
    ("repeats", (11, "A", "AC"), (11, "A", "AC")),
    ("repeats", (11, "A", "AA"), (10, "C", "CA")),
    ("repeats", (14, "G", "GG"), (11, "A", "AG")),
    ("repeats", (13, "GG", "G"), (11, "AG", "A")),
    ("repeats", (12, "GGG", "G"), (11, "AGG", "A")),
    ("repeats", (18, "TT", "T"), (14, "GT", "G")),
    ("repeats", (19, "T", "TT"), (14, "G", "GT")),
    ("repeats", (15, "TTTTT", "T"), (14, "GTTTT", "G")),
    ("repeats", (15, "TTTTT", "TTT"), (14, "GTT", "G")),
    ("repeats", (14, "GTTTTTA", "GA"), (14, "GTTTTT", "G")),
    ("repeats", (19, "TA", "TGA"), (19, "T", "TG")),
    ("repeats", (19, "TAC", "TC"), (19, "TA", "T")),
    ("repeats", (10, "CAGG", "CTTGG"), (11, "A", "TT")),
    ("repeats", (10, "CAGG", "TG"), (10, "CAG", "T")),
    ("repeats", (2, "G", "GG"), (1, "G", "GG")),
    ("repeats", (1, "GG", "G"), (1, "GG", "G")),
    ("repeats", (2, "GG", "G"), (1, "GG", "G")),
    ("repeats", (1, "GGG", "G"), (1, "GGG", "G")),
    ("repeats", (24, "A", "AA"), (23, "N", "NA")),
    ("repeats", (24, "AA", "A"), (23, "NA", "N")),
    ("starts", (4, "A", "AA"), (1, "A", "AA")),
    ("starts", (3, "AA", "A"), (1, "AA", "A")),
    ("starts", (1, "AAAA", "A"), (1, "AAAA", "A")),
    ("starts", (1, "A", "GA"), (1, "A", "GA")),
    ("starts", (1, "AAAAC", "C"), (1, "AAAAC", "C")),
    ("starts", (1, "AAAACGC", "C"), (1, "AAAACGC", "C")),
    ("starts", (5, "CGC", "C"), (4, "ACG", "A")),
    ("starts", (8, "G", "GCG"), (4, "A", "ACG")),
    ("starts", (1, "AAAACGCGT", "T"), (1, "AAAACGCGT", "T")),
    ("starts", (1, "AAAACGCGT", "A"), (1, "AAAACGCGT", "A")),
    ("ends", (8, "TATT", "T"), (2, "CATT", "C")),
    ("ends", (11, "T", "TATT"), (2, "C", "CATT")),
    ("ends", (11, "T", "TT"), (9, "A", "AT")),
    ("ends", (10, "TT", "T"), (9, "AT", "A")),
    ("ends", (11, "T", "TG"), (11, "T", "TG")),
    ("ends", (9, "ATT", "GG"), (9, "ATT", "GG")),
]


def as_bases(sequence: str) -> np.ndarray:
    return np.frombuffer(sequence.encode(), np.uint8)


def haplotype(sequence: str, pos: int, ref: str, alt: str) -> str:
    assert sequence[pos - 1 : pos - 1 + len(ref)] == ref
    return sequence[: pos - 1] + alt + sequence[pos - 1 + len(ref) :]


@pytest.mark.parametrize(("contig", "given_as", "expected"), WORKED_CASES)
def test_worked_case(contig: str, given_as: tuple[int, str, str], expected: tuple[int, str, str]) -> None:
    assert normalise(*given_as, as_bases(CONTIGS[contig])) == expected


@st.composite
def variants(draw: st.DrawFn) -> tuple[str, int, str, str]:
    """A contig full of repeats and a random change in it."""
    sequence = "".join(draw(st.lists(st.sampled_from(["A", "C", "AC", "ACG", "T", "AAAA"]), min_size=1, max_size=20)))
    start = draw(st.integers(0, len(sequence) - 1))
    ref = sequence[start : start + draw(st.integers(1, 8))]
    from_ref = st.integers(0, len(ref)).map(lambda size: ref[:size])
    alt = draw(
        st.one_of(st.text("ACGT", min_size=1, max_size=6), st.tuples(from_ref, st.text("AC", max_size=4)).map("".join))
    )
    return sequence, start + 1, ref, alt


@given(variants())
@settings(deadline=None)
def test_haplotype_stays_the_same(variant: tuple[str, int, str, str]) -> None:
    sequence, pos, ref, alt = variant
    if alt in ("", ref):
        return
    assert haplotype(sequence, *normalise(pos, ref, alt, as_bases(sequence))) == haplotype(sequence, pos, ref, alt)


@given(variants())
@settings(deadline=None)
def test_result_is_idempotent_leftmost_and_parsimonious(variant: tuple[str, int, str, str]) -> None:
    sequence, pos, ref, alt = variant
    if alt in ("", ref):
        return
    bases = as_bases(sequence)
    new_pos, new_ref, new_alt = normalise(pos, ref, alt, bases)
    assert normalise(new_pos, new_ref, new_alt, bases) == (new_pos, new_ref, new_alt)
    assert new_ref and new_alt
    if new_pos > 1:
        assert new_ref[-1] != new_alt[-1]  # else it could move left (Tan et al. 2015)
    if min(len(new_ref), len(new_alt)) > 1:
        assert new_ref[0] != new_alt[0]  # else a base could go


@given(st.integers(1, 5), st.integers(3, 8), st.data())
@settings(deadline=None)
def test_all_spellings_of_a_repeat_deletion_become_one(unit_size: int, times: int, data: st.DataObject) -> None:
    unit = data.draw(st.text("ACGT", min_size=unit_size, max_size=unit_size))
    sequence = "T" * 6 + "C" + unit * times + "C" + "T" * 6
    bases = as_bases(sequence)
    starts = range(6, 6 + unit_size * (times - 1))
    spellings = {normalise(at + 1, sequence[at : at + unit_size + 1], sequence[at], bases) for at in starts}
    assert len(spellings) == 1


def test_indel_moves_left_over_a_repeat_of_many_thousand_bases() -> None:
    sequence = "G" + "CA" * 5000 + "T"
    assert normalise(9999, "ACA", "A", as_bases(sequence)) == (1, "GCA", "G")


def random_variants(seed: int, contigs: Mapping[str, str]) -> Sequence[tuple[str, int, str, str]]:
    rng = random.Random(seed)
    rows = []
    for contig, sequence in contigs.items():
        for _ in range(60):
            start = rng.randrange(len(sequence))
            ref = sequence[start : start + rng.randint(1, 6)]
            kept = ref[: rng.randint(0, len(ref))]
            alt = rng.choice([kept, kept + ref, "".join(rng.choices("ACGT", k=rng.randint(1, 5)))])
            if alt not in ("", ref) and "N" not in ref + alt:
                rows.append((contig, start + 1, ref, alt))
    return rows


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed (apt-get install bcftools)")
def test_bcftools_norm_writes_the_same_rows(tmp_path: Path) -> None:
    contigs = {**CONTIGS, "long": "".join(random.Random(1).choices(["A", "CA", "CCG", "T"], k=60))}
    worked = [(contig, *given_as) for contig, given_as, _ in WORKED_CASES]
    rows = [*worked, *random_variants(2, contigs)]
    (tmp_path / "r.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    header = "##fileformat=VCFv4.2\n" + "".join(
        f"##contig=<ID={name},length={len(x)}>\n" for name, x in contigs.items()
    )
    body = "".join(f"{contig}\t{pos}\t{i}\t{ref}\t{alt}\t.\t.\t.\n" for i, (contig, pos, ref, alt) in enumerate(rows))
    (tmp_path / "r.vcf").write_text(header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + body)
    command = ["bcftools", "norm", "-f", str(tmp_path / "r.fa"), str(tmp_path / "r.vcf")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    theirs = {}
    for line in output.splitlines():
        if not line.startswith("#"):
            _, pos, row, ref, alt, *_ = line.split("\t")
            theirs[int(row)] = (int(pos), ref, alt)
    ours = {i: normalise(pos, ref, alt, as_bases(contigs[contig])) for i, (contig, pos, ref, alt) in enumerate(rows)}
    assert ours == theirs
