"""Reading in pieces is reading at once: each operator, each layer, the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raygen.model import evo1, layers
from raygen.model.filters import FilterBlock, build_filter_block, long_filter, recurrent_filter, short_filter
from raygen.model.state import Marks, PrefixState
from raygen.model.striped_hyena import AttentionBlock, HyenaBlock
from tests.model.models import largest_difference, random_model, random_tokens, small_config
from tests.model.pieces import TOLERANCE, assert_pieces_are_the_whole, prefix_and_suffix

FILTER_TOLERANCE = 5e-6  # relative to the largest output: slow poles hold states that are ten times larger


@pytest.fixture(autouse=True)
def no_gradients_by_default() -> None:
    torch.manual_seed(0)


def random_filter(channels: int = 3, states: int = 4) -> tuple[Tensor, Tensor]:
    """Poles (fast, slow, real and at zero) and residues, complex128."""
    angle = torch.rand(channels, states, dtype=torch.float64) * 6.28
    poles = torch.polar(torch.rand(channels, states, dtype=torch.float64).sqrt(), angle)
    poles[0, 0], poles[0, 1], poles[1, 0] = 0.9995, 0.0, -0.99
    return poles, torch.randn(channels, states, dtype=torch.complex128)


def definition(x_DBT: Tensor, filter_: tuple[Tensor, Tensor], state_BDN: Tensor | None = None) -> tuple[Tensor, Tensor]:
    poles, residues = filter_
    if state_BDN is None:
        state_BDN = torch.zeros(x_DBT.shape[1], *poles.shape, dtype=torch.complex128)
    return recurrent_filter(x_DBT.double(), poles, residues, state_BDN.to(torch.complex128))


# Operators


@pytest.mark.parametrize("num_tokens", [1, 2, 63, 64, 65, 128, 129, 300, 700, 1000])
@pytest.mark.parametrize("with_state", [False, True])
def test_long_filter_in_blocks_is_the_recurrence(num_tokens: int, with_state: bool) -> None:
    filter_, x_DBT = random_filter(), torch.randn(3, 2, num_tokens)
    state_BDN = torch.randn(2, 3, 4, dtype=torch.complex64) if with_state else None
    y, after = long_filter(x_DBT, build_filter_block(*filter_), state_BDN, Marks.ends(2, num_tokens))
    expected_y, expected_after = definition(x_DBT, filter_, state_BDN)
    scale = float(expected_y.abs().max())
    assert after is not None
    assert largest_difference(y, expected_y) < FILTER_TOLERANCE * scale
    assert largest_difference(after, expected_after) < FILTER_TOLERANCE * float(expected_after.abs().max())


@pytest.mark.parametrize("num_tokens", [1, 64, 100])
def test_the_skip_of_a_long_filter_is_each_input_times_its_factor(num_tokens: int) -> None:
    filter_, x_DBT, skip_D = random_filter(), torch.randn(3, 2, num_tokens), torch.randn(3)
    y, after = long_filter(x_DBT, build_filter_block(*filter_, skip_D), None, Marks.ends(2, num_tokens))
    without, after_without = long_filter(x_DBT, build_filter_block(*filter_), None, Marks.ends(2, num_tokens))
    assert largest_difference(y, without + skip_D[:, None, None] * x_DBT) < FILTER_TOLERANCE * float(y.abs().max())
    assert after is not None and after_without is not None and torch.equal(after, after_without)


def test_long_filter_by_hand() -> None:
    """h = 2 · 0.5^t: an impulse answers 2, 1, 0.5, and a state of 4 adds 2 · (2, 1, 0.5)."""
    block = build_filter_block(torch.tensor([[0.5 + 0j]]), torch.tensor([[2 + 0j]]))
    impulse = torch.tensor([[[1.0, 0.0, 0.0]]])
    assert long_filter(impulse, block, None)[0].tolist() == [[[2.0, 1.0, 0.5]]]
    y, after = long_filter(impulse, block, torch.full((1, 1, 1), 4 + 0j), Marks.ends(1, 3))
    assert y.tolist() == [[[6.0, 3.0, 1.5]]]
    assert after is not None and after.tolist() == [[[0.75 + 0j]]]


def test_long_filter_is_exact_at_a_slow_pole_far_from_the_start() -> None:
    """|p| so near one that an angle error in float32 would show after 100,000 tokens."""
    pole = torch.polar(torch.tensor([[1 - 1e-6]], dtype=torch.float64), torch.tensor([[1.2345]], dtype=torch.float64))
    impulse = torch.zeros(1, 1, 100_001)
    impulse[..., 0] = 1
    y, _ = long_filter(impulse, build_filter_block(pole, torch.ones_like(pole)), None)
    expected = (pole**100_000).real
    assert largest_difference(y[..., -1], expected) < 1e-5


@prefix_and_suffix
def test_long_filter_continues_from_its_state(prefix: int, suffix: int) -> None:
    block, x_DBT = build_filter_block(*random_filter()), torch.randn(3, 2, prefix + suffix)
    whole, state_whole = long_filter(x_DBT, block, None, Marks.ends(2, prefix + suffix))
    first, state = long_filter(x_DBT[..., :prefix], block, None, Marks.ends(2, prefix))
    second, state = long_filter(x_DBT[..., prefix:], block, state, Marks.ends(2, suffix))
    scale = float(whole.abs().max())
    assert state is not None and state_whole is not None
    assert largest_difference(torch.cat([first, second], dim=-1), whole) < FILTER_TOLERANCE * scale
    assert largest_difference(state, state_whole) < FILTER_TOLERANCE * float(state_whole.abs().max())


@prefix_and_suffix
def test_short_filter_continues_from_its_last_inputs(prefix: int, suffix: int) -> None:
    z, weight, bias = torch.randn(6, 2, prefix + suffix), torch.randn(6, 3), torch.randn(6)
    nothing = torch.zeros(2, 6, 2)
    whole = short_filter(z, weight, bias, nothing)
    before = torch.cat([nothing, z[..., :prefix].transpose(0, 1)], dim=-1)[..., -2:]
    pieces = [short_filter(z[..., :prefix], weight, bias, nothing), short_filter(z[..., prefix:], weight, bias, before)]
    assert largest_difference(torch.cat(pieces, dim=-1), whole) < TOLERANCE


def test_short_filter_by_hand() -> None:
    """Weights 1, 10, 100 (the last on the token itself), bias 0.5; two rows that must not see each other."""
    z = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    before = torch.tensor([[[0.0, 0.0]], [[7.0, 8.0]]])
    y = short_filter(z, torch.tensor([[1.0, 10.0, 100.0]]), torch.tensor([0.5]), before)
    assert y.tolist() == [[[100.5, 210.5, 321.5], [487.5, 548.5, 654.5]]]


# Layers and model


@prefix_and_suffix
@pytest.mark.parametrize("kind", [HyenaBlock, AttentionBlock])
def test_layer_continues_from_its_state(kind: type, prefix: int, suffix: int) -> None:
    model = random_model(small_config())
    layer = next(block for block in model.backbone.blocks if isinstance(block, kind))
    x_BTD = torch.randn(2, prefix + suffix, 32)
    whole, whole_state = layer(x_BTD, None, Marks.ends(2, prefix + suffix))
    first, state = layer(x_BTD[:, :prefix], None, Marks.ends(2, prefix))
    second, state = layer(x_BTD[:, prefix:], state, Marks.ends(2, suffix))
    assert largest_difference(torch.cat([first, second], dim=1), whole) < TOLERANCE
    for ours, expected in zip(state.tensors(), whole_state.tensors(), strict=True):
        assert largest_difference(ours, expected) < TOLERANCE * max(1.0, float(expected.abs().max()))


@prefix_and_suffix
def test_model_continues_from_its_state(prefix: int, suffix: int) -> None:
    model, tokens = random_model(small_config()), random_tokens(2, prefix + suffix)
    assert_pieces_are_the_whole(model, tokens, [prefix, suffix])


def test_many_pieces_are_the_whole() -> None:
    tokens = random_tokens(2, 1 + 2 + 63 + 64 + 65 + 1 + 300)
    assert_pieces_are_the_whole(random_model(small_config()), tokens, [1, 2, 63, 64, 65, 1, 300])


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_pieces_shorter_than_the_short_filter_are_the_whole(taps: int) -> None:
    model = random_model(small_config(short_filter_length=taps))
    assert_pieces_are_the_whole(model, random_tokens(2, 10), [1, 1, 2, 1, 5])


def test_interpolated_positions_count_from_the_start() -> None:
    model = random_model(small_config(use_interpolated_rotary_pos_emb=True, rotary_emb_scaling_factor=4))
    assert_pieces_are_the_whole(model, random_tokens(1, 200), [130, 70])


def test_half_precision_pieces_are_the_whole() -> None:
    """To bfloat16's rounding: the attention of a suffix runs through another kernel."""
    model = random_model(small_config()).to(torch.bfloat16)
    assert_pieces_are_the_whole(model, random_tokens(2, 200), [130, 70], tolerance=0.1)


