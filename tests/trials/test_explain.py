"""The terms of one variant's delta: they add up to the score, and each is where it belongs."""

import numpy as np
import pytest

from raygen.model.loading import DEMO
from raygen.scoring.likelihood import load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids
from raygen.trials.explain import explain_variant
from raygen.variants.region import parse_variant
from tests.builders import InMemoryReference, bigram_model, random_bases

BASES = random_bases(300, 3)
REFERENCE = InMemoryReference({"1": BASES})
VARIANTS = {
    "an SNV": f"1-150-{BASES[149]}-{'ACGT'['CGTA'.index(BASES[149])]}",
    "a deletion": f"1-150-{BASES[149:154]}-{BASES[149]}",
    "an insertion": f"1-150-{BASES[149]}-{BASES[149]}TTGA",
    "an MNV": f"1-150-{BASES[149:152]}-{''.join('ACGT'['CGTA'.index(base)] for base in BASES[149:152])}",
    "a complex change": f"1-150-{BASES[149:153]}-{'ACGT'['CGTA'.index(BASES[149])]}G",
    "the first base": f"1-1-{BASES[0]}-{'ACGT'['CGTA'.index(BASES[0])]}",
    "the last base": f"1-300-{BASES[299]}-{'ACGT'['CGTA'.index(BASES[299])]}",
}


@pytest.fixture(scope="module")
def model():
    return load_model(DEMO, device="cpu")


def scored(model, variant, window, circular=()):
    named = variant.append_column("variant_id", variant_ids(variant))
    return VariantScorer(model, REFERENCE, "both", circular).score(
        plan_windows(named, REFERENCE, window, "both", circular)
    )


@pytest.mark.parametrize(
    ("window", "circular"),
    [
        (Window(64, 48), ()),
        (Window(40, 48, "grid", 32), ()),
        (Window(40, 48, "grid", 32), ("1",)),
        (Window(40, 1, "grid", 32), ()),
        (Window(40, 2, "grid", 32), ()),
    ],
    ids=["its own window", "on a grid", "on a grid of a circle", "to the first base", "to the second base"],
)
@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS)
def test_the_differences_add_up_to_the_score(model, text, window, circular):
    variant = parse_variant(text, REFERENCE)
    found = explain_variant(model, variant, REFERENCE, window, "both", circular)
    score = scored(model, variant, window, circular)
    forward, reverse = found.strands
    assert forward.delta == pytest.approx(score["delta_fwd"][0].as_py(), abs=1e-4)
    assert reverse.delta == pytest.approx(score["delta_rev"][0].as_py(), abs=1e-4)
    assert found.delta == pytest.approx(score["delta_llr"][0].as_py(), abs=1e-4)
    own = {row["variant_id"]: row["delta_llr"] for row in found.alleles.to_pylist()}[found.variant_id]
    assert own == pytest.approx(found.delta, abs=1e-4)


def test_each_difference_of_an_snv_is_where_it_belongs_by_hand():
    reference, model = InMemoryReference({"1": "ACGTACGT"}), bigram_model()
    network = model.loaded.network
    (strand,) = explain_variant(model, parse_variant("1-4-T-C", reference), reference, Window(3, 4)).strands
    assert (strand.wt, strand.mut) == (list("ACGTACG"), list("ACGCACG"))
    assert strand.position.tolist() == [1, 2, 3, 4, 5, 6, 7]
    own = network.log_prob("C", "G") - network.log_prob("T", "G")
    following = network.log_prob("A", "C") - network.log_prob("A", "T")
    np.testing.assert_allclose(strand.difference, [0, 0, 0, own, following, 0, 0], atol=1e-6)


def test_a_deletion_sets_bases_of_the_genome_against_each_other_by_hand():
    """After the deleted CG the same bases follow in both; at the window's end MUT has two more."""
    reference, model = InMemoryReference({"1": "TACGATTCAGG"}), bigram_model()
    network = model.loaded.network
    (strand,) = explain_variant(model, parse_variant("1-2-ACG-A", reference), reference, Window(1, 6)).strands
    assert strand.wt == ["T", "A", "C", "G", "A", "T", "T", "", ""]
    assert strand.mut == ["T", "A", "", "", "A", "T", "T", "C", "A"]
    assert strand.position.tolist() == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    expected = [
        0,
        0,
        -network.log_prob("C", "A"),
        -network.log_prob("G", "C"),
        network.log_prob("A", "A") - network.log_prob("A", "G"),
        0,
        0,
        network.log_prob("C", "T"),
        network.log_prob("A", "C"),
    ]
    np.testing.assert_allclose(strand.difference, expected, atol=1e-6)
    assert strand.delta == pytest.approx(
        network.log_likelihood("TAATTCA") - network.log_likelihood("TACGATT"), abs=1e-5
    )


def test_the_reverse_strand_is_read_backwards_in_its_own_letters():
    reference = InMemoryReference({"1": "ACGTACGT"})
    (strand,) = explain_variant(
        bigram_model(), parse_variant("1-4-T-C", reference), reference, Window(2, 4), "reverse"
    ).strands
    assert strand.position.tolist() == [6, 5, 4, 3, 2, 1]
    assert (strand.wt, strand.mut) == (list("GTACGT"), list("GTGCGT"))


def test_every_change_at_the_site_is_scored_the_variant_among_them():
    reference, model = InMemoryReference({"1": "TACGATTCAGG"}), bigram_model()
    found = explain_variant(model, parse_variant("1-2-AC-A", reference), reference, Window(2, 4))
    assert found.site == 3
    assert sorted(found.alleles["variant_id"].to_pylist()) == ["1-2-AC-A", "1-3-C-A", "1-3-C-G", "1-3-C-T"]
    deltas = found.alleles["delta_llr"].to_pylist()
    assert deltas == sorted(deltas)


def test_a_model_without_bos_does_not_count_the_first_base():
    reference, model = InMemoryReference({"1": "ACGTACGT"}), bigram_model(bos_id=None)
    variant = parse_variant("1-1-A-C", reference)
    (strand,) = explain_variant(model, variant, reference, Window(2, 4)).strands
    network = model.loaded.network
    assert strand.difference[0] == 0
    assert strand.delta == pytest.approx(network.log_prob("C", "C") - network.log_prob("C", "A"), abs=1e-6)
