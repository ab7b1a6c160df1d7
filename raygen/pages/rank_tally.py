"""What the report counts of ranks: how many variants have which PHRED, and each gene's median percentile with its interval.

In: frames of rows with ``percentile`` and ``phred``, with ``gene`` where genes are known. Out: counts. Of a gene only a histogram of
``PERCENTILE_BINS`` bins is kept, so memory does not grow with the table: a median is right to half a bin, 0.0005.

The interval of a median makes no assumption about the spread of the scores (Conover, "Practical Nonparametric Statistics", 3.2): of n values in
order, the median lies between the k-th and the (n + 1 - k)-th with a probability of 1 - 2 P(B < k), B binomial (n, 1/2). k is the largest for which
that is 95% or more. Variants of one gene are not independent of each other, so what is not known is rather more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

PHRED_BIN = 0.25
"""Width of the bins of PHRED, a power of two: whole numbers are edges of bins, to the bit."""
SEVERE = 20
"""PHRED of the most harmful hundredth of the background."""
PERCENTILE_BINS = 1000
MAX_GENES = 30_000
"""Genes that are counted, those that come first: 120 MB at most. The human genome has some 20,000 that code for proteins."""
FEWEST_VARIANTS = 6
"""Of fewer values, no two enclose their median with 95%: of five the smallest and the largest do with 94%."""
_EXACT_UP_TO = 1000


@dataclass(frozen=True)
class GeneRank:
    """Where the variants of a gene stand among the background.

    Attributes:
        median: of their percentiles; ``low`` and ``high`` are the ends of its interval.
        num_severe: variants of PHRED 20 and above.
    """

    gene: str
    num_variants: int
    median: float
    low: float
    high: float
    num_severe: int


@dataclass(frozen=True)
class GeneRanks:
    """The genes with ``FEWEST_VARIANTS`` or more, most harmful first.

    Attributes:
        num_small: genes with fewer.
        num_rows_beyond: variants of genes that came after ``MAX_GENES`` others.
    """

    genes: list[GeneRank]
    num_small: int
    num_rows_beyond: int


@dataclass(frozen=True)
class Ranks:
    """What a table of ranked scores holds.

    Attributes:
        phred: bin, rows; a bin is ``floor(phred / PHRED_BIN)``.
        genes: None where no column says which gene a variant is of.
    """

    phred: pl.DataFrame
    genes: GeneRanks | None

    def num_from(self, phred: float) -> int:
        """Variants of this PHRED, which is an edge of a bin, and above."""
        return int(self.phred.filter(pl.col("bin") >= round(phred / PHRED_BIN))["rows"].sum())


class RankCounting:
    """The counts behind ``Ranks`` while frames of scores are added."""

    def __init__(self, gene_column: str | None) -> None:
        self._phred = np.zeros(0, np.int64)
        self._genes = _GeneCounting(gene_column) if gene_column else None

    def add(self, frame: pl.DataFrame) -> None:
        """Count rows; those without a rank are of no rank."""
        ranked = frame.filter(pl.col("phred").is_not_null())
        counted = np.bincount((ranked["phred"].to_numpy() / PHRED_BIN).astype(np.int64), minlength=len(self._phred))
        counted[: len(self._phred)] += self._phred
        self._phred = counted
        if self._genes:
            self._genes.add(ranked)

    def ranks(self) -> Ranks:
        """What was counted."""
        bins = np.flatnonzero(self._phred)
        return Ranks(
            pl.DataFrame({"bin": bins, "rows": self._phred[bins]}), self._genes.ranks() if self._genes else None
        )


class _GeneCounting:
    """A histogram of percentiles of each gene."""

    def __init__(self, column: str) -> None:
        self._gene = pl.col(column).cast(pl.String).str.strip_chars().alias("gene")
        self._places: dict[str, int] = {}
        self._counts = np.zeros((0, PERCENTILE_BINS), np.uint32)
        self._severe = np.zeros(0, np.int64)
        self._num_beyond = 0

    def add(self, frame: pl.DataFrame) -> None:
        place = (pl.col("percentile") * PERCENTILE_BINS).ceil().cast(pl.Int32) - 1
        counts = (
            frame.select(self._gene, place.clip(0, PERCENTILE_BINS - 1).alias("bin"), pl.col("phred") >= SEVERE)
            .filter(pl.col("gene").is_not_null() & ~pl.col("gene").is_in(["", "."]))  # "." is a VCF's
            .group_by("gene", "bin", maintain_order=True)
            .agg(pl.len().alias("rows"), pl.col("phred").sum().alias("severe"))
        )
        for gene in counts["gene"].unique(maintain_order=True):
            if len(self._places) < MAX_GENES:
                self._places.setdefault(gene, len(self._places))
        self._grow()
        known = counts.filter(pl.col("gene").is_in(list(self._places)))
        self._num_beyond += int(counts["rows"].sum()) - int(known["rows"].sum())
        genes = np.array([self._places[gene] for gene in known["gene"]], np.int64)
        self._counts[genes, known["bin"].to_numpy()] += known["rows"].to_numpy()  # each pair is there once
        np.add.at(self._severe, genes, known["severe"].to_numpy())

    def _grow(self) -> None:
        short = len(self._places) - len(self._severe)
        if short > 0:
            more = min(max(short, len(self._severe)), MAX_GENES - len(self._severe))
            self._counts = np.concatenate([self._counts, np.zeros((more, PERCENTILE_BINS), np.uint32)])
            self._severe = np.concatenate([self._severe, np.zeros(more, np.int64)])

    def ranks(self) -> GeneRanks:
        sizes = self._counts.sum(axis=1, dtype=np.int64)
        large = [(gene, place) for gene, place in self._places.items() if sizes[place] >= FEWEST_VARIANTS]
        genes = [_gene_rank(gene, self._counts[place], int(self._severe[place])) for gene, place in large]
        genes.sort(key=lambda gene: (gene.median, gene.high, gene.gene))
        return GeneRanks(genes, len(self._places) - len(genes), self._num_beyond)


def interval_rank(num_values: int) -> int:
    """k: the k-th of so many values and the k-th from the end enclose their median with 95% or more; 0 where none do.

    Above 1,000 values by the normal approximation of the binomial.
    """
    if num_values > _EXACT_UP_TO:
        return math.floor((num_values - 1) / 2 - 1.959964 * math.sqrt(num_values) / 2) + 1
    below, most = 0, 0.025 * 2**num_values
    for k in range(num_values):
        below += math.comb(num_values, k)
        if below > most:
            return k
    return 0


def _gene_rank(gene: str, counts: np.ndarray, num_severe: int) -> GeneRank:
    up_to = np.cumsum(counts, dtype=np.int64)
    num_values = int(up_to[-1])
    k = interval_rank(num_values)
    ranks = [(num_values + 1) // 2, num_values // 2 + 1, k, num_values + 1 - k]
    lower, upper, low, high = (np.searchsorted(up_to, ranks) + 0.5) / PERCENTILE_BINS
    return GeneRank(gene, num_values, float(lower + upper) / 2, float(low), float(high), num_severe)
