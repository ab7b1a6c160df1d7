"""How scores are spread: exact counts on a fixed grid of numbers, from which the rank of any score follows.

In: scores, in any order and any number of parts. Out: how many fall on each step of the grid. A step is the float32 numbers that agree in
their sign, exponent and first 15 bits of the fraction: 32,768 steps from one power of two to the next, each narrower than 1/30,000 of its
numbers. So the few scores of a tail are told apart as well as the many in the middle, and nothing has to be known of the scores before.

A quantile sketch (t-digest, KLL) is smaller, but what it says depends on the order of the scores or on a random seed. Counts are added:
parts give the same numbers in any order, to the last one. What a rank can be wrong by is the share of the scores on the same step,
``rank_error``; it is measured, not promised: 7e-6 for normal deviates around 0.

Shapes: K steps that hold scores, R rows
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

STEP_BITS = 8
"""Bits of a float32 that a step does not tell apart."""
_SIGN = np.uint32(1 << 31)
_BELOW_ZERO = np.nextafter(np.float32(0), np.float32(-1))
MOST_PENDING = 1 << 22
"""Steps that may wait: 50 MB."""
_AT_ONCE = 1 << 20  # scores that are sorted at a time: they fit into the cache


@dataclass(frozen=True)
class ScoreCounts:
    """Counts of scores by step.

    Attributes:
        steps: (K,) int32, ascending: which steps hold scores.
        counts: (K,) int64, how many each holds.
    """

    steps: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> ScoreCounts:
        """Counts of (R,) finite scores."""
        builder = CountsBuilder()
        builder.add(scores)
        return builder.counts()

    @classmethod
    def sum_of(cls, parts: Iterable[ScoreCounts]) -> ScoreCounts:
        """What all parts hold together."""
        every = list(parts)
        steps = np.concatenate([np.zeros(0, np.int32), *(part.steps for part in every)])
        return _added(steps, np.concatenate([np.zeros(0, np.int64), *(part.counts for part in every)]))

    @cached_property
    def num_scores(self) -> int:
        """How many scores were counted."""
        return int(self.counts.sum())

    @cached_property
    def rank_error(self) -> float:
        """The most that ``shares`` can be too large by: the largest share of one step."""
        return float(self.counts.max(initial=0) / max(self.num_scores, 1))

    def shares(self, scores: np.ndarray) -> np.ndarray:
        """(R,) the share of the counted scores that are as low as each of (R,) scores or lower.

        Scores on the step of a score count as equal to it. Below all that was counted the share is that of one score: nothing
        is known to be rarer. NaN stays NaN.
        """
        counted = self._up_to[np.searchsorted(self.steps, steps_of(scores), side="right")]
        return np.where(np.isnan(scores), np.nan, np.maximum(counted, 1) / max(self.num_scores, 1))

    def score_at(self, share: float) -> float:
        """The lowest score up to which there is at least this share of the counted scores, to the end of its step."""
        place = int(np.searchsorted(self._up_to[1:], share * self.num_scores * (1 - 1e-12), side="left"))
        return float(ends_of(self.steps[[min(place, len(self.steps) - 1)]])[0])

    @cached_property
    def _up_to(self) -> np.ndarray:
        """(K + 1,) scores on the first steps: on none, on one, on two and so on."""
        return np.concatenate([[0], np.cumsum(self.counts)])


@dataclass
class CountsBuilder:
    """Counts scores part by part; its memory does not grow with their number.

    Attributes:
        num_pending: steps, some of them several times, that wait to be added up.
    """

    _steps: list[np.ndarray] = field(default_factory=list)
    _counts: list[np.ndarray] = field(default_factory=list)
    num_pending: int = 0

    def add(self, scores: np.ndarray) -> None:
        """Count (R,) finite scores."""
        for start in range(0, len(scores), _AT_ONCE):
            steps, counts = np.unique(steps_of(scores[start : start + _AT_ONCE]), return_counts=True)
            self._steps.append(steps)
            self._counts.append(counts)
            self.num_pending += len(steps)
            if self.num_pending > MOST_PENDING:
                self.counts()

    def counts(self) -> ScoreCounts:
        """What was counted up to now."""
        settled = ScoreCounts.sum_of(map(ScoreCounts, self._steps, self._counts))
        self._steps, self._counts = [settled.steps], [settled.counts]
        self.num_pending = 0
        return settled


def steps_of(scores: np.ndarray) -> np.ndarray:
    """(R,) int32: the step of each of (R,) scores; a lower score is on the same step or a lower one."""
    bits = (np.asarray(scores, np.float32) + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
    ascending = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (ascending >> STEP_BITS).astype(np.int32)


def ends_of(steps: np.ndarray) -> np.ndarray:
    """(K,) float32: the largest score of each of (K,) steps."""
    ascending = (steps.astype(np.uint32) << STEP_BITS) | np.uint32((1 << STEP_BITS) - 1)
    ends = np.where(ascending & _SIGN, ascending & ~_SIGN, ~ascending).astype(np.uint32).view(np.float32)
    return np.where(np.signbit(ends) & (ends == 0), _BELOW_ZERO, ends)  # -0 counts as 0, which is on the next step


def _added(steps: np.ndarray, counts: np.ndarray) -> ScoreCounts:
    if not len(steps):
        return ScoreCounts(steps, counts)
    order = np.argsort(steps, kind="stable")
    ascending = steps[order]
    starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    return ScoreCounts(ascending[starts], np.add.reduceat(counts[order], starts))
