"""Rows that are not independent, put into one cluster: by chromosome, gene, overlapping windows or site, else each by itself.

In: the labelled rows. Out: the clusters of every level that the rows carry, and the one to draw by. Bootstrap samples draw whole
clusters, and folds never part one: alleles of a site, or variants of a gene, share much more than a label.

Every level holds the smaller ones: the alleles of a site are in one cluster of each.

    chromosome  the contig
    gene        names that stand together at a site are one cluster (``A|B`` beside ``B``); a site without a name is its own
    window      windows of a run that overlap, one after the other (single linkage)
    site        contig and first base that changes. An indel that overlaps a site and begins elsewhere is a site of its own: joined
                by overlap, one long deletion would make a chromosome one site
    row         pairs and tables known by ids without coordinates: each row by itself

The largest level is taken over which both labels are spread as over ``FEW`` equal clusters or more: with fewer an interval says little
and folds are lopsided, and that one cluster holds nearly all is no better than one cluster. The number of equal ones is Kish's effective
number, (sum n)^2 / sum n^2 (Carter, Schnepel and Steigerwald, Review of Economics and Statistics 2017, 99:698-709, on why it and not the count
decides). Where no level has as many, the smallest is taken, and it is said that there are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from raygen.errors import SettingsError
from raygen.evaluation.labelled_scores import LabelledScores
from raygen.evaluation.labels import NO_VALUE
from raygen.number_of import number_of

FEW = 10
ChosenLevel = Literal["auto", "chromosome", "gene", "window", "site"]
ROW = "row"
_NAMES = {"window": ("group of overlapping windows", "groups of overlapping windows")}
_KEY = r"^(?<contig>.+)-(?<position>[0-9]{1,18})-(?<ref>[ACGTN]*)-(?<alt>[ACGTN]*)$"
_NEEDS = {
    "chromosome": "the rows have no coordinates",
    "gene": "no column names genes; --gene-column says which does",
    "window": "the scores have no columns window_start and window_end, or not for every row",
    "site": "the rows have no coordinates",
}


@dataclass(frozen=True)
class Places:
    """Where R rows lie.

    Attributes:
        contigs: names, as ``contig`` (R,) numbers them.
        position: (R,) 1-based, the first base that changes.
        site: (R,) numbers of the sites, ascending by contig and position.
    """

    contigs: list[str]
    contig: np.ndarray
    position: np.ndarray
    site: np.ndarray

    @cached_property
    def num_sites(self) -> int:
        """How many sites there are."""
        return int(self.site.max()) + 1


@dataclass(frozen=True)
class Clusters:
    """R rows in clusters of one level.

    Attributes:
        level: ``chromosome``, ``gene``, ``window``, ``site`` or ``row``.
        of_row: (R,) numbers from 0 on.
        num_clusters: of all rows; ``num_with_positive`` and ``num_with_negative`` of them hold such a row.
        spread: over how many equal clusters the rarer spread of the two labels would be the same.
    """

    level: str
    of_row: np.ndarray
    num_clusters: int
    num_with_positive: int
    num_with_negative: int
    spread: float

    @property
    def fewest(self) -> int:
        """How many hold a positive or how many hold a negative, whichever are fewer."""
        return min(self.num_with_positive, self.num_with_negative)

    @property
    def in_words(self) -> str:
        """How many there are, with their level."""
        return count_of(self.num_clusters, self.level)

    @property
    def why_no_interval(self) -> str | None:
        """Why drawing these again shows nothing: a class in one cluster alone does not vary; None where it does."""
        if self.num_clusters == 1:
            return f"all in one {self.level}"
        if self.fewest > 1:
            return None
        which = "positives" if self.num_with_positive == 1 else "negatives"
        return f"{which} in one {self.level}"


@dataclass(frozen=True)
class ClusterChoice:
    """The clusters that rows can be drawn by, the largest level first, and the one to draw by.

    Attributes:
        levels: (R,) cluster numbers of each level that may be used.
        chosen: of all rows.
        reason: in words, why larger levels were not taken; empty where none was passed over.
        places: None where the rows have no coordinates.
    """

    levels: dict[str, np.ndarray]
    chosen: Clusters
    reason: str
    places: Places | None

    @property
    def site_of_row(self) -> np.ndarray:
        """(R,) numbers of sites; without coordinates each row is one."""
        return np.arange(len(self.chosen.of_row)) if self.places is None else self.places.site

    def within(self, rows: np.ndarray, positive: np.ndarray) -> Clusters:
        """The clusters to draw some rows by: the chosen level, or the next smaller one of which these rows have enough.

        Args:
            rows: indices of the rows.
            positive: (R,) Boolean, of all rows.
        """
        names = list(self.levels)
        smaller = {name: self.levels[name][rows] for name in names[names.index(self.chosen.level) :]}
        return _largest(smaller, positive[rows], FEW)[0]


def count_of(count: int, level: str) -> str:
    """A number of clusters of a level in words."""
    return number_of(count, *_NAMES.get(level, (level,)))


def choose_clusters(labelled: LabelledScores, level: ChosenLevel = "auto", at_least: int = FEW) -> ClusterChoice:
    """The clusters of labelled rows, of one level or of the largest over which labels are spread as over ``at_least``.

    Raises:
        SettingsError: the rows do not carry the level.
    """
    assert level in get_args(ChosenLevel)
    frame, positive = labelled.frame, labelled.frame["positive"].to_numpy()
    places = places_of(frame["key"])
    levels = _levels(labelled, places)
    if level != "auto":
        if level not in levels:
            raise SettingsError(f"--cluster {level}: {_NEEDS[level]}.")
        levels = {level: levels[level]}
    chosen, passed_over = _largest(levels, positive, at_least)
    return ClusterChoice(levels, chosen, _why_not_larger(passed_over, at_least), places)


def places_of(keys: pl.Series) -> Places | None:
    """Where rows lie, from their keys ``CONTIG-POS-REF-ALT``; None where a key is none."""
    parts = keys.str.extract_groups(_KEY).struct.unnest()
    if parts["contig"].null_count():
        return None
    contigs, contig = numbered(parts["contig"])
    position = parts["position"].cast(pl.Int64).to_numpy()
    positions, place = np.unique(position, return_inverse=True)
    site = np.unique(contig * len(positions) + place, return_inverse=True)[1]
    return Places(contigs, contig, position, site)


def numbered(values: pl.Series) -> tuple[list[str], np.ndarray]:
    """The distinct values of a column of text in order of appearance, and (R,) the number of each row's."""
    if not len(values):
        return [], np.empty(0, np.int64)
    names = values.unique(maintain_order=True)
    numbers = pl.Series(range(len(names)), dtype=pl.Int64)
    return names.to_list(), values.replace_strict(names, numbers).to_numpy()


