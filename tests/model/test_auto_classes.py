"""Evo models as transformers loads, saves and calls them: the same weights, the same checks, the same logits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from raygen.errors import InputError
from raygen.model.auto_classes import Evo1ForCausalLM, Evo2ForCausalLM
from raygen.model.checkpoint_files import EMBEDDING, UNEMBEDDING
from raygen.model.loading import load_network
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.model.striped_hyena import StripedHyenaConfig
from tests.model.models import random_model, random_tokens, small_config, small_evo2_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_random_checkpoint(tmp_path / "model", small_config(), seed=0)
    return tmp_path / "model"


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    return model(random_tokens(2, 100)).logits


def test_transformers_loads_it_without_code_from_the_hub(folder: Path) -> None:
    """auto_map, as published, names files that do not exist here: they are not looked for."""
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "configuration_hyena.StripedHyenaConfig",
        "AutoModelForCausalLM": "modeling_hyena.StripedHyenaModelForCausalLM",
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model) is Evo1ForCausalLM
    assert torch.equal(logits(model), random_model(small_config())(random_tokens(2, 100)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", [small_config, small_evo2_config])
def test_weights_and_logits_are_those_that_score(
    family: Callable[[], StripedHyenaConfig], dtype: torch.dtype, tmp_path: Path
) -> None:
    write_random_checkpoint(tmp_path / "model", family(), seed=0, max_shard_bytes=20_000)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=dtype)
    network = load_network(tmp_path / "model", device="cpu", dtype=dtype).network
    left, right = model.state_dict(), network.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype for name in right)
    with torch.inference_mode():
        assert torch.equal(logits(model), network(random_tokens(2, 100)))


@pytest.mark.parametrize("family", [small_config, small_evo2_config])
def test_saved_again_it_is_the_same_model(family: Callable[[], StripedHyenaConfig], tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "model", family(), seed=0)
    AutoModelForCausalLM.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "again")
    first, again = (load_network(tmp_path / name, device="cpu").facts for name in ("model", "again"))
    assert first.weights_hash == again.weights_hash


def test_what_transformers_alone_would_pass_over_is_refused_there_too(folder: Path, tmp_path: Path) -> None:
    """``AutoModelForCausalLM`` leaves a missing tensor as the memory was, and does not look at a tied unembedding."""
    damages: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
        "1 missing": lambda tensors: tensors.pop("backbone.blocks.0.filter.poles"),
        "1 unexpected": lambda tensors: tensors.update(other=torch.zeros(2)),
        "unembed.weight differs": lambda tensors: tensors.update({UNEMBEDDING: tensors[EMBEDDING] + 1}),
    }
    assert type(AutoModelForCausalLM.from_pretrained(folder)) is Evo1ForCausalLM
    for number, (sentence, damage) in enumerate(damages.items()):
        damaged = shutil.copytree(folder, tmp_path / str(number))
        tensors = load_file(damaged / "model.safetensors")
        damage(tensors)
        save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=sentence):
            AutoModelForCausalLM.from_pretrained(damaged)


def test_what_is_never_read_may_be_there(folder: Path) -> None:
    frequencies = "backbone.blocks.1.inner_mha_cls.rotary_emb.inv_freq"
    tensors = load_file(folder / "model.safetensors")
    tensors |= {UNEMBEDDING: tensors[EMBEDDING].clone(), frequencies: torch.ones(8)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(logits(model), random_model(small_config())(random_tokens(2, 100)))


def test_padding_on_the_left_is_refused(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(ValueError, match="pad on the right"):
        model(random_tokens(1, 3), attention_mask=torch.tensor([[0, 1, 1]]))


def test_a_family_has_its_class(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "model", small_evo2_config(), seed=0)
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path / "model")) is Evo2ForCausalLM
