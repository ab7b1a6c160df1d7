"""Small Evo 1 and Evo 2 models with random weights, built in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from raygen.model.checkpoint import family_of
from raygen.model.evo1 import Evo1Config
from raygen.model.evo2 import Evo2Config
from raygen.model.random_checkpoint import demo_config, random_weights
from raygen.model.striped_hyena import StripedHyenaConfig


def small_config(**changes: Any) -> Evo1Config:
    """Width 32, three layers, the second of them attention, and what is changed."""
    settings = demo_config().keys()
    smaller = {
        "hidden_size": 32,
        "num_layers": 3,
        "attn_layer_idxs": [1],
        "hyena_layer_idxs": [0, 2],
        "num_attention_heads": 2,
        "state_size": 4,
        "inner_mlp_size": 48,
    }
    return Evo1Config(**{**settings, **smaller, **changes})


def small_evo2_config(**changes: Any) -> Evo2Config:
    """Width 32, a layer of each kind, and what is changed; else as the published models."""
    settings = {
        "vocab_size": 512,
        "hidden_size": 32,
        "num_layers": 4,
        "hcs_layer_idxs": [0],
        "hcm_layer_idxs": [1],
        "hcl_layer_idxs": [2],
        "attn_layer_idxs": [3],
        "num_attention_heads": 2,
        "state_size": 4,
        "short_filter_length": 3,
        "short_filter_bias": False,
        "hcs_filter_length": 7,
        "hcs_filter_groups": 8,
        "hcm_filter_length": 128,
        "hcm_filter_groups": 4,
        "inner_mlp_size": 48,
        "mlp_activation": "gelu",
        "evo2_style_activations": True,
        "eps": 1e-6,
        "tie_embeddings": True,
        "qkv_proj_bias": False,
        "mha_out_proj_bias": True,
        "hyena_out_proj_bias": True,
        "rotary_emb_base": 10_000,
        "max_seqlen": 8192,
    }
    return Evo2Config(**{**settings, **changes})


def random_model(config: StripedHyenaConfig, seed: int = 0) -> Any:
    """In evaluation mode, without gradients."""
    model = family_of(config).network(config)
    model.load_state_dict(random_weights(config, seed))
    return model.eval().requires_grad_(False)


def num_parameters(config: StripedHyenaConfig) -> int:
    """Parameters of the network of a configuration; rotary frequencies are none."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in family_of(config).network(config).parameters())


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    """A, C, G and T."""
    choices = torch.randint(4, shape, generator=torch.Generator().manual_seed(seed))
    return torch.tensor(list(b"ACGT"))[choices]


def largest_difference(left: Tensor, right: Tensor) -> float:
    assert left.shape == right.shape
    return float((left - right).abs().max())
