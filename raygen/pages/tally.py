"""Everything that the report counts, in one pass over the scores.

In: a dataset of SCORES, of any size. Out: a ``Tally``. Rows are read some hundred thousand at a time and only counts are kept,
so memory does not grow with the table: deltas are counted in bins of ``BIN`` nats, positions in ``COLUMNS`` columns a contig.
The lowest rows are found in the same pass by their deltas and read whole afterwards, from the files that hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from raygen.classes.background import DELTA_CONTEXT
from raygen.classes.class_rule import is_on_context
from raygen.classes.classify import class_index
from raygen.evaluation.extra_columns import GENE_COLUMNS, usual_column
from raygen.pages.rank_tally import RankCounting, Ranks

BIN = 0.05
"""Width in nats of the bins of deltas: quantiles and histograms are exact to this."""
ALONG_BIN = 0.25
"""Width in nats of the bins of deltas that are counted along a contig, and by strand."""
COLUMNS = 240
MAX_CONTIGS = 26
MAX_DOTS = 3000
"""Scores up to which every one is drawn along its contig; above, the spread of each stretch is."""
MAX_SUBSTITUTIONS, MAX_INDELS = 300, 150
"""Most rows of each kind in the table of the most negative variants. Indels move what follows them, so their deltas spread
wider: in one list they would leave no room for substitutions."""
MAX_CONSEQUENCES = 200
"""Values of the column ``consequence`` that are counted apart; a column of other text must not grow the page."""
OTHER = "other values"

_ROWS_AT_ONCE = 100_000
_FILES_AT_ONCE = 32
_READ = (
    "chrom",
    "pos",
    "ref",
    "alt",
    "delta_llr",
    "delta_fwd",
    "delta_rev",
    "classification",
    "abstained",
    "flags",
    "run_id",
)
_FILE = "__filename"


@dataclass
class StrandAgreement:
    """How well the deltas of the two strands agree, over the rows that have both."""

    rows: int = 0
    same_class: int = 0
    one_step_apart: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(5))
    """Sums of the forward and reverse deltas, of their squares and of their product."""

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of the forward and reverse deltas; None where it is not defined."""
        forward, reverse, forward2, reverse2, product = self.sums / max(self.rows, 1)
        spread = (forward2 - forward**2) * (reverse2 - reverse**2)
        return float((product - forward * reverse) / np.sqrt(spread)) if self.rows > 1 and spread > 1e-12 else None


@dataclass
class Tally:
    """What a folder of scores holds, as counts; the frames have these columns.

    Attributes:
        rows, abstained: scored rows, and those of them that are abstained on.
        runs, flags: rows by run and by flag.
        classes: chrom, classification, rows.
        deltas: classification, bin, rows; a bin is ``floor(delta / BIN)``.
        consequences: consequence, classification, bin, rows; without rows where there is no such column.
        along: chrom, column, bin (of ALONG_BIN), rows, lowest; the contigs with the most rows.
        spans: chrom to (first position, positions a column).
        other_contigs: contigs that ``along`` leaves out.
        strands: forward, reverse (bins of ALONG_BIN), rows; ``agreement`` how well the two agree.
        dots: chrom, pos, ref, alt, delta_llr, classification of every row, or None where there are too many.
        worst: the most negative rows with all their columns, most negative first.
        ranks: what there is of the rows' ranks in a background; None where they have none.
    """

    rows: int
    abstained: int
    runs: dict[str, int]
    flags: dict[str, int]
    classes: pl.DataFrame
    deltas: pl.DataFrame
    consequences: pl.DataFrame
    along: pl.DataFrame
    spans: dict[str, tuple[int, int]]
    other_contigs: int
    strands: pl.DataFrame
    agreement: StrandAgreement
    dots: pl.DataFrame | None
    worst: pl.DataFrame
    ranks: Ranks | None = None


