"""Whatever a program has told torch about precision, scores are the same, and afterwards torch is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raygen.api import load_model, score_pairs
from raygen.model.arithmetic import _EXACT, exact_arithmetic
from raygen.scoring.likelihood import ResidentModel

MATMUL, CONV = torch.backends.cuda.matmul, torch.backends.cudnn.conv
PAIR = ("ACGTTGCA" * 20, "ACGTTGCA" * 10 + "T" + ("ACGTTGCA" * 10)[1:])


def older(precision: str) -> None:
    torch.set_float32_matmul_precision(precision)


def newer(precision: str) -> None:
    MATMUL.fp32_precision = precision


def half_sums(allowed: bool) -> None:
    MATMUL.allow_fp16_reduced_precision_reduction = allowed
    MATMUL.allow_bf16_reduced_precision_reduction = allowed


USERS: dict[str, Callable[[], None]] = {
    "torch as it starts": lambda: None,
    "high": lambda: older("high"),
    "medium": lambda: older("medium"),
    "tf32 by the newer setting": lambda: newer("tf32"),
    "half sums": lambda: half_sums(True),
    "no half sums": lambda: half_sums(False),
}


def settings() -> list[Any]:
    return [getattr(backend, name) for backend, name, _ in _EXACT]


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    before = settings()
    yield
    newer("ieee")  # so that the older one may be set
    older("highest")
    for (backend, name, _), value in zip(_EXACT, before, strict=True):
        setattr(backend, name, value)


@pytest.fixture(scope="module")
def model() -> ResidentModel:
    return load_model("demo", device="cpu")


@pytest.mark.parametrize("user", USERS)
def test_inside_all_is_exact_and_outside_as_the_program_said(user: str) -> None:
    USERS[user]()
    before = settings()
    with exact_arithmetic():
        assert settings() == [value for _, _, value in _EXACT]
        assert (
            torch.get_float32_matmul_precision() == "highest"
        )  # torch raises where the two kinds of settings disagree
        F.conv1d(torch.ones(1, 2, 9), torch.ones(2, 1, 3), groups=2)
    assert settings() == before


def test_the_older_setting_comes_back_too() -> None:
    older("high")
    with exact_arithmetic():
        pass
    assert torch.get_float32_matmul_precision() == "high"


def test_the_last_one_out_puts_back_and_a_fault_does_too() -> None:
    older("medium")
    with exact_arithmetic():
        with pytest.raises(ZeroDivisionError), exact_arithmetic():
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize("method", ["pair", "fork"])
def test_every_pass_of_a_model_is_exact(model: ResidentModel, method: str) -> None:
    seen = []
    hook = model.loaded.network.get_input_embeddings().register_forward_hook(lambda *_: seen.append(settings()))
    older("medium")
    try:
        score_pairs(model, [PAIR], method=method)
    finally:
        hook.remove()
    assert seen and all(one == [value for _, _, value in _EXACT] for one in seen)


def test_autocast_around_a_score_changes_nothing(model: ResidentModel) -> None:
    expected = score_pairs(model, [PAIR])["delta_llr"].to_numpy()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(score_pairs(model, [PAIR])["delta_llr"].to_numpy(), expected)


def test_scores_do_not_depend_on_what_the_program_told_torch(model: ResidentModel) -> None:
    """On some CPUs, too, ``medium`` changes torch's own float32 products."""
    expected = score_pairs(model, [PAIR])["delta_llr"].to_numpy()
    older("medium")
    np.testing.assert_array_equal(score_pairs(model, [PAIR])["delta_llr"].to_numpy(), expected)
