"""A scorer without a model whose rows have embeddings: of each row the same ones in every batch, order and run.

``run_score(settings, make_scorer=EmbeddingScorer)``; ``vectors_of(ids, "delta", "norm", "suffix", "fwd")`` are the vectors that a table of
it has to hold. With ``partial(EmbeddingScorer, fails={120})`` some positions have no score.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from raygen.scoring.effects import SUFFIX
from raygen.scoring.embedding_columns import embedding_columns
from raygen.scoring.embedding_plan import PooledStates
from raygen.scoring.plan import strands_read
from raygen.scoring.scored_rows import PairLikelihoods, add_likelihoods
from raygen.settings import load_settings
from tests.builders import fasta, random_bases, snvs, vcf

SIZE = 6
BASES = random_bases(900, 8)


def settings_of_run(folder: Path, positions=range(200, 600, 2), **more):
    """Settings of a run over SNVs at some positions, into ``out`` of a folder; ``more``: by their dotted names."""
    given = {
        "input.variants": [str(vcf(folder, snvs("1", BASES, positions)))],
        "input.reference": str(fasta(folder, {"1": BASES})),
        "output.path": str(folder / "out"),
        "model.device": "cpu",
        "window.left": 64,
        "window.right": 32,
        "window.strand": "both",
        "cluster.actors": 1,
    }
    return load_settings(None, given={**given, **more})


def vectors_of(ids: Sequence[str], which: str, layer: str, pool: str, strand: str) -> np.ndarray:
    """(N, SIZE) float32 of variants by their ids."""
    names = [zlib.crc32(f"{name} {which} {layer} {pool} {strand}".encode()) for name in ids]
    numbers = [np.random.default_rng(name).standard_normal(SIZE) for name in names]
    return np.array(numbers, np.float32).reshape(-1, SIZE)


class EmbeddingScorer:
    """Scores every row with -1, but for those at positions that ``fails`` names; a batch with one that ``raises`` names raises."""

    def __init__(self, job, fails: Collection[int] = (), raises: Collection[int] = ()) -> None:
        self._job, self._fails, self._raises = job, fails, raises
        self._strands = strands_read(job.strand)

    def score(self, planned: pa.Table) -> pa.Table:
        if set(planned["pos"].to_pylist()) & set(self._raises):
            raise ValueError("as a test wants it")
        scored = self._scored(planned)
        failed = ["as a test wants it" if pos in self._fails else None for pos in planned["pos"].to_pylist()]
        return scored.set_column(scored.schema.get_field_index("failure"), "failure", pa.array(failed, pa.string()))

    def _scored(self, planned: pa.Table) -> pa.Table:
        num_rows = len(planned)
        minus_one = np.full(num_rows, -1.0)
        likelihoods = PairLikelihoods(
            np.full(num_rows, -10.0), minus_one - 10, minus_one, np.full(num_rows, 8), np.zeros(num_rows, bool)
        )
        scored = add_likelihoods(planned, dict.fromkeys(self._strands, likelihoods))
        request = self._job.embed
        for name in request.distance_names(self._strands) if request else ():
            scored = scored.append_column(name, pa.array(np.full(num_rows, 0.5)))
        if request is None or request.storage is None:
            return scored
        ids = planned["variant_id"].to_pylist()
        by_strand = {strand: self._pooled(ids, SUFFIX[strand]) for strand in self._strands}
        for name, column in embedding_columns(by_strand, request.plan, request.storage).items():
            scored = scored.append_column(name, column)
        return scored

    def _pooled(self, ids: Sequence[str], strand: str) -> PooledStates:
        plan = self._job.embed.plan
        keys = [(layer, pool) for layer in plan.layers for pool in plan.pool_names]
        ref, delta = (
            {(layer, pool): vectors_of(ids, which, layer, pool, strand) for layer, pool in keys}
            for which in ("ref", "delta")
        )
        return PooledStates(ref, delta, {pool: np.full(len(ids), 4) for pool in plan.pool_names})

    def fail(self, planned: pa.Table, reason: str) -> pa.Table:
        scored = add_likelihoods(planned, dict.fromkeys(self._strands, _nothing(len(planned))))
        return scored.set_column(scored.schema.get_field_index("failure"), "failure", pa.repeat(reason, len(planned)))

    def check(self) -> None:
        """Nothing can be wrong."""

    def spent(self) -> dict[str, int]:
        return {"tokens": 0, "batches": 0, "rescored": 0, "halvings": 0}


def _nothing(num_rows: int) -> PairLikelihoods:
    missing = np.full(num_rows, np.nan)
    return PairLikelihoods(missing, missing, missing, np.zeros(num_rows, np.int64), np.zeros(num_rows, bool))
