"""What pairs of predictions say beside their sum, worked out by hand on a model of one table."""

import math

import pyarrow as pa
import pytest

from raygen.errors import SettingsError
from raygen.scoring.effects import EXTRA_COLUMNS, behind_by_sequence
from raygen.scoring.scorer import PairScorer, VariantScorer
from raygen.sequence.tokens import encode
from raygen.sequence.windows import Window
from tests.builders import bigram_model
from tests.scoring.test_fork import planned_table

BASES = "ACGT"
CONTIG = "ACGTTGCATTACGGATC"


def four(network, before: str) -> dict[str, float]:
    """P(base | before) among the four bases, by hand."""
    raw = {base: math.exp(network.log_prob(base, before)) for base in BASES}
    return {base: value / sum(raw.values()) for base, value in raw.items()}


def divergence(p: dict[str, float], q: dict[str, float]) -> float:
    mean = {base: (p[base] + q[base]) / 2 for base in BASES}
    return sum(0.5 * one[base] * math.log(one[base] / mean[base]) for one in (p, q) for base in BASES)


def scored(variants, window, method="fork", strand="forward", model=None):
    model = model or bigram_model()
    planned, reference = planned_table(CONTIG, variants, window, strand, False)
    return VariantScorer(model, reference, strand, [], method, extra_columns=EXTRA_COLUMNS).score(
        planned
    ), model.loaded.network


@pytest.mark.parametrize("method", ["fork", "pair"])
def test_a_substitution_by_hand(method):
    """7 C>A in ...T G C A T T A C: the bigram model sees C or A only at the next base, so only that one diverges."""
    table, network = scored([(7, "C", "A")], Window(6, 5), method)
    (row,) = table.select(EXTRA_COLUMNS).to_pylist()
    at_site = network.log_prob("A", "G") - network.log_prob("C", "G")
    p = four(network, "G")
    after = network.log_prob("A", "A") - network.log_prob("A", "C")
    assert row["site_llr"] == pytest.approx(at_site, abs=1e-6)
    assert row["entropy"] == pytest.approx(-sum(value * math.log(value) for value in p.values()), abs=1e-6)
    assert row["jsd"] == pytest.approx(divergence(four(network, "C"), four(network, "A")) / 4, abs=1e-6)
    assert row["peak"] == pytest.approx(max(at_site, after, key=abs), abs=1e-6)
    assert row["peak_offset"] == (0 if abs(at_site) > abs(after) else 1)


@pytest.mark.parametrize("method", ["fork", "pair"])
def test_a_deletion_by_hand(method):
    """6 GCA>G: C A are gone, T T A C G follow in both; T is read after G instead of after A, all else is alike."""
    table, network = scored([(6, "GCA", "G")], Window(5, 6), method)
    (row,) = table.select(EXTRA_COLUMNS).to_pylist()
    change = network.log_prob("T", "G") - network.log_prob("T", "A")
    assert row["site_llr"] is None
    p = four(network, "G")
    assert row["entropy"] == pytest.approx(-sum(value * math.log(value) for value in p.values()), abs=1e-6)
    # WT's window holds T T A behind the alleles: three bases are compared.
    assert row["jsd"] == pytest.approx(divergence(four(network, "A"), four(network, "G")) / 3, abs=1e-6)
    assert (row["peak"], row["peak_offset"]) == (pytest.approx(change, abs=1e-6), 2)


def test_nothing_after_the_variant_is_no_divergence():
    (row,) = scored([(7, "C", "A")], Window(6, 1))[0].select(EXTRA_COLUMNS).to_pylist()
    assert row["jsd"] is None and row["peak_offset"] == 0 and row["site_llr"] == row["peak"]


def test_without_a_prediction_of_the_first_base_there_is_none_of_the_site():
    (row,) = scored([(1, "A", "C")], Window(0, 4), model=bigram_model(bos_id=None))[0].select(EXTRA_COLUMNS).to_pylist()
    assert row["site_llr"] is None and row["entropy"] is None and row["jsd"] is not None


def test_both_strands_give_means_and_peaks_on_the_forward_strand():
    names = [*EXTRA_COLUMNS, "site_llr_fwd", "site_llr_rev", "entropy_fwd", "entropy_rev"]
    (both,) = scored([(7, "C", "A")], Window(6, 5), strand="both")[0].select(names).to_pylist()
    (forward,), (reverse,) = (
        scored([(7, "C", "A")], Window(6, 5), strand=strand)[0].select(EXTRA_COLUMNS).to_pylist()
        for strand in ("forward", "reverse")
    )
    for name in ("site_llr", "entropy"):
        assert (both[f"{name}_fwd"], both[f"{name}_rev"]) == (forward[name], reverse[name])
    for name in ("site_llr", "entropy", "jsd"):
        assert both[name] == pytest.approx((forward[name] + reverse[name]) / 2)
    larger = max(forward, reverse, key=lambda row: abs(row["peak"]))
    assert (both["peak"], both["peak_offset"]) == (larger["peak"], larger["peak_offset"])
    assert reverse["peak_offset"] <= 0


def test_pairs_without_coordinates_are_compared_behind_their_last_difference():
    pairs = pa.table({"pair_id": ["a", "b"], "wt_sequence": ["ACGTAC", "ACGTAC"], "mut_sequence": ["ACTTAC", "ACTAC"]})
    rows = (
        PairScorer(bigram_model(), extra_columns=["jsd", "site_llr"])
        .score(pairs)
        .select(["jsd", "site_llr"])
        .to_pylist()
    )
    network = bigram_model().loaded.network
    assert rows[0]["jsd"] == pytest.approx(divergence(four(network, "G"), four(network, "T")) / 3, abs=1e-6)
    assert rows[1]["jsd"] is not None and rows[1]["site_llr"] is None


def test_where_sequences_go_on_alike():
    assert behind_by_sequence(encode("ACGTAC"), encode("ACTTAC")) == (3, 3)
    assert behind_by_sequence(encode("ACGTAC"), encode("ACTAC")) == (3, 2)
    assert behind_by_sequence(encode("ACG"), encode("ACT")) == (3, 3)


def test_no_extra_pass_is_made():
    planned, reference = planned_table(CONTIG, [(7, "C", "A"), (9, "T", "G")], Window(6, 5), "both", False)
    plain, told = bigram_model(), bigram_model()
    VariantScorer(plain, reference, "both").score(planned)
    VariantScorer(told, reference, "both", extra_columns=EXTRA_COLUMNS).score(planned)
    assert plain.loaded.network.rows_seen == told.loaded.network.rows_seen
    assert plain.num_tokens_computed == told.num_tokens_computed > 0


def test_a_column_that_there_is_not_is_refused():
    with pytest.raises(SettingsError, match="extra_columns names 'jds'; there are site_llr"):
        PairScorer(bigram_model(), extra_columns=["jds"])
