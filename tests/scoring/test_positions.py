"""Every base at once gives the numbers that its changes get as variants: the definition of a position table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.positions import IS_BASE, PositionScorer, plan_bases
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.windows import Window
from raygen.tables.position_table import BASES, TOO_MANY_N, flags_of
from raygen.tables.schemas import variant_ids
from tests.builders import InMemoryReference, bigram_model, random_bases
from tests.model.models import small_config, small_evo2_config

BASES_OF_CONTIG = random_bases(260, 21)
WITH_N = BASES_OF_CONTIG[:100] + "N" * 17 + BASES_OF_CONTIG[117:200] + "R" + BASES_OF_CONTIG[201:]
WINDOWS = {
    "one base to the right": Window(40, 1, "grid", 24),
    "a stride as long as what is read before it": Window(32, 1, "grid", 32),
    "some bases to the right": Window(40, 9, "grid", 24),
    "a window a base": Window(20, 1),
    "no left context": Window(0, 1, "grid", 16),
    "longer than the contig": Window(300, 1, "grid", 40),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ResidentModel]:
    """With a token before the first base (Evo 1) and without one (Evo 2)."""
    folder = tmp_path_factory.mktemp("models")
    write_random_checkpoint(folder / "evo1", small_config(), seed=1)
    write_random_checkpoint(folder / "evo2", small_evo2_config(), seed=1)
    return {name: load_model(str(folder / name), device="cpu", dtype="float32") for name in ("evo1", "evo2")}


def scored_as_bases(
    model: ResidentModel, letters: str, window: Window, strand: str, circular: bool, first: np.ndarray | None = None
) -> pa.Table:
    reference = InMemoryReference({"1": letters})
    places = np.arange(len(letters)) if first is None else first
    places = places[IS_BASE[reference.bases("1")[places]]]
    rows = plan_bases("1", places, reference, window, strand, circular)
    return PositionScorer(model, reference, window, strand, ["1"] if circular else []).score(rows)


def scored_as_variants(
    model: ResidentModel, letters: str, window: Window, strand: str, circular: bool, positions: list[int]
) -> pa.Table:
    reference = InMemoryReference({"1": letters})
    changes = [(pos, letters[pos - 1], alt) for pos in positions for alt in BASES if alt != letters[pos - 1]]
    pos, ref, alt = (list(column) for column in zip(*changes, strict=True))
    table = pa.table({"chrom": ["1"] * len(pos), "pos": pos, "ref": ref, "alt": alt})
    table = table.append_column("variant_id", variant_ids(table))
    circle = ["1"] if circular else []
    planned = plan_windows(table, reference, window, strand, circle)
    return VariantScorer(model, reference, strand, circle, extra_columns=["entropy"]).score(planned)


def assert_same(bases: pa.Table, variants: pa.Table) -> None:
    """Each change's delta, on each strand, and each base's entropy are those of the variants; the reference's own base has none."""
    wanted = dict(
        zip(
            zip(variants["pos"].to_pylist(), variants["alt"].to_pylist(), strict=True),
            variants.to_pylist(),
            strict=True,
        )
    )
    assert len(wanted) == 3 * len(bases)
    both = "delta_A_fwd" in bases.column_names
    for row in bases.to_pylist():
        assert row[f"delta_{row['ref']}"] is None and row["failure"] is None
        for alt in set(BASES) - {row["ref"]}:
            variant = wanted[row["pos"], alt]
            assert row[f"delta_{alt}"] == pytest.approx(variant["delta_llr"], abs=1e-5)
            if both:
                assert row[f"delta_{alt}_fwd"] == pytest.approx(variant["delta_fwd"], abs=1e-5)
                assert row[f"delta_{alt}_rev"] == pytest.approx(variant["delta_rev"], abs=1e-5)
            if variant["entropy"] is None:
                assert row["entropy"] is None
            else:
                assert row["entropy"] == pytest.approx(variant["entropy"], abs=1e-5)


@pytest.mark.parametrize("circular", [False, True], ids=["linear", "circular"])
@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("name", ["evo1", "evo2"])
def test_a_base_has_the_deltas_of_its_changes_as_variants(models, name, window, strand, circular) -> None:
    positions = [1, 2, 3, 40, 41, 64, 65, 98, 99, 118, 119, 150, 199, 202, 220, 257, 258, 259, 260]
    bases = scored_as_bases(models[name], WITH_N, window, strand, circular, np.array(positions) - 1)
    assert bases["pos"].to_pylist() == positions
    assert_same(bases, scored_as_variants(models[name], WITH_N, window, strand, circular, positions))


