"""Columns that are made of pooled states where they are at hand, such as those of heads, and the states that they need. No torch.

The scorer knows nothing of what makes them: which layers and pools it needs, and a function from states and scored rows to columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from raygen.scoring.pooled_states import without_rows
from raygen.sequence.windows import Strand


@dataclass(frozen=True)
class StateColumns:
    """Columns of float64 by ``names``; ``of`` makes them of the states of ``plan`` by strand and of the rows that these are of."""

    names: tuple[str, ...]
    plan: EmbeddingPlan
    of: Callable[[Mapping[Strand, PooledStates], pa.Table], dict[str, pa.Array]]

    def append_to(self, scored: pa.Table, by_strand: Mapping[Strand, PooledStates]) -> pa.Table:
        """Scored rows with the columns, null in rows that have a failure, whose states, infinite perhaps, nothing is made of."""
        failed = pc.is_valid(scored["failure"])
        rows = failed.to_numpy()
        columns = self.of({strand: without_rows(pooled, rows) for strand, pooled in by_strand.items()}, scored)
        for name in self.names:
            scored = scored.append_column(name, pc.if_else(failed, pa.scalar(None, pa.float64()), columns[name]))
        return scored

    def append_nothing(self, scored: pa.Table) -> pa.Table:
        """Scored rows with the columns, all null."""
        for name in self.names:
            scored = scored.append_column(name, pa.nulls(len(scored), pa.float64()))
        return scored


def joined_plan(plans: Sequence[EmbeddingPlan]) -> EmbeddingPlan | None:
    """All layers over all pools of some plans; None where these name none."""
    layers, pools = (
        tuple(dict.fromkeys(name for plan in plans for name in getattr(plan, kind)))
        for kind in ("layers", "pool_names")
    )
    return EmbeddingPlan(layers, pools) if layers else None
