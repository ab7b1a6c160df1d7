"""Fork gives the numbers of pair: one table of cases, and random variants."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raygen.errors import StoppedError
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.scoring.fork import plan_for, score_forked_pairs
from raygen.scoring.likelihood import load_model
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.passes import ForkLimits, Pass, walk_passes
from raygen.scoring.plan import plan_windows, token_pairs, window_keys
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.tokens import encode
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids
from tests.builders import InMemoryReference, bigram_model, random_bases
from tests.model.models import small_evo2_config
from tests.model.other_models import write_llama

CONTIG = random_bases(700, 11)
WITH_N = CONTIG[:300] + "N" + CONTIG[301:]
LIMITS = ForkLimits(stop_tokens=8, pass_tokens=20, max_rows=4, state_memory=2**26)
WINDOWS = {
    "variant": Window(100, 60),
    "grid": Window(100, 60, "grid", 64),
    "no left context": Window(0, 40),
    "one base to the right": Window(50, 1),
    "longer than the contig": Window(500, 500),
}


def other(base: str) -> str:
    return "ACGT"["CGTA".index(base)] if base in "CGTA" else "A"


def at(pos: int, bases: str, length: int = 1) -> str:
    return bases[pos - 1 : pos - 1 + length]


def cases(bases: str) -> dict[str, list[tuple[int, str, str]]]:
    """(pos, ref, alt) of every kind of variant."""
    snv = [(pos, at(pos, bases), other(at(pos, bases))) for pos in (350,)]
    return {
        "snv": snv,
        "mnv": [(350, at(350, bases, 3), "".join(other(base) for base in at(350, bases, 3)))],
        "insertion": [(350, at(350, bases), at(350, bases) + "GATTACA")],
        "long insertion": [(350, at(350, bases), at(350, bases) + random_bases(150, 5))],
        "deletion": [(350, at(350, bases, 9), at(350, bases))],
        "delins": [(350, at(350, bases, 4), "GG" if at(350, bases) != "G" else "CC")],
        "several alts": [(350, at(350, bases), alt) for alt in "ACGT" if alt != at(350, bases)],
        "neighbours": [(pos, at(pos, bases), other(at(pos, bases))) for pos in range(340, 360)],
        "contig start": [(pos, at(pos, bases), other(at(pos, bases))) for pos in (1, 2, 3)],
        "contig end": [(pos, at(pos, bases), other(at(pos, bases))) for pos in (698, 699, 700)],
        "deletion at the end": [(690, at(690, bases, 8), at(690, bases))],
        "deletion of the end": [(690, at(690, bases, 11), at(690, bases))],
        "spread": [(pos, at(pos, bases), other(at(pos, bases))) for pos in range(5, 700, 37)],
    }


def planned_table(bases: str, variants, window: Window, strand: str, circular: bool):
    reference = InMemoryReference({"1": bases})
    columns = {"chrom": ["1"] * len(variants), "pos": [v[0] for v in variants]}
    table = pa.table({**columns, "ref": [v[1] for v in variants], "alt": [v[2] for v in variants]})
    named = table.append_column("variant_id", variant_ids(table))
    return plan_windows(named, reference, window, strand, ["1"] if circular else []), reference


def both_methods(model, bases, variants, window, strand="forward", circular=False):
    planned, reference = planned_table(bases, variants, window, strand, circular)
    contigs = ["1"] if circular else []
    return [VariantScorer(model, reference, strand, contigs, method).score(planned) for method in ("pair", "fork")]


def assert_same(pair: pa.Table, fork: pa.Table, atol: float = 1e-4) -> None:
    for name in ("delta_llr", "delta_fwd", "delta_rev", "ll_wt", "ll_mut"):
        if pair[name].null_count == 0:
            np.testing.assert_allclose(fork[name].to_numpy(), pair[name].to_numpy(), atol=atol, err_msg=name)
    assert fork.drop_columns(["ll_wt", "ll_mut", "delta_llr", "delta_fwd", "delta_rev"]).equals(
        pair.drop_columns(["ll_wt", "ll_mut", "delta_llr", "delta_fwd", "delta_rev"])
    )


@pytest.fixture(scope="module")
def evo1(tmp_path_factory):
    """Small and random: every part of it matters, and it is quick."""
    folder = tmp_path_factory.mktemp("models") / "evo1"
    write_random_checkpoint(folder, demo_config(), seed=0)
    return load_model(str(folder))


@pytest.fixture(scope="module")
def models(evo1, tmp_path_factory):
    """One of each kind of state: Evo 1, Evo 2 (no BOS), and another model's keys and values (no BOS)."""
    folder = tmp_path_factory.mktemp("models")
    write_random_checkpoint(folder / "evo2", small_evo2_config(), seed=0)
    write_llama(folder / "llama")
    return {"evo1": evo1} | {name: load_model(str(folder / name)) for name in ("evo2", "llama")}


@pytest.mark.parametrize("model", ["evo1", "evo2", "llama"])
@pytest.mark.parametrize("anchor", WINDOWS)
@pytest.mark.parametrize("kind", cases(CONTIG))
def test_fork_equals_pair(models, model, kind, anchor):
    assert_same(*both_methods(models[model], CONTIG, cases(CONTIG)[kind], WINDOWS[anchor], "both"))


