"""What the fork engine will compute, planned before anything runs. Pure: no torch, tested alone.

Sequences that begin alike are a family: one path (the longest WT) that is read once, and a branch for each MUT. The path's output
before a difference predicts every allele there, so a branch reads from the token after it, and one that ends there reads nothing.
It leaves the path at a stop: a stop costs (a state is kept, and the prefix is attended to once more), and so do the shared tokens that a
branch which leaves earlier reads again. ``cheapest_stops`` weighs the two.

Depths and lengths count what is read: BOS, where the model has one, and tokens. The last token of a sequence is predicted
and not read, but where its state is wanted, too (``reads_all``).

    depth        0        stop                    stop                  end of the path
    path         |---------|-----------------------|---------------------|
    branches               `-- x----------          `------ x-----------
                              first token of its own
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Branch:
    """One MUT.

    Attributes:
        pair: its row in the input.
        first_difference: its first token that WT has not.
        own_from: the depth from which its tokens are its own; the outputs from there on are.
        leaves: the depth from which it is read.
        num_read: tokens read from there on; 0 where the path's output says all.
    """

    pair: int
    first_difference: int
    own_from: int
    leaves: int
    num_read: int


@dataclass(frozen=True)
class Family:
    """Pairs whose WTs begin alike. ``path`` is the longest WT, ``pairs`` are rows of the input."""

    path: np.ndarray
    pairs: tuple[int, ...]
    branches: tuple[Branch, ...]
    path_read: int


@dataclass(frozen=True)
class Walk:
    """Families that are read side by side, to the depth ``end``."""

    families: tuple[Family, ...]

    @property
    def end(self) -> int:
        """Tokens of the longest path."""
        return max(family.path_read for family in self.families)

    @property
    def num_tokens(self) -> int:
        """Tokens that have to be read: of paths, and of branches from their stops on."""
        branches = sum(branch.num_read for family in self.families for branch in family.branches)
        return branches + sum(family.path_read for family in self.families)


@dataclass(frozen=True)
class StopCost:
    """What a stop costs, in tokens.

    Attributes:
        tokens: as many tokens take as long to read.
        is_shared: families side by side stop together, because states are kept at the end of a pass only.
    """

    tokens: float
    is_shared: bool


def first_difference(wt: np.ndarray, mut: np.ndarray) -> int:
    """Index of the first token that differs; the shorter length where none does."""
    shared = min(len(wt), len(mut))
    differs = wt[:shared] != mut[:shared]
    return int(differs.argmax()) if differs.any() else shared


def plan_walks(
    wts: Sequence[np.ndarray],
    muts: Sequence[np.ndarray],
    keys: Sequence[Hashable],
    has_bos: bool,
    stop_cost: StopCost,
    max_rows: int,
    reads_all: bool = False,
) -> list[Walk]:
    """Plan the scoring of P pairs.

    Args:
        wts, muts: P token arrays each.
        keys: P keys; the WTs of one key must begin alike (each is a prefix of the longest).
        max_rows: families that one walk holds at most.
        reads_all: the last token of a sequence is read, too.
    """
    members: dict[Hashable, list[int]] = {}
    for pair, key in enumerate(keys):
        members.setdefault(key, []).append(pair)
    families = [_family(pairs, wts, muts, has_bos, reads_all) for pairs in members.values()]
    # Families whose branches leave at like depths share stops; the sort is stable, so equal inputs give equal plans.
    families.sort(key=lambda family: (_first_own(family), family.path_read))
    return [make_walk(families[start : start + max_rows], stop_cost) for start in range(0, len(families), max_rows)]


def pair_tokens(wts: Sequence[np.ndarray], muts: Sequence[np.ndarray], has_bos: bool) -> int:
    """Tokens that two full passes over each pair would read."""
    unread = 0 if has_bos else 1
    return sum(max(len(wt) - unread, 0) + max(len(mut) - unread, 0) for wt, mut in zip(wts, muts, strict=True))


def make_walk(families: Sequence[Family], stop_cost: StopCost) -> Walk:
    """Families side by side, each branch leaving at the last stop before its own tokens."""
    groups = [families] if stop_cost.is_shared else [[family] for family in families]
    return Walk(tuple(family for group in groups for family in _leaving_at_stops(group, stop_cost.tokens)))


def _leaving_at_stops(families: Sequence[Family], stop_cost: float) -> list[Family]:
    leaving = Counter(
        branch.own_from
        for family in families
        for branch in family.branches
        if branch.num_read > branch.own_from - branch.leaves
    )
    stops = cheapest_stops(sorted(leaving.items()), stop_cost)
    return [
        replace(family, branches=tuple(_leave_at(branch, stops) for branch in family.branches)) for family in families
    ]


def _leave_at(branch: Branch, stops: Sequence[int]) -> Branch:
    own = branch.num_read - (branch.own_from - branch.leaves)
    if not own:
        return replace(branch, leaves=branch.own_from, num_read=0)
    stop = stops[int(np.searchsorted(stops, branch.own_from, side="right")) - 1]
    return replace(branch, leaves=stop, num_read=own + branch.own_from - stop)


def cheapest_stops(leaving: Sequence[tuple[int, int]], stop_cost: float) -> list[int]:
    """The depths at which to stop, ascending, so that stops and tokens that are read again cost least together.

    With the first k depths served, the cheapest way costs ``cost[k]``: a last stop at depth d_j serves d_j .. d_{k−1}, whose branches
    read Σ n_i (d_i − d_j) tokens again. As a function of the number N_k of branches so far that is, for each j, a line of slope
    −d_j; the slopes fall with j and N_k rises with k, so the lowest line is found by moving along their lower hull: linear in the
    number of depths. The tests hold it to trying all sets of stops.

    Args:
        leaving: (depth, branches that could leave there), depths ascending.
        stop_cost: of a stop, in tokens.
    """
    hull: list[tuple[float, float, int]] = []  # slope, intercept, j
    lowest, cost, last_stop = 0, 0.0, []
    branches, weighted = 0, 0  # N and Σ n d of the depths before
    for depth, (position, count) in enumerate(leaving):
        line = (-float(position), cost + stop_cost - weighted + float(position) * branches, depth)
        while len(hull) - lowest >= 2 and _is_never_lowest(hull[-2], hull[-1], line):
            hull.pop()
        hull.append(line)
        branches, weighted = branches + count, weighted + count * position
        while lowest + 1 < len(hull) and _value(hull[lowest + 1], branches) <= _value(hull[lowest], branches):
            lowest += 1
        cost = _value(hull[lowest], branches) + weighted
        last_stop.append(hull[lowest][2])
    stops: list[int] = []
    served = len(leaving)
    while served:
        served = last_stop[served - 1]
        stops.append(leaving[served][0])
    return stops[::-1]


def _value(line: tuple[float, float, int], branches: int) -> float:
    return line[0] * branches + line[1]


def _is_never_lowest(
    before: tuple[float, float, int], between: tuple[float, float, int], after: tuple[float, float, int]
) -> bool:
    """Of three lines with falling slopes: whether the middle one is nowhere below the other two."""
    return (after[1] - before[1]) * (before[0] - between[0]) <= (between[1] - before[1]) * (before[0] - after[0])


def _family(
    pairs: list[int], wts: Sequence[np.ndarray], muts: Sequence[np.ndarray], has_bos: bool, reads_all: bool
) -> Family:
    path = max((wts[pair] for pair in pairs), key=len)
    path_read = num_read(path, has_bos, reads_all)
    branches = []
    for pair in pairs:
        wt, mut = wts[pair], muts[pair]
        assert np.array_equal(wt, path[: len(wt)]), "the WTs of one key must begin alike"
        first = first_difference(wt, mut)
        if first < max(len(wt), len(mut)):
            # The path's output before the first different token predicts it; where the path ends there, the branch reads on.
            own_from = min(max(first + (1 if has_bos else 0), 0), path_read)
            branches.append(
                Branch(pair, first, own_from, own_from, max(num_read(mut, has_bos, reads_all) - own_from, 0))
            )
    return Family(path, tuple(pairs), tuple(branches), path_read)


def num_read(tokens: np.ndarray, has_bos: bool, reads_all: bool = False) -> int:
    """What is read of a sequence: BOS, and all tokens, or all but the last."""
    return max(len(tokens) + (1 if has_bos else 0) - (0 if reads_all else 1), 0)


def _first_own(family: Family) -> int:
    return min((branch.own_from for branch in family.branches), default=family.path_read)
