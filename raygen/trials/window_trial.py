"""A sample of variants scored under several windows: what each window says, and what it costs.

The sample is stretches of neighbours, not single variants: on a grid a variant is cheap because its neighbours are there,
and a sample of lone ones would hide that. ``raygen plan`` counts the tokens of a whole input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import SettingsError
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference
from raygen.sequence.window_choices import window_text
from raygen.sequence.windows import Window
from raygen.tables.schemas import VARIANTS, variant_ids

STRETCH = 20
"""Neighbours that are taken together."""


@dataclass(frozen=True)
class WindowTrial:
    """What one window gave for V variants: ``delta`` (V,) float64 in nats, NaN where the model gave no finite value."""

    window: Window
    delta: np.ndarray
    num_tokens: int
    seconds: float


def sample_variants(folder: Path, size: int, seed: int = 0) -> pa.Table:
    """About ``size`` variants of an ingested folder, or all where there are fewer: stretches of neighbours, in order.

    Only the row groups that hold them are read. The same folder, size and seed give the same sample.
    """
    groups = [(path, group) for path in sorted(folder.glob("part-*.parquet")) for group in _row_groups(path)]
    sizes = [rows for _, (_, rows) in groups]
    wanted = _stretches(sum(sizes), size, seed)
    parts, offset = [], 0
    for (path, (group, _)), rows in zip(groups, sizes, strict=True):
        own = wanted[(wanted >= offset) & (wanted < offset + rows)] - offset
        if len(own):
            table = pq.ParquetFile(path).read_row_group(group, columns=VARIANTS.names[:4])
            parts.append(table.take(pa.array(own)))
        offset += rows
    return pa.concat_tables(parts) if parts else VARIANTS.empty_table().select(VARIANTS.names[:4])


def try_windows(
    model: ResidentModel,
    variants: pa.Table,
    reference: Reference,
    windows: Sequence[Window],
    strand: str = "forward",
    circular: Sequence[str] = (),
    on_window: Callable[[Window], None] | None = None,
) -> list[WindowTrial]:
    """Score the same variants under each window.

    Args:
        variants: normalised and checked, sorted by contig and position.
        on_window: is told each window before it is tried.

    Raises:
        SettingsError: a window does not fit the model.
    """
    for window in windows:
        if window.longest > model.context_length:
            raise SettingsError(
                f"The window {window_text(window)} reads up to {window.longest:,} bases, "
                f"but {model.name} reads {model.context_length:,}."
            )
    scorer = VariantScorer(model, reference, strand, circular)
    named = variants.append_column("variant_id", variant_ids(variants))
    trials = []
    for window in windows:
        if on_window:
            on_window(window)
        began, tokens = time.perf_counter(), model.num_tokens_computed
        scored = scorer.score(plan_windows(named, reference, window, strand, circular))
        delta = scored["delta_llr"].to_numpy().astype(float)
        trials.append(
            WindowTrial(
                window,
                np.where(np.isfinite(delta), delta, np.nan),
                model.num_tokens_computed - tokens,
                time.perf_counter() - began,
            )
        )
    return trials


def _row_groups(path: Path) -> list[tuple[int, int]]:
    """(index, rows) of each row group."""
    metadata = pq.read_metadata(path)
    return [(index, metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]


def _stretches(num_rows: int, size: int, seed: int) -> np.ndarray:
    """Rows of ``size`` in all, ascending: stretches of ``STRETCH`` that do not overlap, the last one shorter."""
    if num_rows <= size:
        return np.arange(num_rows)
    places = np.arange(0, num_rows, STRETCH)
    chosen = np.random.default_rng(seed).permutation(places)
    rows = np.concatenate([np.arange(at, min(at + STRETCH, num_rows)) for at in chosen[: -(-size // STRETCH) + 1]])
    return np.sort(rows[:size])
