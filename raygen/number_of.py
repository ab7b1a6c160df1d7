"""Numbers as users are told them. At the top of the rooms, since all of them tell users how many."""


def number_of(count: int, noun: str, plural: str | None = None) -> str:
    """``1 file``, ``2,000 files``; ``plural`` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def rate(value: float) -> str:
    """Something a second, to about three digits: ``0.0222``, ``35.1``, ``26,822``."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def gigabytes(num_bytes: int) -> str:
    """``13.9 GB``; of a small model ``0.42 GB``."""
    return f"{num_bytes / 1e9:.3g} GB"
