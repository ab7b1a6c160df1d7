"""Our numbers are those of the public reference implementation of Evo 2, on random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raygen.model.evo2 import Evo2Network
from tests.model.models import largest_difference, random_model, random_tokens, small_evo2_config
from tests.model.vortex_on_cpu import reference_logits, reference_of

ONE_OF_EACH = {"num_layers": 8, "hcs_layer_idxs": [0, 4], "hcm_layer_idxs": [1, 5], "hcl_layer_idxs": [2, 6]}
SHAPES: dict[str, dict[str, Any]] = {
    "a layer of each kind": {},
    "eight layers in the published order": {**ONE_OF_EACH, "attn_layer_idxs": [3, 7]},
    "only short": {"num_layers": 2, "hcs_layer_idxs": [0, 1], "hcm_layer_idxs": [], "hcl_layer_idxs": [], "attn_layer_idxs": []},
    "only medium": {"num_layers": 2, "hcs_layer_idxs": [], "hcm_layer_idxs": [0, 1], "hcl_layer_idxs": [], "attn_layer_idxs": []},
    "only long": {"num_layers": 2, "hcs_layer_idxs": [], "hcm_layer_idxs": [], "hcl_layer_idxs": [0, 1], "attn_layer_idxs": []},
    "only attention": {"num_layers": 2, "hcs_layer_idxs": [], "hcm_layer_idxs": [], "hcl_layer_idxs": [], "attn_layer_idxs": [0, 1]},
    "positions divided by 128, as the 1M models": {
        "use_interpolated_rotary_pos_emb": True,
        "rotary_emb_scaling_factor": 128,
    },
    "base 1,000,000, one head": {"rotary_emb_base": 1_000_000, "num_attention_heads": 1},
    "a filter for each channel": {"hcs_filter_groups": 32, "hcm_filter_groups": 32},
    "two groups": {"hcs_filter_groups": 2, "hcm_filter_groups": 2},
    "other lengths": {"hcs_filter_length": 4, "hcm_filter_length": 150, "short_filter_length": 4, "state_size": 9},
    "activation in every layer, silu": {"evo2_style_activations": False, "mlp_activation": "silu"},
    "all biases, an eps that matters": {"qkv_proj_bias": True, "short_filter_bias": True, "eps": 0.1, "vocab_size": 300},
    "no biases, untied": {"mha_out_proj_bias": False, "hyena_out_proj_bias": False, "tie_embeddings": False},
}  # fmt: skip


@pytest.mark.parametrize("num_tokens", [1, 2, 63, 129])
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_logits_are_those_of_vortex(changes: dict[str, Any], num_tokens: int) -> None:
    model = random_model(small_evo2_config(**changes))
    assert largest_error(model, random_tokens(2, num_tokens)) < 1e-4


@pytest.mark.parametrize(("num_rows", "num_tokens"), [(3, 400), (1, 4097)])
@pytest.mark.parametrize("changes", list(SHAPES.values())[:6], ids=list(SHAPES)[:6])
def test_logits_are_those_of_vortex_far_from_the_start(changes: dict[str, Any], num_rows: int, num_tokens: int) -> None:
    model = random_model(small_evo2_config(**changes))
    assert largest_error(model, random_tokens(num_rows, num_tokens)) < 1e-4


def largest_error(model: Evo2Network, tokens: torch.Tensor) -> float:
    with torch.inference_mode():
        return largest_difference(model(tokens), reference_logits(reference_of(model), tokens))


def test_frequencies_of_the_checkpoint_hold() -> None:
    """Published ones are rounded to bfloat16, which at position 4,096 is another angle altogether."""
    model = random_model(small_evo2_config(num_attention_heads=1))
    tokens = random_tokens(1, 4097)
    rounded = model(tokens)
    exponents = torch.arange(0, 32, 2) / 32
    exact = 1 / 10_000**exponents
    assert torch.equal(model.backbone.blocks[3].inner_mha_cls.rotary_emb.inv_freq, exact.bfloat16().float())
    model.backbone.blocks[3].inner_mha_cls.rotary_emb.inv_freq.copy_(exact)
    assert largest_difference(model(tokens), rounded) > 1e-3


@pytest.mark.parametrize(("dtype", "rms", "bias"), [(torch.bfloat16, 0.03, 0.002), (torch.float16, 0.004, 0.0003)])
def test_half_precision_is_near_float32_and_not_biased(dtype: torch.dtype, rms: float, bias: float) -> None:
    """Logits spread by one nat; bfloat16 has 8 bits for them, float16 11. As for Evo 1."""
    exact = random_model(small_evo2_config(hidden_size=64, num_attention_heads=4))
    tokens = random_tokens(4, 500)
    with torch.inference_mode():
        error = in_half_precision(exact, dtype)(tokens) - exact(tokens)
    assert error.dtype == torch.float32
    assert error.square().mean().sqrt() < rms
    assert error.mean().abs() < bias


def test_bfloat16_is_nearer_to_float32_than_the_reference_is() -> None:
    """The reference keeps its residual stream, gates and norms in bfloat16 too."""
    exact = random_model(small_evo2_config(hidden_size=64, num_attention_heads=4))
    tokens = random_tokens(4, 500)
    with torch.inference_mode():
        right = exact(tokens)
        ours = in_half_precision(exact, torch.bfloat16)(tokens) - right
        theirs = reference_logits(reference_of(exact, torch.bfloat16), tokens).float() - right
    assert ours.square().mean().sqrt() < 0.8 * theirs.square().mean().sqrt()
    assert theirs.square().mean().sqrt() < 0.1  # so that it is the same model


def in_half_precision(exact: Evo2Network, dtype: torch.dtype) -> Evo2Network:
    half = random_model(exact.config).to(dtype)
    whole = exact.state_dict()
    for name, tensor in [*half.named_parameters(), *half.named_buffers()]:
        if Evo2Network.stays_in_float32(name):
            tensor.data = whole[name].clone()
    return half
