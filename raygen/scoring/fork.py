"""The same scores as ``pair`` for less work: the state before a difference is computed once and forked.

A causal model's state before a variant is the same for WT and MUT, for every ALT of a site, and for all neighbours that
share a window. The plan (``prefix_plan``, ``passes``) says which sequences share what; here it is walked. Families go side by side,
a stretch of their paths in one pass, which keeps the states that branches leave from; then the branches of the stretch are read, many
in one pass, wherever they left. States that nobody needs any more are dropped with their stretch.

The terms before a variant's first difference are the same numbers for WT and MUT, so they cancel exactly, and the first one that differs
is read off the path's own output; the others differ from ``pair`` by rounding, because the same tokens are read in batches of
other shapes.

States of layers that are wanted beside the scores are added up while the passes go by (``pooling``): WT's on its path, MUT's on the path up
to the branch's own tokens and on the branch from there on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raygen.errors import StoppedError
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.state import Marks, PrefixState
from raygen.scoring.batches import is_out_of_memory
from raygen.scoring.effects import Behind, Predictions, effects_of, no_effects, sum_of_differences
from raygen.scoring.embedding_plan import EmbeddingPlan
from raygen.scoring.letters import LETTERS, of_letters
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.passes import (
    CPU_STATE_MEMORY,
    ForkLimits,
    Stretch,
    branch_batches,
    limits_of,
    plan_pairs,
    stop_cost,
    stretches,
)
from raygen.scoring.pooled_states import no_states, pooled_places
from raygen.scoring.pooling import PairPlaces, StateSums, WatchedRows, pair_places
from raygen.scoring.prefix_plan import Family, Walk, make_walk
from raygen.scoring.reader import Reader
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair

SMALLEST_PASS = 64
"""Tokens: a walk of one family that does not fit even in passes of this size stops the run."""


def auto_limits(device: torch.device, state_memory: int | None = None) -> ForkLimits:
    """Limits that suit a device. States may take 1 GiB, on a GPU a quarter of the memory that is free."""
    if state_memory is None:
        state_memory = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else CPU_STATE_MEMORY
    return limits_of(device.type, state_memory)


def score_forked_pairs(
    model: ResidentModel,
    pairs: Sequence[SequencePair],
    keys: Sequence[Hashable],
    limits: ForkLimits | None = None,
    behind: Sequence[Behind] | None = None,
    embed: EmbeddingPlan | None = None,
    with_effects: bool = True,
    with_scores: bool = True,
) -> PairLikelihoods:
    """Score P pairs of token sequences.

    Args:
        keys: P keys. The WTs of one key begin alike: windows that start at the same base, or pairs with one WT.
        behind: P places where WT and MUT go on behind the alleles; given where effects or states are wanted, too.
        embed: the states that are pooled.
        with_effects: whether effects are wanted where ``behind`` is given.
        with_scores: whether likelihoods are wanted.
    """
    has_effects = behind is not None and with_effects
    runner = _Runner(model, pairs, limits or auto_limits(model.loaded.device), behind, embed, has_effects, with_scores)
    runner.run(keys)
    num_tokens = np.array([max(len(wt), len(mut)) - model.num_uncounted for wt, mut in pairs], dtype=np.int64)
    same = np.array([np.array_equal(wt, mut) for wt, mut in pairs], dtype=bool)
    ll_mut = runner.ll_wt + runner.delta
    return PairLikelihoods(
        runner.ll_wt, ll_mut, runner.delta, num_tokens, same, runner.effects, runner.pooled, with_scores
    )


def plan_for(
    model: ResidentModel,
    pairs: Sequence[SequencePair],
    keys: Sequence[Hashable],
    limits: ForkLimits,
    reads_all: bool = False,
) -> list[Walk]:
    """The walks that ``score_forked_pairs`` would make, as wide as the memory for states allows; ``reads_all`` with states."""
    size = model.loaded.network.state_size()
    return plan_pairs(pairs, keys, model.num_uncounted == 0, limits, size, model.budget.max_families, reads_all)


@dataclass(frozen=True)
class _Kept:
    """States, and which row of them is that of a mark: (depth, family)."""

    states: PrefixState | None
    rows: Mapping[tuple[int, int], int]

    def at(self, marks: Sequence[tuple[int, int]]) -> PrefixState | None:
        """The states of some marks; None before anything was read."""
        if self.states is None or marks[0][0] == 0:
            return None
        return self.states.select([self.rows[mark] for mark in marks])


class _Runner:
    """Walks the plan and fills in ``ll_wt``, ``delta`` and, where they are wanted, ``effects`` and ``pooled`` of each pair."""

    def __init__(
        self,
        model: ResidentModel,
        pairs: Sequence[SequencePair],
        limits: ForkLimits,
        behind: Sequence[Behind] | None,
        embed: EmbeddingPlan | None,
        has_effects: bool,
        with_scores: bool,
    ) -> None:
        self._model, self._reader = model, Reader(model)
        self._pairs = pairs
        self._limits, self._size = limits, model.loaded.network.state_size()
        self.ll_wt, self.delta = np.full((2, len(pairs)), 0.0 if with_scores else np.nan)
        self._behind, self._embed = behind, embed
        self._has_effects, self._with_scores = has_effects, with_scores
        self.effects = no_effects(len(pairs)) if has_effects else {}
        width = model.loaded.network.config.hidden_size
        self.pooled = None if embed is None else no_states(embed, len(pairs), width)

    def run(self, keys: Sequence[Hashable]) -> None:
        """Walk every family. When memory ends, the walk at hand is made again: narrower, then in smaller passes."""
        reads_all = self._embed is not None
        pending = plan_for(self._model, self._pairs, keys, self._limits, reads_all)[::-1]
        while pending:
            walk = pending.pop()
            try:
                self._walk(walk)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                pending.extend(self._narrower(walk, error))

    def _narrower(self, walk: Walk, error: RuntimeError) -> list[Walk]:
        budget, half = self._model.budget, len(walk.families) // 2
        if half:
            budget.narrow_to(half)
            parts = (walk.families[half:], walk.families[:half])
            return [make_walk(part, stop_cost(self._limits, self._size)) for part in parts]
        if budget.max_batch_tokens <= SMALLEST_PASS:
            raise StoppedError(
                f"One window of {walk.end:,} tokens does not fit this device's memory, even alone. "
                "Use a smaller window or a device with more memory."
            ) from error
        budget.shrink_below(budget.max_batch_tokens)
        return [walk]

    @torch.inference_mode()
    @exact_arithmetic()
    def _walk(self, walk: Walk) -> None:
        paths = [self._read_of(family.path) for family in walk.families]
        sums, places = self._watch(walk) if self._embed is not None else (None, [])
        path_log_probs = [np.zeros((family.path_read, len(LETTERS))) for family in walk.families]
        branch_log_probs: dict[int, np.ndarray] = {}
        kept = _Kept(None, {})
        for stretch in stretches(walk, self._model.budget.max_batch_tokens, self._limits, self._size):
            if stretch.rows:
                before = kept.at([(stretch.start, row) for row in stretch.rows])
                kept = self._read_paths(paths, stretch, walk.end, before, path_log_probs, sums)
            self._read_branches(stretch, kept, branch_log_probs, sums)
        if self._with_scores:
            for family, log_probs in zip(walk.families, path_log_probs, strict=True):
                self._sum(family, log_probs, branch_log_probs)
        if sums is not None and self.pooled is not None:
            for of_pair in places:
                of_pair.fill(self.pooled, sums)

    def _read_of(self, tokens: np.ndarray) -> np.ndarray:
        """A sequence as it is read: to its last token only where states are wanted."""
        if self._embed is not None:
            return self._model.read_to_the_end(tokens)
        return self._model.read_and_targets(tokens)[0]

    def _watch(self, walk: Walk) -> tuple[StateSums, list[PairPlaces]]:
        """The states that a walk is to add up: of WT on its path; of MUT on the path before the branch's own tokens, then on the branch."""
        embed, behind = self._embed, self._behind
        assert embed is not None and behind is not None, "states are pooled behind the alleles"
        sums, places = StateSums(embed.layers, stops=not self._with_scores), []
        bos = 1 - self._model.num_uncounted
        for number, family in enumerate(walk.families):
            own_from = {branch.pair: branch.own_from for branch in family.branches}
            for pair in family.pairs:
                num_wt, num_mut = map(len, self._pairs[pair])
                mut_rows = [(_path(number), 0), *([(pair, own_from[pair])] if pair in own_from else [])]
                for pool in embed.pools:
                    of_pool = pooled_places(pool, behind[pair], num_wt, num_mut, has_bos=bool(bos))
                    places.append(pair_places(pair, pool.name, of_pool, _path(number), mut_rows, bos))
                    places[-1].want(sums)
        return sums, places

    def _read_paths(
        self,
        paths: Sequence[np.ndarray],
        stretch: Stretch,
        walk_end: int,
        state: PrefixState | None,
        path_log_probs: Sequence[np.ndarray],
        sums: StateSums | None,
    ) -> _Kept:
        """Read a stretch of each path, fill in its log-probabilities, and keep the states at its marks and, where the walk goes on, at
        its end.
        """
        reads = [paths[row][stretch.start : stretch.end] for row in stretch.rows]
        ends = [(stretch.end, row) for row in stretch.rows] if stretch.end < walk_end else []
        wanted = sorted({*stretch.marks, *ends})
        marks = None
        if wanted:
            rows = np.array([stretch.rows.index(row) for _, row in wanted])
            marks = Marks(rows, np.array([depth - stretch.start for depth, _ in wanted]), room=walk_end)
        watched = None
        if sums is not None:
            watched = WatchedRows(sums, [_path(row) for row in stretch.rows], [stretch.start] * len(reads))
        hidden_BTD, states = self._reader.pass_over(reads, state, marks, watched)
        if self._with_scores:
            for row, log_probs in zip(
                stretch.rows, self._reader.log_probs(hidden_BTD, reads, [0] * len(reads)), strict=True
            ):
                path_log_probs[row][stretch.start : stretch.start + len(log_probs)] = log_probs
        return _Kept(states, {mark: row for row, mark in enumerate(wanted)})

    def _read_branches(
        self, stretch: Stretch, kept: _Kept, branch_log_probs: dict[int, np.ndarray], sums: StateSums | None
    ) -> None:
        """Read the branches of a stretch from the states that were kept of it."""
        for batch in branch_batches(stretch, self._model.budget.max_batch_tokens, self._limits, self._size):
            before = kept.at([(branch.leaves, row) for row, branch in batch])
            reads = [self._read_of(self._pairs[branch.pair][1])[branch.leaves :] for _, branch in batch]
            watched = None
            if sums is not None:
                rows = [branch.pair for _, branch in batch]
                watched = WatchedRows(sums, rows, [branch.leaves for _, branch in batch])
            first = [branch.own_from - branch.leaves for _, branch in batch]
            log_probs = self._reader.read(reads, first, before, watched)
            branch_log_probs |= {
                branch.pair: values[start:] for (_, branch), values, start in zip(batch, log_probs, first, strict=True)
            }

    def _sum(self, family: Family, path_TL: np.ndarray, branches: Mapping[int, np.ndarray]) -> None:
        """From log-probabilities of letters to the numbers of each pair of a family."""
        unread = self._model.num_uncounted
        path = of_letters(path_TL, family.path[unread:])
        by_pair = {branch.pair: branch for branch in family.branches}
        for pair in family.pairs:
            wt_tokens, mut_tokens = self._pairs[pair]
            num_outputs = max(len(wt_tokens) - unread, 0)
            self.ll_wt[pair] = path[:num_outputs].sum()
            if pair not in by_pair:
                continue
            branch = by_pair[pair]
            first = max(branch.first_difference - unread, 0)  # the output that predicts it
            wt = Predictions(path_TL[first:num_outputs], wt_tokens[first + unread :])
            # Of MUT the first output is the path's, the others are the branch's.
            outputs_TL = [path_TL[first : branch.own_from], branches.get(pair, path_TL[:0])]
            predicted = mut_tokens[first + unread :]
            mut = Predictions(np.concatenate(outputs_TL)[: len(predicted)], predicted)
            self.delta[pair] = sum_of_differences(wt.of_tokens_T, mut.of_tokens_T)
            if self._has_effects and self._behind is not None:
                has_site = branch.first_difference >= unread
                numbers = effects_of(wt, mut, first + unread, self._behind[pair], has_site)
                for name, value in numbers.items():
                    self.effects[name][pair] = value


def _path(family: int) -> tuple[str, int]:
    """The row of a family's path, beside those of branches, which are the numbers of their pairs."""
    return "path", family
