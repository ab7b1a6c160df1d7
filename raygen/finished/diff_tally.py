"""Counts what changed between two runs while joined windows come in, with bounded memory.

Changes are kept in files by their classes and size, so that the largest can be given first without sorting all of them at once. Ranks
need all scores, so Spearman's correlation is of a sample where there are more than ``SPEARMAN_ROWS``: those whose ids have the
smallest hashes, which the same variants give again tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from raygen.classes.classify import CLASSES
from raygen.disk_errors import disk_errors

SPEARMAN_ROWS = 1_000_000
PHRED_STEP, SEVERE = 5, 20
"""PHRED by which a move is counted: a share three times as large or small; and that of the most harmful hundredth."""

CHANGES = pa.schema(
    [
        ("variant_id", pa.string()),
        ("old_classification", pa.string()),
        ("new_classification", pa.string()),
        ("old_delta_llr", pa.float64()),
        ("new_delta_llr", pa.float64()),
        ("change", pa.float64()),
        ("old_abstained", pa.bool_()),
        ("new_abstained", pa.bool_()),
    ]
)
"""Columns of the variants that changed class, one row each, ordered by how many classes lie between, then by the size of
``change``, then as they come, which is genome order: where only cut points differ no score changes. ``change`` is new minus old
``delta_llr`` in nats; the id is NEW's."""

_SAMPLE = pa.schema([("old", pa.float64()), ("new", pa.float64()), ("hash", pa.uint64())])


@dataclass
class PhredMoves:
    """Variants whose PHRED moved by ``PHRED_STEP`` or more, and those that came to ``SEVERE`` or above or fell below it."""

    num_far: int = 0
    num_risen: int = 0
    num_fallen: int = 0

    def add(self, old: pl.Series, new: pl.Series) -> None:
        """Count the moves of (R,) PHRED."""
        self.num_far += int(((new - old).abs() >= PHRED_STEP).sum())
        self.num_risen += int(((old < SEVERE) & (new >= SEVERE)).sum())
        self.num_fallen += int(((old >= SEVERE) & (new < SEVERE)).sum())


