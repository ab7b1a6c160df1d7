"""Which states of a pair a pool holds, and what is done with pooled states afterwards. No torch.

States are counted by the bases that they stand behind: index 0 is the state after the first base of a sequence, -1 that after BOS,
which only a model with BOS has. WT and MUT are set against each other from the last bases of their alleles on, so that behind them
the same bases of the genome are compared. An index that one of the two sequences does not have is left out of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raygen.scoring.effects import SUFFIX, Behind
from raygen.scoring.embedding_columns import EmbeddingRequest
from raygen.scoring.embedding_plan import EmbeddingPlan, Pool, PooledStates
from raygen.sequence.windows import Strand


@dataclass(frozen=True)
class PooledPlaces:
    """``count`` states of WT from index ``wt`` on, and as many of MUT from ``mut`` on."""

    wt: int
    mut: int
    count: int


def pooled_places(pool: Pool, behind: Behind, num_wt: int, num_mut: int, has_bos: bool) -> PooledPlaces:
    """The states of a pool.

    Args:
        behind: where WT and MUT go on behind the alleles.
        num_wt, num_mut: their bases.
    """
    wt_last, mut_last = behind[0] - 1, behind[1] - 1
    lowest = -1 if has_bos else 0
    first = max(pool.first, lowest - wt_last, lowest - mut_last)
    end = min(num_wt - wt_last, num_mut - mut_last)
    if pool.num_positions is not None:
        end = min(end, pool.first + pool.num_positions)
    return PooledPlaces(wt_last + first, mut_last + first, max(end - first, 0))


def no_states(plan: EmbeddingPlan, num_pairs: int, width: int) -> PooledStates:
    """Nothing pooled of any pair."""
    keys = [(layer, pool) for layer in plan.layers for pool in plan.pool_names]
    ref, delta = ({key: np.full((num_pairs, width), np.nan, np.float32) for key in keys} for _ in range(2))
    return PooledStates(ref, delta, {pool: np.zeros(num_pairs, np.int64) for pool in plan.pool_names})


def rows_finite(pooled: PooledStates) -> np.ndarray:
    """(P,) bool: all that was pooled of a pair is finite; of pools that hold nothing of it nothing is asked."""
    finite = np.ones(len(next(iter(pooled.num_pooled.values()))), bool)
    for vectors in (pooled.ref, pooled.delta):
        for (_, pool), values in vectors.items():
            finite &= np.isfinite(values).all(axis=1) | (pooled.num_pooled[pool] == 0)
    return finite


def replace_pooled(pooled: PooledStates, rows: np.ndarray, others: PooledStates) -> None:
    """Put other values into some rows."""
    for own, new in ((pooled.ref, others.ref), (pooled.delta, others.delta), (pooled.num_pooled, others.num_pooled)):
        for key in own:
            own[key][rows] = new[key]  # type: ignore[index]


def without_rows(pooled: PooledStates, rows: np.ndarray) -> PooledStates:
    """The same without what was pooled of the pairs that (P,) Booleans name."""
    if not rows.any():
        return pooled
    blank = lambda values: np.where(rows[:, None], np.float32(np.nan), values)  # noqa: E731
    return PooledStates(
        {key: blank(values) for key, values in pooled.ref.items()},
        {key: blank(values) for key, values in pooled.delta.items()},
        {pool: np.where(rows, 0, counts) for pool, counts in pooled.num_pooled.items()},
    )


# Distances ----------------------------------------------------------------------------------------------------------


def distances_of(by_strand: Mapping[Strand, PooledStates], embed: EmbeddingRequest) -> dict[str, np.ndarray]:
    """(R,) float64 by the names of ``distance_names``; NaN where nothing was pooled. Of two strands, the mean and both."""
    columns: dict[str, np.ndarray] = {}
    for distance in embed.distances:
        for key in [(layer, pool) for layer in embed.plan.layers for pool in embed.plan.pool_names]:
            name = f"{distance}_{key[0]}_{key[1]}"
            of_strands = {
                f"{name}_{SUFFIX[strand]}": _distance(distance, pooled.ref[key], pooled.delta[key])
                for strand, pooled in by_strand.items()
            }
            columns |= of_strands
            columns[name] = np.mean(list(of_strands.values()), axis=0)
    return {name: columns[name] for name in embed.distance_names(list(by_strand))}


def _distance(name: str, ref_PD: np.ndarray, delta_PD: np.ndarray) -> np.ndarray:
    """Of WT's vector and MUT's: |delta|, or one less the cosine of the angle between them."""
    ref, delta = ref_PD.astype(np.float64), delta_PD.astype(np.float64)
    length = np.linalg.norm(delta, axis=1)
    if name == "l2":
        return np.asarray(length)
    # 1 - a·b / (|a| |b|) with b = a + d, without the difference of nearly equal numbers that it is for a small d.
    ref_length, alt_length = np.linalg.norm(ref, axis=1), np.linalg.norm(ref + delta, axis=1)
    longer = (2 * (ref * delta).sum(axis=1) + length**2) / (ref_length + alt_length)  # |b| - |a|
    with np.errstate(invalid="ignore"):  # vectors of zeros have no angle
        return np.asarray((length**2 - longer**2) / (2 * ref_length * alt_length))
