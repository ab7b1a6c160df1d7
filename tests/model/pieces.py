"""What tests of reading in pieces share: sizes, a tolerance, and the comparison of a model's pieces with the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.models import largest_difference

SIZES = (1, 63, 1000)
TOLERANCE = 2e-5  # of values about one, in float32

prefix_and_suffix = pytest.mark.parametrize(
    ("prefix", "suffix"), [(prefix, suffix) for prefix in SIZES for suffix in SIZES]
)


def assert_pieces_are_the_whole(model: Any, tokens: Tensor, sizes: list[int], tolerance: float = TOLERANCE) -> None:
    whole, _ = model.hidden_states(tokens)
    pieces, state = [], None
    for piece in tokens.split(sizes, dim=1):
        hidden, state = model.hidden_states(piece, state, return_state=True)
        pieces.append(hidden)
    assert state is not None and state.num_tokens == tokens.shape[1]
    assert largest_difference(torch.cat(pieces, dim=1), whole) < tolerance
