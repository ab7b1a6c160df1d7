"""A number and its noun, in the number's form. At the top of the rooms, since all of them tell users how many."""


def number_of(count: int, noun: str, plural: str | None = None) -> str:
    """``1 file``, ``2,000 files``; ``plural`` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
