"""The real model, without its weights: an early config.json of togethercomputer/evo-1-131k-base, key for key."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from raygen.model.cards import find_card
from raygen.model.checkpoint import expected_shapes, read_config
from raygen.model.evo1 import Evo1Config
from raygen.model.evo_facts import changes_by_card
from raygen.model.loading import _by_card

PUBLISHED = Path(__file__).parent / "evo-1-131k-base.early.config.json"
WIDTH, MLP, STATES = 4096, 10_928, 8
MLP_SHAPES = {"mlp.l1.weight": (MLP, WIDTH), "mlp.l2.weight": (MLP, WIDTH), "mlp.l3.weight": (WIDTH, MLP)}
BLOCK_SHAPES = {"pre_norm.scale": (WIDTH,), "post_norm.scale": (WIDTH,), **MLP_SHAPES}
ATTENTION_SHAPES = {
    "inner_mha_cls.Wqkv.weight": (3 * WIDTH, WIDTH),
    "inner_mha_cls.Wqkv.bias": (3 * WIDTH,),
    "inner_mha_cls.out_proj.weight": (WIDTH, WIDTH),
    "inner_mha_cls.out_proj.bias": (WIDTH,),
}
HYENA_SHAPES = {
    "projections.weight": (3 * WIDTH, WIDTH),
    "projections.bias": (3 * WIDTH,),
    "filter.D": (WIDTH,),
    "filter.short_filter_weight": (3 * WIDTH, 1, 3),
    "filter.short_filter_bias": (3 * WIDTH,),
    "filter.poles": (WIDTH, STATES, 1, 2),
    "filter.residues": (WIDTH, STATES, 1, 2),
    "out_filter_dense.weight": (WIDTH, WIDTH),
    "out_filter_dense.bias": (WIDTH,),
}


@pytest.fixture
def config(tmp_path: Path) -> Evo1Config:
    shutil.copyfile(PUBLISHED, tmp_path / "config.json")
    return read_config(tmp_path)


def test_every_required_key_is_in_a_published_configuration(config: Evo1Config) -> None:
    published = json.loads(PUBLISHED.read_text())
    own = Evo1Config.__annotations__.keys()
    assert own - published.keys() == {"inner_size_multiple_of"}  # which is not read where inner_mlp_size is given
    assert {name: getattr(config, name) for name in own & published.keys()} == {
        name: published[name] for name in own & published.keys()
    }


def test_names_and_shapes_are_those_of_the_published_checkpoints(config: Evo1Config) -> None:
    expected = {"backbone.embedding_layer.weight": (512, WIDTH), "backbone.norm.scale": (WIDTH,)}
    for layer in range(32):
        mixer = ATTENTION_SHAPES if layer in (8, 16, 24) else HYENA_SHAPES
        expected |= {f"backbone.blocks.{layer}.{name}": shape for name, shape in (BLOCK_SHAPES | mixer).items()}
    assert expected_shapes(config) == expected


def test_it_has_the_parameters_that_the_model_card_says(config: Evo1Config) -> None:
    card = find_card("togethercomputer/evo-1-131k-base")
    assert card is not None
    assert sum(math.prod(shape) for shape in expected_shapes(config).values()) == card.num_parameters == 6_452_781_056


def test_the_card_corrects_what_this_revision_has_wrong(config: Evo1Config) -> None:
    card = find_card("togethercomputer/evo-1-131k-base")
    assert card is not None
    corrected = _by_card(config, card)
    assert (corrected.use_interpolated_rotary_pos_emb, corrected.rotary_emb_scaling_factor) == (True, 16.0)
    assert corrected.architecture() == {
        **config.architecture(),
        "use_interpolated_rotary_pos_emb": True,
        "rotary_emb_scaling_factor": 16.0,
    }
    assert len(changes_by_card(config.keys(), card)[1]) == 2
