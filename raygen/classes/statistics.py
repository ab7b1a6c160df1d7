"""Bootstrap samples of clusters. NumPy alone: a run's workers read calibrations, and scikit-learn takes them a second to load.

Whole clusters are drawn, with replacement and as many as there are (Field and Welsh, Journal of the Royal Statistical Society B
2007, 69:369-390): alleles of a site, or variants of a gene, are not independent, and drawn one by one they make an interval too
narrow. Where every row is a cluster of its own this is the plain bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK_CELLS = 8_000_000  # clusters times replicates that are counted at a time
_LEAST_MOST = 100  # replicates at a time that are never too many
_CACHED_CELLS = 500_000  # numbers that a caller makes of the replicates at a time, where there is room for more


@dataclass(frozen=True)
class Bootstrap:
    """How bootstrap intervals are made; ``replicates`` 0 makes none."""

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def interval(self, drawn: np.ndarray) -> tuple[float, float] | None:
        """(low, high) percentiles of (B,) replicates; None where there are none."""
        if not len(drawn):
            return None
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)


def times_drawn(
    num_clusters: int, bootstrap: Bootstrap, num_rows: int = 0, num_cells: int | None = None
) -> Iterator[np.ndarray]:
    """How often each cluster is in each replicate: (C, b) int32, in chunks of replicates that do not change the draws.

    Args:
        num_rows: where the caller spreads them over its rows, which then keeps the chunks small.
        num_cells: numbers that the caller makes of one replicate; where they are few, chunks are larger.
    """
    generator = np.random.default_rng(bootstrap.seed)
    most = max(_CACHED_CELLS // max(num_cells, num_clusters, 1), _LEAST_MOST) if num_cells else _LEAST_MOST
    size = min(max(_CHUNK_CELLS // max(num_clusters, num_rows), 1), most)
    for start in range(0, bootstrap.replicates, size):
        shape = (min(size, bootstrap.replicates - start), num_clusters)
        drawn = generator.integers(num_clusters, size=shape)
        drawn += np.arange(shape[0])[:, None] * num_clusters
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        yield np.ascontiguousarray(counts.reshape(shape).T, dtype=np.int32)