def tally_scores(scores: ds.Dataset, cuts: Sequence[float], on: str | None = None, *, has_ranks: bool = False) -> Tally:
    """Count a dataset of SCORES, of any size.

    Args:
        cuts: cut points of its classes, in nats.
        on: what they cut in words, as the manifest has it.
        has_ranks: whether the columns of ranks are a background's, and not the input's.
    """
    has_consequence = "consequence" in scores.schema.names
    spans, other_contigs = _spans(scores)
    gene = usual_column(scores.schema.names, GENE_COLUMNS) if has_ranks else None
    ranks = RankCounting(gene) if has_ranks else None
    counting = _Counting(spans, cuts, has_consequence, is_on_context(on), ranks)
    columns = [*_READ, *(["consequence"] if has_consequence else []), *([DELTA_CONTEXT] if is_on_context(on) else [])]
    columns += [*(["percentile", "phred"] if has_ranks else []), *([gene] if gene else [])]
    for frame in _frames(scores, list(dict.fromkeys([*columns, *_file_column(scores)]))):
        counting.add(frame)
    return counting.tally(scores, other_contigs)


class _Groups:
    """Rows by keys, summed over many frames; with ``lowest``, the lowest delta of each group."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._parts: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        self._parts.append(
            frame.group_by(self._keys).agg(
                pl.len().cast(pl.Int64).alias("rows"), pl.col("delta_llr").min().alias("lowest")
            )
        )
        if len(self._parts) > 16:
            self._parts = [self.total()]

    def total(self) -> pl.DataFrame:
        if not self._parts:
            return pl.DataFrame(schema={**dict.fromkeys(self._keys, pl.String), "rows": pl.Int64, "lowest": pl.Float64})
        together = pl.concat(self._parts).group_by(self._keys)
        return together.agg(pl.col("rows").sum(), pl.col("lowest").min()).sort(self._keys)


class _Counting:
    """The counts behind a ``Tally`` while frames of scores are added."""

    def __init__(
        self,
        spans: dict[str, tuple[int, int]],
        cuts: Sequence[float],
        has_consequence: bool,
        is_on_context: bool,
        ranks: RankCounting | None,
    ) -> None:
        self._spans, self._cuts, self._has_consequence = spans, cuts, has_consequence
        self._is_on_context, self._ranks = is_on_context, ranks
        self._span_frame = pl.DataFrame(
            [(chrom, first, width) for chrom, (first, width) in spans.items()],
            schema={"chrom": pl.String, "first": pl.Int64, "width": pl.Int64},
            orient="row",
        )
        self._rows = self._abstained = 0
        self._runs, self._flags = _Groups("run_id"), _Groups("flags")
        self._classes, self._deltas = _Groups("chrom", "classification"), _Groups("classification", "bin")
        self._consequences = _Groups("consequence", "classification", "bin")
        self._along, self._strands = _Groups("chrom", "column", "bin"), _Groups("forward", "reverse")
        self._known_consequences: set[str] = set()
        self._agreement = StrandAgreement()
        self._dots: list[pl.DataFrame] | None = []
        self._worst: dict[bool, pl.DataFrame] = {}

    def add(self, frame: pl.DataFrame) -> None:
        self._rows += len(frame)
        self._abstained += int(frame["abstained"].sum())
        frame = frame.with_columns(_binned("delta_llr", BIN).alias("bin"))
        self._runs.add(frame)
        self._flags.add(frame.select("flags", "delta_llr").explode("flags", empty_as_null=False))
        self._classes.add(frame)
        self._deltas.add(frame)
        if self._has_consequence:
            self._add_consequences(frame.with_columns(_first_consequence()))
        self._add_along(frame)
        self._add_strands(frame.filter(pl.col("delta_fwd").is_not_null() & pl.col("delta_rev").is_not_null()))
        self._keep_dots(frame)
        self._keep_worst(frame)
        if self._ranks:
            self._ranks.add(frame)

    def _add_consequences(self, frame: pl.DataFrame) -> None:
        new = [
            name for name in frame["consequence"].unique(maintain_order=True) if name not in self._known_consequences
        ]
        self._known_consequences.update(new[: MAX_CONSEQUENCES - len(self._known_consequences)])
        is_known = pl.col("consequence").is_in(list(self._known_consequences))
        self._consequences.add(
            frame.with_columns(pl.when(is_known).then("consequence").otherwise(pl.lit(OTHER)).alias("consequence"))
        )

    def _add_along(self, frame: pl.DataFrame) -> None:
        placed = frame.select("chrom", "pos", "delta_llr").join(self._span_frame, on="chrom")
        column = ((pl.col("pos") - pl.col("first")) // pl.col("width")).cast(pl.Int32)
        self._along.add(placed.with_columns(column.alias("column"), _binned("delta_llr", ALONG_BIN).alias("bin")))

    def _add_strands(self, both_strands: pl.DataFrame) -> None:
        if both_strands.is_empty():
            return
        self._strands.add(
            both_strands.with_columns(
                _binned("delta_fwd", ALONG_BIN).alias("forward"), _binned("delta_rev", ALONG_BIN).alias("reverse")
            )
        )
        forward, reverse = both_strands["delta_fwd"].to_numpy(), both_strands["delta_rev"].to_numpy()
        taken = _expected(both_strands) if self._is_on_context else 0.0
        apart = np.abs(class_index(forward - taken, self._cuts) - class_index(reverse - taken, self._cuts))
        self._agreement.rows += len(both_strands)
        self._agreement.same_class += int((apart == 0).sum())
        self._agreement.one_step_apart += int((apart == 1).sum())
        parts = (forward, reverse, forward**2, reverse**2, forward * reverse)
        self._agreement.sums += np.array([part.sum() for part in parts])

    def _keep_dots(self, frame: pl.DataFrame) -> None:
        if self._dots is None:
            return
        if self._rows > MAX_DOTS:
            self._dots = None
        else:
            self._dots.append(frame.select("chrom", "pos", "ref", "alt", "delta_llr", "classification"))

    def _keep_worst(self, frame: pl.DataFrame) -> None:
        light = frame.select(pl.col("chrom", "pos", "ref", "alt", "delta_llr", _FILE), _is_indel().alias("indel"))
        for indel, limit in ((False, MAX_SUBSTITUTIONS), (True, MAX_INDELS)):
            lowest = light.filter(pl.col("indel") == indel).bottom_k(limit, by="delta_llr")
            candidates = pl.concat([self._worst[indel], lowest]) if indel in self._worst else lowest
            self._worst[indel] = candidates.bottom_k(limit, by="delta_llr")

    def tally(self, scores: ds.Dataset, other_contigs: int) -> Tally:
        return Tally(
            rows=self._rows,
            abstained=self._abstained,
            runs=_counts(self._runs.total(), "run_id"),
            flags=_counts(self._flags.total(), "flags"),
            classes=self._classes.total(),
            deltas=self._deltas.total(),
            consequences=self._consequences.total(),
            along=self._along.total(),
            spans=self._spans,
            other_contigs=other_contigs,
            strands=self._strands.total(),
            agreement=self._agreement,
            dots=pl.concat(self._dots) if self._dots else None,
            worst=_whole_rows(scores, pl.concat(list(self._worst.values()))) if self._worst else pl.DataFrame(),
            ranks=self._ranks.ranks() if self._ranks else None,
        )


def _frames(scores: ds.Dataset, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Columns of all scores, some ten or hundred thousand rows at a time: files are as small as shards are."""
    for part in _parts(scores):
        batches: list[pa.RecordBatch] = []
        for batch in part.to_batches(columns=list(columns), batch_size=_ROWS_AT_ONCE, cache_metadata=False):
            batches.append(batch)
            if sum(map(len, batches)) >= _ROWS_AT_ONCE:
                yield _frame(batches)
                batches = []
        if batches:
            yield _frame(batches)