@pytest.mark.parametrize("anchor", ["variant", "grid"])
@pytest.mark.parametrize("kind", ["several alts", "neighbours", "spread", "contig start", "contig end"])
def test_fork_equals_pair_on_a_circular_contig(evo1, kind, anchor):
    assert_same(*both_methods(evo1, CONTIG, cases(CONTIG)[kind], WINDOWS[anchor], "both", circular=True))


def test_fork_equals_pair_with_n_in_the_window(evo1):
    variants = [variant for variant in cases(WITH_N)["spread"] if "N" not in variant[1]]
    assert_same(*both_methods(evo1, WITH_N, variants, WINDOWS["grid"], "both"))


def test_fork_equals_pair_for_a_model_without_bos():
    assert_same(*both_methods(bigram_model(bos_id=None), CONTIG, cases(CONTIG)["spread"], WINDOWS["grid"], "both"))


@st.composite
def random_variants(draw):
    """A contig, some variants on it and a window."""
    bases = random_bases(draw(st.integers(30, 260)), draw(st.integers(0, 9)))
    variants = []
    for _ in range(draw(st.integers(1, 12))):
        pos = draw(st.integers(1, len(bases)))
        ref = at(pos, bases, draw(st.integers(1, 5)))
        variants.append((pos, ref, draw(st.text("ACGT", min_size=1, max_size=5))))
    left, right = draw(st.integers(0, 90)), draw(st.integers(1, 60))
    stride = draw(st.sampled_from([None, 1, 16, 100]))
    return bases, variants, Window(left, right, "grid" if stride else "variant", stride)


@given(random_variants(), st.sampled_from(["forward", "reverse"]), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fork_equals_pair_for_random_variants(evo1, case, strand, circular):
    bases, variants, window = case
    assert_same(*both_methods(evo1, bases, variants, window, strand, circular))


def as_pairs(variants, window):
    planned, reference = planned_table(CONTIG, variants, window, "forward", False)
    return token_pairs(planned, "forward", reference), window_keys(planned, "forward", reference)


@pytest.mark.parametrize(
    "limits", [ForkLimits(0, 0, 1, 1), ForkLimits(1000, 1000, 64, 2**30), ForkLimits(5, 50, 3, 2**20)]
)
@pytest.mark.parametrize("max_batch_tokens", [20, 10**6])
def test_limits_do_not_change_a_score(evo1, limits, max_batch_tokens):
    pairs, keys = as_pairs(cases(CONTIG)["several alts"] + cases(CONTIG)["contig end"], WINDOWS["grid"])
    expected = score_token_pairs(evo1, pairs)
    model = load_model(evo1.name, max_batch_tokens=max_batch_tokens)
    forked = score_forked_pairs(model, pairs, keys, limits)
    np.testing.assert_allclose(forked.delta, expected.delta, atol=1e-4)
    np.testing.assert_allclose(forked.ll_wt, expected.ll_wt, atol=1e-3)


def test_terms_before_the_difference_cancel_exactly_in_half_precision(evo1):
    """A branch that ends at its first difference has one term; in bfloat16 too it stands against the path's own."""
    wt = random_bases(200, 4)
    same_but_last = wt[:-1] + other(wt[-1])
    pairs, keys = [(encode(wt), encode(wt)), (encode(wt), encode(same_but_last))], ["a", "a"]
    scored = score_forked_pairs(load_model(evo1.name, dtype="bfloat16"), pairs, keys)
    assert scored.delta[0] == 0
    exact = score_token_pairs(load_model(evo1.name), pairs)
    np.testing.assert_allclose(scored.delta, exact.delta, atol=0.1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.25), ("float16", 0.04)])
def test_half_precision_agrees_to_a_stated_tolerance(evo1, dtype, tolerance):
    """RMS error of delta_llr against float32, nats; deltas here have a standard deviation of about 4."""
    pairs, keys = as_pairs(cases(CONTIG)["spread"], WINDOWS["grid"])
    exact = score_token_pairs(evo1, pairs).delta
    half = load_model(evo1.name, dtype=dtype)
    for delta in (score_forked_pairs(half, pairs, keys).delta, score_token_pairs(half, pairs).delta):
        assert np.sqrt(np.mean((delta - exact) ** 2)) < tolerance


