"""How far the scores of shorter windows agree with those of the longest, and what they save: so that a window is chosen
on a user's own variants.

Ranks are compared by Spearman's correlation, since a shorter window sums over fewer tokens and its deltas have another
scale; for the same reason the classes, whose cut points are in nats, agree less than the ranks do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raygen.classes.classify import GLM_CLINICAL_CUTS, class_index
from raygen.classes.rank_correlation import rank_correlation
from raygen.number_of import three_places


@dataclass(frozen=True)
class WindowComparison:
    """One window against the baseline.

    Attributes:
        window: in one word, as ``--windows`` takes it.
        rank_correlation: Spearman's, over the variants that both could score; None where it is not defined.
        class_agreement: share of those variants that fall in the same class.
        tokens_per_variant, seconds: what it cost.
        times_cheaper: the baseline's tokens for each token of this window.
    """

    window: str
    rank_correlation: float | None
    class_agreement: float | None
    tokens_per_variant: float
    seconds: float
    times_cheaper: float


def compare_windows(
    windows: Sequence[str],
    deltas: Sequence[np.ndarray],
    tokens: Sequence[int],
    seconds: Sequence[float],
    cuts: Sequence[float] = GLM_CLINICAL_CUTS,
) -> list[WindowComparison]:
    """Compare every window with the first one.

    Args:
        deltas: for each window (V,) nats, NaN where there is no score.
        tokens, seconds: for each window, for all V variants.
    """
    baseline, baseline_tokens = deltas[0], max(tokens[0], 1)
    return [
        WindowComparison(
            window=window,
            rank_correlation=rank_correlation(baseline, delta),
            class_agreement=_class_agreement(baseline, delta, cuts),
            tokens_per_variant=spent / max(len(delta), 1),
            seconds=lasted,
            times_cheaper=baseline_tokens / max(spent, 1),
        )
        for window, delta, spent, lasted in zip(windows, deltas, tokens, seconds, strict=True)
    ]


def as_json(comparisons: Sequence[WindowComparison], about: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison as ``--out`` writes it: ``about`` (model, sample, seed, strand and the like), then one entry a
    window.
    """
    return {**about, "baseline": comparisons[0].window, "windows": [asdict(comparison) for comparison in comparisons]}


def print_comparison(comparisons: Sequence[WindowComparison], console: Console) -> None:
    """Print a comparison as a table with a row a window; the first is the baseline."""
    heads = ("window", "Spearman", "same class", "tokens/variant", "seconds", "times cheaper")
    table = Table(*heads, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for number, comparison in enumerate(comparisons):
        agreement = (
            ("baseline", "")
            if number == 0
            else (three_places(comparison.rank_correlation), _percent(comparison.class_agreement))
        )
        table.add_row(
            comparison.window,
            *agreement,
            f"{comparison.tokens_per_variant:,.0f}",
            f"{comparison.seconds:,.1f}",
            f"{comparison.times_cheaper:,.1f}",
        )
    console.print(table)


def _class_agreement(baseline: np.ndarray, other: np.ndarray, cuts: Sequence[float]) -> float | None:
    in_both = np.isfinite(baseline) & np.isfinite(other)
    if not in_both.any():
        return None
    return float(np.mean(class_index(baseline[in_both], cuts) == class_index(other[in_both], cuts)))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