@dataclass
class Tally:
    """Counts of what changed between two runs while joined windows come in, in genome order.

    Changes spill to files by their size, to be sorted part by part.
    """

    most: int
    scratch: Path | None = None
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    only_old: int = 0
    only_new: int = 0
    newly_abstained: int = 0
    no_longer_abstained: int = 0
    sum_change: float = 0.0
    sum_absolute: float = 0.0
    by_contig: dict[str, tuple[int, int]] = field(default_factory=dict)
    largest: pl.DataFrame = field(default_factory=lambda: _from_arrow(CHANGES.empty_table()))
    _sample: RankSample = field(default_factory=lambda: RankSample())
    _num_spilled: int = 0
    phred: PhredMoves | None = None

    def add(self, contig: str, joined: pl.DataFrame) -> None:
        """Count one window of joined rows: columns ``old_*`` and ``new_*``, null where one run has no such variant."""
        in_both = joined.filter(pl.col("old_delta_llr").is_not_null() & pl.col("new_delta_llr").is_not_null())
        self.only_old += joined["new_delta_llr"].null_count()
        self.only_new += joined["old_delta_llr"].null_count()
        in_both = in_both.with_columns(change=pl.col("new_delta_llr") - pl.col("old_delta_llr"))
        self._count(in_both)
        changed = in_both.filter(pl.col("old_classification") != pl.col("new_classification")).select(CHANGES.names)
        num_both, num_changed = self.by_contig.get(contig, (0, 0))
        self.by_contig[contig] = (num_both + in_both.height, num_changed + changed.height)
        largest = _largest_first(pl.concat([self.largest, _largest_first(changed).head(self.most)])).head(self.most)
        self.largest = _from_arrow(
            largest.to_arrow().cast(CHANGES)
        )  # a copy: text of a polars frame keeps its window alive
        self._spill(changed)
        self._sample.add(
            in_both.select(old="old_delta_llr", new="new_delta_llr", hash=pl.col("variant_id").hash(seed=0))
        )

    def _count(self, in_both: pl.DataFrame) -> None:
        pairs = in_both.group_by("old_classification", "new_classification").len()
        for before, after, number in pairs.iter_rows():
            self.counts[before, after] = self.counts.get((before, after), 0) + number
        self.newly_abstained += int((in_both["new_abstained"] & ~in_both["old_abstained"]).sum())
        self.no_longer_abstained += int((in_both["old_abstained"] & ~in_both["new_abstained"]).sum())
        self.sum_change += float(in_both["change"].sum())
        self.sum_absolute += float(in_both["change"].abs().sum())
        if "old_phred" in in_both.columns:
            self.phred = self.phred or PhredMoves()
            self.phred.add(in_both["old_phred"], in_both["new_phred"])

    def sorted_changes(self) -> Iterator[pa.Table]:
        """All rows of CHANGES in the order of ``largest``; the changes of one size are in memory at a time."""
        assert self.scratch is not None
        for folder in sorted(self.scratch.glob("steps-*"), reverse=True):
            rows = _largest_first(pl.read_parquet(folder / "*.parquet"))
            yield rows.select(CHANGES.names).to_arrow().cast(CHANGES)

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) old and (N,) new ``delta_llr``, nats, of all variants in both runs, or of ``SPEARMAN_ROWS`` of them."""
        return self._sample.values()

    def _spill(self, changed: pl.DataFrame) -> None:
        """Write changes to files by their size, in quarters of an octave of nats, so that they can be sorted part by part."""
        if self.scratch is None or changed.is_empty():
            return
        size = (pl.col("change").abs().clip(2.0**-20, 2.0**20).log(2) * 4).floor().cast(pl.Int64) + 100
        for (steps, number), rows in changed.group_by(_steps(), size.alias("size"), maintain_order=True):
            folder = self.scratch / f"steps-{steps:02d}-size-{number:04d}"
            with disk_errors(self.scratch):
                folder.mkdir(exist_ok=True)
                rows.write_parquet(folder / f"{self._num_spilled:06d}.parquet")
        self._num_spilled += 1


class RankSample:
    """Old and new values of all variants in both runs, or of ``SPEARMAN_ROWS`` of them: those with the smallest hashes.

    Attributes:
        largest_hash: from which on hashes come too late.
    """

    def __init__(self) -> None:
        self.largest_hash = 2**64 - 1
        self._rows: pl.DataFrame = _from_arrow(_SAMPLE.empty_table())

    def add(self, rows: pl.DataFrame) -> None:
        """Take in rows of ``old``, ``new`` and ``hash``."""
        self._rows = pl.concat([self._rows, rows.filter(pl.col("hash") <= self.largest_hash)])
        if self._rows.height > 2 * SPEARMAN_ROWS:  # not at every window: it costs as much as a sort
            self._leave_out()

    def _leave_out(self) -> None:
        if self._rows.height > SPEARMAN_ROWS:
            last = SPEARMAN_ROWS - 1
            self.largest_hash = int(np.partition(self._rows["hash"].to_numpy(), last)[last])
            self._rows = self._rows.filter(pl.col("hash") <= self.largest_hash).rechunk()

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) old and (N,) new values."""
        self._leave_out()
        return self._rows["old"].to_numpy(), self._rows["new"].to_numpy()


def _largest_first(changes: pl.DataFrame) -> pl.DataFrame:
    return changes.sort(_steps(), pl.col("change").abs(), descending=True, maintain_order=True)


def _steps() -> pl.Expr:
    """How many classes a variant moved; 0 where its old or its new class is none of ``CLASSES``."""
    index_of = {name: index for index, name in enumerate(CLASSES)}
    before, after = (
        pl.col(f"{side}_classification").replace_strict(index_of, default=None, return_dtype=pl.Int64)
        for side in ("old", "new")
    )
    return (after - before).abs().fill_null(0).alias("steps")


def _from_arrow(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
