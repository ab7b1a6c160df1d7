"""Two folders of scores side by side, a window of positions at a time.

In: two folders. Out: for each window a full join of their rows, so that what only one has is there too. Contigs are matched by the
same rule as everywhere (``chr1`` is ``1``), variants by pos, ref and alt; pairs by their ids, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from raygen.tables.score_index import ScoreIndex
from raygen.variants.contig_names import natural_order, resolve_contig

WINDOW_ROWS = 1 << 17
"""Rows of one side that are held at a time."""
_VALUES = ("delta_llr", "classification", "abstained")


def joined_windows(old: ScoreIndex, new: ScoreIndex) -> Iterator[tuple[str, pl.DataFrame]]:
    """(contig by NEW's name, or ``pairs``; rows). The rows have ``variant_id`` (NEW's where it has one) and ``delta_llr``,
    ``classification`` and ``abstained`` with the prefixes ``old_`` and ``new_``, null where that side has no such variant.
    They come in genome order; pairs by their ids.
    """
    for contig, old_name, new_name in _contigs(old, new):
        for first, last in _windows(old, old_name, new, new_name):
            sides = _side(old, old_name, first, last), _side(new, new_name, first, last)
            yield contig or "pairs", _joined(*sides, by_name=contig is None)


def _contigs(old: ScoreIndex, new: ScoreIndex) -> Iterator[tuple[str | None, str | None, str | None]]:
    """(name, OLD's name, NEW's name) of each contig of either, by the name that NEW uses; "" where one has none.

    A name of None stands for pairs on both sides.
    """
    if None in old.contigs:
        yield None, None, None
        return
    there = [name for name in new.contigs if name is not None]
    taken = set()
    for name in sorted(map(str, old.contigs), key=natural_order):
        match = resolve_contig(name, there)
        taken.add(match)
        yield match or name, name, match or ""
    for name in sorted(there, key=natural_order):
        if name not in taken:
            yield name, "", name


def _windows(old: ScoreIndex, old_name: str | None, new: ScoreIndex, new_name: str | None) -> Iterator[tuple[int, int]]:
    """Windows in which neither has many rows."""
    for first, last in old.windows(old_name, WINDOW_ROWS):
        yield from new.windows(new_name, WINDOW_ROWS, first, last)


def _side(index: ScoreIndex, chrom: str | None, first: int, last: int) -> pl.DataFrame:
    frame = pl.from_arrow(index.rows_between(chrom, first, last, ["variant_id", "pos", "ref", "alt", *_VALUES]))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _joined(old: pl.DataFrame, new: pl.DataFrame, *, by_name: bool) -> pl.DataFrame:
    """A full join. ``variant_id`` is NEW's where it has the row; ``key`` is what both call it."""
    keys = ["variant_id"] if by_name else ["pos", "ref", "alt"]
    sides = []
    for prefix, side in (("old_", old), ("new_", new)):
        own = [pl.col(name).alias(prefix + name) for name in _VALUES]
        sides.append(side.select(*keys, pl.col("variant_id").alias(f"{prefix}variant_id"), *own))
    joined = sides[0].join(sides[1], on=keys, how="full", coalesce=True)
    return joined.with_columns(variant_id=pl.coalesce("new_variant_id", "old_variant_id")).sort(keys)
