"""The actor: keeps a model resident and scores shard after shard, piece by piece.

Whatever a row does, the run goes on. Rows that raise are halved until the bad one is alone; it keeps its place with a
failure and becomes ``scoring_failed``. Rows that kill the process are found by those that come after it (see ``pieces``).
Memory that ends is no fault of a row: the piece is halved, and later pieces stay that small. When a row has failed, the
model must still score the self-test's pair; when it cannot (after a fault of a GPU nothing works any more in its process),
the process ends itself, a new one loads the model again, and the try counts as one that killed.
"""

from __future__ import annotations

import json
import os
import time

import pyarrow as pa
import pyarrow.compute as pc
import ray

from raygen.errors import RaygenError, StoppedError
from raygen.pipeline.job import ActorScorer, Job
from raygen.pipeline.memory_kills import num_memory_kills, refuse_more_memory_kills
from raygen.pipeline.pieces import ActorStart, Piece, ShardPieces, ids_of
from raygen.pipeline.prescored import is_left_out
from raygen.tables.columns import constant

_MANY = 16
"""As many rows that all fail are the model's fault and not theirs."""


class ScoreShard:
    """Planned shards in, scored shards out: the rows that need no model follow behind the others, without values."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._folder = job.open_folder(job.output)
        context = ray.get_runtime_context()
        self._refusal: RaygenError | None = None
        try:
            self._scorer = self._load(job, context.get_actor_id() or "here", context.get_node_id())
        except RaygenError as refusal:
            if not context.was_current_actor_reconstructed:
                raise
            self._refusal = refusal  # Ray Data waits for ever for rows whose actor raises while it starts again
        self._usual_rows = job.first_piece
        self._most_rows: int | None = None
        self._own_halvings = 0
        self._unsaid_restarts = int(context.was_current_actor_reconstructed)

    def _load(self, job: Job, actor: str, node: str) -> ActorScorer:
        refuse_more_memory_kills(self._folder, job.run_id, node, num_memory_kills())
        start = ActorStart(self._folder, job.run_id, actor)
        start.begin("loading the model")
        try:
            return job.make_scorer(job)
        finally:
            start.end()

    def __call__(self, planned: pa.Table) -> pa.Table:
        """Score the rows of a shard that are not scored already."""
        from raygen.model.devices import peak_gpu_memory, peak_host_memory  # and torch: not where the run is started

        if self._refusal is not None:
            raise self._refusal
        began, before = time.perf_counter(), self._spent()
        left_out = is_left_out(planned)
        scored = self._score_rows(planned.filter(pc.invert(left_out)))
        _refuse_if_nothing_worked(scored)
        after = self._spent()
        cost = {name: value - before[name] for name, value in after.items()}
        cost["tokens"] += self._tokens_before
        cost["tokens_before"] = self._tokens_before
        cost["splits"], cost["halvings"] = cost["halvings"], after["halvings"]
        cost["restarts"], self._unsaid_restarts = self._unsaid_restarts, 0
        cost |= {"gpu_memory": peak_gpu_memory(), "host_memory": peak_host_memory()}
        described = json.dumps({**cost, "score_seconds": time.perf_counter() - began})
        table = pa.concat_tables([scored, planned.filter(left_out)], promote_options="default")
        return table.append_column("cost", constant(described, len(table)))

    def _spent(self) -> dict[str, int]:
        spent = self._scorer.spent()
        return {**spent, "halvings": spent["halvings"] + self._own_halvings}

    def _score_rows(self, rows: pa.Table) -> pa.Table:
        self._failed, self._worked, self._tokens_before = 0, 0, 0
        if not len(rows):
            return self._scorer.score(rows)
        pieces = ShardPieces(self._folder, self._job.run_id, rows["shard"][0].as_py(), self._job.identity, ids_of(rows))
        scored, self._tokens_before = pieces.scored_before()
        start = sum(map(len, scored))
        while start < len(rows):
            piece = pieces.next(start, min(self._usual_rows, self._most_rows or len(rows)))
            scored.append(self._score_piece(pieces, piece, rows, is_last=piece.stop == len(rows)))
            start = piece.stop
        return pa.concat_tables(scored, promote_options="default")

    def _score_piece(self, pieces: ShardPieces, piece: Piece, rows: pa.Table, is_last: bool) -> pa.Table:
        """Score a piece and keep it; the last one of a shard goes straight to its commit."""
        piece_rows = rows.slice(piece.start, piece.stop - piece.start)
        began, tokens = time.perf_counter(), self._scorer.spent()["tokens"]
        if piece.convicted:
            scored = self._scorer.fail(piece_rows, pieces.reason(piece))
        else:
            attempt = pieces.begin(piece)
            scored = self._score_or_split(piece_rows, pieces, attempt)
            self._measure(len(piece_rows), time.perf_counter() - began)
            if not is_last:
                pieces.keep(piece, scored, self._scorer.spent()["tokens"] - tokens)
            pieces.end(attempt)
        if piece.convicted and not is_last:
            pieces.keep(piece, scored, 0)
        return scored

    def _measure(self, num_rows: int, seconds: float) -> None:
        """Pieces grow at once and shrink slowly: a small one after a bad row says little about speed."""
        rows_in_time = int(num_rows / max(seconds, 1e-6) * self._job.keep_every)
        self._usual_rows = max(rows_in_time, self._usual_rows // 2, self._job.least_piece)

    def _score_or_split(self, rows: pa.Table, pieces: ShardPieces, attempt: str) -> pa.Table:
        """Score rows; where that raises, score their halves."""
        try:
            scored = self._scorer.score(rows)
        except RaygenError:
            pieces.end(attempt)
            raise
        except Exception as error:  # noqa: BLE001 - whatever the model says of a row goes to REJECTS with it
            failure = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            self._remember_memory(error, rows)
            if len(rows) == 1:
                return self._failed_row(rows, failure, pieces, attempt)
        else:
            self._worked += len(rows)
            return scored
        half = len(rows) // 2
        parts = [rows.slice(0, half), rows.slice(half)]
        return pa.concat_tables(
            [self._score_or_split(part, pieces, attempt) for part in parts], promote_options="default"
        )

    def _remember_memory(self, error: Exception, rows: pa.Table) -> None:
        from raygen.scoring.batches import is_out_of_memory

        if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and is_out_of_memory(error)):
            return
        if len(rows) == 1:
            raise StoppedError(
                "Memory ended on one row alone. Use a smaller window or a device with more memory."
            ) from error
        self._most_rows = max(len(rows) // 2, 1)
        self._own_halvings += 1

    def _failed_row(self, row: pa.Table, failure: str, pieces: ShardPieces, attempt: str) -> pa.Table:
        self._failed += 1
        if self._failed >= _MANY and not self._worked:
            pieces.end(attempt)
            raise StoppedError(_nothing_worked(self._failed, failure))
        try:
            self._scorer.check()
        except Exception:  # noqa: BLE001 - nothing works in this process any more, so it ends and says why
            pieces.give_up(attempt, failure)
            os._exit(1)
        return self._scorer.fail(row, failure)


def _refuse_if_nothing_worked(scored: pa.Table) -> None:
    """A few rows may fail and become rejects; when none of many works it is the model, and the run stops."""
    if len(scored) >= _MANY and pc.all(pc.is_valid(scored["failure"])).as_py():
        raise StoppedError(_nothing_worked(len(scored), scored["failure"][0].as_py()))


def _nothing_worked(num_rows: int, failure: str) -> str:
    return (
        f"None of {num_rows:,} rows could be scored: {failure}. Nothing of them was written; "
        "`raygen doctor --model` tries the model on one pair."
    )
