"""Float16 where a network's activations fit it, else bfloat16; the decision does not depend on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from raygen.model import loading, precision
from raygen.model.evo1 import Evo1Network
from raygen.model.loading import auto_dtypes, describe_network, load_network
from raygen.model.precision import DtypeChoice, calibration_sequences, choose_dtype, find_overflow
from raygen.model.random_checkpoint import write_random_checkpoint
from tests.model.models import random_model, small_config
from tests.model.other_models import overflow_float16, write_llama

CPU = torch.device("cpu")
HALVES = ("float16", "bfloat16")
L1, L2, L3 = (f"backbone.blocks.2.mlp.l{number}.weight" for number in (1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_random_checkpoint(tmp_path / "model", small_config(), seed=0)
    return tmp_path / "model"


def scale(folder: Path, factors: dict[str, float]) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name, factor in factors.items():
        tensors[name] *= factor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def fault_of(folder: Path, dtype: torch.dtype = torch.float16) -> str | None:
    network = load_network(folder, device="cpu", dtype=str(dtype).removeprefix("torch.")).network
    return find_overflow(network, dtype, CPU, 0, 100)


@pytest.fixture
def auto_on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Half precision is chosen on the CPU as on a GPU; the dtypes that weights were loaded in."""
    loads: list[str] = []
    load = loading._load_weights

    def counted(found: Any, dtype: str) -> Evo1Network:
        loads.append(dtype)
        return load(found, dtype)

    monkeypatch.setattr(loading, "_load_weights", counted)
    monkeypatch.setattr(loading, "auto_dtypes", lambda device: HALVES)
    monkeypatch.setattr(precision, "_MAX_TOKENS", 100)
    return loads


def test_calibration_sequences_are_always_the_same_and_of_many_kinds() -> None:
    sequences = calibration_sequences(4095)
    assert sequences == calibration_sequences(4095)
    assert len(sequences) > 8
    assert all(set(sequence) <= set(b"ACGTN") for sequence in sequences.values())
    assert {len(sequence) for sequence in sequences.values()} == {64, 4095}
    assert sequences["repeated CAG"][:6] == b"CAGCAG"


def test_a_network_whose_activations_are_small_fits(folder: Path) -> None:
    assert fault_of(folder) is None


def test_a_product_past_the_end_of_float16_is_found(folder: Path) -> None:
    scale(folder, {L1: 1e6, L3: 1e-6})
    assert fault_of(folder) == "values that are not finite on random bases 1"
    assert fault_of(folder, torch.bfloat16) is None


def test_a_product_near_the_end_of_float16_is_too_large_already(folder: Path) -> None:
    network = load_network(folder, device="cpu").network
    with precision._largest_in_products(network.backbone.blocks[2].mlp) as largest, torch.inference_mode():
        for sequence in calibration_sequences(299).values():
            network.hidden_states(torch.tensor([[0, *sequence]]))
    factor = 50_000 / max(largest)  # its largest is gated, gelu(l1 x) · l2 x, and grows with l2
    scale(folder, {L2: factor, L3: 1 / factor})
    fault = fault_of(folder)
    assert fault is not None and fault.endswith("with 32,752 as the limit")


def test_weights_past_the_end_of_float16_are_found(folder: Path) -> None:
    scale(folder, {"backbone.embedding_layer.weight": 1e6})
    assert "not finite" in str(fault_of(folder))


def test_a_network_without_bos_is_tried_too() -> None:
    network = random_model(small_config()).to(torch.float16)
    assert find_overflow(network, torch.float16, CPU, None, 100) is None


def test_candidates_are_tried_in_turn_and_only_one_is_in_memory() -> None:
    loads: list[str] = []

    def load(dtype: str) -> Evo1Network:
        loads.append(dtype)
        network = random_model(small_config())
        network.backbone.blocks[0].mlp.l1.weight *= {"float16": 1e6, "bfloat16": 1e39}[dtype]
        return network

    choice, network = choose_dtype(("float16", "bfloat16", "float32"), load, CPU, 0, 50)
    assert loads == ["float16", "bfloat16"]
    assert (choice.dtype, network) == ("float32", None)
    assert choice.because.startswith("float16: a value of")
    assert choice.because.endswith("; bfloat16: values that are not finite on random bases 1")


def test_one_candidate_is_taken_untried() -> None:
    choice, network = choose_dtype(("float32",), lambda dtype: pytest.fail("loaded"), CPU, 0, 50)
    assert (choice, network) == (DtypeChoice("float32", "cpu runs in float32"), None)
    assert auto_dtypes(CPU) == ("float32",)


def test_auto_takes_float16_and_loads_once(folder: Path, auto_on_cpu: list[str]) -> None:
    loaded = load_network(folder, device="cpu")
    assert (loaded.dtype, auto_on_cpu) == (torch.float16, ["float16"])
    described = describe_network(folder, device="cpu")
    assert (described.dtype, described.dtype_because) == ("float16", "calibration sequences fit float16")
    assert auto_on_cpu == ["float16"]
    load_network(folder, device="cpu")
    assert auto_on_cpu == ["float16", "float16"]


def test_auto_falls_back_to_bfloat16_and_describing_says_the_same(folder: Path, auto_on_cpu: list[str]) -> None:
    scale(folder, {L1: 1e6, L3: 1e-6})
    described = describe_network(folder, device="cpu")
    assert described.dtype == "bfloat16"
    assert described.dtype_because == "float16: values that are not finite on random bases 1"
    loaded = load_network(folder, device="cpu")
    assert loaded.dtype == torch.bfloat16
    assert auto_on_cpu == ["float16", "bfloat16"]


def test_auto_falls_back_where_a_model_of_transformers_is_not_finite_when_it_is_tried(
    tmp_path: Path, auto_on_cpu: list[str]
) -> None:
    folder = write_llama(tmp_path / "llama")
    overflow_float16(folder)
    loaded = load_network(folder, device="cpu")
    assert (loaded.dtype, loaded.network.fork_refusal, auto_on_cpu) == (torch.bfloat16, None, ["float16", "bfloat16"])
    described = describe_network(folder, device="cpu")
    assert (described.dtype, len(auto_on_cpu)) == ("bfloat16", 2)
    assert described.dtype_because == "float16: values that are not finite when it is loaded"


def test_a_choice_is_made_again_where_nothing_can_be_kept(
    folder: Path, auto_on_cpu: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "file"))
    assert [describe_network(folder, device="cpu").dtype for _ in range(2)] == ["float16"] * 2
    assert auto_on_cpu == ["float16"] * 2


def test_a_dtype_that_was_named_is_not_tried(folder: Path, auto_on_cpu: list[str]) -> None:
    scale(folder, {L1: 1e6, L3: 1e-6})
    assert describe_network(folder, device="cpu", dtype="float16").dtype_because == "as model.dtype says"
    assert auto_on_cpu == []
