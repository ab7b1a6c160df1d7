"""Everything that the page about a position table counts, in one pass over it.

In: the rows of a table by place, of any size. Out: a ``PositionTally``. Rows are read a quarter of a million at a time and only counts are
kept: deltas in bins of ``STEP`` nats, a contig in columns and in stretches, one contig's stretches at a time. So memory does not grow with
the table, but for at most ``MAX_STRETCHES`` bins. Nothing is sampled: the lowest stretches of a sample are not those of the table.

Shapes:  P bases, the four bases that they are changed to first: (4, P);  C columns or stretches of a contig
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.pages.tally import StrandAgreement
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import BASES, FLAGS, delta_columns, flags_of

STEP = 0.01
"""Width in nats of the bins of deltas, which lie around its multiples: quantiles are exact to the two places that are shown."""
MAX_COLUMNS = 500
MAX_CONTIGS = 30
MAX_STRETCHES = 1_000_000
EXTREMES = 20

_ROWS_AT_ONCE = 1 << 18
_PIECE = 1 << 15  # rows that are counted at a time: what is made of them stays in the cache of a core
_LIMIT = 10_000  # in steps, 100 nats; what lies beyond is counted there
_BINS = 2 * _LIMIT + 1
_LEAST_STRETCH = 100
_BITMAPS = 1 << len(FLAGS)


@dataclass(frozen=True)
class Along:
    """A contig in columns of ``width`` bases, the first of which begins at ``start`` (1-based).

    Attributes:
        num_bases: (C,) bases in each column that have a row.
        mean: (C,) mean over them of the mean of a base's changes, nats; NaN where there is none. ``entropy`` likewise.
    """

    chrom: str
    start: int
    width: int
    num_bases: np.ndarray
    mean: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True, order=True)
class Stretch:
    """A stretch of a contig, ``start`` to ``end`` (1-based, both included), ordered by ``mean``.

    Attributes:
        mean: over its bases of the mean of a base's changes, nats; ``entropy`` likewise.
        place: of its contig among those of the table.
        num_bases: in it that have a row.
    """

    mean: float
    place: int
    start: int
    end: int
    chrom: str
    num_bases: int
    entropy: float


@dataclass(frozen=True)
class PositionTally:
    """What a position table holds, as counts.

    Attributes:
        num_bases: rows, and ``num_contigs``, over how many contigs.
        changes: (4, 4, bins) single-base changes by the reference's base, the base that it is changed to and the bin of ``delta_llr``.
        flags: bases by flag, those with any.
        along: the contigs with the most bases, in the order of the table; ``other_contigs`` are left out.
        stretch: bases of a stretch. Those of which less than half has rows are left out of ``lowest`` and ``highest``, which begin with
            the outermost.
        strands: how well the deltas of the two strands agree, where each strand's are in the table.
    """

    num_bases: int
    num_contigs: int
    changes: np.ndarray
    flags: dict[str, int]
    along: Sequence[Along]
    other_contigs: int
    stretch: int
    lowest: Sequence[Stretch]
    highest: Sequence[Stretch]
    strands: StrandAgreement


def tally_positions(table: PositionRows | None, contigs: Sequence[str]) -> PositionTally:
    """Count a position table.

    Args:
        table: None for one without rows.
        contigs: of it, in the order in which they are to be shown.
    """
    if table is None:
        return _Counting(_LEAST_STRETCH, both_strands=False).tally(0)
    windows = {chrom: list(table.windows(chrom, _ROWS_AT_ONCE)) for chrom in contigs}
    spans = {chrom: (parts[0][0], parts[-1][1]) for chrom, parts in windows.items() if parts}
    stretch = max(round_width(sum(last - first + 1 for first, last in spans.values()) / MAX_STRETCHES), _LEAST_STRETCH)
    counting = _Counting(stretch, table.has_both_strands)
    for place, (chrom, span) in enumerate(spans.items()):
        contig = _Contig(chrom, place, span, stretch)
        for first, last in windows[chrom]:
            rows = table.rows_between(chrom, first, last, counting.columns)
            for offset in range(0, rows.num_rows, _PIECE):
                counting.add(contig, rows.slice(offset, _PIECE))
        counting.close(contig)
    return counting.tally(len(spans))


def quantile(counts: np.ndarray, share: float) -> float:
    """A quantile, nats, of the deltas counted in (bins,) bins, to ``STEP``: of an even number of them the median is the lower one.

    NaN where there are none.
    """
    upto = np.cumsum(counts)
    return (int(np.searchsorted(upto, max(share * upto[-1], 1))) - _LIMIT) * STEP if upto[-1] else float("nan")


def steps_and_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bins that hold any deltas, as multiples of ``STEP``, and how many they hold."""
    bins = np.flatnonzero(counts)
    return bins - _LIMIT, counts[bins]


