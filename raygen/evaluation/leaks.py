"""What lets a score look better than it is: sites that are there more than once, and columns that give the label away.

In: labelled rows and where they lie. Out: numbers, and the sentences that a user should read. A column gives labels away where the
shares of positives of its values order the rows almost as the labels do; values at few sites are one, so ids give nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from raygen.evaluation.baselines import share_of_value
from raygen.evaluation.clusters import ClusterChoice, numbered
from raygen.evaluation.counted_areas import auroc_of_counts, class_counts
from raygen.evaluation.labelled_scores import LabelledScores
from raygen.evaluation.labels import NO_VALUE
from raygen.number_of import number_of

GIVES_AWAY = 0.95


@dataclass(frozen=True)
class GivenAway:
    """A column that tells the label: the area it has alone, and whether each of its values has one label only."""

    auroc: float
    num_values: int
    is_pure: bool


@dataclass(frozen=True)
class Leaks:
    """What of R labelled rows is not independent, or known from elsewhere.

    Attributes:
        num_rows: R; ``num_sites`` is None where the rows have no coordinates.
        num_repeated_sites: sites with several rows, mostly alleles; ``num_two_label_sites`` of them have both labels.
        gives_away: columns that were listed and tell the label alone.
    """

    num_rows: int
    num_sites: int | None
    num_repeated_sites: int
    num_two_label_sites: int
    gives_away: dict[str, GivenAway]

    @property
    def in_words(self) -> str | None:
        """How many of the rows are independent, in a sentence; None without coordinates."""
        if self.num_sites is None:
            return None
        rows = f"{number_of(self.num_rows, 'row')} at {number_of(self.num_sites, 'site')}"
        if not self.num_repeated_sites:
            return rows
        two = (
            f", {self.num_two_label_sites:,} with both labels"
            if self.num_two_label_sites
            else ", none with both labels"
        )
        return f"{rows}; {number_of(self.num_repeated_sites, 'site')} with several alleles{two}"

    @property
    def warnings(self) -> list[str]:
        """A sentence on each column that gives the label away."""
        return [
            f"{name} alone gives the label away: AUROC {column.auroc:.3f}"
            f"{f', and each of its {column.num_values:,} values has one label only' * column.is_pure}. "
            "An area over all its values shows little beyond it."
            for name, column in self.gives_away.items()
        ]


def look_for_leaks(labelled: LabelledScores, columns: Sequence[str], choice: ClusterChoice) -> Leaks:
    """What of labelled rows is repeated, and which of these columns of the frame give labels away."""
    positive = labelled.frame["positive"].to_numpy()
    site = choice.site_of_row
    positives, negatives = class_counts(site, positive)
    columns_alone = {name: _alone(labelled.frame[name], positive, site) for name in columns}
    return Leaks(
        num_rows=len(positive),
        num_sites=None if choice.places is None else choice.places.num_sites,
        num_repeated_sites=int((positives + negatives > 1).sum()),
        num_two_label_sites=int(((positives > 0) & (negatives > 0)).sum()),
        gives_away={name: column for name, column in columns_alone.items() if column.auroc >= GIVES_AWAY},
    )


def _alone(column: pl.Series, positive: np.ndarray, site: np.ndarray) -> GivenAway:
    """What the values of a column tell of the label by themselves."""
    names, codes = numbered(column.cast(pl.String).fill_null(NO_VALUE))
    rank = np.unique(share_of_value(codes, positive, site), return_inverse=True)[1]
    positives, negatives = class_counts(codes, positive)
    area = float(auroc_of_counts(*class_counts(rank, positive)))
    return GivenAway(area, len(names), not (positives * negatives).any())
