"""Attention to prefixes in place is attention to copies of them: the kernels, the definition, and states along a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raygen.model.attention import attend, attend_plainly, causal_attention, kept
from raygen.model.state import AttentionState, KeysAndValues, Marks
from tests.model.models import largest_difference, random_model, random_tokens, small_config, small_evo2_config
from tests.model.pieces import TOLERANCE

HALF = {torch.bfloat16: 2e-2, torch.float16: 2e-3}


def random_rows(rows: int, num_tokens: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(3, rows, 2, num_tokens, 8, generator=torch.Generator().manual_seed(num_tokens))
    return q.to(dtype), k.to(dtype), v.to(dtype)


def prefixes_of(count: int, num_tokens: int, dtype: torch.dtype = torch.float32) -> KeysAndValues:
    _, keys, values = random_rows(count, num_tokens, dtype)
    return KeysAndValues(keys, values, np.full(count, num_tokens))


def by_copies(q: Tensor, k: Tensor, v: Tensor, state: AttentionState) -> Tensor:
    """Each row by itself: its prefix copied before its own tokens, and a mask."""
    rows = []
    for row, (prefix, length) in enumerate(zip(state.rows.tolist(), state.lengths.tolist(), strict=True)):
        keys = torch.cat([state.prefixes.keys_PHJE[prefix, :, :length], k[row]], dim=1).float()
        values = torch.cat([state.prefixes.values_PHJE[prefix, :, :length], v[row]], dim=1).float()
        time = torch.arange(q.shape[2])
        visible = torch.arange(keys.shape[1]) <= (length + time)[:, None]
        rows.append(torch.nn.functional.scaled_dot_product_attention(q[row].float(), keys, values, attn_mask=visible))
    return torch.stack(rows)


ROWS = {
    "one branch": ([1], [30]),
    "branches of one prefix": ([0] * 7, [40] * 7),
    "a row for each prefix": ([0, 1, 2], [25, 25, 25]),
    "as many for each prefix": ([0, 0, 1, 1, 2, 2], [25] * 6),
    "uneven lengths": ([0, 0, 1, 2, 2, 0], [3, 3, 40, 17, 17, 39]),
    "some without a prefix": ([0, 1, 1, 2], [0, 12, 12, 0]),
    "none with a prefix": ([0, 1], [0, 0]),
    "hundreds": (sorted(np.arange(300) % 3), [40] * 300),
}


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("num_tokens", [1, 9])
def test_attention_to_a_prefix_in_place_is_that_to_a_copy(rows: str, num_tokens: int, dtype: torch.dtype) -> None:
    chosen, lengths = (np.array(numbers, dtype=np.int64) for numbers in ROWS[rows])
    state = AttentionState(prefixes_of(3, 40, dtype), chosen, lengths)
    q, k, v = random_rows(len(chosen), num_tokens, dtype)
    ours = causal_attention(q, k, v, state)
    assert ours.dtype == dtype
    assert largest_difference(ours.float(), by_copies(q, k, v, state)) < HALF.get(dtype, TOLERANCE)


def test_scores_far_apart_are_joined_without_overflow() -> None:
    """All weight on the prefix, or none: e^400 is no float32."""
    q, k, v = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), torch.full((1, 1, 1, 4), 7.0)
    q[..., 0] = 20.0
    for sign, expected in ((1.0, 3.0), (-1.0, 7.0)):
        keys = torch.zeros(1, 1, 1, 4)
        keys[..., 0] = sign * 40.0
        prefixes = KeysAndValues(keys, torch.full((1, 1, 1, 4), 3.0), np.array([1]))
        out = causal_attention(q, k, v, AttentionState(prefixes, np.array([0]), np.array([1])))
        assert out.flatten().tolist() == [expected] * 4


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_the_kernel_gives_the_definition(is_causal: bool, dtype: torch.dtype) -> None:
    q, k, v = random_rows(3, 33, dtype)
    for ours, plain in zip(attend(q, k, v, is_causal), attend_plainly(q, k, v, is_causal), strict=True):
        assert ours.shape == plain.shape
        assert largest_difference(ours.float(), plain.float()) < HALF.get(dtype, TOLERANCE)


def test_a_prefix_that_has_room_grows_where_it_is() -> None:
    _, k, v = random_rows(2, 5)
    first = kept(None, k, v, Marks.ends(2, 5, room=12))
    second = kept(first, k, v, Marks.ends(2, 5, room=12))
    assert second.prefixes is first.prefixes
    assert (first.lengths.tolist(), second.lengths.tolist()) == ([5, 5], [10, 10])
    third = kept(second, k, v, Marks.ends(2, 5, room=12))  # no room
    assert third.prefixes is not first.prefixes and third.prefixes.keys_PHJE.shape[2] == 15
    assert torch.equal(third.prefixes.keys_PHJE, torch.cat([k, k, k], dim=2))


def test_two_that_read_on_from_one_state_do_not_meet() -> None:
    _, k, v = random_rows(1, 5)
    shared = kept(None, k, v, Marks.ends(1, 5, room=20))
    one, other = kept(shared, k, v, Marks.ends(1, 5)), kept(shared, -k, -v, Marks.ends(1, 5))
    assert torch.equal(one.prefixes.keys_PHJE[0, :, 5:10], k[0]) and torch.equal(
        other.prefixes.keys_PHJE[0, :, 5:10], -k[0]
    )
    earlier = AttentionState(one.prefixes, np.array([0]), np.array([3]))  # a mark before what is there
    assert kept(earlier, k, v, Marks.ends(1, 5)).prefixes is not one.prefixes


def test_rows_in_another_order_grow_each_in_its_own_place() -> None:
    """[0, 2, 1, 3] begins and ends as a range does."""
    _, k, v = random_rows(4, 5)
    first = kept(None, k, v, Marks.ends(4, 5, room=10))
    order = np.array([0, 2, 1, 3])
    kept(first.select(order), k[order], v[order], Marks.ends(4, 5))
    assert torch.equal(first.prefixes.keys_PHJE, torch.cat([k, k], dim=2))


MARKS = [(0, 1), (1, 2), (0, 63), (1, 64), (0, 65), (1, 130), (0, 200), (1, 200)]


@pytest.mark.parametrize("config", [small_config(), small_evo2_config()], ids=["Evo 1", "Evo 2"])
@pytest.mark.parametrize("before", [0, 70])
def test_a_state_at_any_mark_goes_on_as_the_whole_does(config, before: int) -> None:
    """Marks inside and at the ends of blocks, before as many tokens as a filter has taps, from the start and from a state."""
    model, tokens = random_model(config), random_tokens(2, before + 240)
    whole, _ = model.hidden_states(tokens)
    _, state = model.hidden_states(tokens[:, :before], return_state=True) if before else (None, None)
    rows, after = np.array(MARKS).T
    _, marked = model.hidden_states(tokens[:, before : before + 200], state, marks=Marks(rows, after))
    assert marked.lengths.tolist() == (before + after).tolist()
    for chosen in ([3], [7, 0, 0, 4], list(range(len(MARKS)))):
        starts = [(rows[index], before + after[index]) for index in chosen]
        further = torch.stack([tokens[row, start : start + 40] for row, start in starts])
        out, _ = model.hidden_states(further, marked.select(chosen))
        expected = torch.stack([whole[row, start : start + 40] for row, start in starts])
        assert largest_difference(out, expected) < TOLERANCE


def test_marks_of_a_block_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = random_model(small_config()), random_tokens(2, 1100)
    marks = Marks(np.array([1, 0, 0, 1, 0]), np.array([5, 256, 257, 800, 1100]))
    monkeypatch.setattr("raygen.model.layers.CPU_PIECE_TOKENS", 100_000)
    whole = model.hidden_states(tokens, marks=marks)[1]
    monkeypatch.setattr("raygen.model.layers.CPU_PIECE_TOKENS", 1)
    pieces = model.hidden_states(tokens, marks=marks)[1]
    for ours, expected in zip(pieces.layers, whole.layers, strict=True):
        for our, their in zip(ours.tensors(), expected.tensors(), strict=True):
            assert largest_difference(our, their) < TOLERANCE * max(1.0, float(their.abs().max()))
