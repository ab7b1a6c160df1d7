"""Columns of a table of variants made usable: labels as positive and negative, groups as text, numbers as float64.

Labels are positive (pathogenic), negative or left out, by value and number.

Without ``positive`` and ``negative`` the values are read as ClinVar's ``CLNSIG``: the aggregate terms, joined by ``/``, ``|`` or
``,``. A value is positive where it names Pathogenic or Likely_pathogenic and neither a benign term nor doubt (uncertain,
conflicting), negative the other way round. ``Pathogenic/Likely_pathogenic``, ``Pathogenic|drug_response`` and
``Likely_pathogenic,_low_penetrance`` are positive; ``Conflicting_interpretations_of_pathogenicity`` and a bare
``risk_factor`` are left out.

A score is looked at by groups: variant type, allele-frequency bin, or any column of few values, as text.

A column becomes numbers whatever the table keeps it as: scores of other tools and columns that rode along are often text.
Null, empty and ``.`` are missing and stay null; anything else that is no number is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from raygen.errors import InputError, SettingsError

UNLABELLED = "(no label)"
_PATHOGENIC = {"pathogenic", "likely_pathogenic"}
_BENIGN = {"benign", "likely_benign"}
_MOST_SHOWN = 12


@dataclass(frozen=True)
class Labels:
    """What the R rows of a label column mean.

    Attributes:
        is_positive: (R,) Boolean, null where a row is left out.
        positive, negative: the values that rows have, of each kind.
        left_out: rows that are neither, by value.
        unknown: values that were named and that no row has.
    """

    is_positive: pl.Series
    positive: list[str]
    negative: list[str]
    left_out: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def assign_labels(values: pl.Series, positive: Sequence[str] = (), negative: Sequence[str] = ()) -> Labels:
    """Turn the values of a label column into positive, negative and left out.

    Args:
        positive, negative: values as the column spells them; without both, ClinVar's terms.

    Raises:
        SettingsError: one of the two is missing, they overlap, or no row has any of the values named.
        InputError: no value is a ClinVar term, and none was named.
    """
    texts = values.cast(pl.String)
    counted = texts.drop_nulls().value_counts().sort(["count", texts.name], descending=[True, False])
    counts = dict(counted.iter_rows())
    if positive or negative:
        _check_named(positive, negative, counts)
        meaning = {**dict.fromkeys(positive, True), **dict.fromkeys(negative, False)}
    else:
        meaning = {value: is_pathogenic for value in counts if (is_pathogenic := clinvar_meaning(value)) is not None}
        if not meaning:
            raise InputError(
                f"No label is one of ClinVar's terms for pathogenic or benign; there are {_shown(counts)}. "
                "Say which are which: --positive A,B --negative C,D."
            )
    is_positive = texts.replace_strict(meaning, default=None, return_dtype=pl.Boolean)
    left_out = {value: count for value, count in counts.items() if value not in meaning}
    if num_null := texts.null_count():
        left_out[UNLABELLED] = num_null
    by_meaning = {verdict: [value for value in counts if meaning.get(value) is verdict] for verdict in (True, False)}
    unknown = [value for value in meaning if value not in counts]
    return Labels(is_positive, by_meaning[True], by_meaning[False], left_out, unknown)


def clinvar_meaning(significance: str) -> bool | None:
    """What a ClinVar significance means: True for (likely) pathogenic, False for (likely) benign, None for all else.

    Case and blanks do not matter.
    """
    terms = {term.strip("_ ").lower().replace(" ", "_") for term in re.split(r"[/|,;]", significance)}
    if any(term.startswith(("uncertain", "conflicting")) for term in terms):
        return None
    is_pathogenic, is_benign = bool(terms & _PATHOGENIC), bool(terms & _BENIGN)
    return is_pathogenic if is_pathogenic != is_benign else None


def _check_named(positive: Sequence[str], negative: Sequence[str], counts: dict[str, int]) -> None:
    if not positive or not negative:
        raise SettingsError(f"--positive and --negative go together. The labels are {_shown(counts)}.")
    if overlap := sorted(set(positive) & set(negative)):
        raise SettingsError(f"{', '.join(overlap)} cannot be positive and negative.")
    for values in (positive, negative):
        if not any(value in counts for value in values):
            raise SettingsError(f"No row has the label {' or '.join(values)}. The labels are {_shown(counts)}.")


def _shown(counts: dict[str, int]) -> str:
    some = [f"{value} ({count:,})" for value, count in list(counts.items())[:_MOST_SHOWN]]
    more = f" and {len(counts) - _MOST_SHOWN:,} more" if len(counts) > _MOST_SHOWN else ""
    return f"{', '.join(some)}{more}" if some else "none"


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
    """A column to group by as text; null and empty become ``(none)``.

    Raises:
        SettingsError: the column holds more values than make groups.
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
        SettingsError: ``af_column`` holds something that is no number; ``.`` and empty are missing.
        InputError: a frequency lies below 0 or above 1.
    """
    frequency = as_numbers(frame[af_column], "--af-column").fill_nan(None)
    frequencies = frequency.drop_nulls().to_numpy()
    if ((frequencies < 0) | (frequencies > 1)).any():
        raise InputError(
            f"--af-column {af_column}: {float(frequencies.min()):g} to {float(frequencies.max()):g}; a frequency lies between 0 and 1."
        )
    values = frequency.fill_null(0.0).to_numpy()
    bins = np.array(_AF_LABELS, dtype=object)[np.searchsorted(AF_EDGES, values, side="left")]
    binned = pl.DataFrame({AF_BIN: pl.Series(bins.tolist(), dtype=pl.String), "known": frequency.is_not_null()})
    return frame.with_columns(binned.select(pl.when("known").then(AF_BIN).alias(AF_BIN)).to_series())


def in_order(column: str, values: list[str]) -> list[str]:
    """Values of a column in the order to show groups: frequency bins by size, others as they come, the unknown last."""
    if column == AF_BIN:
        return [
            *(label for label in _AF_LABELS if label in values),
            *(value for value in values if value not in _AF_LABELS),
        ]
    return sorted(values, key=lambda value: value == NO_VALUE)


_MISSING = ("", ".")
_LIST = r"^[0-9.eE+-]+(,[0-9.eE+-]+)+$"


def as_numbers(column: pl.Series, setting: str) -> pl.Series:
    """(R,) float64 of a column of R numbers, or of text that spells them; missing values are null.

    Raises:
        SettingsError: a value is no number; ``setting`` is the option that named the column.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    text = _text(column)
    numbers = text.cast(pl.Float64, strict=False)
    wrong = text.filter(numbers.is_null() & text.is_not_null())
    if len(wrong):
        raise SettingsError(
            f"{setting} {column.name}: {wrong[0]!r} is no number, the first of {len(wrong):,} such values "
            f"in {len(column):,} rows."
        )
    return numbers


def without_lists(column: pl.Series) -> tuple[pl.Series, int]:
    """A column with null in place of text that lists several numbers by commas, and the number of such rows.

    An INFO field that its header does not declare as one value for each ALT comes as such a list, the same for every allele of
    the record, and nothing in it says which number is the allele's own.
    """
    if column.dtype != pl.String:
        return column, 0
    is_list = column.str.contains(_LIST).fill_null(False)
    return column.set(is_list, None), int(is_list.sum())


def _text(column: pl.Series) -> pl.Series:
    """A column as text without blanks around it; what stands for a missing value is null."""
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text.is_in(list(_MISSING)), None)
