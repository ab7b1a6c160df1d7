"""The small layers that Evo 1 and Evo 2 have in common. Matrix products in the dtype of their weights, norms in float32.

Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.

Shapes:  B rows   T tokens   M = B·T   D width   C output channels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raygen.model.products import Linear, linear, multiplied
from raygen.model.state import HyenaState, Marks

# Rows × tokens that go through a Hyena block at a time. On a GPU a bound of memory; on a CPU smaller, because allocations
# of tens of MB cost page faults: 4 × 2,048 tokens at width 384 ran at 5,500 tokens/s in pieces of 2,048, whole at 4,750.
GPU_PIECE_TOKENS = 16_384
CPU_PIECE_TOKENS = 2_048
MIN_PIECE_TOKENS = 256  # of a row

_UNIT = 3**0.5  # numbers between − and + this, all alike, have a variance of 1

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}


def drawn(shape: Sequence[int], low: float, high: float) -> nn.Parameter:
    """A parameter of random numbers, all between two alike.

    Drawn in place, because a network is made on torch's device ``meta`` before a checkpoint is read, and there any arithmetic, normal
    draws too, would import torch's compiler: a second of every actor.
    """
    return nn.Parameter(nn.init.uniform_(torch.empty(shape), low, high))


def drawn_around_zero(shape: Sequence[int], deviation: float) -> nn.Parameter:
    """``drawn`` with a mean of 0 and a standard deviation."""
    return drawn(shape, -deviation * _UNIT, deviation * _UNIT)


class RMSNorm(nn.Module):
    """x / (rms(x) + eps) · scale, in float32 and then in the dtype that is asked for; eps outside the root, as the checkpoints were trained."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x_BTD: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        x_BTD = x_BTD.float()
        rms_BT1 = torch.linalg.vector_norm(x_BTD, dim=-1, keepdim=True) * x_BTD.shape[-1] ** -0.5
        return multiplied(x_BTD / (rms_BT1 + self.eps), self.scale.float(), dtype)


class TokenEmbedding(nn.Embedding):
    """Token ids to vectors; with ``unembed`` hidden vectors to logits, in float32."""

    def reset_parameters(self) -> None:
        """As ``drawn``."""
        nn.init.uniform_(self.weight, -_UNIT, _UNIT)

    def forward(self, inputs: Tensor, unembed: bool = False) -> Tensor:
        if unembed:
            return linear(inputs.float(), self.weight.float())
        return F.embedding(inputs, self.weight)


class GatedMLP(nn.Module):
    """l3(activation(l1 x) · l2 x). ``activation``: a key of ``ACTIVATIONS``, or None for none."""

    def __init__(self, width: int, inner_width: int, activation: str | None) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation] if activation else nn.Identity()
        self.l1 = Linear(width, inner_width, bias=False)
        self.l2 = Linear(width, inner_width, bias=False)
        self.l3 = Linear(inner_width, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD.to(self.l1.weight.dtype)
        return self.l3(self.activation(self.l1(x_BTD)) * self.l2(x_BTD))


ReadHyena = Callable[[Tensor, HyenaState | None, Marks | None], tuple[Tensor, HyenaState | None]]


def read_in_pieces(
    read: ReadHyena, x_BTD: Tensor, state: HyenaState | None, marks: Marks | None
) -> tuple[Tensor, HyenaState | None]:
    """A Hyena block over a long sequence, piece by piece, so that its wide intermediates are never whole in memory."""
    budget = CPU_PIECE_TOKENS if x_BTD.device.type == "cpu" else GPU_PIECE_TOKENS
    num_rows, num_tokens = x_BTD.shape[:2]
    *first, last_BTD = x_BTD.split(max(MIN_PIECE_TOKENS, budget // num_rows), dim=1)
    if not first:
        return read(x_BTD, state, marks)
    outputs, kept, start = [], [], 0
    for piece_BTD in first:
        end = start + piece_BTD.shape[1]
        here = (marks or _NO_MARKS).within(start, end)
        out_BTD, states = read(piece_BTD, state, here.and_ends(num_rows, piece_BTD.shape[1]))
        assert states is not None
        outputs.append(out_BTD)
        if len(here):
            kept.append(states.select(np.arange(len(here))))
        state, start = states.select(np.arange(len(here), len(here) + num_rows)), end
    here = (marks or _NO_MARKS).within(start, num_tokens)
    out_BTD, states = read(last_BTD, state, here if len(here) else None)
    if states is not None:
        kept.append(states)
    return torch.cat([*outputs, out_BTD], dim=1), HyenaState.joined(kept) if kept else None


_NO_MARKS = Marks(np.zeros(0, np.int64), np.zeros(0, np.int64))