def _levels(labelled: LabelledScores, places: Places | None) -> dict[str, np.ndarray]:
    """The clusters of every level that the rows carry, the largest level first."""
    if places is None:
        return {ROW: np.arange(len(labelled.frame))}
    frame, levels = labelled.frame, {"chromosome": places.contig}
    if labelled.extra.gene:
        levels["gene"] = _by_gene(frame[labelled.extra.gene], places)
    if (windows := _windows(frame)) is not None:
        levels["window"] = _by_window(*windows, places)
    return levels | {"site": places.site}


def _by_gene(names: pl.Series, places: Places) -> np.ndarray:
    """(R,) clusters of sites that share the name of a gene, one with the next."""
    tokens = names.cast(pl.String).str.replace_all(r"[|,;&]", "|").str.split("|")
    pairs = (
        pl.DataFrame({"site": places.site, "gene": tokens})
        .explode("gene")
        .with_columns(pl.col("gene").str.strip_chars())
    )
    pairs = pairs.filter(pl.col("gene").is_not_null() & ~pl.col("gene").is_in(["", ".", "-", NO_VALUE]))
    genes, gene = numbered(pairs["gene"])
    size = places.num_sites + len(genes)
    links = coo_matrix((np.ones(len(gene), bool), (pairs["site"].to_numpy(), places.num_sites + gene)), (size, size))
    cluster_of_site = connected_components(links, directed=False)[1][: places.num_sites]
    return _dense(cluster_of_site[places.site])


