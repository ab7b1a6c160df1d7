"""How far the numbers of two tables lie apart, summed up while windows of both come in, with bounded memory.

Shapes:  P bases in both tables, the four bases that they are changed to first: (4, P)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from raygen.finished.diff_tally import RankSample
from raygen.finished.single_changes import Changes
from raygen.tables.columns import constant
from raygen.tables.position_table import BASES
from raygen.tables.schemas import variant_ids

SAME_WITHIN = 1e-5
"""Nats: as close as a position table is to `raygen score`. What lies farther apart has moved."""

CHANGED = pa.schema(
    [
        ("variant_id", pa.string()),
        ("old_delta_llr", pa.float64()),
        ("new_delta_llr", pa.float64()),
        ("change", pa.float64()),
    ]
)
"""Columns of the single-base changes whose deltas lie farther apart than ``SAME_WITHIN``; ``change`` is new minus old in nats."""


@dataclass(frozen=True)
class Distance:
    """How far the deltas of some changes that are in both tables lie apart, in nats, new minus old.

    Attributes:
        num: changes, of which ``num_changed`` lie farther apart than ``SAME_WITHIN``.
        mean, rms, largest: of the differences; ``largest`` without its sign.
        pearson: correlation of the deltas; None where it is not defined.
    """

    num: int
    num_changed: int
    mean: float
    rms: float
    largest: float
    pearson: float | None


class _Sums:
    """Sums over changes, one for each base that is changed to: (4,) each."""

    def __init__(self) -> None:
        names = ("num", "num_changed", "change", "change2", "largest", "old", "new", "old2", "new2", "product")
        self._of = {name: np.zeros(len(BASES)) for name in names}

    def add(self, old: np.ndarray, new: np.ndarray, change: np.ndarray, is_in_both: np.ndarray) -> None:
        """Take in (4, P) deltas that are 0 where a change is not in both."""
        size = np.abs(change)
        products = {"change2": (change, change), "old2": (old, old), "new2": (new, new), "product": (old, new)}
        sums = {
            "num": is_in_both.sum(axis=1),
            "num_changed": (size > SAME_WITHIN).sum(axis=1),
            **{name: values.sum(axis=1) for name, values in (("change", change), ("old", old), ("new", new))},
            **{name: np.einsum("bp,bp->b", *pair) for name, pair in products.items()},
        }
        for name, values in sums.items():
            self._of[name] += values
        self._of["largest"] = np.maximum(self._of["largest"], size.max(axis=1, initial=0))

    def distance(self, base: int | None = None) -> Distance:
        """Of the changes to one base, or of all."""
        which = slice(None) if base is None else slice(base, base + 1)
        of = {name: float(values[which].sum()) for name, values in self._of.items()}
        num = max(of["num"], 1)
        return Distance(
            num=int(of["num"]),
            num_changed=int(of["num_changed"]),
            mean=of["change"] / num,
            rms=float(np.sqrt(of["change2"] / num)),
            largest=float(self._of["largest"][which].max()),
            pearson=_pearson(of),
        )


def _pearson(of: dict[str, float]) -> float | None:
    """Pearson's correlation from sums; None where one side does not vary."""
    if not of["num"]:
        return None
    covariance = of["product"] - of["old"] * of["new"] / of["num"]
    variances = [of[f"{side}2"] - of[side] ** 2 / of["num"] for side in ("old", "new")]
    rounding = [1e-12 * of[f"{side}2"] for side in ("old", "new")]
    if any(variance <= least for variance, least in zip(variances, rounding, strict=True)):
        return None
    return float(np.clip(covariance / np.sqrt(variances[0] * variances[1]), -1, 1))


