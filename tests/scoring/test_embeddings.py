"""Pooled states: by hand from full passes, the same from fork and from pair, and as columns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from raygen.errors import SettingsError
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.model.taps import Taps
from raygen.scoring.effects import behind_by_sequence
from raygen.scoring.embedding_columns import EmbeddingRequest, Storage
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from raygen.scoring.fork import plan_for, score_forked_pairs
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.passes import ForkLimits
from raygen.scoring.plan import behind_alleles, token_pairs, window_keys
from raygen.scoring.scorer import PairScorer, VariantScorer
from raygen.sequence.tokens import encode
from raygen.sequence.windows import Window
from tests.builders import random_bases
from tests.model.models import small_config, small_evo2_config
from tests.model.other_models import write_llama
from tests.scoring.test_fork import CONTIG, WINDOWS, cases, planned_table

POOLS = ("variant", "right:3", "right:64", "suffix")
REPEAT = CONTIG[:340] + "ACACACACACAC" + CONTIG[352:]
LAYERS = {
    "evo1": ("blocks.0", "blocks.2.mlp.l3", "norm"),
    "evo2": ("blocks.1", "blocks.0.mlp.l3", "norm"),
    "llama": ("blocks.0", "norm"),
    "llama with BOS": ("blocks.0", "norm"),
}
TOKENS_WITH_BOS = {"A": 5, "C": 6, "G": 7, "T": 8, "N": 9, "bos": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ResidentModel]:
    folder = tmp_path_factory.mktemp("models")
    write_random_checkpoint(folder / "evo1", small_config(), seed=0)
    write_random_checkpoint(folder / "evo2", small_evo2_config(), seed=0)
    write_llama(folder / "llama")
    write_llama(folder / "llama with BOS", TOKENS_WITH_BOS)
    return {name: load_model(str(folder / name)) for name in LAYERS}


def plan_of(model: str, pools: tuple[str, ...] = POOLS) -> EmbeddingPlan:
    return EmbeddingPlan(LAYERS[model], pools)


def states_by_hand(model: ResidentModel, plan: EmbeddingPlan, sequence: np.ndarray) -> dict[str, np.ndarray]:
    """(T, D) float64 of each layer: of each base of one sequence, read alone from its start."""
    tokens = torch.from_numpy(model.read_to_the_end(sequence))[None]
    states: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        model.loaded.network.hidden_states(tokens, taps=Taps(plan.layers, states.__setitem__))
    bos = 1 - model.num_uncounted
    return {name: x[0, bos:].double().numpy() for name, x in states.items()}


def by_hand(model: ResidentModel, plan: EmbeddingPlan, pairs: Any, behind: Any) -> PooledStates:
    """Means of numpy over full passes, base against base from the last ones of the alleles on."""
    ref: dict[Any, list[np.ndarray]] = {(layer, pool): [] for layer in plan.layers for pool in plan.pool_names}
    delta: dict[Any, list[np.ndarray]] = {key: [] for key in ref}
    counts: dict[str, list[int]] = {pool: [] for pool in plan.pool_names}
    for (wt, mut), (wt_behind, mut_behind) in zip(pairs, behind, strict=True):
        wt_states, mut_states = (states_by_hand(model, plan, sequence) for sequence in (wt, mut))
        both = list(zip(range(wt_behind - 1, len(wt)), range(mut_behind - 1, len(mut)), strict=False))
        for pool in plan.pools:
            upto = None if pool.num_positions is None else pool.first + pool.num_positions
            chosen = both[pool.first : upto]
            counts[pool.name].append(len(chosen))
            for layer in plan.layers:
                if not chosen:
                    missing = np.full(model.loaded.network.config.hidden_size, np.nan)
                    ref[layer, pool.name].append(missing)
                    delta[layer, pool.name].append(missing)
                    continue
                wts = np.mean([wt_states[layer][place] for place, _ in chosen], axis=0)
                muts = np.mean([mut_states[layer][place] for _, place in chosen], axis=0)
                ref[layer, pool.name].append(wts)
                delta[layer, pool.name].append(muts - wts)
    stacked = [{key: np.stack(values) for key, values in one.items()} for one in (ref, delta)]
    return PooledStates(*stacked, {pool: np.array(values) for pool, values in counts.items()})


def assert_alike(found: PooledStates | None, expected: PooledStates, tolerance: float = 1e-4) -> None:
    """Each vector to ``tolerance`` of its norm; a difference that is 0 may be rounding of states that are not."""
    assert found is not None
    assert found.ref.keys() == expected.ref.keys()
    for pool, counts in expected.num_pooled.items():
        np.testing.assert_array_equal(found.num_pooled[pool], counts)
    for key in expected.ref:
        floor = 1e-6 * np.nan_to_num(np.linalg.norm(expected.ref[key], axis=1))
        for ours, theirs in ((found.ref[key], expected.ref[key]), (found.delta[key], expected.delta[key])):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(np.isnan(ours).any(axis=1), np.isnan(theirs).any(axis=1))
            error = np.nan_to_num(np.linalg.norm(ours - theirs, axis=1))
            allowed = tolerance * np.nan_to_num(np.linalg.norm(theirs, axis=1)) + floor
            assert (error <= allowed).all(), (key, error / allowed)


def inputs(bases: str, variants: Any, window: Window, strand: Any = "forward", circular: bool = False) -> Any:
    planned, reference = planned_table(bases, variants, window, strand, circular)
    contigs = ["1"] if circular else []
    return (
        token_pairs(planned, strand, reference, contigs),
        window_keys(planned, strand, reference),
        behind_alleles(planned, strand, reference),
    )


def both(model: ResidentModel, plan: EmbeddingPlan, pairs: Any, keys: Any, behind: Any, limits: Any = None) -> Any:
    return [
        score_token_pairs(model, pairs, behind, plan, with_effects=False),
        score_forked_pairs(model, pairs, keys, limits, behind, plan, with_effects=False),
    ]


MIXED = [
    variant
    for kind in ("snv", "mnv", "insertion", "deletion", "delins", "several alts")
    for variant in cases(CONTIG)[kind]
]
IN_A_REPEAT = [(340, REPEAT[339] + "AC", REPEAT[339]), (340, REPEAT[339], REPEAT[339] + "ACAC"), (346, "C", "G")]


@pytest.mark.parametrize("model", LAYERS)
@pytest.mark.parametrize("strand", ["forward", "reverse"])
def test_fork_and_pair_are_the_means_of_full_passes(models: Any, model: str, strand: str) -> None:
    for bases, variants in ((CONTIG, MIXED), (REPEAT, IN_A_REPEAT), (CONTIG, cases(CONTIG)["contig end"])):
        pairs, keys, behind = inputs(bases, variants, WINDOWS["variant"], strand)
        expected = by_hand(models[model], plan_of(model), pairs, behind)
        for scored in both(models[model], plan_of(model), pairs, keys, behind):
            assert_alike(scored.pooled, expected)


@pytest.mark.parametrize("model", ["evo1", "evo2", "llama"])
@pytest.mark.parametrize("anchor", WINDOWS)
@pytest.mark.parametrize("kind", cases(CONTIG))
def test_fork_equals_pair_on_the_difference(models: Any, model: str, kind: str, anchor: str) -> None:
    for strand in ("forward", "reverse"):
        pairs, keys, behind = inputs(CONTIG, cases(CONTIG)[kind], WINDOWS[anchor], strand)
        pair, fork = both(models[model], plan_of(model), pairs, keys, behind)
        assert_alike(fork.pooled, pair.pooled)
        np.testing.assert_allclose(fork.delta, pair.delta, atol=1e-4)


@pytest.mark.parametrize("kind", ["several alts", "spread", "contig start", "contig end"])
def test_fork_equals_pair_on_a_circular_contig(models: Any, kind: str) -> None:
    pairs, keys, behind = inputs(CONTIG, cases(CONTIG)[kind], WINDOWS["grid"], circular=True)
    pair, fork = both(models["evo1"], plan_of("evo1"), pairs, keys, behind)
    assert_alike(fork.pooled, pair.pooled)


def test_the_demo_model_keeps_the_same_difference() -> None:
    model, plan = load_model("demo"), EmbeddingPlan(("blocks.2", "blocks.3.mlp.l3", "norm"), POOLS)
    pairs, keys, behind = inputs(CONTIG, MIXED + cases(CONTIG)["spread"], WINDOWS["grid"])
    pair, fork = both(model, plan, pairs, keys, behind)
    assert_alike(fork.pooled, pair.pooled)


@pytest.mark.parametrize("model", ["evo1", "evo2", "llama"])
@pytest.mark.parametrize(
    "limits", [ForkLimits(0, 0, 1, 1), ForkLimits(1000, 1000, 64, 2**30), ForkLimits(5, 50, 3, 2**20)]
)
@pytest.mark.parametrize("max_batch_tokens", [20, 10**6])
def test_batches_order_and_pieces_change_no_vector(models: Any, model: str, limits: Any, max_batch_tokens: int) -> None:
    pairs, keys, behind = inputs(CONTIG, MIXED + cases(CONTIG)["contig end"], WINDOWS["grid"])
    expected = score_token_pairs(models[model], pairs, behind, plan_of(model)).pooled
    other = load_model(models[model].name, max_batch_tokens=max_batch_tokens)
    order = np.random.default_rng(3).permutation(len(pairs))
    turned = [[values[row] for row in order] for values in (pairs, keys, behind)]
    found = score_forked_pairs(other, turned[0], turned[1], limits, turned[2], plan_of(model)).pooled
    back = np.argsort(order)
    assert found is not None
    ref, delta = ({key: values[back] for key, values in one.items()} for one in (found.ref, found.delta))
    assert_alike(PooledStates(ref, delta, {pool: counts[back] for pool, counts in found.num_pooled.items()}), expected)


@pytest.mark.parametrize("model", LAYERS)
def test_pairs_whose_alleles_nobody_named(models: Any, model: str) -> None:
    """Deletions at a start, in a repeat and at an end, two sequences alike, and two with nothing in common."""
    texts = [
        ("ACGTTGCA", "CGTTGCA"),
        ("GAAAAT", "GAAAT"),
        ("ACGTAC", "ACGTA"),
        ("ACGT", "ACGT"),
        ("AACC", "GGTT"),
        ("A", "C"),
    ]
    pairs = [(encode(wt), encode(mut)) for wt, mut in texts]
    behind = [behind_by_sequence(wt, mut) for wt, mut in pairs]
    pair, fork = both(models[model], plan_of(model), pairs, [wt.tobytes() for wt, _ in pairs], behind)
    assert_alike(fork.pooled, pair.pooled)
    has_bos = models[model].num_uncounted == 0
    assert pair.pooled.num_pooled["variant"].tolist() == [int(has_bos), 1, 1, int(has_bos), 1, 1]
    assert pair.pooled.num_pooled["suffix"].tolist() == [7, 4, 0, 4, 0, 0]
    by_numpy = by_hand(models[model], plan_of(model), pairs[4:], behind[4:])
    rows = [4, 5]
    assert_alike(
        PooledStates(
            {key: values[rows] for key, values in fork.pooled.ref.items()},
            {key: values[rows] for key, values in fork.pooled.delta.items()},
            {pool: counts[rows] for pool, counts in fork.pooled.num_pooled.items()},
        ),
        by_numpy,
    )


def test_the_last_base_is_read_where_its_state_is_wanted(models: Any) -> None:
    """With one base to the right the variant is the last one: nothing follows that it would have to predict."""
    pairs, keys, behind = inputs(CONTIG, cases(CONTIG)["several alts"], WINDOWS["one base to the right"])
    scored = score_forked_pairs(models["evo1"], pairs, keys, None, behind, plan_of("evo1"))
    assert scored.pooled is not None
    assert scored.pooled.num_pooled["variant"].tolist() == scored.pooled.num_pooled["right:64"].tolist() == [1, 1, 1]
    assert scored.pooled.num_pooled["suffix"].tolist() == [0, 0, 0]
    assert (np.linalg.norm(scored.pooled.delta["norm", "variant"], axis=1) > 0.01).all()


@pytest.mark.parametrize("model", ["evo1", "evo2", "llama"])
def test_the_likelihoods_are_those_without_states(models: Any, model: str) -> None:
    pairs, keys, behind = inputs(CONTIG, MIXED, WINDOWS["grid"])
    plain = score_forked_pairs(models[model], pairs, keys)
    assert plain.pooled is None
    for scored in both(models[model], plan_of(model), pairs, keys, behind):
        np.testing.assert_allclose(scored.delta, plain.delta, atol=1e-4)
        np.testing.assert_allclose(scored.ll_wt, plain.ll_wt, atol=1e-3)
        assert scored.effects == {}


def test_effects_beside_states_are_those_without(models: Any) -> None:
    pairs, keys, behind = inputs(CONTIG, MIXED, WINDOWS["variant"])
    plain = score_forked_pairs(models["evo1"], pairs, keys, None, behind).effects
    beside = score_forked_pairs(models["evo1"], pairs, keys, None, behind, plan_of("evo1")).effects
    for name, values in plain.items():
        np.testing.assert_allclose(beside[name], values, atol=1e-4)


def test_the_plan_counts_the_tokens_that_are_read_for_states(models: Any) -> None:
    pairs, keys, behind = inputs(CONTIG, cases(CONTIG)["spread"], WINDOWS["grid"])
    model, limits = load_model(models["evo1"].name), ForkLimits(8, 20, 4, 2**26)
    score_forked_pairs(model, pairs, keys, limits, behind, plan_of("evo1"))
    planned = sum(walk.num_tokens for walk in plan_for(model, pairs, keys, limits, reads_all=True))
    assert planned <= model.num_tokens_computed <= 1.2 * planned


def test_a_walk_that_runs_out_of_memory_adds_no_state_twice(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, keys, behind = inputs(CONTIG, cases(CONTIG)["spread"], WINDOWS["variant"])
    expected = score_token_pairs(models["evo1"], pairs, behind, plan_of("evo1")).pooled
    model = load_model(models["evo1"].name)
    network = model.loaded.network
    whole, calls = type(network).hidden_states, itertools.count()

    def limited(tokens: Any, state: Any = None, return_state: bool = False, marks: Any = None, taps: Any = None) -> Any:
        if tokens.numel() > 90 and next(calls) % 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(network, tokens, state, return_state, marks, taps)

    monkeypatch.setattr(network, "hidden_states", limited)
    found = score_forked_pairs(model, pairs, keys, None, behind, plan_of("evo1")).pooled
    assert model.budget.num_halvings > 0
    assert_alike(found, expected)


# Scored rows --------------------------------------------------------------------------------------------------------


def request_of(model: str, pools: tuple[str, ...] = POOLS, distances: tuple[str, ...] = ()) -> EmbeddingRequest:
    return EmbeddingRequest(plan_of(model, pools), Storage("float32"), distances)


def vectors_of(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)


@pytest.mark.parametrize("method", ["fork", "pair"])
def test_scored_variants_carry_a_column_for_each_vector(models: Any, method: Any) -> None:
    planned, reference = planned_table(CONTIG, MIXED, WINDOWS["variant"], "both", False)
    embed = request_of("evo1", ("variant", "right:64"))
    scorer = VariantScorer(models["evo1"], reference, "both", method=method, embed=embed)
    scored = scorer.score(planned)
    vectors = embed.plan.vectors(["forward", "reverse"])
    assert {f"{which}_{vector}" for vector in vectors for which in ("ref", "delta")} <= set(scored.column_names)
    for strand, suffix in (("forward", "fwd"), ("reverse", "rev")):
        pairs, _, behind = inputs(CONTIG, MIXED, WINDOWS["variant"], strand)
        expected = by_hand(models["evo1"], embed.plan, pairs, behind)
        assert scored[f"num_pooled_right:64_{suffix}"].to_pylist() == expected.num_pooled["right:64"].tolist()
        found = vectors_of(scored, f"delta_blocks.0_right:64_{suffix}")
        np.testing.assert_allclose(found, expected.delta["blocks.0", "right:64"], atol=1e-5)
    assert scored["failure"].null_count == len(scored)
    without = VariantScorer(models["evo1"], reference, "both", method=method).score(planned)
    assert without.column_names == [name for name in scored.column_names if name in without.column_names]
    np.testing.assert_allclose(scored["delta_llr"], without["delta_llr"], atol=1e-4)
    failed = scorer.without_scores(planned, "why")
    assert failed.schema == scored.schema
    assert np.isnan(vectors_of(failed, "ref_norm_variant_fwd")).all()


def test_no_likelihoods_where_none_are_wanted_and_the_same_vectors(models: Any) -> None:
    planned, reference = planned_table(CONTIG, MIXED, WINDOWS["grid"], "forward", False)
    for model, method in itertools.product(("evo1", "llama"), ("fork", "pair")):
        embed = EmbeddingRequest(EmbeddingPlan(("blocks.0",), POOLS), Storage("float32"))
        scorers = [
            VariantScorer(models[model], reference, method=method, embed=embed, with_scores=one)
            for one in (True, False)
        ]
        with_scores, without = (scorer.score(planned) for scorer in scorers)
        assert without["delta_llr"].null_count == without["ll_wt"].null_count == len(planned)
        assert without["failure"].null_count == len(planned)
        assert scorers[1].without_scores(planned, "why").schema == without.schema == with_scores.schema
        for name in ("ref_blocks.0_suffix_fwd", "delta_blocks.0_right:64_fwd"):
            np.testing.assert_allclose(vectors_of(without, name), vectors_of(with_scores, name), atol=1e-6)


def test_distances_are_those_of_the_vectors_and_need_no_storing(models: Any) -> None:
    planned, reference = planned_table(CONTIG, MIXED, WINDOWS["variant"], "both", False)
    stored = request_of("evo2", distances=("l2", "cosine"))
    scored = VariantScorer(models["evo2"], reference, "both", embed=stored).score(planned)
    means = {"l2": [], "cosine": []}  # type: ignore[var-annotated]
    for suffix in ("fwd", "rev"):
        ref, delta = (
            vectors_of(scored, f"{which}_norm_right:64_{suffix}").astype(np.float64) for which in ("ref", "delta")
        )
        alt = ref + delta
        cosine = 1 - (ref * alt).sum(1) / np.linalg.norm(ref, axis=1) / np.linalg.norm(alt, axis=1)
        for name, values in (("l2", np.linalg.norm(delta, axis=1)), ("cosine", cosine)):
            np.testing.assert_allclose(scored[f"{name}_norm_right:64_{suffix}"], values, atol=1e-12, rtol=1e-6)
            means[name].append(values)
    for name, values in means.items():
        np.testing.assert_allclose(scored[f"{name}_norm_right:64"], np.mean(values, axis=0), atol=1e-12, rtol=1e-6)
    bare = EmbeddingRequest(stored.plan, None, stored.distances)
    alone = VariantScorer(models["evo2"], reference, "both", embed=bare).score(planned)
    names = bare.distance_names(["forward", "reverse"])
    assert alone.select(names).equals(scored.select(names))
    assert not [name for name in alone.column_names if name.startswith(("ref_", "num_pooled"))]


def test_haplotypes_and_pairs_have_vectors_too(models: Any) -> None:
    wt = random_bases(80, 1)
    mut = wt[:20] + "ACGT"["CGTA".index(wt[20])] + wt[21:40] + wt[43:]
    table = pa.table({"pair_id": ["a"], "wt_sequence": [wt], "mut_sequence": [mut]})
    embed = request_of("evo1")
    scored = PairScorer(models["evo1"], embed=embed).score(table)
    pairs = [(encode(wt), encode(mut))]
    expected = by_hand(models["evo1"], embed.plan, pairs, [behind_by_sequence(*pairs[0])])
    for (layer, pool), values in expected.delta.items():
        np.testing.assert_allclose(vectors_of(scored, f"delta_{layer}_{pool}_fwd"), values, atol=1e-5)


def test_no_rows_give_no_vectors_and_the_same_columns(models: Any) -> None:
    planned, reference = planned_table(CONTIG, MIXED, WINDOWS["variant"], "both", False)
    scorer = VariantScorer(models["evo1"], reference, "both", embed=request_of("evo1", distances=("l2",)))
    assert scorer.score(planned.slice(0, 0)).schema == scorer.score(planned).schema


def test_a_layer_that_is_not_there_is_refused(models: Any) -> None:
    embed = EmbeddingRequest(EmbeddingPlan(("blocks.3",), ("variant",)), Storage("float32"))
    with pytest.raises(SettingsError, match=r"no layer 'blocks.3'.*blocks.0 to blocks.2"):
        PairScorer(models["evo1"], embed=embed)


# Half precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pair", "fork"])
def test_a_state_that_overflows_float16_is_read_again_in_float32(tmp_path: Path, method: Any) -> None:
    """One MLP's output is past the end of float16 and nothing behind the tap is wanted, so only its pool could tell."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    write_random_checkpoint(folder, small_config(), seed=0)
    tensors = load_file(folder / "model.safetensors")
    tensors["backbone.blocks.1.mlp.l3.weight"] *= 3e5
    tensors["backbone.blocks.1.mlp.l3.weight"].clamp_(-6e4, 6e4)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    texts = [random_bases(60, seed) for seed in range(4)]
    muts = [wt[:30] + "ACGT"["CGTA".index(wt[30])] + wt[31:] for wt in texts]
    table = pa.table({"pair_id": list("abcd"), "wt_sequence": texts, "mut_sequence": muts})
    embed = EmbeddingRequest(EmbeddingPlan(("blocks.1.mlp.l3",), ("right:8",)), Storage("float32"))
    half, exact = (load_model(str(folder), device="cpu", dtype=dtype) for dtype in ("float16", "float32"))
    found, expected = (PairScorer(one, method, embed=embed, with_scores=False).score(table) for one in (half, exact))
    assert half.num_rescored > 0
    assert found["failure"].null_count == 4
    name = "ref_blocks.1.mlp.l3_right:8_fwd"
    np.testing.assert_allclose(vectors_of(found, name), vectors_of(expected, name), rtol=1e-3, atol=50)


def test_a_state_that_no_type_holds_is_a_failure_of_its_row(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    write_random_checkpoint(folder, small_config(tie_embeddings=False), seed=0)
    tensors = load_file(folder / "model.safetensors")
    tensors["backbone.embedding_layer.weight"][ord("N")] = torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    wts = [random_bases(60, 1), random_bases(40, 2) + "N" * 8]
    muts = [wt[:30] + "ACGT"["CGTA".index(wt[30])] + wt[31:] for wt in wts]
    table = pa.table({"pair_id": list("ab"), "wt_sequence": wts, "mut_sequence": muts})
    embed = EmbeddingRequest(EmbeddingPlan(("blocks.1",), ("suffix",)), Storage("float32"), ("l2",))
    scored = PairScorer(load_model(str(folder)), embed=embed, with_scores=False).score(table)
    assert [failure is None for failure in scored["failure"].to_pylist()] == [True, False]
    assert np.isnan(vectors_of(scored, "delta_blocks.1_suffix_fwd")).all(axis=1).tolist() == [False, True]
    assert [value is None for value in scored["l2_blocks.1_suffix"].to_pylist()] == [False, True]
