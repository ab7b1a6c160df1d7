"""Small Evo 1 models with random weights, built in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.random_checkpoint import demo_config, random_weights


def small_config(**changes: Any) -> Evo1Config:
    """Width 32, three layers, the second of them attention, and what is changed."""
    settings = {name: getattr(demo_config(), name) for name in Evo1Config.__annotations__}
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


def random_model(config: Evo1Config, seed: int = 0) -> Evo1ForCausalLM:
    """In evaluation mode, without gradients."""
    model = Evo1ForCausalLM(config)
    model.load_state_dict(random_weights(config, seed))
    return model.eval().requires_grad_(False)


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    """A, C, G and T."""
    choices = torch.randint(4, shape, generator=torch.Generator().manual_seed(seed))
    return torch.tensor(list(b"ACGT"))[choices]


def largest_difference(left: Tensor, right: Tensor) -> float:
    assert left.shape == right.shape
    return float((left - right).abs().max())
