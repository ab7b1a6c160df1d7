"""Scorers without a model, to measure the pipeline around them: ``jobs/benchmarks/bench_pipeline.py``, ``bench_tabulate.py`` and tests.

It takes ``ScoreShard``'s place in ``build``, sleeps as long as a GPU would compute, and keeps when it was busy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from raygen.pipeline.job import Job
from raygen.pipeline.stages import at_no_cost
from raygen.scoring.plan import strands_read
from raygen.scoring.scored_rows import PairLikelihoods, add_likelihoods
from raygen.tables.position_table import BASES, delta_columns


class DryScorer:
    """Scores every row with zeros, after a pause.

    Args:
        seconds_per_row: how long to sleep for each row.
        diary: a folder for a file an actor: one line a shard, when it began and ended (seconds, ``time.time``).
    """

    def __init__(self, job: Job, seconds_per_row: float = 0.0, diary: str | None = None) -> None:
        self._strands = strands_read(job.strand)
        self._seconds_per_row = seconds_per_row
        self._diary = f"{diary}/{id(self)}-{time.time_ns()}.tsv" if diary else None

    def __call__(self, planned: pa.Table) -> pa.Table:
        began = time.time()
        if self._seconds_per_row:
            time.sleep(self._seconds_per_row * len(planned))
        nothing = np.zeros(len(planned))
        tokens = planned[f"length_{self._strands[0]}"].to_numpy()
        zeros = PairLikelihoods(nothing, nothing, nothing, tokens, np.zeros(len(planned), bool))
        scored = add_likelihoods(planned, dict.fromkeys(self._strands, zeros))
        ended = time.time()
        if self._diary:
            with open(self._diary, "a") as diary:  # noqa: PTH123 - opened for each line, so that a killed actor loses none
                diary.write(f"{began}\t{ended}\n")
        return at_no_cost(scored, seconds=ended - began)


@dataclass(frozen=True)
class Busy:
    """How busy actors were between the first shard and the last: seconds of work over seconds there were."""

    num_actors: int
    seconds: float
    share: float


def how_busy(diary: str) -> Busy:
    """How busy the actors of a run were, from the folder with their diaries."""
    spans = [
        [tuple(map(float, line.split("\t"))) for line in path.read_text().splitlines()]
        for path in Path(diary).glob("*.tsv")
    ]
    first = min(began for actor in spans for began, _ in actor)
    last = max(ended for actor in spans for _, ended in actor)
    work = sum(ended - began for actor in spans for began, ended in actor)
    return Busy(len(spans), last - first, work / (len(spans) * (last - first)))


class DryPositionScorer:
    """What an actor scores every base with where there is no model: noise, which takes as much room in a file as scores do."""

    def __init__(self, job: Job) -> None:
        self._both = len(strands_read(job.strand)) > 1
        self._tokens = 0

    def score(self, planned: pa.Table) -> pa.Table:
        """The planned bases with deltas and entropies, the same ones each time."""
        self._tokens += len(planned)
        return self._noise(planned)

    def _noise(self, planned: pa.Table) -> pa.Table:
        code = planned["ref"].combine_chunks().indices.to_numpy()
        random = np.random.default_rng(len(planned))
        for name in delta_columns(self._both):
            deltas = -random.standard_exponential(len(planned), np.float32)
            planned = planned.append_column(name, pa.array(deltas, mask=code == BASES.index(name[6])))
        planned = planned.append_column("entropy", pa.array(random.random(len(planned), np.float32)))
        return planned.append_column("failure", pa.nulls(len(planned), pa.string()))

    def fail(self, planned: pa.Table, reason: str) -> pa.Table:
        """The planned bases with a failure."""
        scored = self._noise(planned)
        return scored.set_column(scored.schema.get_field_index("failure"), "failure", pa.repeat(reason, len(planned)))

    def check(self) -> None:
        """Nothing can be wrong."""

    def spent(self) -> dict[str, int]:
        """A token a base."""
        return {"tokens": self._tokens, "batches": 0, "rescored": 0, "halvings": 0}
