"""Columns to look at a score by: variant type, allele-frequency bin, or any column of few values, as text."""

from __future__ import annotations

import numpy as np
import polars as pl

from raygen.errors import InputError, SettingsError
from raygen.evaluation.number_columns import as_numbers

VARIANT_TYPE = "variant_type"
AF_BIN = "af_bin"
NO_VALUE = "(none)"
AF_EDGES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2)
_AF_LABELS = (
    "AF 0",
    "AF to 0.00001",
    "AF to 0.0001",
    "AF to 0.001",
    "AF to 0.01",
    "AF to 0.05",
    "AF above 0.05",
)
_MOST_NUMBERS = 50
_MOST_GROUPS = 5_000


def as_group(column: pl.Series) -> pl.Series:
    """A column as text; null and empty become ``(none)``.

    Raises:
        SettingsError: it holds more values than make groups.
    """
    num_values = column.n_unique()
    if column.dtype.is_float() and num_values > _MOST_NUMBERS:
        raise SettingsError(
            f"--by {column.name}: {num_values:,} different numbers make no groups. For allele frequencies use "
            f"--af-column {column.name}."
        )
    if num_values > _MOST_GROUPS:
        raise SettingsError(f"--by {column.name}: {num_values:,} different values; {_MOST_GROUPS:,} groups at most.")
    text = column.cast(pl.String).fill_null(NO_VALUE)
    return text.replace({"": NO_VALUE})


def add_af_bin(frame: pl.DataFrame, af_column: str) -> pl.DataFrame:
    """Append ``af_bin``: the allele frequency in steps of ten, the upper edge included.

    Raises:
        SettingsError: it holds something that is no number; ``.`` and empty are missing.
        InputError: a frequency below 0 or above 1.
    """
    frequency = as_numbers(frame[af_column], "--af-column").fill_nan(None)
    known = frequency.drop_nulls().to_numpy()
    if ((known < 0) | (known > 1)).any():
        raise InputError(
            f"--af-column {af_column}: {float(known.min()):g} to {float(known.max()):g}; a frequency lies between 0 and 1."
        )
    values = frequency.fill_null(0.0).to_numpy()
    bins = np.array(_AF_LABELS, dtype=object)[np.searchsorted(AF_EDGES, values, side="left")]
    named = pl.DataFrame({AF_BIN: pl.Series(bins.tolist(), dtype=pl.String), "known": frequency.is_not_null()})
    return frame.with_columns(named.select(pl.when("known").then(AF_BIN).alias(AF_BIN)).to_series())


def in_order(column: str, values: list[str]) -> list[str]:
    """Frequencies by size; other values as they come, the unknown last."""
    if column == AF_BIN:
        return [*(label for label in _AF_LABELS if label in values), *(v for v in values if v not in _AF_LABELS)]
    return sorted(values, key=lambda value: value == NO_VALUE)
