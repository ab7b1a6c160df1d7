"""What a model knows after a prefix: the state that is forked, for every layer of Evo 1, Evo 2 and other models.

A state is never changed: reading on from it returns a new one, so one state can be continued in many ways. Reading on keeps the
states at its *marks*, each after some of the tokens of a row; a state has one row for each. Keys and values of a prefix are not copied
for a mark: all marks of a row, and all that is read on from them, attend to the row's own (``KeysAndValues``), each up to where it left.

Shapes:  B rows   R rows of a state   P prefixes   C projected channels   D channels   J tokens or inputs before   N states (poles) a
         channel   H heads   E channels a head
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Marks:
    """Where a pass keeps states: after ``after`` of its tokens (at least one) of each of ``rows``.

    Attributes:
        rows, after: (R,) int64, in ascending order of ``after``.
        room: tokens that keys and values shall have room for, so that reading on needs no copy of them; 0 for no more than are read.
    """

    rows: np.ndarray
    after: np.ndarray
    room: int = 0
    _on_devices: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def ends(num_rows: int, num_tokens: int, room: int = 0) -> Marks:
        """After the last of T tokens of every row."""
        return Marks(np.arange(num_rows), np.full(num_rows, num_tokens), room)

    def __len__(self) -> int:
        return len(self.rows)

    def within(self, start: int, end: int) -> Marks:
        """The marks after start < tokens <= end, counted from ``start``."""
        first, last = np.searchsorted(self.after, [start, end], side="right")
        return Marks(self.rows[first:last], self.after[first:last] - start, self.room)

    def and_ends(self, num_rows: int, num_tokens: int) -> Marks:
        """These, and after them the ends of every row."""
        rows, after = np.arange(num_rows), np.full(num_rows, num_tokens)
        return Marks(np.concatenate([self.rows, rows]), np.concatenate([self.after, after]), self.room)

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """``rows`` and ``after`` as tensors."""
        if device not in self._on_devices:
            rows, after = torch.from_numpy(self.rows), torch.from_numpy(self.after)
            self._on_devices[device] = rows.to(device), after.to(device)
        return self._on_devices[device]


class LayerState(Protocol):
    """What one layer carries on. Some carry nothing."""

    def select(self, rows: np.ndarray) -> LayerState:
        """The named rows, in the order given."""
        ...

    def tensors(self) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class HyenaState:
    """What the two filters of a Hyena layer carry on.

    Attributes:
        short_RCJ: the last taps − 1 inputs of the short filter on the projections, float32.
        filter_RDN: of the filter behind the gate: the long filter's N states (complex64 where its poles are complex, else
            float32), or, for a filter that is given by its taps, the last taps − 1 inputs, float32.
        rows: which rows of the two; None for all. They are taken when the layer reads on, not before: one layer's at a time.
    """

    short_RCJ: Tensor
    filter_RDN: Tensor
    rows: np.ndarray | None = None

    def select(self, rows: np.ndarray) -> HyenaState:
        return HyenaState(self.short_RCJ, self.filter_RDN, rows if self.rows is None else self.rows[rows])

    def taken(self) -> tuple[Tensor, Tensor]:
        """Both tensors, of the chosen rows."""
        if self.rows is None:
            return self.short_RCJ, self.filter_RDN
        index = torch.from_numpy(self.rows).to(self.short_RCJ.device)
        return self.short_RCJ.index_select(0, index), self.filter_RDN.index_select(0, index)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.short_RCJ, self.filter_RDN)

    @staticmethod
    def joined(states: Sequence[HyenaState]) -> HyenaState:
        """All rows of several states."""
        if len(states) == 1:
            return states[0]
        short, filters = zip(*(state.taken() for state in states), strict=True)
        return HyenaState(torch.cat(short), torch.cat(filters))


class KeysAndValues:
    """Keys (after the rotary turn) and values of P prefixes, in the dtype of the weights, written in order.

    ``filled`` says how many tokens of each prefix are there. What is there is never written again, so states that end earlier stay
    true while a prefix grows.
    """

    def __init__(self, keys_PHJE: Tensor, values_PHJE: Tensor, filled: np.ndarray) -> None:
        self.keys_PHJE, self.values_PHJE, self.filled = keys_PHJE, values_PHJE, filled

    @staticmethod
    def empty(num_prefixes: int, room: int, like_BHTE: Tensor) -> KeysAndValues:
        """Room for as many tokens, none of them there."""
        shape = (num_prefixes, like_BHTE.shape[1], room, like_BHTE.shape[3])
        return KeysAndValues(like_BHTE.new_empty(shape), like_BHTE.new_empty(shape), np.zeros(num_prefixes, np.int64))

    def can_grow(self, rows: np.ndarray, lengths: np.ndarray, num_tokens: int) -> bool:
        """Whether these are ends of prefixes that have room for more tokens."""
        return (
            len(set(rows.tolist())) == len(rows)
            and len(set(lengths.tolist())) == 1
            and bool((self.filled[rows] == lengths).all())
            and int(lengths[0]) + num_tokens <= self.keys_PHJE.shape[2]
        )

    def write(self, rows: np.ndarray, start: int, keys_BHTE: Tensor, values_BHTE: Tensor) -> None:
        """The tokens from ``start`` on of some prefixes."""
        end = start + keys_BHTE.shape[2]
        follow = np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows)))
        chosen = slice(rows[0], rows[-1] + 1) if follow else torch.from_numpy(rows)  # an index would copy on the way
        self.keys_PHJE[chosen, :, start:end] = keys_BHTE
        self.values_PHJE[chosen, :, start:end] = values_BHTE
        self.filled[rows] = end


@dataclass(frozen=True)
class AttentionState:
    """For each row the prefix that it attends to, ``rows`` of ``prefixes``, and how many tokens of it: (R,) int64."""

    prefixes: KeysAndValues
    rows: np.ndarray
    lengths: np.ndarray

    def select(self, rows: np.ndarray) -> AttentionState:
        return AttentionState(self.prefixes, self.rows[rows], self.lengths[rows])

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.prefixes.keys_PHJE, self.prefixes.values_PHJE)

    @cached_property
    def runs(self) -> list[SharedPrefix]:
        """Neighbouring rows that attend to the same, as few runs as there are."""
        changes = (np.diff(self.rows) != 0) | (np.diff(self.lengths) != 0)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        ends = [*starts[1:], len(self.rows)]
        runs: list[SharedPrefix] = []
        for start, end in zip(starts, ends, strict=True):
            run = SharedPrefix(start, end, int(self.rows[start]), 1, int(self.lengths[start]))
            if runs and (joined := runs[-1].joined_with(run)):
                runs[-1] = joined
            elif run.num_tokens:
                runs.append(run)
        return runs


@dataclass(frozen=True)
class SharedPrefix:
    """Rows start to end of a batch, equally many for each of ``num_prefixes`` prefixes from ``first`` on, of which all attend to
    ``num_tokens`` tokens.
    """

    start: int
    end: int
    first: int
    num_prefixes: int
    num_tokens: int

    def joined_with(self, next_run: SharedPrefix) -> SharedPrefix | None:
        """Both as one, where the next prefix has as many rows."""
        rows_each = (self.end - self.start) // self.num_prefixes
        follows = (next_run.start, next_run.first) == (self.end, self.first + self.num_prefixes)
        if not follows or next_run.num_tokens != self.num_tokens or next_run.end - next_run.start != rows_each:
            return None
        return SharedPrefix(self.start, next_run.end, self.first, self.num_prefixes + 1, self.num_tokens)


@dataclass(frozen=True)
class PrefixState:
    """What the model knows of each of R rows: one entry a layer, and in ``lengths`` the number of tokens read, (R,) int64."""

    layers: tuple[LayerState, ...]
    lengths: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens read of every row.

        Raises:
            ValueError: of some rows more were read than of others.
        """
        lengths = set(self.lengths.tolist())
        if len(lengths) > 1:
            raise ValueError(f"rows of this state have read between {min(lengths)} and {max(lengths)} tokens")
        return lengths.pop() if lengths else 0

    @property
    def num_bytes(self) -> int:
        """Bytes held, of what rows share once."""
        return sum(tensor.numel() * tensor.element_size() for layer in self.layers for tensor in layer.tensors())

    def fork(self, copies: int) -> PrefixState:
        """``copies`` of each row, a row's copies next to each other."""
        return self.select(np.repeat(np.arange(self.num_rows), copies))

    def select(self, rows: Sequence[int] | np.ndarray) -> PrefixState:
        """The named rows, in the order given; a row may be named more than once."""
        chosen = np.asarray(rows, dtype=np.int64)
        if np.array_equal(chosen, np.arange(self.num_rows)):
            return self
        return PrefixState(tuple(layer.select(chosen) for layer in self.layers), self.lengths[chosen])
