"""Rows that are not independent, put into one cluster: by chromosome, gene, overlapping windows or site, else each by itself.

In: the labelled rows. Out: the clusters of every level that the rows carry, and the one to draw by. Bootstrap samples draw whole
clusters, and folds never part one: alleles of a site, or variants of a gene, share much more than a label.

Every level holds the smaller ones: the alleles of a site are in one cluster of each.

    chromosome  the contig
    gene        names that stand together at a site are one cluster (``A|B`` beside ``B``); a site without a name is its own, and
                counted apart
    window      windows of a run that overlap, one after the other (single linkage)
    site        contig and first base that changes. An indel that overlaps a site and begins elsewhere is a site of its own: joined
                by overlap, one long deletion would make a chromosome one site
    row         pairs and tables known by ids without coordinates: each row by itself

Rows without coordinates among others that have some are one cluster beside the chromosomes, and each is a site of its own.
Clusters without a name of their level have numbers below 0.

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
from raygen.evaluation.extra_columns import NO_NAMES
from raygen.evaluation.labelled_scores import LabelledScores
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
        contigs: C names, as ``contig`` (R,) numbers them; a row without coordinates has the number C.
        position: (R,) 1-based, the first base that changes; below 1, and of no other row, without coordinates.
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

    @property
    def is_known(self) -> np.ndarray:
        """(R,) Boolean: the row has coordinates."""
        return self.contig < len(self.contigs)


@dataclass(frozen=True)
class Clusters:
    """R rows in clusters of one level.

    Attributes:
        level: ``chromosome``, ``gene``, ``window``, ``site`` or ``row``.
        of_row: (R,) numbers from 0 on.
        num_clusters: of all rows; ``num_with_positive`` and ``num_with_negative`` of them hold such a row.
        spread: over how many equal clusters the rarer spread of the two labels would be the same.
        num_unnamed: clusters that have no name of the level: what ``unnamed_level`` says, or rows without coordinates.
    """

    level: str
    of_row: np.ndarray
    num_clusters: int
    num_with_positive: int
    num_with_negative: int
    spread: float
    num_unnamed: int = 0
    unnamed_level: str = "site"

    @property
    def fewest(self) -> int:
        """How many hold a positive or how many hold a negative, whichever are fewer."""
        return min(self.num_with_positive, self.num_with_negative)

    @property
    def in_words(self) -> str:
        """How many there are, with their level; those without a name apart."""
        named = count_of(self.num_clusters - self.num_unnamed, self.level)
        if not self.num_unnamed:
            return named
        if self.level == "chromosome":
            return f"{named} and the rows without coordinates"
        return f"{named} and {count_of(self.num_unnamed, self.unnamed_level)} without one"

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
        reason: in words, why larger levels were not taken, and which rows have no coordinates; empty where there is nothing to say.
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
        return _largest(smaller, positive[rows], FEW, self.chosen.unnamed_level)[0]


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
            raise SettingsError(f"--cluster {level}: {_what_is_missing(level, labelled)}.")
        levels = {level: levels[level]}
    chosen, passed_over = _largest(levels, positive, at_least, ROW if places is None else "site")
    reasons = [_why_not_larger(passed_over, at_least), without_coordinates(places)]
    return ClusterChoice(levels, chosen, "; ".join(filter(None, reasons)), places)


def _what_is_missing(level: str, labelled: LabelledScores) -> str:
    column = labelled.extra.gene
    return f"{column} names no gene in these rows" if level == "gene" and column else _NEEDS[level]


def without_coordinates(places: Places | None) -> str:
    """How many rows have no coordinates, in words; empty where all have."""
    if places is None:
        return "the rows have no coordinates"
    number = int((~places.is_known).sum())
    return f"{number_of(number, 'row')} {'has' if number == 1 else 'have'} no coordinates" if number else ""


def places_of(keys: pl.Series) -> Places | None:
    """Where rows lie, from their keys ``CONTIG-POS-REF-ALT``; None where no key is one."""
    parts = keys.str.extract_groups(_KEY).struct.unnest()
    is_known = parts["contig"].is_not_null().to_numpy()
    if not is_known.any():
        return None
    contigs, contig_of_known = numbered(parts["contig"].drop_nulls())
    contig = np.full(len(keys), len(contigs))
    contig[is_known] = contig_of_known
    position = -np.arange(len(keys))
    position[is_known] = parts["position"].drop_nulls().cast(pl.Int64).to_numpy()
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
    frame, levels = labelled.frame, {}
    site = np.arange(len(frame)) if places is None else places.site
    if places is not None:
        levels["chromosome"] = np.where(places.is_known, places.contig, -1)
    if labelled.extra.gene and (genes := _by_gene(frame[labelled.extra.gene], site)) is not None:
        levels["gene"] = genes
    if places is None:
        return levels | {ROW: site}
    if (windows := _windows(frame)) is not None:
        levels["window"] = _by_window(*windows, places)
    return levels | {"site": site}


def gene_names(column: pl.Series) -> pl.Series:
    """(R,) lists of the names of genes that a column gives; null or empty where it gives none."""
    tokens = column.cast(pl.String).str.replace_all(r"[|,;&]", "|").str.split("|")
    stripped = tokens.list.eval(pl.element().str.strip_chars())
    return stripped.list.eval(pl.element().filter(pl.element().is_not_null() & ~pl.element().is_in(NO_NAMES)))


def _by_gene(column: pl.Series, site: np.ndarray) -> np.ndarray | None:
    """(R,) clusters of sites that share the name of a gene, one with the next; below 0 without a name. None where nothing has one."""
    pairs = pl.DataFrame({"site": site, "gene": gene_names(column)}).explode("gene").drop_nulls()
    if pairs.is_empty():
        return None
    genes, gene = numbered(pairs["gene"])
    num_sites = int(site.max()) + 1
    size, site_of_pair = num_sites + len(genes), pairs["site"].to_numpy()
    links = coo_matrix((np.ones(len(gene), bool), (site_of_pair, num_sites + gene)), (size, size))
    cluster_of_site = connected_components(links, directed=False)[1][:num_sites].astype(np.int64)
    has_name = np.isin(np.arange(num_sites), site_of_pair)
    return np.where(has_name, cluster_of_site, -1 - cluster_of_site)[site]


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


def _largest(
    levels: dict[str, np.ndarray], positive: np.ndarray, at_least: int, unnamed_level: str
) -> tuple[Clusters, list[Clusters]]:
    """The clusters of the first level that has enough, else of the last, and those of the levels before it."""
    passed_over: list[Clusters] = []
    for level, numbers in levels.items():
        clusters = clusters_of(level, numbers, positive, unnamed_level)
        if clusters.spread >= at_least:
            return clusters, passed_over
        passed_over.append(clusters)
    return passed_over[-1], passed_over[:-1]


def clusters_of(level: str, numbers: np.ndarray, positive: np.ndarray, unnamed_level: str = "site") -> Clusters:
    """R rows in clusters of a level, by (R,) whole numbers that are equal inside a cluster, below 0 where it has no name."""
    distinct, of_row = np.unique(numbers, return_inverse=True)
    sizes = [np.bincount(of_row[kind]).astype(float) for kind in (positive, ~positive)]
    with_positive, with_negative = (int((size > 0).sum()) for size in sizes)
    spread = min(size.sum() ** 2 / max((size**2).sum(), 1.0) for size in sizes)
    unnamed = int((distinct < 0).sum())
    return Clusters(level, of_row, len(distinct), with_positive, with_negative, float(spread), unnamed, unnamed_level)


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