def round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 and so on that is no less."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


class _Bins:
    """Bases, and sums of two numbers of each, by stretches of ``width`` bases that begin at multiples of it."""

    def __init__(self, span: tuple[int, int], width: int) -> None:
        self.width = width
        self._first = (span[0] - 1) // width
        num_bins = (span[1] - 1) // width - self._first + 1
        self.num_bases = np.zeros(num_bins, np.int64)
        self._sums = np.zeros((2, num_bins))

    @property
    def start(self) -> int:
        """The first position of the first bin (1-based)."""
        return self._first * self.width + 1

    def add(self, pos: np.ndarray, sums: np.ndarray) -> None:
        """Count (P,) bases, ascending, from the (2, P + 1) sums of the numbers of those before each."""
        low, high = ((int(outer) - 1) // self.width for outer in pos[[0, -1]])
        edges = np.searchsorted(pos, np.arange(low, high + 2) * self.width + 1)
        bins = slice(low - self._first, high + 1 - self._first)
        self.num_bases[bins] += np.diff(edges)
        self._sums[:, bins] += np.diff(sums[:, edges])

    def means(self) -> np.ndarray:
        """(2, C) means of the two numbers; NaN where there are no bases."""
        return np.divide(self._sums, self.num_bases, out=np.full_like(self._sums, np.nan), where=self.num_bases > 0)


class _Contig:
    """The bins of one contig whose rows lie between two positions, ``span``."""

    def __init__(self, chrom: str, place: int, span: tuple[int, int], stretch: int) -> None:
        self.chrom, self._place, self._span = chrom, place, span
        self._columns = _Bins(span, round_width((span[1] - span[0] + 1) / MAX_COLUMNS))
        self._stretches = _Bins(span, stretch)

    def add(self, pos: np.ndarray, mean: np.ndarray, entropy: np.ndarray) -> None:
        """Count (P,) bases, ascending."""
        sums = np.zeros((2, len(pos) + 1))
        np.cumsum([mean, entropy], axis=1, dtype=np.float64, out=sums[:, 1:])
        self._columns.add(pos, sums)
        self._stretches.add(pos, sums)

    @property
    def num_bases(self) -> int:
        """Bases that were counted."""
        return int(self._columns.num_bases.sum())

    def along(self) -> Along:
        """The contig in columns."""
        columns = self._columns
        return Along(self.chrom, columns.start, columns.width, columns.num_bases, *columns.means())

    def stretches(self) -> tuple[int, list[Stretch]]:
        """How many stretches have rows for half of their bases, and those of them that may be among the outermost."""
        num_bases, (mean, entropy) = self._stretches.num_bases, self._stretches.means()
        full = np.flatnonzero(2 * num_bases >= self._stretches.width)
        order = full[np.argsort(mean[full], kind="stable")]
        outermost = order if len(order) <= 2 * EXTREMES else np.concatenate([order[:EXTREMES], order[-EXTREMES:]])
        return len(full), [
            self._stretch(number, int(num_bases[number]), float(mean[number]), float(entropy[number]))
            for number in outermost.tolist()
        ]

    def _stretch(self, number: int, num_bases: int, mean: float, entropy: float) -> Stretch:
        start = self._stretches.start + number * self._stretches.width
        end = start + self._stretches.width - 1
        place = max(start, self._span[0]), min(end, self._span[1])
        return Stretch(mean, self._place, *place, self.chrom, num_bases, entropy)


class _Counting:
    """The counts behind a ``PositionTally`` while the rows of one contig after the other are added.

    Attributes:
        columns: of the table that are read.
    """

    def __init__(self, stretch: int, both_strands: bool) -> None:
        self._deltas = delta_columns(both_strands=False)
        self._strands = delta_columns(both_strands=True)[len(BASES) :] if both_strands else []
        self.columns = ["pos", "ref", "entropy", "flags", *self._deltas, *self._strands]
        self._stretch = stretch
        self._changes = np.zeros((len(BASES) ** 2, _BINS), np.int64)
        self._flags = np.zeros(_BITMAPS, np.int64)
        self._num_bases = self._num_stretches = 0
        self._along: list[Along] = []
        self._lowest: list[Stretch] = []
        self._highest: list[Stretch] = []
        self._agreement = StrandAgreement()

    def add(self, contig: _Contig, rows: pa.Table) -> None:
        """Count rows of a contig, ascending."""
        delta = _numbers(rows, self._deltas)
        has_delta = ~np.isnan(delta)
        self._num_bases += rows.num_rows
        self._flags += np.bincount(rows["flags"].to_numpy(), minlength=_BITMAPS)
        if not has_delta.any():
            return
        self._count_changes(rows["ref"], delta, has_delta)
        self._add_strands(rows)
        num_changes = has_delta.sum(axis=0, dtype=np.uint8)
        is_scored = num_changes > 0
        mean = np.where(has_delta, delta, 0).sum(axis=0)[is_scored] / num_changes[is_scored]
        contig.add(rows["pos"].to_numpy()[is_scored], mean, rows["entropy"].to_numpy()[is_scored])

    def _count_changes(self, ref: pa.ChunkedArray, delta: np.ndarray, has_delta: np.ndarray) -> None:
        step = np.clip(np.rint(delta / np.float32(STEP)), -_LIMIT, _LIMIT)
        low, high = (int(outermost) for outermost in (np.fmin.reduce(step, None), np.fmax.reduce(step, None)))
        step[~has_delta] = high + 1
        num_bins = high + 2 - low
        code = pc.index_in(ref, pa.array(BASES)).to_numpy()
        first_bin = (code * len(BASES) + np.arange(len(BASES), dtype=np.int32)[:, None]) * num_bins - low
        counts = np.bincount((first_bin + step.astype(np.int32)).ravel(), minlength=len(self._changes) * num_bins)
        self._changes[:, low + _LIMIT : high + _LIMIT + 1] += counts.reshape(-1, num_bins)[:, :-1]

    def _add_strands(self, rows: pa.Table) -> None:
        if not self._strands:
            return
        strands = _numbers(rows, self._strands).reshape(2, -1)
        is_missing = np.isnan(strands).any(axis=0)
        forward, reverse = np.where(is_missing, 0, strands)
        self._agreement.rows += int(np.count_nonzero(~is_missing))
        self._agreement.sums += [
            *(strand.sum(dtype=np.float64) for strand in (forward, reverse)),
            *(float(one @ other) for one, other in ((forward, forward), (reverse, reverse), (forward, reverse))),
        ]

    def close(self, contig: _Contig) -> None:
        """Keep what is wanted of a contig whose rows all were added."""
        if not contig.num_bases:
            return
        self._along.append(contig.along())
        if len(self._along) > MAX_CONTIGS:
            del self._along[int(np.argmin([along.num_bases.sum() for along in self._along]))]
        num_stretches, outermost = contig.stretches()
        self._num_stretches += num_stretches
        self._lowest = heapq.nsmallest(EXTREMES, [*self._lowest, *outermost])
        self._highest = heapq.nlargest(EXTREMES, [*self._highest, *outermost])

    def tally(self, num_contigs: int) -> PositionTally:
        num_highest = self._num_stretches // 2  # no stretch is in both lists
        return PositionTally(
            num_bases=self._num_bases,
            num_contigs=num_contigs,
            changes=self._changes.reshape(len(BASES), len(BASES), _BINS),
            flags={flag: int(self._flags[mask].sum()) for flag, mask in flags_of(np.arange(_BITMAPS)).items()},
            along=self._along,
            other_contigs=num_contigs - len(self._along),
            stretch=self._stretch,
            lowest=self._lowest[: self._num_stretches - num_highest],
            highest=self._highest[:num_highest],
            strands=self._agreement,
        )


def _numbers(rows: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(columns, P) float32 of these columns; NaN for null."""
    return np.stack([rows[name].to_numpy() for name in names])
