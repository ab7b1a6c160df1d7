"""What an actor scores with. A run makes it through ``Job.make_scorer``: tests put another one in its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raygen.errors import StoppedError
from raygen.pipeline.metrics import PassCount
from raygen.remote import stage
from raygen.sequence.reference import staged_reference

if TYPE_CHECKING:
    from raygen.pipeline.job import Job
    from raygen.scoring.positions import PositionScorer
    from raygen.scoring.scorer import PairScorer, VariantScorer


class ResidentScorer:
    """The model of the run, kept in memory."""

    def __init__(self, job: Job) -> None:
        import torch

        from raygen.scoring.fingerprint import fingerprint
        from raygen.scoring.likelihood import load_model
        from raygen.scoring.self_test import check_machine

        if job.device == "cpu":
            torch.set_num_threads(job.threads)
        self._model = load_model(
            stage(job.model_source),
            revision=job.revision,
            device=job.device,
            dtype=job.dtype,
            max_batch_tokens=job.max_batch_tokens or "auto",
            allow_unvalidated=job.allow_unvalidated,
        )
        actor_fingerprint = fingerprint(self._model.loaded.facts, job.window, job.strand, job.circular)
        if actor_fingerprint != job.identity.fingerprint:
            raise StoppedError(
                f"An actor's model has the fingerprint {actor_fingerprint}, the run's is {job.identity.fingerprint}."
            )
        check_machine(self._model, job.open_folder(job.output))
        self._passes = PassCount(self._model.loaded.network)
        self._scorer: PairScorer | VariantScorer | PositionScorer = self._make(job)

    def _make(self, job: Job) -> PairScorer | VariantScorer | PositionScorer:
        from raygen.pipeline.run_heads import columns_of_heads
        from raygen.scoring.effects import EXTRA_COLUMNS
        from raygen.scoring.scorer import PairScorer, VariantScorer

        wanted: dict[str, Any] = {
            "extra_columns": [name for name in EXTRA_COLUMNS if name in job.extra_columns],
            "embed": job.embed,
            "state_columns": columns_of_heads(job),
        }
        if job.reference is None:
            return PairScorer(self._model, job.method, job.state_memory, **wanted)
        reference = staged_reference(job.reference)
        return VariantScorer(self._model, reference, job.strand, job.circular, job.method, job.state_memory, **wanted)

    def score(self, planned: pa.Table) -> pa.Table:
        """Score planned rows."""
        return self._scorer.score(planned)

    def fail(self, planned: pa.Table, reason: str) -> pa.Table:
        """The planned rows without values, with ``reason`` as their failure."""
        return self._scorer.without_scores(planned, reason)

    def check(self) -> None:
        """Score the fixed pair of the self-test: after a fault of the device not even that works."""
        from raygen.scoring.self_test import run_self_test

        if not math.isfinite(run_self_test(self._model).log_likelihood):
            raise StoppedError("The self-test gives no number any more.")

    def spent(self) -> dict[str, int]:
        """Tokens, passes, rescored sequences or pairs, and halvings of a batch since the start."""
        model = self._model
        return {
            "tokens": model.num_tokens_computed,
            "batches": self._passes.passes,
            "rescored": model.num_rescored,
            "halvings": model.budget.num_halvings,
        }


class ResidentPositionScorer(ResidentScorer):
    """The model of a run over every base, kept in memory."""

    def _make(self, job: Job) -> PositionScorer:
        from raygen.scoring.positions import PositionScorer

        assert job.reference is not None and job.window is not None, "bases are of a reference and have windows"
        reference = staged_reference(job.reference)
        return PositionScorer(
            self._model, reference, job.window, job.strand, job.circular, job.method, job.state_memory
        )