def _windows(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """(R,) starts and (R,) ends of the rows' windows; None where a row has none."""
    names = ("window_start", "window_end")
    if not set(names) <= set(frame.columns):
        return None
    both = [frame[name].cast(pl.Int64, strict=False) for name in names]
    return None if any(column.null_count() for column in both) else (both[0].to_numpy(), both[1].to_numpy())


def _by_window(start: np.ndarray, end: np.ndarray, places: Places) -> np.ndarray:
    """(R,) clusters of sites whose windows overlap, one with the next.

    A window that begins before the start of a circular contig reaches over its seam: the first and the last cluster of that
    contig are then one.
    """
    order = np.argsort(places.site, kind="stable")
    first_of_site = np.flatnonzero(np.diff(places.site[order], prepend=-1))
    contig = places.contig[order][first_of_site]
    starts = np.minimum.reduceat(start[order], first_of_site)
    ends = np.maximum.reduceat(end[order], first_of_site)
    far = int(ends.max()) - int(starts.min()) + 1  # contigs one behind the other, so that no two touch
    along = np.argsort(starts + contig * far, kind="stable")
    reach = np.maximum.accumulate((ends + contig * far)[along])
    begins = np.append(True, (starts + contig * far)[along][1:] >= reach[:-1])
    cluster_of_site = np.empty(len(along), np.int64)
    cluster_of_site[along] = np.cumsum(begins) - 1
    for seam in np.unique(contig[starts < 0]):
        of_contig = cluster_of_site[contig == seam]
        cluster_of_site[cluster_of_site == of_contig.max()] = of_contig.min()
    return _dense(cluster_of_site[places.site])


def _dense(numbers: np.ndarray) -> np.ndarray:
    return np.unique(numbers, return_inverse=True)[1]


def _largest(levels: dict[str, np.ndarray], positive: np.ndarray, at_least: int) -> tuple[Clusters, list[Clusters]]:
    """The clusters of the first level that has enough, else of the last, and those of the levels before it."""
    passed_over: list[Clusters] = []
    for level, numbers in levels.items():
        clusters = clusters_of(level, numbers, positive)
        if clusters.spread >= at_least:
            return clusters, passed_over
        passed_over.append(clusters)
    return passed_over[-1], passed_over[:-1]


def clusters_of(level: str, numbers: np.ndarray, positive: np.ndarray) -> Clusters:
    """R rows in clusters of a level, by (R,) whole numbers that are equal inside a cluster."""
    distinct, of_row = np.unique(numbers, return_inverse=True)
    sizes = [np.bincount(of_row[kind]).astype(float) for kind in (positive, ~positive)]
    with_positive, with_negative = (int((size > 0).sum()) for size in sizes)
    spread = min(size.sum() ** 2 / max((size**2).sum(), 1.0) for size in sizes)
    return Clusters(level, of_row, len(distinct), with_positive, with_negative, float(spread))


def _why_not_larger(passed_over: Sequence[Clusters], at_least: int) -> str:
    if not passed_over:
        return ""
    numbers = [
        clusters.in_words
        if clusters.num_clusters < at_least
        else f"{clusters.in_words} (labels spread as over {clusters.spread:.1f})"
        for clusters in passed_over
    ]
    words = " and ".join(part for part in (", ".join(numbers[:-1]), numbers[-1]) if part)
    is_one = len(passed_over) == 1 and passed_over[0].num_clusters == 1
    return f"{words} {'is' if is_one else 'are'} too few, {at_least:,} are needed"
