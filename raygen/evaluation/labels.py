"""Which labels count as positive (pathogenic), which as negative, and what is left out, by value and number.

Without ``positive`` and ``negative`` the values are read as ClinVar's ``CLNSIG``: the aggregate terms, joined by ``/``, ``|`` or
``,``. A value is positive where it names Pathogenic or Likely_pathogenic and neither a benign term nor doubt (uncertain,
conflicting), negative the other way round. ``Pathogenic/Likely_pathogenic``, ``Pathogenic|drug_response`` and
``Likely_pathogenic,_low_penetrance`` are positive; ``Conflicting_interpretations_of_pathogenicity`` and a bare
``risk_factor`` are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from raygen.errors import InputError, SettingsError

UNLABELLED = "(no label)"
_PATHOGENIC = {"pathogenic", "likely_pathogenic"}
_BENIGN = {"benign", "likely_benign"}
_MOST_SHOWN = 12


@dataclass(frozen=True)
class Labels:
    """``is_positive`` (R,) Boolean, null where a row is left out; the values that are there of each kind; ``left_out`` rows by
    value; ``unknown`` values that were named and that no row has."""

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
    counts = dict(texts.drop_nulls().value_counts().sort("count", descending=True).iter_rows())
    if positive or negative:
        _check_named(positive, negative, counts)
        meaning = {**dict.fromkeys(positive, True), **dict.fromkeys(negative, False)}
    else:
        meaning = {value: said for value in counts if (said := clinvar_meaning(value)) is not None}
        if not meaning:
            raise InputError(
                f"No label is one of ClinVar's terms for pathogenic or benign; there are {_shown(counts)}. "
                "Say which are which: --positive A,B --negative C,D."
            )
    is_positive = texts.replace_strict(meaning, default=None, return_dtype=pl.Boolean)
    left_out = {value: count for value, count in counts.items() if value not in meaning}
    if num_null := texts.null_count():
        left_out[UNLABELLED] = num_null
    by_meaning = {said: [value for value in counts if meaning.get(value) is said] for said in (True, False)}
    unknown = [value for value in meaning if value not in counts]
    return Labels(is_positive, by_meaning[True], by_meaning[False], left_out, unknown)


def clinvar_meaning(significance: str) -> bool | None:
    """True for (likely) pathogenic, False for (likely) benign, None for all else; case and blanks do not matter."""
    terms = {term.strip("_ ").lower().replace(" ", "_") for term in re.split(r"[/|,;]", significance)}
    if any(term.startswith(("uncertain", "conflicting")) for term in terms):
        return None
    is_pathogenic, is_benign = bool(terms & _PATHOGENIC), bool(terms & _BENIGN)
    return is_pathogenic if is_pathogenic != is_benign else None


def _check_named(positive: Sequence[str], negative: Sequence[str], counts: dict[str, int]) -> None:
    if not positive or not negative:
        raise SettingsError(f"--positive and --negative go together. The labels are {_shown(counts)}.")
    if both := sorted(set(positive) & set(negative)):
        raise SettingsError(f"{', '.join(both)} cannot be positive and negative.")
    for values in (positive, negative):
        if not any(value in counts for value in values):
            raise SettingsError(f"No row has the label {' or '.join(values)}. The labels are {_shown(counts)}.")


def _shown(counts: dict[str, int]) -> str:
    some = [f"{value} ({count:,})" for value, count in list(counts.items())[:_MOST_SHOWN]]
    more = f" and {len(counts) - _MOST_SHOWN:,} more" if len(counts) > _MOST_SHOWN else ""
    return f"{', '.join(some)}{more}" if some else "none"
