"""Bootstrap samples of counts. NumPy alone: a run's workers read calibrations, and scikit-learn takes them a second to load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bootstrap:
    """How bootstrap intervals are made; ``replicates`` 0 makes none."""

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95


def resampled_counts(counts: np.ndarray, replicates: int, generator: np.random.Generator) -> np.ndarray:
    """(K,) counts to (B, K) counts of as many rows, drawn again with replacement; B replicates."""
    total = int(counts.sum())
    drawn: np.ndarray = generator.multinomial(total, counts / total, size=replicates)
    return drawn
