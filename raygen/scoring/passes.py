"""What one pass over the network holds: rows side by side, within a number of tokens and the memory that their states take.

In: lengths and limits. Out: batches of rows, and the passes that a walk of the fork engine makes. Pure: no torch, so that
``raygen plan`` counts by the very rules that the engines run by.

A pass costs rows times its longest row, so rows are sorted by length first: a batch then holds little padding. The sort is
stable and the cuts depend on the lengths alone, so the same rows give the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raygen.scoring.prefix_plan import Walk, plan_walks

SHAPES = {"cpu": (32, 16), "cuda": (64, 64)}
"""(max_reread, max_rows) by kind of device: a GPU wants wide passes and few, a CPU little work."""
CPU_STATE_MEMORY = 2**30

StateBytes = Callable[[int], int]
"""Bytes of one row's state after a number of tokens."""


@dataclass(frozen=True)
class ForkLimits:
    """How the walk is shaped; none of it changes a score beyond rounding.

    Attributes:
        max_reread: shared tokens that a branch may read again, so that the walk has fewer stops.
        max_rows: families side by side.
        state_memory: bytes that the states of one batch may take.
    """

    max_reread: int
    max_rows: int
    state_memory: int

    def rows_with_states(self, state_bytes: int) -> int:
        """Rows whose states of this size fit side by side; at least one."""
        return max(self.state_memory // max(state_bytes, 1), 1)


@dataclass(frozen=True)
class Pass:
    """One call of the network: rows, and tokens of the longest of them, to which the others are padded."""

    num_rows: int
    length: int

    @property
    def num_tokens(self) -> int:
        """Tokens forwarded, padding included."""
        return self.num_rows * self.length


def next_batch(
    order: Sequence[int], start: int, lengths: Sequence[int], max_batch_tokens: int, max_rows: int | None = None
) -> Sequence[int]:
    """The rows from ``start`` on, of rows sorted longest first, that fit one pass; at least one."""
    num_rows = max_batch_tokens // max(lengths[order[start]], 1)
    if max_rows is not None:
        num_rows = min(num_rows, max_rows)
    return order[start : start + max(num_rows, 1)]


def pieces(length: int, num_rows: int, max_batch_tokens: int) -> list[tuple[int, int]]:
    """[start, end) of the passes in which rows that go on from a state are read."""
    step = max(max_batch_tokens // num_rows, 1)
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def plan_pairs(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    keys: Sequence[Hashable],
    has_bos: bool,
    limits: ForkLimits,
    state_bytes: StateBytes,
    max_families: int | None = None,
) -> list[Walk]:
    """``plan_walks`` for pairs, as wide as the limits and the memory for states allow.

    Args:
        max_families: a smaller width, where memory ended at a larger one.
    """
    longest = max((len(wt) for wt, _ in pairs), default=1)
    max_rows = min(limits.max_rows, limits.rows_with_states(state_bytes(longest)))
    max_rows = min(max_rows, max_families or max_rows)
    return plan_walks([wt for wt, _ in pairs], [mut for _, mut in pairs], keys, has_bos, limits.max_reread, max_rows)


def branch_batches(
    depth: int, lengths: Sequence[int], max_batch_tokens: int, limits: ForkLimits, state_bytes: StateBytes
) -> Iterator[Sequence[int]]:
    """Branches that leave at a depth, in batches: each goes on from a copy of a state, but for those that leave at 0."""
    max_rows = limits.rows_with_states(state_bytes(depth)) if depth else None
    order = sorted(range(len(lengths)), key=lambda branch: -lengths[branch])
    start = 0
    while start < len(order):
        batch = next_batch(order, start, lengths, max_batch_tokens, max_rows)
        yield batch
        start += len(batch)


def walk_passes(walk: Walk, max_batch_tokens: int, limits: ForkLimits, state_bytes: StateBytes) -> Iterator[Pass]:
    """Every pass of a walk, in order, where memory does not end: up to each stop on the paths, then its branches."""
    branches: dict[int, list[int]] = {}
    for family in walk.families:
        for branch in family.branches:
            branches.setdefault(branch.leaves, []).append(branch.num_read)
    depth = 0
    for stop in walk.stops:
        num_paths = sum(family.path_read > depth for family in walk.families)
        yield from _passes(num_paths, stop - depth, max_batch_tokens)
        depth = stop
        lengths = branches.get(stop, [])
        for batch in branch_batches(stop, lengths, max_batch_tokens, limits, state_bytes):
            yield from _passes(len(batch), lengths[batch[0]], max_batch_tokens)


def _passes(num_rows: int, length: int, max_batch_tokens: int) -> Iterator[Pass]:
    if num_rows:
        for start, end in pieces(length, num_rows, max_batch_tokens):
            yield Pass(num_rows, end - start)
