"""A column as numbers, whatever the table keeps it as: scores of other tools and columns that rode along are often text.

In: a column. Out: float64. Null, empty and ``.`` are missing and stay null; anything else that is no number is refused by name.
"""

from __future__ import annotations

import polars as pl

from raygen.errors import SettingsError

_MISSING = ("", ".")
_LIST = r"^[0-9.eE+-]+(,[0-9.eE+-]+)+$"


def as_numbers(column: pl.Series, setting: str) -> pl.Series:
    """(R,) float64 of a column of numbers, or of text that spells them.

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
    """Null in place of text that lists several numbers by commas, and how many there were.

    An INFO field that its header does not declare as one value for each ALT comes as such a list, the same for every allele of
    the record, and nothing in it says which number is the allele's own.
    """
    if column.dtype != pl.String:
        return column, 0
    is_list = column.str.contains(_LIST).fill_null(False)
    return column.set(is_list, None), int(is_list.sum())


def _text(column: pl.Series) -> pl.Series:
    """Without blanks around; what stands for a missing value is null."""
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text.is_in(list(_MISSING)), None)