def _parts(scores: ds.Dataset) -> Iterator[ds.Dataset]:
    """The dataset in parts of a few files: a scan of all of them would run ahead of a reader that is slower than it."""
    if not isinstance(scores, ds.FileSystemDataset):
        yield scores
        return
    fragments = list(scores.get_fragments())
    for start in range(0, len(fragments), _FILES_AT_ONCE):
        some = fragments[start : start + _FILES_AT_ONCE]
        yield ds.FileSystemDataset(some, scores.schema, scores.format, scores.filesystem)


def _frame(batches: Sequence[pa.RecordBatch]) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _file_column(scores: ds.Dataset) -> list[str]:
    return [_FILE] if isinstance(scores, ds.FileSystemDataset) else []


def _spans(scores: ds.Dataset) -> tuple[dict[str, tuple[int, int]], int]:
    """(first position, positions a column) of the contigs with the most rows, by the files' footers; how many are left out."""
    extents: dict[str, tuple[int, int, int]] = {}
    for chrom, rows, first, last in _row_groups(scores) if isinstance(scores, ds.FileSystemDataset) else ():
        before = extents.get(chrom, (0, first, last))
        extents[chrom] = (before[0] + rows, min(before[1], first), max(before[2], last))
    most = sorted(extents, key=lambda chrom: -extents[chrom][0])[:MAX_CONTIGS]
    spans = {chrom: (extents[chrom][1], -(-(extents[chrom][2] - extents[chrom][1] + 1) // COLUMNS)) for chrom in most}
    return spans, len(extents) - len(most)


def _row_groups(scores: ds.FileSystemDataset) -> Iterator[tuple[str, int, int, int]]:
    """(chrom, rows, first position, last position) of every row group that has a contig.

    Footers are read apart and let go: a dataset that reads them keeps them, a gigabyte for 10^8 rows.
    """
    for fragment in scores.get_fragments():
        chrom = ds.get_partition_keys(fragment.partition_expression).get("chrom")
        if chrom is None:
            continue
        metadata = pq.read_metadata(fragment.path, filesystem=scores.filesystem)
        pos = metadata.schema.names.index("pos")
        for group in (metadata.row_group(index) for index in range(metadata.num_row_groups)):
            statistics = group.column(pos).statistics
            if statistics is not None and statistics.has_min_max:
                yield chrom, group.num_rows, statistics.min, statistics.max


def _whole_rows(scores: ds.Dataset, lowest: pl.DataFrame) -> pl.DataFrame:
    """All columns of the ``lowest`` rows, read from the files that hold them, most negative first."""
    files, keys = set(lowest[_FILE]), ["chrom", "pos", "ref", "alt", "delta_llr"]
    limit = ds.field("delta_llr") <= lowest["delta_llr"].max()
    parts = []
    for fragment in scores.get_fragments():
        if fragment.path in files:
            rows = _frame(fragment.to_table(schema=scores.schema, filter=limit).to_batches())
            parts.append(rows.join(lowest.select(keys), on=keys, how="semi", nulls_equal=True))
    return pl.concat(parts).sort("delta_llr", "chrom", "pos", "ref", "alt", nulls_last=True)


def _binned(column: str, width: float) -> pl.Expr:
    return (pl.col(column) / width).floor().cast(pl.Int32)


def _is_indel() -> pl.Expr:
    return (pl.col("ref").str.len_bytes() != pl.col("alt").str.len_bytes()).fill_null(False)


def _expected(frame: pl.DataFrame) -> np.ndarray:
    """(R,) nats that the context makes likely, which are taken from both strands; 0 where it is not known."""
    expected: np.ndarray = (frame["delta_llr"] - frame[DELTA_CONTEXT]).fill_null(0.0).to_numpy()
    return expected


def _first_consequence() -> pl.Expr:
    """The first consequence of a row: annotators join several with & or a comma, the most severe first."""
    first = pl.col("consequence").cast(pl.String).str.split("&").list.first().str.split(",").list.first()
    return first.fill_null("not given").alias("consequence")


def _counts(groups: pl.DataFrame, key: str) -> dict[str, int]:
    return {name: rows for name, rows in groups.select(key, "rows").iter_rows() if name is not None}
