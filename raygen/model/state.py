"""What a model knows after a prefix: the state that is forked, for every layer of Evo 1, Evo 2 and other models.

A state is never changed: reading on from it returns a new one, so one state can be continued in many ways. Rows come first in
all tensors.

Shapes:  B rows   C projected channels   D channels   J tokens read before   N states (poles) a channel   H heads
         E channels a head
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class LayerState(Protocol):
    """What one layer carries on. Some carry nothing."""

    def map(self, function: Callable[[Tensor], Tensor]) -> LayerState:
        """The same with other tensors: other rows, say."""
        ...

    def tensors(self) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class HyenaState:
    """What the two filters of a Hyena layer carry on.

    short_BCJ: the last taps − 1 inputs of the short filter on the projections, float32.
    filter_BDN: of the filter behind the gate: the long filter's N states (complex64 where its poles are complex, else
    float32), or, for a filter that is given by its taps, the last taps − 1 inputs, float32.
    """

    short_BCJ: Tensor
    filter_BDN: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> HyenaState:
        return HyenaState(function(self.short_BCJ), function(self.filter_BDN))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.short_BCJ, self.filter_BDN)


@dataclass(frozen=True)
class AttentionState:
    """Keys (after the rotary turn) and values of the J tokens read so far, in the dtype of the weights."""

    keys_BHJE: Tensor
    values_BHJE: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> AttentionState:
        return AttentionState(function(self.keys_BHJE), function(self.values_BHJE))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.keys_BHJE, self.values_BHJE)


@dataclass(frozen=True)
class PrefixState:
    """What the model knows after reading ``num_tokens`` tokens of each row: one entry a layer, rows first in all tensors.

    A state is never changed: reading on from it returns a new one, so one state can be continued in many ways.
    """

    layers: tuple[LayerState, ...]
    num_tokens: int

    @property
    def num_rows(self) -> int:
        return next(tensor for layer in self.layers for tensor in layer.tensors()).shape[0]

    @property
    def num_bytes(self) -> int:
        """Bytes held. Rows that still share memory after ``fork`` of a single row count once."""
        return sum(_held_bytes(tensor) for layer in self.layers for tensor in layer.tensors())

    def fork(self, copies: int) -> PrefixState:
        """``copies`` of each row, a row's copies next to each other. Forking a single row takes no memory."""
        return self._map(lambda tensor: _fork_rows(tensor, copies))

    def select(self, rows: Sequence[int] | Tensor) -> PrefixState:
        """The named rows, in the order given; a row may be named more than once."""

        def pick(tensor: Tensor) -> Tensor:
            return tensor.index_select(0, torch.as_tensor(rows, dtype=torch.long, device=tensor.device))

        return self._map(pick)

    def _map(self, function: Callable[[Tensor], Tensor]) -> PrefixState:
        return PrefixState(tuple(layer.map(function) for layer in self.layers), self.num_tokens)


def _held_bytes(tensor: Tensor) -> int:
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * int(torch.Size(size for size, stride in sizes if stride or not size).numel())


def _fork_rows(tensor: Tensor, copies: int) -> Tensor:
    if tensor.shape[0] == 1:
        return tensor.expand(copies, *tensor.shape[1:])
    return tensor.repeat_interleave(copies, dim=0)
