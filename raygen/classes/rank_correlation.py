"""How alike two lists of scores rank the same variants. It needs polars, which workers of a run do not load."""

from __future__ import annotations

import numpy as np
import polars as pl


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's correlation of (N,) and (N,) values, over what is finite in both.

    None for fewer than two such values, or where those of one side are all equal.
    """
    finite = np.isfinite(first) & np.isfinite(second)
    if finite.sum() < 2 or np.ptp(first[finite]) == 0 or np.ptp(second[finite]) == 0:
        return None
    frame = pl.DataFrame({"first": first[finite], "second": second[finite]})
    return float(frame.select(pl.corr("first", "second", method="spearman")).item())
