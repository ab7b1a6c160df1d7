"""config.json: everything that matters must be there and be something this implementation runs."""

from __future__ import annotations

from typing import Any

import pytest

from raygen.errors import InputError
from raygen.model.evo1 import Evo1Config
from tests.model.models import small_config

# As togethercomputer/evo-1-8k-base publishes it, with the keys that change nothing here.
PUBLISHED: dict[str, Any] = {
    "architectures": ["StripedHyenaModelForCausalLM"],
    "attn_layer_idxs": [8, 16, 24],
    "auto_map": {"AutoConfig": "somewhere--configuration_hyena.StripedHyenaConfig"},
    "column_split": False,
    "column_split_hyena": True,
    "eps": 1e-06,
    "final_norm": True,
    "hidden_size": 4096,
    "hyena_filter_groups": 1,
    "hyena_layer_idxs": [layer for layer in range(32) if layer not in (8, 16, 24)],
    "inference_mode": False,
    "inner_mlp_size": 10928,
    "log_intermediate_values": False,
    "make_vocab_size_divisible_by": 8,
    "max_seqlen": 8192,
    "mha_out_proj_bias": True,
    "mlp_activation": "gelu",
    "model_parallel_size": 1,
    "model_type": "stripedhyena",
    "num_attention_heads": 32,
    "num_filters": 4096,
    "num_layers": 32,
    "pipe_parallel_size": 1,
    "prefill_style": "fft",
    "proj_groups": 1,
    "qkv_proj_bias": True,
    "rotary_emb_base": 10000,
    "rotary_emb_scaling_factor": 1,
    "short_filter_bias": True,
    "short_filter_length": 3,
    "smeared_gqa": False,
    "split_k0": True,
    "state_size": 8,
    "tie_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_flash_attn": True,
    "use_interpolated_rotary_pos_emb": False,
    "vocab_size": 512,
}


def test_published_configuration_is_read() -> None:
    config = Evo1Config(**PUBLISHED)
    assert (config.num_layers, config.mlp_width, config.head_size, config.max_seqlen) == (32, 10928, 128, 8192)
    assert not hasattr(config, "auto_map")


def test_width_of_the_mlp_follows_the_rule_where_it_is_not_given() -> None:
    config = Evo1Config(**{**PUBLISHED, "inner_mlp_size": None, "inner_size_multiple_of": 16})
    assert config.mlp_width == 10928


def test_all_missing_keys_are_named_at_once() -> None:
    settings = {
        name: value for name, value in PUBLISHED.items() if name not in ("eps", "state_size", "rotary_emb_base")
    }
    with pytest.raises(InputError, match="missing state_size, eps, rotary_emb_base"):
        Evo1Config(**settings)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": None}, "rotary_emb_scaling_factor"),
        ({"inner_mlp_size": None}, "missing inner_size_multiple_of"),
        ({"smeared_gqa": True}, "smeared_gqa is True, only false"),
        ({"proj_groups": 4}, "proj_groups is 4, only 1"),
        ({"hyena_filter_groups": 2}, "hyena_filter_groups is 2, only 1"),
        ({"final_norm": False}, "final_norm is False, only true"),
        ({"mlp_activation": "relu"}, "mlp_activation is 'relu', not one of gelu, silu"),
        ({"hidden_size": "4096"}, "hidden_size is '4096', not a positive whole number"),
        ({"tie_embeddings": 1}, "tie_embeddings is 1, neither true nor false"),
        ({"eps": -1}, "eps is -1, not a positive number"),
        ({"attn_layer_idxs": [8, 16]}, "not each of 0 to 31 once"),
        ({"attn_layer_idxs": 8}, "attn_layer_idxs is 8, not a list"),
        ({"num_attention_heads": 3}, "not divisible into 3 heads"),
        ({"eps": 0, "state_size": 0}, "eps is 0.*state_size is 0"),
    ],
)
def test_value_that_cannot_be_run_is_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Evo1Config(**{**PUBLISHED, **changes})


def test_interleaved_projections_are_the_default_as_in_the_reference() -> None:
    settings = {name: value for name, value in PUBLISHED.items() if name != "column_split_hyena"}
    assert Evo1Config(**settings).column_split_hyena is True


def test_architecture_is_what_numbers_depend_on() -> None:
    config = small_config()
    assert small_config(max_seqlen=5).architecture() == config.architecture()
    assert small_config(rotary_emb_base=10000.0).architecture() == config.architecture()
    assert small_config(eps=1e-5).architecture() != config.architecture()
