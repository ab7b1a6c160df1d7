"""Bootstrap samples of counts. NumPy alone: a run's workers read calibrations, and scikit-learn takes them a second to load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made. ``replicates`` 0 makes none."""

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95


def resampled_counts(counts: np.ndarray, replicates: int, generator: np.random.Generator) -> np.ndarray:
    """(B, K) counts of as many rows, drawn again with replacement."""
    total = int(counts.sum())
    drawn: np.ndarray = generator.multinomial(total, counts / total, size=replicates)
    return drawn


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's correlation over what is finite in both; None for fewer than two values or values that are all equal."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 2 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return None
    frame = pl.DataFrame({"one": one[both], "other": other[both]})
    return float(frame.select(pl.corr("one", "other", method="spearman")).item())
