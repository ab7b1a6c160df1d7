"""Models with states of convolutions and recurrences: forked through copies of the library's cache, or refused for what is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, OpenAIGPTConfig, XLMConfig

from raygen.model.causal_lm import CARRY_ON, READ_ON_WRONGLY, fork_refusal
from raygen.model.loading import describe_network, load_network
from raygen.scoring.fork import score_forked_pairs
from raygen.scoring.likelihood import load_model
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.passes import ForkLimits
from raygen.sequence.tokens import encode
from tests.builders import random_bases
from tests.model.models import largest_difference
from tests.model.other_models import write_family

NARROW = ForkLimits(stop_tokens=1, pass_tokens=4, max_rows=3, state_memory=2**26)
"""Many stops, and families of different lengths side by side."""


def pairs_of_a_window(bases: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Substitutions all along, first base and last among them, insertions and deletions, short and long."""
    wt, step = encode(bases), len(bases) // 12
    muts = []
    for at in (0, 1, 2, *range(3, len(bases) - 1, step), len(bases) - 1):
        muts.append(bases[:at] + "ACGT"["CGTA".index(bases[at])] + bases[at + 1 :])
    for at in (1, len(bases) // 3, len(bases) // 2):
        muts += [bases[:at] + "G" + bases[at:], bases[:at] + random_bases(50, at) + bases[at:]]
        muts += [bases[:at] + bases[at + 1 :], bases[:at] + bases[at + 20 :]]
    return [(wt, encode(mut)) for mut in muts]


@pytest.mark.parametrize("model_type", sorted(CARRY_ON))
def test_fork_is_pair_for_families_with_states_of_their_own(tmp_path: Path, model_type: str) -> None:
    model = load_model(str(write_family(tmp_path / "model", model_type)), device="cpu")
    assert model.loaded.network.fork_refusal is None
    windows = [random_bases(length, length) for length in (150, 97, 31, 64)]
    pairs, keys = [], []
    for window in windows:
        of_window = pairs_of_a_window(window)
        pairs += of_window
        keys += [window] * len(of_window)
    pair = score_token_pairs(model, pairs)
    before = model.num_tokens_computed
    fork = score_forked_pairs(model, pairs, keys, NARROW)
    assert model.num_tokens_computed - before < 0.8 * before
    assert np.std(pair.delta) > 0.1
    np.testing.assert_allclose(fork.delta, pair.delta, atol=1e-4)
    np.testing.assert_allclose(fork.ll_wt, pair.ll_wt, atol=1e-4)


@pytest.mark.parametrize("model_type", ["mamba2", "inkling_text", "kimi_linear", "nemotron_h"])
def test_a_state_is_not_changed_by_reading_on_and_its_rows_may_be_chosen(tmp_path: Path, model_type: str) -> None:
    network = load_network(write_family(tmp_path / "model", model_type), device="cpu").network
    tokens = torch.from_numpy(np.random.default_rng(0).integers(5, 9, (3, 90)))
    whole = network.hidden_states(tokens)[0]
    state = network.hidden_states(tokens[:, :50], return_state=True)[1]
    assert state is not None and state.num_rows == 3
    chosen = state.select([2, 0, 2])
    for _ in range(2):
        assert largest_difference(network.hidden_states(tokens[:, 50:], state)[0], whole[:, 50:]) < 1e-4
        logits = network.hidden_states(tokens[[2, 0, 2], 50:], chosen)[0]
        assert largest_difference(logits, whole[[2, 0, 2], 50:]) < 1e-4
    single = state.select([1]).fork(4)
    assert largest_difference(network.hidden_states(tokens[[1] * 4, 50:], single)[0], whole[[1] * 4, 50:]) < 1e-4
    assert state.num_bytes == 3 * network.state_size().prefix(50)


@pytest.mark.parametrize("model_type", sorted(READ_ON_WRONGLY))
def test_what_is_continued_wrongly_is_refused_without_the_weights(tmp_path: Path, model_type: str) -> None:
    folder = write_family(tmp_path / "model", model_type)
    refusal = describe_network(folder, device="cpu").fork_refusal
    assert refusal == READ_ON_WRONGLY[model_type]
    assert load_network(folder, device="cpu").network.fork_refusal == refusal


@pytest.mark.parametrize("config", [XLMConfig(causal=True), OpenAIGPTConfig()], ids=["a cache of its own", "none"])
def test_a_model_without_a_cache_of_the_library_is_refused_without_the_weights(config: Any) -> None:
    assert fork_refusal(AutoModelForCausalLM._model_mapping[type(config)], config) == (
        "it takes no keys and values from before"
    )


WRONG = "read in pieces its logits differ by"


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        *((model_type, WRONG) for model_type in ("mamba", "falcon_mamba", "jamba", "bamba", "recurrent_gemma")),
        ("minimax", "MiniMax uses cache of its own"),
        ("xlstm", "its state cannot be carried on (transformers fails with AttributeError: "),
    ],
)
def test_the_trial_finds_what_is_continued_wrongly_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str, reason: str
) -> None:
    monkeypatch.setattr("raygen.model.causal_lm.READ_ON_WRONGLY", {})
    folder = write_family(tmp_path / "model", model_type)
    assert describe_network(folder, device="cpu").fork_refusal is None
    assert reason in str(load_network(folder, device="cpu").network.fork_refusal)


def test_half_precision_is_no_proof_that_unknown_states_carry_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raygen.model.causal_lm.READ_ON_WRONGLY", {})
    jamba, lfm2 = (write_family(tmp_path / model_type, model_type) for model_type in ("jamba", "lfm2"))
    refusal = load_network(jamba, device="cpu", dtype="bfloat16").network.fork_refusal
    assert "can be told in float32 only" in str(refusal)
    assert load_network(lfm2, device="cpu", dtype="bfloat16").network.fork_refusal is None