def test_forked_rows_go_on_each_with_their_own_suffix() -> None:
    model, prefix, suffixes = random_model(small_config()), random_tokens(1, 70), random_tokens(3, 33, seed=1)
    _, state = model.hidden_states(prefix, return_state=True)
    assert state is not None
    forked, after = model.hidden_states(suffixes, state.fork(3), return_state=True)
    whole, _ = model.hidden_states(torch.cat([prefix.expand(3, -1), suffixes], dim=1))
    assert largest_difference(forked, whole[:, 70:]) < TOLERANCE
    assert after is not None and after.num_rows == 3 and after.num_tokens == 103


def test_fork_puts_copies_of_a_row_next_to_each_other() -> None:
    model, prefixes, suffixes = random_model(small_config()), random_tokens(2, 40), random_tokens(4, 9, seed=1)
    forked, _ = model.hidden_states(suffixes, state_of(model, prefixes).fork(2))
    whole, _ = model.hidden_states(torch.cat([prefixes.repeat_interleave(2, dim=0), suffixes], dim=1))
    assert largest_difference(forked, whole[:, 40:]) < TOLERANCE


def test_select_takes_rows_in_the_order_given() -> None:
    model, prefixes, suffixes = random_model(small_config()), random_tokens(3, 40), random_tokens(4, 9, seed=1)
    selected, _ = model.hidden_states(suffixes, state_of(model, prefixes).select([2, 0, 0, 1]))
    whole, _ = model.hidden_states(torch.cat([prefixes[[2, 0, 0, 1]], suffixes], dim=1))
    assert largest_difference(selected, whole[:, 40:]) < TOLERANCE


