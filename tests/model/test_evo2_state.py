"""Evo 2 in pieces is Evo 2 at once: its own operators, each kind of layer, the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raygen.model import layers
from raygen.model.filters import (
    build_filter_block,
    build_window_toeplitz,
    long_filter,
    medium_filter,
    medium_filter_in_windows,
    recurrent_filter,
)
from raygen.model.state import Marks
from tests.model.models import largest_difference, random_model, random_tokens, small_evo2_config
from tests.model.pieces import TOLERANCE, assert_pieces_are_the_whole, prefix_and_suffix


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# Operators


def summed(x_DBT: Tensor, taps_GJ: Tensor, before_BDJ: Tensor) -> Tensor:
    """The definition of the medium filter, tap by tap, in float64."""
    taps_DJ = taps_GJ.repeat_interleave(x_DBT.shape[0] // taps_GJ.shape[0], dim=0).double()
    seen_DBT = torch.cat([before_BDJ.transpose(0, 1), x_DBT], dim=-1).double()
    before, num_tokens = before_BDJ.shape[-1], x_DBT.shape[-1]
    lagged = [seen_DBT[..., before - lag : before - lag + num_tokens] for lag in range(before + 1)]
    return (torch.stack(lagged, dim=-1) * taps_DJ[:, None, None]).sum(-1)


@pytest.mark.parametrize("num_tokens", [1, 2, 63, 127, 128, 129, 256, 1000])
@pytest.mark.parametrize("taps", [128, 5, 1])
def test_medium_filter_is_the_sum_over_taps_in_windows_too(num_tokens: int, taps: int) -> None:
    x_DBT, taps_GJ, before_BDJ = torch.randn(6, 2, num_tokens), torch.randn(3, taps), torch.randn(2, 6, taps - 1)
    expected = summed(x_DBT, taps_GJ, before_BDJ)
    in_windows = medium_filter_in_windows(x_DBT, build_window_toeplitz(taps_GJ), before_BDJ)
    for y_DBT in (medium_filter(x_DBT, taps_GJ, before_BDJ), in_windows):
        assert largest_difference(y_DBT.double(), expected) < 1e-5 * taps**0.5


def test_medium_filter_by_hand() -> None:
    """Taps 1, 10, 100 (the first on the token itself); two channels of one group, inputs 7 and 8 before the second."""
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])
    before, taps = torch.tensor([[[0.0, 0.0], [7.0, 8.0]]]), torch.tensor([[1.0, 10.0, 100.0]])
    expected = [[[1.0, 12.0, 123.0]], [[784.0, 845.0, 456.0]]]
    assert medium_filter(x, taps, before).tolist() == expected
    assert medium_filter_in_windows(x, build_window_toeplitz(taps, 2), before).tolist() == expected


def real_filter() -> tuple[Tensor, Tensor]:
    """Poles exp(log_pole), fast, slow and one that does not decay, and residues: (3, 4) float64."""
    log_poles = -torch.rand(3, 4, dtype=torch.float64) * 2
    log_poles[0, 0], log_poles[0, 1], log_poles[1, 0] = 0.0, -1e-4, -30.0
    return log_poles.exp(), torch.randn(3, 4, dtype=torch.float64)


@pytest.mark.parametrize("num_tokens", [1, 63, 64, 65, 129, 1000])
@pytest.mark.parametrize("with_state", [False, True])
def test_long_filter_with_real_poles_is_the_recurrence(num_tokens: int, with_state: bool) -> None:
    poles, residues = real_filter()
    x_DBT, state_BDN = torch.randn(3, 2, num_tokens), torch.randn(2, 3, 4) if with_state else None
    y, after = long_filter(x_DBT, build_filter_block(poles, residues), state_BDN, Marks.ends(*x_DBT.shape[1:]))
    start = torch.zeros(2, 3, 4, dtype=torch.float64) if state_BDN is None else state_BDN.double()
    expected_y, expected_after = recurrent_filter(x_DBT.double(), poles, residues, start)
    assert after is not None and after.dtype == torch.float32
    assert largest_difference(y.double(), expected_y) < 5e-6 * float(expected_y.abs().max())
    assert largest_difference(after.double(), expected_after) < 5e-6 * float(expected_after.abs().max())


@prefix_and_suffix
def test_long_filter_with_real_poles_continues_from_its_state(prefix: int, suffix: int) -> None:
    block, x_DBT = build_filter_block(*real_filter()), torch.randn(3, 2, prefix + suffix)
    whole, whole_state = long_filter(x_DBT, block, None, Marks.ends(*x_DBT.shape[1:]))
    first, state = long_filter(x_DBT[..., :prefix], block, None, Marks.ends(x_DBT.shape[1], prefix))
    second, state = long_filter(x_DBT[..., prefix:], block, state, Marks.ends(x_DBT.shape[1], suffix))
    assert state is not None and whole_state is not None
    assert largest_difference(torch.cat([first, second], dim=-1), whole) < 5e-6 * float(whole.abs().max())
    assert largest_difference(state, whole_state) < 5e-6 * float(whole_state.abs().max())


# Layers and model


@prefix_and_suffix
@pytest.mark.parametrize("layer", [0, 1, 2, 3], ids=["short", "medium", "long", "attention"])
def test_layer_continues_from_its_state(layer: int, prefix: int, suffix: int) -> None:
    block = random_model(small_evo2_config()).backbone.blocks[layer]
    x_BTD = torch.randn(2, prefix + suffix, 32)
    whole, whole_state = block(x_BTD, None, Marks.ends(2, prefix + suffix))
    first, state = block(x_BTD[:, :prefix], None, Marks.ends(2, prefix))
    second, state = block(x_BTD[:, prefix:], state, Marks.ends(2, suffix))
    assert largest_difference(torch.cat([first, second], dim=1), whole) < TOLERANCE
    for ours, expected in zip(state.tensors(), whole_state.tensors(), strict=True):
        assert largest_difference(ours, expected) < TOLERANCE * max(1.0, float(expected.abs().max()))


@prefix_and_suffix
def test_model_continues_from_its_state(prefix: int, suffix: int) -> None:
    assert_pieces_are_the_whole(random_model(small_evo2_config()), random_tokens(2, prefix + suffix), [prefix, suffix])


def test_many_pieces_are_the_whole() -> None:
    assert_pieces_are_the_whole(
        random_model(small_evo2_config()),
        random_tokens(2, 1 + 2 + 6 + 63 + 127 + 128 + 1 + 200),
        [1, 2, 6, 63, 127, 128, 1, 200],
    )


def test_interpolated_positions_count_from_the_start() -> None:
    changes = {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 128}
    assert_pieces_are_the_whole(random_model(small_evo2_config(**changes)), random_tokens(1, 200), [130, 70])


def test_forked_rows_go_on_each_with_their_own_suffix() -> None:
    model, prefix, suffixes = random_model(small_evo2_config()), random_tokens(1, 170), random_tokens(3, 33, seed=1)
    _, state = model.hidden_states(prefix, return_state=True)
    forked, after = model.hidden_states(suffixes, state.fork(3), return_state=True)
    whole, _ = model.hidden_states(torch.cat([prefix.expand(3, -1), suffixes], dim=1))
    assert largest_difference(forked, whole[:, 170:]) < TOLERANCE
    assert after.num_rows == 3 and after.num_tokens == 203


def test_state_bytes_are_what_is_held() -> None:
    """Tails of 2 taps on 96 channels in three layers; 6 and 127 inputs and 4 poles on 32; keys and values of 50 tokens."""
    model = random_model(small_evo2_config())
    _, state = model.hidden_states(random_tokens(1, 50), return_state=True)
    assert state.num_bytes == 4 * (3 * 2 * 96 + (6 + 127 + 4) * 32 + 2 * 50 * 32) == model.state_size().prefix(50)


def test_a_row_does_not_depend_on_batch_mates_or_padding() -> None:
    model, tokens = random_model(small_evo2_config()), random_tokens(5, 150)
    padded = model(torch.cat([tokens, torch.ones(5, 77, dtype=torch.long)], dim=1))
    for row in range(5):
        assert largest_difference(model(tokens[row : row + 1]), padded[row : row + 1, :150]) < TOLERANCE


def test_everything_is_made_on_the_device_of_the_weights() -> None:
    """The meta device stands for a GPU: an operation between it and the CPU would fail."""
    model = random_model(small_evo2_config()).to("meta")
    _, state = model.hidden_states(random_tokens(2, 100).to("meta"), return_state=True)
    hidden, _ = model.hidden_states(random_tokens(4, 200).to("meta"), state.fork(2), return_state=True)
    logits = model.unembed(hidden)
    assert (logits.device.type, logits.shape) == ("meta", (4, 200, 512))


def test_hyena_blocks_in_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = random_model(small_evo2_config()), random_tokens(2, 1100)
    monkeypatch.setattr(layers, "CPU_PIECE_TOKENS", 100_000)
    whole, _ = model.hidden_states(tokens)
    monkeypatch.setattr(layers, "CPU_PIECE_TOKENS", 1)
    assert largest_difference(model.hidden_states(tokens)[0], whole) < TOLERANCE


def test_every_parameter_gets_a_gradient_and_a_step_is_seen() -> None:
    """Also by what is made of filters and kept between calls."""
    model, tokens = random_model(small_evo2_config(tie_embeddings=False)), random_tokens(2, 300)
    with torch.no_grad():
        before = model(tokens)
    model.requires_grad_(True)
    model(tokens).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())
    for ending in ("log_poles", "1.filter.h"):
        kept = [parameter for name, parameter in model.named_parameters() if name.endswith(ending)]
        torch.optim.SGD(kept, lr=0.1).step()
        with torch.no_grad():
            after = model(tokens)
        assert largest_difference(after, before) > 1e-4
        before = after
