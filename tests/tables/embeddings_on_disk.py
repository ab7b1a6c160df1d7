"""Tables with embeddings built for a test, as runs leave them: ``commit_embedded(folder, "s1", "1", [10, 20])``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from raygen.scoring.effects import SUFFIX
from raygen.scoring.embedding_columns import EmbeddingRequest, embedding_columns, parse_storage
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS
from tests.embedding_scorer import vectors_of
from tests.tables.tables_on_disk import IDENTITY, rows

PLAN = EmbeddingPlan(("norm", "blocks.0"), ("right:8", "suffix"))
EMBEDDED = replace(IDENTITY, embeddings=EmbeddingRequest(PLAN, parse_storage("float32")).identity_text(["forward"]))


def embeddings_of_ids(ids: Sequence[str], store: str = "float32", strands: Sequence[str] = ("forward",)) -> pa.Table:
    """Embeddings of variants: of each the same ones wherever it stands."""
    by_strand = {}
    for strand in strands:
        keys = [(layer, pool) for layer in PLAN.layers for pool in PLAN.pool_names]
        ref, delta = ({key: vectors_of(ids, which, *key, SUFFIX[strand]) for key in keys} for which in ("ref", "delta"))
        by_strand[strand] = PooledStates(ref, delta, {pool: np.full(len(ids), 8) for pool in PLAN.pool_names})
    return pa.table(
        {"variant_id": pa.array(ids, pa.string()), **embedding_columns(by_strand, PLAN, parse_storage(store))}
    )


def commit_embedded(
    folder: RunFolder,
    shard: str,
    chrom: str | None,
    positions: Sequence[int],
    run: str = "run-1",
    store: str = "float32",
) -> None:
    """One shard with embeddings, without rejects."""
    scores = rows(chrom, positions, run)
    identity = replace(EMBEDDED, embeddings=EmbeddingRequest(PLAN, parse_storage(store)).identity_text(["forward"]))
    folder.commit_shard(
        shard,
        chrom,
        scores,
        REJECTS.empty_table(),
        identity,
        run,
        embeddings=embeddings_of_ids(scores["variant_id"].to_pylist(), store),
    )
