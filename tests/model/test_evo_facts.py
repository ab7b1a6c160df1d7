"""Facts without torch are those of ``describe_network``, and those of the network that is built."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from raygen.errors import InputError
from raygen.model.cards import DEMO, DEMO_FOLDER, find_card
from raygen.model.checkpoint import expected_shapes, family_of, read_config
from raygen.model.checkpoint_files import read_checkpoint_header, read_stored_header
from raygen.model.config_rules import EVO1, EVO2
from raygen.model.evo_facts import describe_without_torch
from raygen.model.loading import _by_card, describe_network
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.model.tensor_bytes import hash_with, same_bytes
from tests.model.models import num_parameters, small_config, small_evo2_config

CONFIGS = {
    "Evo 1": small_config(),
    "Evo 1 with whole numbers": small_config(rotary_emb_base=10_000, inner_mlp_size=None, inner_size_multiple_of=16),
    "Evo 1 with scaled positions": small_config(use_interpolated_rotary_pos_emb=True, rotary_emb_scaling_factor=16),
    "Evo 2": small_evo2_config(),
    "Evo 2 that needs FP8": small_evo2_config(use_fp8_input_projections=True),
    "Evo 2 with a card": small_evo2_config(card="evo2_7b"),
    "Evo 2 with a card that needs FP8": small_evo2_config(card="evo2_40b"),
}


def light(name: str, dtype: str = "auto", revision: str | None = None, device: str = "cpu"):
    return describe_without_torch(name, revision=revision, device=device, dtype=dtype, allow_unvalidated=True)


@pytest.fixture(params=[DEMO, *CONFIGS])
def name(request, tmp_path) -> str:
    if request.param == DEMO:
        return DEMO
    write_random_checkpoint(tmp_path / "model", CONFIGS[request.param], seed=1)
    return str(tmp_path / "model")


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_they_are_those_of_describe_network_in_every_field(name, dtype):
    assert light(name, dtype) == describe_network(name, device="cpu", dtype=dtype, allow_unvalidated=True)


def test_they_are_those_of_the_network(name):
    folder, card = (DEMO_FOLDER if name == DEMO else Path(name)), find_card(name)
    config = read_config(folder)
    if card:
        config = _by_card(config, card)
    facts, headers = light(name), read_checkpoint_header(folder)
    used = {tensor: headers[tensor] for tensor in sorted(expected_shapes(config).keys() & headers.keys())}
    assert facts.weights_hash == hash_with(used, config.architecture())
    assert facts.num_parameters == num_parameters(config)
    assert facts.filter_storage == family_of(config).network.filter_storage
    assert (facts.context_length, facts.hidden_size) == (config.max_seqlen, config.hidden_size)
    assert facts.bos_id == (card.bos_id if card else {EVO1: 0, EVO2: None}[config.model_type])


def test_what_takes_torch_to_know_is_left_to_it(tmp_path):
    assert light(DEMO, device="cuda") is None
    assert light(DEMO, dtype="float8") is None
    assert light("togethercomputer/evo-1-8k-base") is None
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert light(str(tmp_path)) is None


def test_a_broken_folder_is_named_as_describe_network_names_it(tmp_path):
    write_random_checkpoint(tmp_path, small_config(), seed=1)
    (tmp_path / "config.json").write_text(
        (tmp_path / "config.json").read_text().replace('"state_size": 4', '"state_size": 5')
    )
    errors = []
    for describe in (light, lambda name: describe_network(name, device="cpu")):
        with pytest.raises(InputError) as error:
            describe(str(tmp_path))
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert "does not fit its config.json" in errors[0]


def test_neither_torch_nor_transformers_is_imported():
    code = (
        "import sys\n"
        "from raygen.model.evo_facts import describe_without_torch as describe\n"
        "print(describe('demo', revision=None, device='cpu', dtype='auto', allow_unvalidated=False).weights_hash)\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [light(DEMO).weights_hash, "set()"]


TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def stored(folder: Path, **tensors: torch.Tensor):
    save_file(tensors, folder / "model.safetensors")
    return read_stored_header(folder)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sign", [1, -1])
def test_infinity_is_a_number_and_nan_is_none(tmp_path, dtype, sign, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    numbers = torch.zeros(700_000, dtype=dtype)  # more than a piece
    numbers[-1] = sign * np.inf
    numbers[0] = torch.finfo(dtype).max
    hash_with(stored(tmp_path, x=numbers), {})
    numbers[-1] = torch.tensor(np.nan, dtype=dtype) * sign
    with pytest.raises(InputError, match="x holds values that are no numbers"):
        hash_with(stored(tmp_path, x=numbers), {})


def test_tensors_are_equal_to_the_byte_or_not(tmp_path):
    x = torch.arange(600_000, dtype=torch.float32)
    y = x.clone()
    y[-1] = 0
    headers = stored(tmp_path, x=x, same=x.clone(), y=y, shorter=x[:-1].clone())
    assert same_bytes(headers["x"], headers["same"])
    assert not same_bytes(headers["x"], headers["y"])
    assert not same_bytes(headers["x"], headers["shorter"])
    assert not same_bytes(headers["x"], replace(headers["shorter"]))
