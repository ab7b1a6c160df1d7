"""What the fork engine will compute, planned before anything runs. Pure: no torch, tested alone.

Sequences that begin alike are a family: one path (the longest WT) that is read once, and a branch for each MUT, which
forks off where it first differs. Families are walked side by side. The walk stops at a few depths, where branches leave;
a branch leaves at the last stop before its first difference and reads the few shared tokens in between again, so that not
every difference needs a stop of its own.

Depths and lengths count what is read: BOS, where the model has one, and tokens. The last token of a sequence is predicted
and not read.

    depth        0        stop             stop                        end of the path
    path         |---------|----------------|---------------------------|
    branches               `-- x----------  `------ x-----------
                              first difference
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Branch:
    """One MUT. ``pair`` is its row in the input, ``leaves`` the depth from which it is read on its own."""

    pair: int
    first_difference: int
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
    """Families that are read side by side, and the depths at which the walk stops, ascending; the last is its end."""

    families: tuple[Family, ...]
    stops: tuple[int, ...]

    @cached_property
    def num_tokens(self) -> int:
        """Tokens read on paths (a path that has ended is read no further) and on branches, padding included."""
        tokens, before = 0, 0
        for stop in self.stops:
            tokens += (stop - before) * sum(family.path_read > before for family in self.families)
            before = stop
        return tokens + sum(branch.num_read for family in self.families for branch in family.branches)


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
    max_reread: int,
    max_rows: int,
) -> list[Walk]:
    """Plan the scoring of P pairs.

    Args:
        wts, muts: P token arrays each.
        keys: P keys; the WTs of one key must begin alike (each is a prefix of the longest).
        max_reread: the most shared tokens a branch may read again.
        max_rows: families that one walk holds at most.
    """
    members: dict[Hashable, list[int]] = {}
    for pair, key in enumerate(keys):
        members.setdefault(key, []).append(pair)
    families = [_family(pairs, wts, muts, has_bos) for pairs in members.values()]
    # Families whose branches leave at like depths share stops; the sort is stable, so equal inputs give equal plans.
    families.sort(key=lambda family: (_first_leaving(family), family.path_read))
    return [make_walk(families[start : start + max_rows], max_reread) for start in range(0, len(families), max_rows)]


def pair_tokens(wts: Sequence[np.ndarray], muts: Sequence[np.ndarray], has_bos: bool) -> int:
    """Tokens that two full passes over each pair would read."""
    unread = 0 if has_bos else 1
    return sum(max(len(wt) - unread, 0) + max(len(mut) - unread, 0) for wt, mut in zip(wts, muts, strict=True))


def cut_stops(leaving: Sequence[int], max_reread: int) -> list[int]:
    """The fewest stops such that each depth has a stop at it or at most ``max_reread`` before it; ascending."""
    stops: list[int] = []
    for depth in sorted(set(leaving)):
        if not stops or depth - stops[-1] > max_reread:
            stops.append(depth)
    return stops


def _family(pairs: list[int], wts: Sequence[np.ndarray], muts: Sequence[np.ndarray], has_bos: bool) -> Family:
    path = max((wts[pair] for pair in pairs), key=len)
    branches = []
    for pair in pairs:
        wt, mut = wts[pair], muts[pair]
        assert np.array_equal(wt, path[: len(wt)]), "the WTs of one key must begin alike"
        first = first_difference(wt, mut)
        if first < max(len(wt), len(mut)):
            # The output that predicts the first different token comes right after the last shared one was read.
            leaves = max(first - (0 if has_bos else 1), 0)
            branches.append(Branch(pair, first, leaves, _num_read(mut, has_bos) - leaves))
    return Family(path, tuple(pairs), tuple(branches), _num_read(path, has_bos))


def _num_read(tokens: np.ndarray, has_bos: bool) -> int:
    return max(len(tokens) - (0 if has_bos else 1), 0)


def _first_leaving(family: Family) -> int:
    return min((branch.leaves for branch in family.branches), default=family.path_read)


def make_walk(families: Sequence[Family], max_reread: int) -> Walk:
    """Families side by side, with stops where their branches leave."""
    stops = cut_stops([branch.leaves for family in families for branch in family.branches], max_reread)
    moved = tuple(_leave_at(family, stops) for family in families)
    end = max(family.path_read for family in families)
    return Walk(moved, (*(stop for stop in stops if stop < end), end))


def _leave_at(family: Family, stops: Sequence[int]) -> Family:
    """The family with each branch leaving at the last stop that is not after where it could leave."""
    branches = []
    for branch in family.branches:
        stop = stops[int(np.searchsorted(stops, branch.leaves, side="right")) - 1]
        reread = branch.leaves - stop
        branches.append(Branch(branch.pair, branch.first_difference, stop, branch.num_read + reread))
    return Family(family.path, family.pairs, tuple(branches), family.path_read)
