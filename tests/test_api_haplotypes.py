"""Haplotypes through the Python interface: their scores are those of the sequences that hold all members."""

import numpy as np
import pyarrow as pa
import pytest

import raygen
from raygen.errors import InputError, SettingsError
from tests.builders import fasta, random_bases

BASES = random_bases(400, 6)
WINDOW = raygen.Window(100, 80)
OTHER = dict(zip("ACGT", "CGTA", strict=True))


@pytest.fixture(scope="module")
def model():
    return raygen.load_model("demo", device="cpu")


def snv(pos):
    return pos, BASES[pos - 1], OTHER[BASES[pos - 1]]


def scored(model, tmp_path, members, window=WINDOW, strand="forward"):
    """Scores of members that all lie on one haplotype, as rows by variant id; the haplotype's is under ``None``."""
    pos, ref, alt = (list(column) for column in zip(*members, strict=True))
    table = pa.table({"chrom": ["1"] * len(pos), "pos": pos, "ref": ref, "alt": alt, "phase": ["h"] * len(pos)})
    reference = fasta(tmp_path, {"1": BASES})
    found = raygen.score_variants(model, table, reference, window=window, strand=strand, haplotype_column="phase")
    return {row["variant_id"] if row["haplotype_members"] is None else None: row for row in found.to_pylist()}


def mutated(start, length, members):
    """The first ``length`` bases from 0-based ``start`` with all members put in, from right to left."""
    bases = BASES
    for pos, ref, alt in sorted(members, reverse=True):
        bases = bases[: pos - 1] + alt + bases[pos - 1 + len(ref) :]
    return bases[start : start + length]


@pytest.mark.parametrize(
    "members",
    [
        [snv(200), snv(203)],
        [snv(200), snv(231), snv(260)],
        [snv(200), (204, BASES[203:207], BASES[203])],
        [(200, BASES[199], BASES[199] + "GATC"), snv(206)],
    ],
    ids=["two SNVs", "three SNVs far apart", "SNV and deletion", "insertion and SNV"],
)
def test_a_haplotype_scores_as_the_same_sequences_by_hand(model, tmp_path, members):
    row = scored(model, tmp_path, members)[None]
    start, end = row["window_start"], row["window_end"]
    by_hand = raygen.score_pairs(model, [(BASES[start:end], mutated(start, end - start, members))], method="pair")
    np.testing.assert_allclose(row["delta_llr"], by_hand["delta_llr"][0].as_py(), atol=1e-4)
    assert row["flags"] == ["haplotype"]


def test_the_order_of_members_does_not_matter(model, tmp_path):
    members = [snv(200), snv(203), snv(209)]
    one, other = scored(model, tmp_path, members)[None], scored(model, tmp_path, members[::-1])[None]
    assert one["variant_id"] == other["variant_id"]
    assert one["delta_llr"] == pytest.approx(other["delta_llr"], abs=1e-4)


def test_effects_of_neighbours_do_not_add_up(model, tmp_path):
    rows = scored(model, tmp_path, [snv(200), snv(201)])
    together = rows.pop(None)["delta_llr"]
    assert len(rows) == 2
    assert abs(together - sum(row["delta_llr"] for row in rows.values())) > 0.1


def test_members_score_as_they_do_alone(model, tmp_path):
    rows = scored(model, tmp_path, [snv(200), snv(203)])
    for pos, ref, alt in (snv(200), snv(203)):
        alone = raygen.score_variants(
            model,
            pa.table({"chrom": ["1"], "pos": [pos], "ref": [ref], "alt": [alt]}),
            tmp_path / "reference.fa",
            window=WINDOW,
        )
        assert rows[f"1-{pos}-{ref}-{alt}"]["delta_llr"] == pytest.approx(alone["delta_llr"][0].as_py(), abs=1e-4)


@pytest.mark.parametrize("strand", ["reverse", "both"])
@pytest.mark.parametrize("window", [WINDOW, raygen.Window(100, 80, "grid", 64)], ids=["variant", "grid"])
def test_fork_and_pair_agree_on_haplotypes(model, tmp_path, window, strand):
    members = [snv(200), (204, BASES[203:207], BASES[203]), snv(230)]
    row = scored(model, tmp_path, members, window, strand)[None]
    pos, ref, alt = row["pos"], row["ref"], row["alt"]
    plain = raygen.score_variants(
        model,
        pa.table({"chrom": ["1"], "pos": [pos], "ref": [ref], "alt": [alt]}),
        tmp_path / "reference.fa",
        method="pair",
        strand=strand,
        window=window,
    )
    assert row["delta_llr"] == pytest.approx(plain["delta_llr"][0].as_py(), abs=1e-4)


def test_a_haplotype_that_reaches_past_the_window_is_left_out_and_its_members_are_not(model, tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 alleles left out: 1 allele_too_long"):
        rows = scored(model, tmp_path, [snv(200), snv(280)])
    assert len(rows) == 2
    assert None not in rows


@pytest.mark.parametrize(
    ("column", "error", "sentence"),
    [
        ("phases", InputError, "The variants lack the columns phases; they have chrom, pos, ref, alt"),
        ("raygen_input_row", SettingsError, "haplotype_column is raygen_input_row, which is used for something else"),
    ],
)
def test_a_haplotype_column_that_cannot_be_is_named(model, tmp_path, column, error, sentence):
    pos, ref, alt = snv(200)
    table = pa.table({"chrom": ["1"], "pos": [pos], "ref": [ref], "alt": [alt]})
    with pytest.raises(error, match=sentence):
        raygen.score_variants(model, table, fasta(tmp_path, {"1": BASES}), window=WINDOW, haplotype_column=column)
