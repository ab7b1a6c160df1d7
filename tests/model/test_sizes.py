"""What is computed from a config.json alone, held to the networks."""

import json

import pytest
import torch

from raygen.model import checkpoint, layers
from raygen.model.config_rules import ACTIVATIONS, EVO1, EVO2, FAMILY_RULES
from raygen.model.on_paper import model_on_paper, state_on_paper
from raygen.model.random_checkpoint import evo1_8k_config
from raygen.model.sizes import count_parameters, keys_of, read_keys, state_size, tensor_shapes
from tests.model.models import num_parameters, small_config, small_evo2_config

CONFIGS = {
    "evo1": small_config(),
    "evo1 untied, without biases": small_config(tie_embeddings=False, qkv_proj_bias=False, mha_out_proj_bias=False),
    "evo1 by multiples": small_config(inner_mlp_size=None, inner_size_multiple_of=16, short_filter_bias=False),
    "evo1 of attention only": small_config(attn_layer_idxs=[0, 1, 2], hyena_layer_idxs=[]),
    "evo-1-8k-base": evo1_8k_config(),
    "evo2": small_evo2_config(),
    "evo2 with biases": small_evo2_config(qkv_proj_bias=True, short_filter_bias=True, tie_embeddings=False),
    "evo2 without biases": small_evo2_config(mha_out_proj_bias=False, hyena_out_proj_bias=False),
    "evo2 of other lengths": small_evo2_config(hcs_filter_length=5, hcm_filter_length=130, state_size=3),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_sizes_by_the_keys_are_those_of_the_network(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.as_published()))
    keys = read_keys(tmp_path)
    assert tensor_shapes(keys) == checkpoint.expected_shapes(config)
    assert count_parameters(keys) == num_parameters(config)
    with torch.device("meta"):
        network = checkpoint.family_of(config).network(config)
    network.cast_weights(torch.float16)
    assert state_size(keys, bytes_per_weight=2) == network.state_size()


def test_the_rules_know_the_families_and_activations_that_there_are():
    assert set(FAMILY_RULES) == {EVO1, EVO2} == set(checkpoint.FAMILIES)
    assert tuple(layers.ACTIVATIONS) == ACTIVATIONS
    assert all(family.config.family == FAMILY_RULES[kind].name for kind, family in checkpoint.FAMILIES.items())


@pytest.mark.parametrize("name", ["evo-1-8k-base", "evo2_7b_base"])
def test_what_leaves_a_window_of_8192_takes_a_tenth_of_the_window_at_most(name):
    """In half precision: 10.5 MB beside 413, and 25 MB beside 696. Keys and values stay with the window."""
    if name == "evo-1-8k-base":
        size = state_size(keys_of(evo1_8k_config().as_published()), bytes_per_weight=2)
    else:
        size = state_on_paper(model_on_paper("arcinstitute/evo2_7b_base", device="cuda"))
    assert size.prefix(8192) >= 10 * size.branch(8192) > 0
