"""What half precision cannot hold is scored again in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.scorer import Method, PairScorer
from tests.builders import random_bases
from tests.model.models import small_config

LOUD = "N" * 8  # overflows float16 in the model below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose embedding of N is past the end of float16; of A, C, G and T it is as it was."""
    folder = tmp_path / "model"
    write_random_checkpoint(folder, small_config(tie_embeddings=False), seed=0)
    tensors = load_file(folder / "model.safetensors")
    tensors["backbone.embedding_layer.weight"][ord("N")] *= 1e6
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pairs() -> pa.Table:
    wts = [random_bases(60, seed) for seed in range(4)]
    muts = [wt[:30] + "ACGT"["CGTA".index(wt[30])] + wt[31:] for wt in wts]
    wts[2], muts[2] = wts[2][:50] + LOUD, muts[2][:50] + LOUD
    return pa.table({"pair_id": list("abcd"), "wt_sequence": wts, "mut_sequence": muts})


def deltas(model: ResidentModel, method: Method) -> np.ndarray:
    return PairScorer(model, method).score(pairs())["delta_llr"].to_numpy()


@pytest.mark.parametrize("method", ["pair", "fork"])
def test_only_the_pair_that_overflows_is_scored_in_float32(folder: Path, method: Method) -> None:
    half = load_model(str(folder), device="cpu", dtype="float16")
    whole = load_model(str(folder), device="cpu", dtype="float32")
    found, expected = deltas(half, method), deltas(whole, method)
    assert half.num_rescored == 1
    assert half.num_tokens_computed > whole.num_tokens_computed
    np.testing.assert_allclose(found[2], expected[2], atol=1e-4)
    others = [0, 1, 3]
    np.testing.assert_allclose(found[others], expected[others], atol=0.1)
    assert not np.array_equal(found[others], expected[others])


def test_a_sequence_alone_is_scored_in_float32_too(folder: Path) -> None:
    half = load_model(str(folder), device="cpu", dtype="float16")
    sequences = [random_bases(50, 1), random_bases(50, 2) + LOUD]
    found = half.log_likelihoods(sequences)
    expected = load_model(str(folder), device="cpu", dtype="float32").log_likelihoods(sequences)
    assert half.num_rescored == 1
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


def test_float32_weights_are_loaded_once_and_only_when_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raygen.scoring import likelihood

    loads: list[str] = []
    load = likelihood.load_network

    def counted(name: str, **how: str):
        loads.append(how["dtype"])
        return load(name, **how)

    half = load_model(str(folder), device="cpu", dtype="float16")
    monkeypatch.setattr(likelihood, "load_network", counted)
    half.log_likelihoods(["ACGT" * 10])
    assert loads == []
    for _ in range(2):
        half.log_likelihoods(["ACGT" + LOUD])
    assert loads == ["float32"]
    assert half.num_rescored == 2


@pytest.mark.parametrize("method", ["pair", "fork"])
def test_what_is_not_finite_in_float32_either_has_a_failure(folder: Path, method: Method) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["backbone.embedding_layer.weight"][ord("N")] = torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    half = load_model(str(folder), device="cpu", dtype="float16")
    scored = PairScorer(half, method).score(pairs())
    assert [failure is None for failure in scored["failure"].to_pylist()] == [True, True, False, True]
    assert half.num_rescored == 1


def test_nothing_wider_exists_for_float32(folder: Path) -> None:
    model = load_model(str(folder), device="cpu", dtype="float32")
    assert model.to_rescore(np.array([np.nan, 1.0])).tolist() == []