@dataclass
class PositionTally:
    """What two tables have in common and how far they lie apart, while windows come in, in genome order.

    Attributes:
        most: how many of the largest changes are kept, in ``largest``, rows of CHANGED.
        only_old, only_new: single-base changes that one table has alone.
        bases: positions of both; ``bases_only_old`` and ``bases_only_new`` of one alone.
        other_base: positions of both at which the references differ; their changes are in one table alone.
        by_contig: for each contig the changes in both and those that lie apart.
    """

    most: int
    only_old: int = 0
    only_new: int = 0
    bases: int = 0
    bases_only_old: int = 0
    bases_only_new: int = 0
    other_base: int = 0
    by_contig: dict[str, tuple[int, int]] = field(default_factory=dict)
    sums: _Sums = field(default_factory=_Sums)
    sample: RankSample = field(default_factory=RankSample)
    largest: pa.Table = field(default_factory=CHANGED.empty_table)
    _least: float = SAME_WITHIN

    def add(self, contig: str, old: Changes, new: Changes, *, wants_all: bool = False) -> pa.Table | None:
        """Count one window of a contig.

        Returns:
            Rows of CHANGED, all of the window, where they are wanted.
        """
        pos, in_old, in_new = np.intersect1d(old.pos, new.pos, assume_unique=True, return_indices=True)
        self.bases += len(pos)
        self.bases_only_old += len(old.pos) - len(pos)
        self.bases_only_new += len(new.pos) - len(pos)
        is_same_base = old.code[in_old] == new.code[in_new]
        self.other_base += int((~is_same_base).sum())
        pos, in_old, in_new = pos[is_same_base], in_old[is_same_base], in_new[is_same_base]
        deltas = old.delta[:, in_old], new.delta[:, in_new]
        is_in_both = np.isfinite(deltas[0]) & np.isfinite(deltas[1])
        before, after = (np.where(is_in_both, delta, 0.0) for delta in deltas)
        change = after - before
        num_both, num_changed = int(is_in_both.sum()), int((np.abs(change) > SAME_WITHIN).sum())
        self.only_old += int(np.isfinite(old.delta).sum()) - num_both
        self.only_new += int(np.isfinite(new.delta).sum()) - num_both
        counted, changed = self.by_contig.get(contig, (0, 0))
        self.by_contig[contig] = counted + num_both, changed + num_changed
        self.sums.add(before, after, change, is_in_both)
        self._add_to_sample(contig, pos, before, after, is_in_both)
        joined = _Joined(contig, pos, old.code[in_old], before, after, change)
        self._keep_largest(joined)
        return joined.rows(*np.nonzero((np.abs(change) > SAME_WITHIN).T)) if wants_all else None

    def _keep_largest(self, joined: _Joined) -> None:
        size = np.abs(joined.change)
        row, base = np.nonzero((size > self._least).T)
        if not len(row) or not self.most:
            return
        first = np.argsort(-size[base, row], kind="stable")[: self.most]
        rows = pa.concat_tables([self.largest, joined.rows(row[first], base[first])])
        order = np.argsort(-np.abs(rows["change"].to_numpy()), kind="stable")[: self.most]
        self.largest = rows.take(pa.array(order)).combine_chunks()
        if len(order) == self.most:
            self._least = float(abs(self.largest["change"][-1].as_py()))

    def _add_to_sample(
        self, contig: str, pos: np.ndarray, before: np.ndarray, after: np.ndarray, is_in_both: np.ndarray
    ) -> None:
        keys = (pos.astype(np.uint64) << np.uint64(2)) + np.arange(len(BASES), dtype=np.uint64)[:, None]
        hashes = _mixed(keys + (np.uint64(zlib.crc32(contig.encode())) << np.uint64(32)))
        wanted = is_in_both & (hashes <= np.uint64(self.sample.largest_hash))
        self.sample.add(pl.DataFrame({"old": before[wanted], "new": after[wanted], "hash": hashes[wanted]}))


@dataclass(frozen=True)
class _Joined:
    """The bases of a window that both tables have: (P,) places and reference's bases, (4, P) deltas."""

    contig: str
    pos: np.ndarray
    code: np.ndarray
    before: np.ndarray
    after: np.ndarray
    change: np.ndarray

    def rows(self, row: np.ndarray, base: np.ndarray) -> pa.Table:
        """Rows of CHANGED for (N,) rows and the bases that they are changed to."""
        letters = pa.array(BASES)
        variants = pa.table(
            {
                "chrom": constant(self.contig, len(row)).cast(pa.string()),
                "pos": self.pos[row],
                "ref": letters.take(pa.array(self.code[row])),
                "alt": letters.take(pa.array(base)),
            }
        )
        numbers = [pa.array(values[base, row]) for values in (self.before, self.after, self.change)]
        return pa.table([variant_ids(variants), *numbers], schema=CHANGED)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Hashes of uint64 (splitmix64): neighbouring keys get unlike ones, the same tomorrow."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