@settings(max_examples=25)
@given(
    letters=st.text("ACGTacgtNRY", min_size=1, max_size=90).filter(
        lambda text: any(letter in "ACGT" for letter in text.upper())
    ),
    left=st.integers(0, 40),
    right=st.sampled_from([1, 1, 1, 2, 7]),
    stride=st.integers(1, 40),
    strand=st.sampled_from(["forward", "reverse", "both"]),
    circular=st.booleans(),
)
def test_any_contig_any_window(models, letters, left, right, stride, strand, circular) -> None:
    """Soft-masked letters, runs of N, other letters, contigs shorter than a window."""
    letters, window = letters.upper(), Window(left, right, "grid", stride)
    bases = scored_as_bases(models["evo1"], letters, window, strand, circular)
    positions = [number for number, letter in enumerate(letters, 1) if letter in BASES]
    assert bases["pos"].to_pylist() == positions
    assert_same(bases, scored_as_variants(models["evo1"], letters, window, strand, circular, positions))


def test_by_hand() -> None:
    """A model that knows what follows what: the deltas at the C of GAC are those of what follows an A."""
    model = bigram_model()
    row = scored_as_bases(model, "GAC", Window(2, 1, "grid", 1), "forward", False).to_pylist()[2]
    assert (row["pos"], row["ref"], row["delta_C"]) == (3, "C", None)
    after_a = {base: model.loaded.network.log_prob(base, "A") for base in BASES}
    for base in "AGT":
        assert row[f"delta_{base}"] == pytest.approx(after_a[base] - after_a["C"], abs=1e-5)
    probabilities = np.exp(list(after_a.values()))
    probabilities /= probabilities.sum()
    assert row["entropy"] == pytest.approx(-(probabilities * np.log(probabilities)).sum(), abs=1e-5)
    reverse = scored_as_bases(model, "GAC", Window(2, 1, "grid", 1), "reverse", False).to_pylist()[
        1
    ]  # GTC: the T after a G
    after_g = {base: model.loaded.network.log_prob(base, "G") for base in BASES}
    assert (reverse["pos"], reverse["ref"], reverse["delta_A"]) == (2, "A", None)
    assert reverse["delta_C"] == pytest.approx(after_g["G"] - after_g["T"], abs=1e-5)
    assert reverse["delta_T"] == pytest.approx(after_g["A"] - after_g["T"], abs=1e-5)


def test_pieces_and_batches_do_not_change_a_number(models) -> None:
    window = Window(32, 1, "grid", 32)
    whole = scored_as_bases(models["evo1"], BASES_OF_CONTIG, window, "both", False)
    places = np.arange(len(BASES_OF_CONTIG))
    parts = [
        scored_as_bases(models["evo1"], BASES_OF_CONTIG, window, "both", False, places[start:end])
        for start, end in ((0, 7), (7, 100), (100, 101), (101, 260))
    ]
    for name in whole.column_names[4:]:
        if pa.types.is_floating(whole[name].type):
            joined = np.concatenate([part[name].to_numpy() for part in parts])
            np.testing.assert_allclose(joined, whole[name].to_numpy(), atol=1e-5)


def test_a_base_costs_what_its_strides_window_costs(models) -> None:
    model, window = models["evo1"], Window(32, 1, "grid", 32)
    before = model.num_tokens_computed
    scored_as_bases(model, BASES_OF_CONTIG, window, "forward", False)
    # 0 to 63 share the window at 0; from then on 32 bases do, whose windows begin 32 bases before them, the last one padded
    assert model.num_tokens_computed - before == 64 + 7 * 64


def test_flags_are_those_of_the_windows(models) -> None:
    window = Window(40, 1, "grid", 24)
    rows = scored_as_bases(models["evo1"], WITH_N, window, "forward", False)
    masks = {
        name: dict(zip(rows["pos"].to_pylist(), mask.tolist(), strict=True))
        for name, mask in flags_of(rows["flags"].to_numpy()).items()
    }
    assert masks["shifted_window"][40] and not masks["shifted_window"][41]
    assert not masks["n_in_window"][99] and masks["n_in_window"][118]
    assert masks[TOO_MANY_N][118] and not masks[TOO_MANY_N][202]
    assert masks["n_in_window"][202]  # the R


def test_what_cannot_be_scored_keeps_its_row(models) -> None:
    reference = InMemoryReference({"1": BASES_OF_CONTIG})
    window = Window(40, 1, "grid", 24)
    rows = plan_bases("1", np.arange(5), reference, window, "both", False)
    failed = PositionScorer(models["evo1"], reference, window, "both").without_scores(rows, "its process died")
    scored = PositionScorer(models["evo1"], reference, window, "both").score(rows)
    assert failed.schema == scored.schema and failed["failure"].to_pylist() == ["its process died"] * 5
    assert PositionScorer(models["evo1"], reference, window, "both").score(rows.slice(0, 0)).schema == scored.schema