@pytest.mark.parametrize("max_batch_tokens", [40, 300, 10**6])
@pytest.mark.parametrize("rows_of_states", [1, 3, 10**6])
@pytest.mark.parametrize("window", ["variant", "grid", "no left context"])
def test_the_passes_that_are_planned_are_those_that_are_made(
    evo1, monkeypatch, window, rows_of_states, max_batch_tokens
):
    chosen = [
        variant for name in ("spread", "neighbours", "several alts", "insertion") for variant in cases(CONTIG)[name]
    ]
    pairs, keys = as_pairs(sorted(set(chosen)), WINDOWS[window])
    model = load_model(evo1.name, max_batch_tokens=max_batch_tokens)
    network = model.loaded.network
    limits = ForkLimits(8, 20, 4, 2 * rows_of_states * network.state_size().prefix(160))
    whole, made = type(network).hidden_states, []

    def recorded(tokens, state=None, return_state=False, marks=None):
        made.append(Pass(*tokens.shape))
        return whole(network, tokens, state, return_state, marks)

    monkeypatch.setattr(network, "hidden_states", recorded)
    walks = plan_for(model, pairs, keys, limits)
    planned = [one for walk in walks for one in walk_passes(walk, max_batch_tokens, limits, network.state_size())]
    score_forked_pairs(model, pairs, keys, limits)
    assert planned == made
    assert sum(one.num_tokens for one in planned) == model.num_tokens_computed


@pytest.mark.parametrize("num_tokens", [1, 2, 5, 130])
def test_a_state_takes_the_memory_that_the_plan_counts(evo1, num_tokens):
    network = evo1.loaded.network
    tokens = torch.full((3, num_tokens), ord("A"))
    with torch.inference_mode():
        _, state = network.hidden_states(tokens, None, True)
    assert state.num_bytes == 3 * network.state_size().prefix(num_tokens)


def test_the_plan_knows_the_cost(evo1):
    pairs, keys = as_pairs(cases(CONTIG)["spread"] + cases(CONTIG)["neighbours"], WINDOWS["grid"])
    before = evo1.num_tokens_computed
    score_forked_pairs(evo1, pairs, keys, LIMITS)
    planned = sum(walk.num_tokens for walk in plan_for(evo1, pairs, keys, LIMITS))
    assert planned <= evo1.num_tokens_computed - before <= 1.2 * planned


def test_isolated_variants_cost_less_than_two_passes(evo1):
    pairs, keys = as_pairs(cases(CONTIG)["spread"], WINDOWS["variant"])
    before = evo1.num_tokens_computed
    score_forked_pairs(evo1, pairs, keys)
    assert evo1.num_tokens_computed - before < 0.8 * sum(len(wt) + len(mut) for wt, mut in pairs)


def run_out_of_memory(model, monkeypatch, fits):
    """Make passes of more than ``fits`` tokens fail, as a small GPU would."""
    network = model.loaded.network
    whole = type(network).hidden_states

    def limited(tokens, state=None, return_state=False, marks=None):
        if tokens.numel() > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(network, tokens, state, return_state, marks)

    monkeypatch.setattr(network, "hidden_states", limited)


def test_out_of_memory_makes_the_walk_narrower_and_the_scores_stay(evo1, monkeypatch):
    pairs, keys = as_pairs(cases(CONTIG)["spread"], WINDOWS["variant"])
    expected = score_token_pairs(evo1, pairs).delta
    model = load_model(evo1.name)
    run_out_of_memory(model, monkeypatch, fits=90)
    np.testing.assert_allclose(score_forked_pairs(model, pairs, keys).delta, expected, atol=1e-4)
    assert model.budget.num_halvings > 0


def test_a_width_that_did_not_fit_is_not_tried_again(evo1, monkeypatch):
    pairs, keys = as_pairs(cases(CONTIG)["spread"], WINDOWS["variant"])
    model = load_model(evo1.name)
    run_out_of_memory(model, monkeypatch, fits=90)
    score_forked_pairs(model, pairs, keys)
    halvings = model.budget.num_halvings
    assert model.budget.max_families < len(pairs)
    score_forked_pairs(model, pairs, keys)
    assert model.budget.num_halvings == halvings


def test_a_window_that_never_fits_stops_the_run(evo1, monkeypatch):
    pairs, keys = as_pairs(cases(CONTIG)["snv"], WINDOWS["variant"])
    model = load_model(evo1.name)
    run_out_of_memory(model, monkeypatch, fits=10)
    with pytest.raises(StoppedError, match="does not fit this device's memory"):
        score_forked_pairs(model, pairs, keys)


def test_no_pairs_give_no_scores(evo1):
    assert score_forked_pairs(evo1, [], []).delta.shape == (0,)


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_the_states_that_a_walk_holds_stay_within_their_memory(models, monkeypatch, rows):
    """What a pass keeps, and what it goes on from, however many branches leave: half for paths, half for what leaves them."""
    model = models["evo2"]
    network, size = model.loaded.network, model.loaded.network.state_size()
    pairs, keys = as_pairs(cases(CONTIG)["neighbours"] + cases(CONTIG)["spread"], WINDOWS["grid"])
    memory = 2 * rows * size.prefix(max(len(wt) for wt, _ in pairs))
    whole, held = type(network).hidden_states, []

    def recorded(tokens, state=None, return_state=False, marks=None):
        hidden, kept = whole(network, tokens, state, return_state, marks)
        held.append(sum(one.num_bytes for one in (state, kept) if one is not None))
        return hidden, kept

    monkeypatch.setattr(network, "hidden_states", recorded)
    score_forked_pairs(model, pairs, keys, ForkLimits(0, 0, 64, memory))
    assert max(held) <= 2 * memory  # those of the pass before are let go when it has been read on from
