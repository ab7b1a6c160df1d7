"""Pooled states as columns of a table. No torch.

In: ``PooledStates`` of each strand. Out: for each vector ``ref_<vector>`` and ``delta_<vector>``, FixedSizeList<float>, and
``num_pooled_<pool>_<strand>``. A vector over no positions is NaN, not null: before pyarrow 26 no fixed-size list with nulls can be read
from Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raygen.scoring.effects import SUFFIX
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates, vector_name
from raygen.sequence.windows import Strand

DISTANCES = ("l2", "cosine")


@dataclass(frozen=True)
class Storage:
    """How vectors are kept."""

    name: str


@dataclass(frozen=True)
class EmbeddingRequest:
    """What a run does with pooled states: which they are, how they are stored (None: not at all), and which distances it gives."""

    plan: EmbeddingPlan
    storage: Storage | None
    distances: tuple[str, ...] = ()

    def distance_names(self, strands: Sequence[str]) -> list[str]:
        """The columns of distances: the mean of the strands, and where there are two each of them."""
        names = []
        for layer in self.plan.layers:
            for pool in self.plan.pool_names:
                for distance in self.distances:
                    name = f"{distance}_{layer}_{pool}"
                    names += [name, *(f"{name}_{SUFFIX[strand]}" for strand in strands if len(strands) > 1)]
        return names


def embedding_columns(
    by_strand: Mapping[Strand, PooledStates], plan: EmbeddingPlan, storage: Storage
) -> dict[str, pa.Array]:
    """The columns of P pooled pairs."""
    columns: dict[str, pa.Array] = {}
    for layer in plan.layers:
        for pool in plan.pool_names:
            for strand, pooled in by_strand.items():
                name = vector_name(layer, pool, strand)
                columns[f"ref_{name}"] = _vectors(pooled.ref[layer, pool])
                columns[f"delta_{name}"] = _vectors(pooled.delta[layer, pool])
    for pool in plan.pool_names:
        for strand, pooled in by_strand.items():
            columns[f"num_pooled_{pool}_{SUFFIX[strand]}"] = pa.array(pooled.num_pooled[pool], pa.int64())
    return columns


def _vectors(states_PD: np.ndarray) -> pa.FixedSizeListArray:
    numbers = np.ascontiguousarray(states_PD, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), numbers.shape[1])
