"""What is checked of a position table beyond what every table has to be.

    a row        is of an A, C, G or T, in order of position; has a delta for the three other bases and none for its own, each finite and
                 with both strands their mean; flags that there are; an entropy that four letters can have
    the table    no position twice; as many rows as the footers of its files say, which name the runs that wrote them

Of each contig a bit a base is in memory: 31 MB for 249 million.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.number_of import number_of
from raygen.tables.layout import RunFolder, ScoreFile, rows_of_runs
from raygen.tables.position_table import (
    ALTS,
    BASES,
    DELTAS,
    FLAGS,
    codes_of,
    delta_columns,
    has_both_strands,
    positions_schema,
)
from raygen.tables.table_check import NUM_SHOWN, TableCheck

_ROUNDING = 2.0**-23
"""Of the strands' sizes: mean and strands were each rounded to float32."""
_LARGEST_ENTROPY = np.log(len(BASES))
_ENTROPY_ROUNDING = 1e-5
_BLOCK = 1 << 16


class PositionCheck(TableCheck):
    """The verification of a position table."""

    unit = "single-base change"
    units_a_row = ALTS
    most_rows = 1 << 18

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self._chrom: str | None = None
        self._seen = SeenPositions()
        self._repeated: dict[str | None, list[int]] = {}
        self._num_repeated: Counter[str | None] = Counter()
        self._num_rows: Counter[str | None] = Counter()
        self._num_in_footers: Counter[str | None] = Counter()

    def columns_of(self, schema: pa.Schema) -> pa.Schema:
        """Those of a position table, with each strand's deltas where the file has the first of them."""
        columns = positions_schema(has_both_strands(schema))
        return pa.schema([column for column in columns if column.name != "chrom"])

    def check_file(self, file: ScoreFile, opened: pq.ParquetFile) -> None:
        """Take in which runs the file's rows are of."""
        by_run = rows_of_runs(opened.metadata)
        self.count_if(file, by_run.pop("", 0), "of a run that its footer does not name")
        self.rows_of.update(by_run)
        self._num_in_footers[file.chrom] += sum(rows_of_runs(opened.metadata).values())
        self._num_rows[file.chrom] += opened.metadata.num_rows

    def check_rows(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check the rows of a file that follow position ``last``; returns the last position in them."""
        code = codes_of(rows["ref"])
        self.count_if(file, int((code < 0).sum()) - rows["ref"].null_count, f"whose ref is not {', '.join(BASES)}")
        for name in delta_columns(has_both_strands(rows.schema)):
            base = name.split("_")[1]
            is_null = pc.is_null(rows[name]).to_numpy()
            misplaced = int((is_null != (code == BASES.index(base))).sum())
            self.count_if(file, misplaced, f"where {name} is not null exactly for the reference's {base}")
            self.check_finite(file, rows, name)
        if has_both_strands(rows.schema):
            self._means(file, rows)
        self.check_finite(file, rows, "entropy")
        self._entropy(file, rows["entropy"].to_numpy())
        unknown = int((rows["flags"].to_numpy() >> len(FLAGS) != 0).sum())
        self.count_if(file, unknown, f"with flags that there are not (beyond bit {len(FLAGS) - 1})")
        return self._placed(file, rows["pos"].drop_null().to_numpy(), last)

    def _means(self, file: ScoreFile, rows: pa.Table) -> None:
        """Check that each delta is the mean of its strands, as closely as float32 can say it."""
        for base in BASES:
            mean, forward, reverse = (
                rows[f"delta_{base}{suffix}"].to_numpy().astype(np.float64) for suffix in DELTAS.values()
            )
            with np.errstate(invalid="ignore"):  # infinite values are a fault of their own
                apart = np.abs((forward + reverse) / 2 - mean)
                is_apart = apart > _ROUNDING * (np.abs(forward) + np.abs(reverse)) + np.finfo(np.float32).tiny
            self.count_if(file, int(is_apart.sum()), f"whose delta_{base} is not the mean of its strands")

    def _entropy(self, file: ScoreFile, entropy: np.ndarray) -> None:
        outside = (entropy < -_ENTROPY_ROUNDING) | (entropy > _LARGEST_ENTROPY + _ENTROPY_ROUNDING)
        self.count_if(file, int((outside & np.isfinite(entropy)).sum()), "whose entropy is not between 0 and ln 4")

    def _placed(self, file: ScoreFile, pos: np.ndarray, last: int | None) -> int | None:
        """Check the order of positions, and that none was seen before; returns the last of them."""
        if not len(pos):
            return last
        self.check_order(file, pos, last)
        self.count_if(file, int((pos < 1).sum()), "whose pos is below 1")
        if file.chrom != self._chrom:
            self._chrom, self._seen = file.chrom, SeenPositions()
        repeated = self._seen.add(pos)
        self._num_repeated[file.chrom] += len(repeated)
        shown = self._repeated.setdefault(file.chrom, [])
        shown += repeated[: NUM_SHOWN - len(shown)].tolist()
        return int(pos[-1])

    def check_contig(self, chrom: str | None, paths: Sequence[str]) -> None:
        """Check that no position is in a contig twice, and that no file of a merge is missing."""
        if number := self._num_repeated[chrom]:
            shown = ", ".join(map(str, self._repeated[chrom]))
            self.fault(
                f"contig {chrom}", f"positions are there more than once, {number_of(number, 'row')} too many ({shown})"
            )
        rows, expected = self._num_rows[chrom], self._num_in_footers[chrom]
        if rows != expected:
            self.fault(
                f"contig {chrom}",
                f"the footers of its files count {number_of(expected, 'row')} by run, there are {rows:,}: of the files that "
                "`raygen compact` wrote in one go one is missing or was put there again",
            )


class SeenPositions:
    """Which positions of a contig were seen, a bit for each."""

    def __init__(self) -> None:
        self._bits: dict[int, np.ndarray] = {}

    def add(self, pos: np.ndarray) -> np.ndarray:
        """Take in (R,) positions, and return those that were seen before; one that is among them more often comes as often again."""
        pos = np.sort(pos, kind="stable")
        is_again = np.zeros(len(pos), bool)
        is_again[1:] = pos[1:] == pos[:-1]
        distinct = pos[~is_again]
        repeated = [pos[is_again]]
        blocks = distinct // _BLOCK
        for of_block in np.split(distinct, np.flatnonzero(np.diff(blocks)) + 1):
            repeated.append(self._add_to_block(int(of_block[0]) // _BLOCK, of_block))
        return np.concatenate(repeated)

    def _add_to_block(self, block: int, pos: np.ndarray) -> np.ndarray:
        is_there = np.zeros(_BLOCK, bool)
        is_there[pos - block * _BLOCK] = True
        new = np.packbits(is_there)
        seen = self._bits.get(block)
        self._bits[block] = new if seen is None else seen | new
        if seen is None or not (both := seen & new).any():
            return np.empty(0, np.int64)
        return np.flatnonzero(np.unpackbits(both)) + block * _BLOCK
