"""Which rows a sample of neighbours has."""

from __future__ import annotations

import numpy as np

STRETCH = 20
"""Neighbours that are taken together."""


def stretches(num_rows: int, size: int, seed: int) -> np.ndarray:
    """Rows of ``size`` in all, ascending: stretches of ``STRETCH`` that do not overlap, the last one shorter."""
    if num_rows <= size:
        return np.arange(num_rows)
    places = np.arange(0, num_rows, STRETCH)
    chosen = np.random.default_rng(seed).permutation(places)
    rows = np.concatenate(
        [np.arange(start, min(start + STRETCH, num_rows)) for start in chosen[: -(-size // STRETCH) + 1]]
    )
    return np.sort(rows[:size])
