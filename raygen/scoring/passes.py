"""What one pass over the network holds: rows side by side, within a number of tokens and the memory that their states take.

In: lengths and limits. Out: batches of rows, and the passes that a walk of the fork engine makes. Pure: no torch, so that
``raygen plan`` counts by the very rules that the engines run by.

A pass costs rows times its longest row, so rows are sorted by length first: a batch then holds little padding. The sort is
stable and the cuts depend on the lengths alone, so the same rows give the same batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raygen.model.sizes import StateSize
from raygen.scoring.prefix_plan import Branch, StopCost, Walk, cheapest_stops, plan_walks

MAX_ROWS = {"cpu": 16, "cuda": 64}
"""Families side by side, by kind of device: a GPU wants wide passes."""
STOP_TOKENS = {"cpu": 3.0, "cuda": 10.0}
"""What a stop costs in tokens, by kind of device: a state kept, and attention to the prefix once more.

Measured on one CPU core at width 384, all SNVs of a region, right 16: at 0.5, 3, 10 and 30 tokens a stop 164, 169, 177 and 162 variants a second,
which read 22.0, 22.0, 23.1 and 23.8 tokens each. Not measured on a GPU.
"""
PASS_TOKENS = {"cpu": 100.0, "cuda": 300.0}
"""What a pass more costs in tokens, however few it holds; a stop, too, where a pass must end at it."""
CPU_STATE_MEMORY = 2**30
CPU_BATCH_TOKENS = 2048
"""Tokens of a pass on a CPU: larger ones run slower, since what a layer makes no longer stays near the processor (all SNVs of a region at
width 384: 148 variants a second at 2,048 tokens, 142 at 4,096, 127 at 8,192)."""


@dataclass(frozen=True)
class ForkLimits:
    """How the walk is shaped; none of it changes a score beyond rounding.

    Attributes:
        stop_tokens: what a stop within a pass costs, in tokens.
        pass_tokens: what a pass more costs, in tokens.
        max_rows: families side by side.
        state_memory: bytes that states may take: half of them the paths', half those of what leaves them at once.
    """

    stop_tokens: float
    pass_tokens: float
    max_rows: int
    state_memory: int

    def paths(self, size: StateSize, num_tokens: int) -> int:
        """Paths of so many tokens whose states fit side by side; at least one."""
        return max(self.state_memory // 2 // max(size.prefix(num_tokens), 1), 1)

    def branches(self, size: StateSize, num_tokens: int) -> int:
        """States that leave paths after so many tokens and fit side by side; at least one."""
        return max(self.state_memory // 2 // max(size.branch(num_tokens), 1), 1)


def limits_of(kind: str, state_memory: int) -> ForkLimits:
    """Limits that suit a kind of device, ``cpu`` or ``cuda``."""
    return ForkLimits(STOP_TOKENS[kind], PASS_TOKENS[kind], MAX_ROWS[kind], state_memory)


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
    size: StateSize,
    max_families: int | None = None,
    reads_all: bool = False,
) -> list[Walk]:
    """``plan_walks`` for pairs, as wide as the limits and the memory for states allow.

    Args:
        max_families: a smaller width, where memory ended at a larger one.
        reads_all: states of the last tokens are wanted, too.
    """
    longest = max((len(wt) for wt, _ in pairs), default=1)
    max_rows = min(limits.max_rows, limits.paths(size, longest))
    max_rows = min(max_rows, max_families or max_rows)
    wts, muts = [wt for wt, _ in pairs], [mut for _, mut in pairs]
    return plan_walks(wts, muts, keys, has_bos, stop_cost(limits, size), max_rows, reads_all)


def stop_cost(limits: ForkLimits, size: StateSize) -> StopCost:
    """Where states are kept at the end of a pass only, families side by side stop together."""
    return StopCost(limits.stop_tokens if size.in_place else limits.pass_tokens, is_shared=not size.in_place)


@dataclass(frozen=True)
class Stretch:
    """What a walk reads between two depths: the paths of some families in one pass, then the branches that leave there.

    Attributes:
        start, end: depths of the paths; both 0 for branches that leave before anything was read.
        rows: families whose paths go on.
        branches: (family, branch) of those that leave at a depth in (start, end], by depth and then by family.
    """

    start: int
    end: int
    rows: tuple[int, ...]
    branches: tuple[tuple[int, Branch], ...]

    @property
    def marks(self) -> list[tuple[int, int]]:
        """(depth, family) of the states that the branches leave from, ascending."""
        return sorted({(branch.leaves, family) for family, branch in self.branches})


def stretches(walk: Walk, max_batch_tokens: int, limits: ForkLimits, size: StateSize) -> Iterator[Stretch]:
    """A walk from its start to its end, in passes that hold no more tokens, and keep no more states, than the limits allow."""
    leaving = sorted(
        (
            (family, branch)
            for family, members in enumerate(walk.families)
            for branch in members.branches
            if branch.num_read
        ),
        key=lambda of_family: (of_family[1].leaves, of_family[0]),
    )
    depths = np.array([branch.leaves for _, branch in leaving], dtype=np.int64)
    start, done = 0, int(np.searchsorted(depths, 0, side="right"))
    if done:
        yield Stretch(0, 0, (), tuple(leaving[:done]))
    while start < walk.end:
        rows = tuple(row for row, family in enumerate(walk.families) if family.path_read > start)
        ends = [walk.families[row].path_read for row in rows]
        end = _before_padding(ends, min(start + max(max_batch_tokens // len(rows), 1), walk.end), limits.pass_tokens)
        end = _within_memory(leaving[done:], start, end, limits, size)
        upto = int(np.searchsorted(depths, end, side="right"))
        yield Stretch(start, end, rows, tuple(leaving[done:upto]))
        start, done = end, upto


def _before_padding(path_ends: Sequence[int], end: int, pass_tokens: float) -> int:
    """The end of a pass over paths that end at these depths: sooner where padding would cost more than another pass."""
    for sooner in sorted(set(path_ends)):
        if sooner < end and sum(end - min(path_end, end) for path_end in path_ends if path_end <= sooner) > pass_tokens:
            return sooner
    return end


def _within_memory(
    leaving: Sequence[tuple[int, Branch]], start: int, end: int, limits: ForkLimits, size: StateSize
) -> int:
    """The depth up to which the states that branches leave from fit; no further than the first stop where states are not in place."""
    most, marked = limits.branches(size, end), set()
    for family, branch in leaving:
        if branch.leaves > end:
            break
        if not size.in_place:
            return branch.leaves
        marked.add((branch.leaves, family))
        if len(marked) > most:
            depths = sorted({depth for depth, _ in marked})
            return depths[-2] if len(depths) > 1 else depths[0]
    return end


def branch_batches(
    stretch: Stretch, max_batch_tokens: int, limits: ForkLimits, size: StateSize
) -> Iterator[list[tuple[int, Branch]]]:
    """The branches of a stretch, batches of like length, each ordered by where they leave from."""
    lengths = [branch.num_read for _, branch in stretch.branches]
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    max_rows = limits.branches(size, stretch.end) if stretch.end else None
    # Rows of one batch are padded to its longest, as branches read again what lies between their stop and their own tokens.
    longest = [
        -depth for depth in cheapest_stops(sorted(Counter(-length for length in lengths).items()), limits.pass_tokens)
    ]
    start = 0
    while start < len(order):
        shorter = next((length for length in longest if length < lengths[order[start]]), 0)
        batch = [
            index for index in next_batch(order, start, lengths, max_batch_tokens, max_rows) if lengths[index] > shorter
        ]
        yield [stretch.branches[index] for index in sorted(batch)]
        start += len(batch)


def walk_passes(walk: Walk, max_batch_tokens: int, limits: ForkLimits, size: StateSize) -> Iterator[Pass]:
    """Every pass of a walk, in order, where memory does not end."""
    for stretch in stretches(walk, max_batch_tokens, limits, size):
        if stretch.rows:
            yield Pass(len(stretch.rows), stretch.end - stretch.start)
        for batch in branch_batches(stretch, max_batch_tokens, limits, size):
            longest = max(branch.num_read for _, branch in batch)
            for first, last in pieces(longest, len(batch), max_batch_tokens):
                yield Pass(len(batch), last - first)