def test_num_bytes_counts_what_is_held() -> None:
    """Hyena: 2 inputs of 96 channels in float32 and 32 × 4 complex64; attention: 2 × 2 × 50 × 16 in float32. Rows that are chosen again
    share them."""
    model = random_model(small_config())
    state = state_of(model, random_tokens(1, 50))
    hyena, attention = 2 * (2 * 96 * 4 + 32 * 4 * 8), 2 * 2 * 50 * 16 * 4
    assert state.num_bytes == hyena + attention
    assert state.fork(10).num_bytes == hyena + attention
    marks = Marks(np.array([0, 0, 0]), np.array([10, 20, 50]))
    assert model.hidden_states(random_tokens(1, 50), marks=marks)[1].num_bytes == 3 * hyena + attention


def test_continuing_does_not_change_the_state() -> None:
    model = random_model(small_config())
    state = state_of(model, random_tokens(1, 50))
    first, _ = model.hidden_states(random_tokens(2, 20, seed=1), state.fork(2))
    again, _ = model.hidden_states(random_tokens(2, 20, seed=1), state.fork(2))
    assert torch.equal(first, again)


def test_a_row_does_not_depend_on_its_batch_mates() -> None:
    model, tokens = random_model(small_config()), random_tokens(5, 150)
    together = model(tokens)
    for row in range(5):
        assert largest_difference(model(tokens[row : row + 1]), together[row : row + 1]) < TOLERANCE


def test_padding_on_the_right_changes_nothing_before_it() -> None:
    model, tokens = random_model(small_config()), random_tokens(2, 100)
    padded = torch.cat([tokens, torch.ones(2, 77, dtype=torch.long)], dim=1)
    assert largest_difference(model(padded)[:, :100], model(tokens)) < TOLERANCE


