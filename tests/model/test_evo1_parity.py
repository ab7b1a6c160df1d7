"""Our numbers are those of the public reference implementation, on random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from raygen.model.evo1 import Evo1Network
from tests.model.models import largest_difference, random_model, random_tokens, small_config
from tests.model.stripedhyena_on_cpu import install_stand_in, reference_of

SHAPES: dict[str, dict[str, Any]] = {
    "as published, small": {},
    "interpolated positions, as the 131k model": {
        "use_interpolated_rotary_pos_emb": True,
        "rotary_emb_scaling_factor": 16,
    },
    "interpolated by 2.5, another base": {
        "use_interpolated_rotary_pos_emb": True,
        "rotary_emb_scaling_factor": 2.5,
        "rotary_emb_base": 500_000,
    },
    "untied, one head, one pole": {"tie_embeddings": False, "num_attention_heads": 1, "state_size": 1},
    "four heads, nine poles, four taps": {"num_attention_heads": 4, "state_size": 9, "short_filter_length": 4},
    "no biases in attention, silu": {"qkv_proj_bias": False, "mha_out_proj_bias": False, "mlp_activation": "silu"},
    "projections not interleaved": {"column_split_hyena": False},
    "width of the MLP by the rule": {"inner_mlp_size": None, "inner_size_multiple_of": 16},
    "attention first and last, eps that matters": {
        "attn_layer_idxs": [0, 2],
        "hyena_layer_idxs": [1],
        "eps": 0.1,
        "vocab_size": 300,
    },
}


@pytest.mark.parametrize("num_tokens", [1, 2, 63])
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_logits_are_those_of_stripedhyena(changes: dict[str, Any], num_tokens: int) -> None:
    model = random_model(small_config(**changes))
    tokens = random_tokens(2, num_tokens)
    with torch.inference_mode():
        ours, theirs = model(tokens), reference_of(model)(tokens)[0]
    assert largest_difference(ours, theirs) < 1e-4


@pytest.mark.parametrize(("num_rows", "num_tokens"), [(3, 257), (1, 4097)])
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_logits_are_those_of_stripedhyena_far_from_the_start(
    changes: dict[str, Any], num_rows: int, num_tokens: int
) -> None:
    """With the reference's filters in float64, see ``reference_of``."""
    model = random_model(small_config(**changes))
    tokens = random_tokens(num_rows, num_tokens)
    with torch.inference_mode():
        ours, theirs = model(tokens), reference_of(model, filter_tokens=num_tokens)(tokens)[0]
    assert largest_difference(ours, theirs) < 1e-4


def test_sequence_scores_are_those_of_evo() -> None:
    model = random_model(small_config())
    reference = reference_of(model)
    install_stand_in()
    from evo.scoring import score_sequences
    from evo.tokenizer import CharLevelTokenizer

    sequences = ["ACGTTGCA" * 5, "G", "TTTACGACGATTCAGGACTAC"]
    theirs = score_sequences(sequences, reference, CharLevelTokenizer(512), reduce_method="sum", device="cpu")
    ours = [_log_likelihood(model, sequence) for sequence in sequences]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)  # sums over 40 bases, theirs in float32


def _log_likelihood(model: Evo1Network, sequence: str) -> float:
    bases = torch.tensor([list(sequence.encode())])
    read = torch.cat([torch.tensor([[0]]), bases[:, :-1]], dim=1)
    with torch.inference_mode():
        log_probs = torch.log_softmax(model(read), dim=-1)
    return float(log_probs.gather(-1, bases[..., None]).double().sum())


@pytest.mark.parametrize(("dtype", "rms", "bias"), [(torch.bfloat16, 0.03, 0.002), (torch.float16, 0.004, 0.0003)])
def test_half_precision_is_near_float32_and_not_biased(dtype: torch.dtype, rms: float, bias: float) -> None:
    """Logits spread by one nat; bfloat16 has 8 bits for them, float16 11."""
    config = small_config(hidden_size=64, num_attention_heads=4)
    exact, half = random_model(config), random_model(config).to(dtype)
    for name, parameter in half.named_parameters():
        if name.rsplit(".", 1)[-1] in Evo1Network.float32_parameters:
            parameter.data = exact.get_parameter(name).data
    tokens = random_tokens(4, 500)
    with torch.inference_mode():
        error = half(tokens) - exact(tokens)
    assert error.dtype == torch.float32
    assert error.square().mean().sqrt() < rms
    assert error.mean().abs() < bias
