"""The same scores as ``pair`` for less work: the state before a difference is computed once and forked.

A causal model's state before a variant is the same for WT and MUT, for every ALT of a site, and for all neighbours that
share a window. The plan (``prefix_plan``) says which sequences share what; here it is walked. Families go side by side,
one pass a piece of their paths; at each stop the branches that leave there are read from copies of their family's state.
A state that nobody needs any more is dropped: only those of the stop at hand are held.

The terms before a variant's first difference are the same numbers for WT and MUT, so they cancel exactly; the others
differ from ``pair`` by rounding, because the same tokens are read in batches of other shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch

from raygen.errors import StoppedError
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.state import PrefixState
from raygen.scoring.batches import is_out_of_memory
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.passes import CPU_STATE_MEMORY, SHAPES, ForkLimits, branch_batches, pieces, plan_pairs
from raygen.scoring.prefix_plan import Branch, Family, Walk, make_walk
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair

SMALLEST_PASS = 64
"""Tokens: a walk of one family that does not fit even in passes of this size stops the run."""


def auto_limits(device: torch.device, state_memory: int | None = None) -> ForkLimits:
    """Limits that suit a device. States may take 1 GiB, on a GPU a quarter of the memory that is free."""
    max_reread, max_rows = SHAPES[device.type]
    if state_memory is None:
        state_memory = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else CPU_STATE_MEMORY
    return ForkLimits(max_reread, max_rows, state_memory)


def score_forked_pairs(
    model: ResidentModel, pairs: Sequence[SequencePair], keys: Sequence[Hashable], limits: ForkLimits | None = None
) -> PairLikelihoods:
    """Score P pairs of token sequences.

    Args:
        keys: P keys. The WTs of one key begin alike: windows that start at the same base, or pairs with one WT.
    """
    runner = _Runner(model, pairs, limits or auto_limits(model.loaded.device))
    runner.run(keys)
    num_tokens = np.array([max(len(wt), len(mut)) - model.num_uncounted for wt, mut in pairs], dtype=np.int64)
    same = np.array([np.array_equal(wt, mut) for wt, mut in pairs], dtype=bool)
    return PairLikelihoods(runner.ll_wt, runner.ll_wt + runner.delta, runner.delta, num_tokens, same)


def plan_for(
    model: ResidentModel, pairs: Sequence[SequencePair], keys: Sequence[Hashable], limits: ForkLimits
) -> list[Walk]:
    """The walks that ``score_forked_pairs`` would make, as wide as the memory for states allows."""
    return plan_pairs(
        pairs, keys, model.num_uncounted == 0, limits, model.loaded.network.state_bytes, model.budget.max_families
    )


class _Runner:
    """Walks the plan and fills in ``ll_wt`` and ``delta`` of each pair."""

    def __init__(self, model: ResidentModel, pairs: Sequence[SequencePair], limits: ForkLimits) -> None:
        self._model, self._network, self._device = model, model.loaded.network, model.loaded.device
        self._pairs = pairs
        self._limits = limits
        self.ll_wt, self.delta = np.zeros(len(pairs)), np.zeros(len(pairs))

    def run(self, keys: Sequence[Hashable]) -> None:
        """Walk every family. When memory ends, the walk at hand is made again: narrower, then in smaller passes."""
        pending = plan_for(self._model, self._pairs, keys, self._limits)[::-1]
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
            return [make_walk(part, self._limits.max_reread) for part in parts]
        if budget.max_batch_tokens <= SMALLEST_PASS:
            raise StoppedError(
                f"One window of {walk.stops[-1]:,} tokens does not fit this device's memory, even alone. "
                "Use a smaller window or a device with more memory."
            ) from error
        budget.shrink_below(budget.max_batch_tokens)
        return [walk]

    @torch.inference_mode()
    @exact_arithmetic()
    def _walk(self, walk: Walk) -> None:
        paths = [self._model.read_and_targets(family.path) for family in walk.families]
        path_log_probs = [np.zeros(family.path_read) for family in walk.families]
        branch_log_probs: dict[int, np.ndarray] = {}
        rows = list(range(len(walk.families)))
        state: PrefixState | None = None
        depth = 0
        for stop in walk.stops:
            if stop > depth:
                going_on = [row for row in rows if walk.families[row].path_read > depth]
                if state is not None and len(going_on) < len(rows):
                    state = state.select([rows.index(row) for row in going_on])
                rows = going_on
                pieces = [(paths[row], path_log_probs[row]) for row in rows]
                state = self._read_paths(pieces, depth, stop, state, stop < walk.stops[-1] or _leaves_at(walk, stop))
                depth = stop
            leaving = [
                (place, branch)
                for place, row in enumerate(rows)
                for branch in walk.families[row].branches
                if branch.leaves == stop
            ]
            self._read_branches(leaving, stop, state, branch_log_probs)
        for family, log_probs in zip(walk.families, path_log_probs, strict=True):
            self._sum(family, log_probs, branch_log_probs)

    def _read_paths(
        self,
        pieces: Sequence[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]],
        start: int,
        stop: int,
        state: PrefixState | None,
        return_state: bool,
    ) -> PrefixState | None:
        """Read [start, stop) of each path and fill in its log-probabilities."""
        reads = [read[start:stop] for (read, _), _ in pieces]
        targets = [target[start:stop] for (_, target), _ in pieces]
        piece_log_probs, state = self._read(reads, targets, [0] * len(pieces), state, return_state)
        for (_, log_probs), values in zip(pieces, piece_log_probs, strict=True):
            log_probs[start:stop] = values
        return state

    def _read_branches(
        self,
        leaving: Sequence[tuple[int, Branch]],
        depth: int,
        state: PrefixState | None,
        branch_log_probs: dict[int, np.ndarray],
    ) -> None:
        """Read branches from copies of their families' states; ``leaving`` holds (row of the state, branch)."""
        lengths, max_tokens = [branch.num_read for _, branch in leaving], self._model.budget.max_batch_tokens
        for chosen in branch_batches(depth, lengths, max_tokens, self._limits, self._network.state_bytes):
            batch = [leaving[index] for index in chosen]
            forked = None if state is None else state.select([row for row, _ in batch])
            reads, targets = zip(*(self._branch(branch) for _, branch in batch), strict=True)
            first = [self._first_output(branch) - branch.leaves for _, branch in batch]
            log_probs, _ = self._read(reads, targets, first, forked, return_state=False)
            branch_log_probs |= {
                branch.pair: values[start:] for (_, branch), values, start in zip(batch, log_probs, first, strict=True)
            }

    def _read(
        self,
        reads: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        first: Sequence[int],
        state: PrefixState | None,
        return_state: bool,
    ) -> tuple[list[np.ndarray], PrefixState | None]:
        """Read rows on from a state, in as many passes as the budget asks for.

        Returns ln P of each row's targets (zero before its ``first``), and the state at the end when asked for.
        """
        longest = max(map(len, reads))
        log_probs = [np.zeros(len(read)) for read in reads]
        for start, end in pieces(longest, len(reads), self._model.budget.max_batch_tokens):
            hidden_BTD, state = self._pass([read[start:end] for read in reads], state, return_state or end < longest)
            later = [max(output - start, 0) for output in first]
            piece_log_probs = self._log_probs(hidden_BTD, [target[start:end] for target in targets], later)
            for row_log_probs, values in zip(log_probs, piece_log_probs, strict=True):
                row_log_probs[start:end] = values
        return log_probs, state

    def _branch(self, branch: Branch) -> tuple[np.ndarray, np.ndarray]:
        read, target = self._model.read_and_targets(self._pairs[branch.pair][1])
        return read[branch.leaves :], target[branch.leaves :]

    def _first_output(self, branch: Branch) -> int:
        """The output that predicts the branch's first different token."""
        return max(branch.first_difference - self._model.num_uncounted, 0)

    def _pass(
        self, reads: Sequence[np.ndarray], state: PrefixState | None, return_state: bool
    ) -> tuple[torch.Tensor, PrefixState | None]:
        """One pass over rows of any length, padded on the right."""
        tokens_BT = np.full((len(reads), max(map(len, reads))), self._model.loaded.facts.pad_id, dtype=np.int64)
        for row, read in enumerate(reads):
            tokens_BT[row, : len(read)] = read
        self._model.num_tokens_computed += tokens_BT.size
        return self._network.hidden_states(torch.from_numpy(tokens_BT).to(self._device), state, return_state)

    def _log_probs(
        self, hidden_BTD: torch.Tensor, targets: Sequence[np.ndarray], first: Sequence[int]
    ) -> list[np.ndarray]:
        """ln P of each row's targets from output ``first`` on, zero before; only those are unembedded."""
        time = np.arange(hidden_BTD.shape[1])
        wanted_BT = np.stack([(time >= start) & (time < len(row)) for row, start in zip(targets, first, strict=True)])
        is_wanted = torch.from_numpy(wanted_BT).to(self._device)
        target_N = np.concatenate([row[start:] for row, start in zip(targets, first, strict=True)])
        log_probs_BT = np.zeros(wanted_BT.shape)
        if len(target_N):
            log_probs_N = self._model.log_probs_of(hidden_BTD[is_wanted], torch.from_numpy(target_N).to(self._device))
            log_probs_BT[wanted_BT] = log_probs_N
        return [log_probs[: len(row)] for log_probs, row in zip(log_probs_BT, targets, strict=True)]

    def _sum(self, family: Family, path: np.ndarray, branches: Mapping[int, np.ndarray]) -> None:
        """From log-probabilities per token to the sums of each pair of a family."""
        differs = {branch.pair: self._first_output(branch) for branch in family.branches}
        for pair in family.pairs:
            wt_path = path[: max(len(self._pairs[pair][0]) - self._model.num_uncounted, 0)]
            self.ll_wt[pair] = wt_path.sum()
            if pair in differs:
                wt, mut = wt_path[differs[pair] :], branches.get(pair, np.zeros(0))
                self.delta[pair] = (mut - wt).sum() if len(mut) == len(wt) else mut.sum() - wt.sum()


def _leaves_at(walk: Walk, stop: int) -> bool:
    return any(branch.leaves == stop for family in walk.families for branch in family.branches)