def test_state_of_other_rows_is_refused() -> None:
    model = random_model(small_config())
    with pytest.raises(ValueError, match="state holds 2 rows, the tokens 3"):
        model.hidden_states(random_tokens(3, 4), state_of(model, random_tokens(2, 4)))


def state_of(model: evo1.Evo1Network, tokens: Tensor) -> PrefixState:
    state = model.hidden_states(tokens, return_state=True)[1]
    assert state is not None
    return state


# Gradients


def test_gradients_of_the_blocks_are_those_of_the_recurrence() -> None:
    poles, residues = (tensor.requires_grad_() for tensor in random_filter())
    x_DBT, weight = torch.randn(3, 2, 150, requires_grad=True), torch.randn(3, 2, 150)
    state_BDN = torch.randn(2, 3, 4, dtype=torch.complex64)
    ours = torch.autograd.grad(
        (long_filter(x_DBT, build_filter_block(poles, residues), state_BDN)[0] * weight).sum(), (x_DBT, poles, residues)
    )
    theirs = torch.autograd.grad(
        (definition(x_DBT, (poles, residues), state_BDN)[0] * weight).sum(), (x_DBT, poles, residues)
    )
    for our, their in zip(ours, theirs, strict=True):
        assert largest_difference(our, their) < 1e-4 * float(their.abs().max())


def test_every_parameter_gets_a_gradient_and_a_step_is_seen() -> None:
    """Also by the filter block that is kept between calls."""
    model, tokens = random_model(small_config(tie_embeddings=False)), random_tokens(2, 100)
    with torch.no_grad():
        before = model(tokens)
    model.requires_grad_(True)
    model(tokens).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())
    poles = [parameter for name, parameter in model.named_parameters() if name.endswith("poles")]
    torch.optim.SGD(poles, lr=0.1).step()
    with torch.no_grad():
        assert largest_difference(model(tokens), before) > 1e-4
    assert isinstance(model.backbone.blocks[0].filter.block(), FilterBlock)


def test_frozen_model_used_for_inference_still_passes_gradients_on() -> None:
    model = random_model(small_config())
    with torch.inference_mode():
        model(random_tokens(1, 100))
    x_BTD = torch.randn(1, 100, 32, requires_grad=True)
    model.backbone.blocks[0](x_BTD, None, None)[0].sum().backward()
    assert x_BTD.grad is not None and x_BTD.grad.abs().max() > 0


# Devices and long sequences


def test_everything_is_made_on_the_device_of_the_weights() -> None:
    """The meta device stands for a GPU: an operation between it and the CPU would fail."""
    model = random_model(small_config()).to("meta")
    hidden, state = model.hidden_states(random_tokens(2, 100).to("meta"), return_state=True)
    assert state is not None
    hidden, state = model.hidden_states(random_tokens(4, 200).to("meta"), state.fork(2), return_state=True)
    logits = model.unembed(hidden)
    assert (logits.device.type, logits.shape) == ("meta", (4, 200, 512))


def test_hyena_blocks_in_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = random_model(small_config()), random_tokens(2, 1100)
    monkeypatch.setattr(layers, "CPU_PIECE_TOKENS", 100_000)
    whole, whole_state = model.hidden_states(tokens, return_state=True)
    monkeypatch.setattr(layers, "CPU_PIECE_TOKENS", 1)
    pieces, state = model.hidden_states(tokens, return_state=True)
    assert largest_difference(pieces, whole) < TOLERANCE
    assert state is not None and whole_state is not None
    for ours, expected in zip(state.layers, whole_state.layers, strict=True):
        for our, their in zip(ours.tensors(), expected.tensors(), strict=True):
            assert largest_difference(our, their) < TOLERANCE * max(1.0, float(their.abs().max()))


def test_the_kept_block_of_a_filter_follows_its_skip() -> None:
    long_hyena, x_DBT = (
        random_model(small_config()).backbone.blocks[0].filter,
        torch.randn(small_config().hidden_size, 1, 9),
    )
    with torch.no_grad():
        before, _ = long_hyena.inner(x_DBT, None, None)
        long_hyena.D += 1.0
        after, _ = long_hyena.inner(x_DBT, None, None)
    assert largest_difference(after - before, x_DBT) < FILTER_TOLERANCE
