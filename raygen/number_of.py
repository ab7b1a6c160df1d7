"""Numbers as messages write them, and what counts as one. At the top of the rooms, since messages of all of them say how many."""

from __future__ import annotations

import numbers
from typing import Any


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of Python's or NumPy's; true and false are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def number_of(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: ``1 file``, ``2,000 files``; ``plural`` where that is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def rate(value: float) -> str:
    """A number a second, to about three digits: ``0.0222``, ``35.1``, ``26,822``."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def gigabytes(num_bytes: int) -> str:
    """Bytes in GB (10^9), to three digits: ``13.9 GB``, ``0.42 GB``."""
    return f"{num_bytes / 1e9:.3g} GB"


def three_places(value: float | None) -> str:
    """A number with three decimal places; ``-`` for none."""
    return "-" if value is None else f"{value:.3f}"
