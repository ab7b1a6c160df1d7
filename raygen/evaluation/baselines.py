"""What tells labels apart without a model: the label of the nearest labelled neighbour, and a column of few values such as the
consequence, learnt from rows of other clusters.

A score that does not pass them has shown nothing: labels lie in stretches (an exon, a domain, a gene that was sequenced), and a
consequence is half of how a label is made.

Shapes: R rows, S sites. Out: (R,) risks, larger meaning positive.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from raygen.evaluation.clusters import FEW, Places


def nearest_label(places: Places, positive: np.ndarray, learnt: np.ndarray | None = None) -> np.ndarray:
    """The share of positives at the nearest other site of the contig.

    Two sites that are as far count one half each. A row without coordinates, or without another site on its contig, gets the share of all, which says nothing.

    Args:
        learnt: (R,) Boolean, the rows whose labels may be learnt from; None: all.
    """
    weights = np.ones(len(positive)) if learnt is None else learnt.astype(float)
    rows = np.bincount(places.site, weights)
    share = np.bincount(places.site, weights * positive) / np.maximum(rows, 1)
    first_row = np.unique(places.site, return_index=True)[1]
    contig, position = places.contig[first_row], places.position[first_row].astype(float)
    number, last = np.arange(len(rows)), len(rows) - 1
    before = np.maximum.accumulate(np.where(rows > 0, number, -1))
    after = np.minimum.accumulate(np.where(rows > 0, number, last + 1)[::-1])[::-1]
    left, right = np.append(-1, before[:-1]), np.append(after[1:], last + 1)
    is_known = contig < len(places.contigs)
    is_left = is_known & (left >= 0) & (contig[left] == contig)
    is_right = is_known & (right <= last) & (contig[np.minimum(right, last)] == contig)
    right = np.minimum(right, last)
    to_left = np.where(is_left, position - position[left], np.inf)
    to_right = np.where(is_right, position[right] - position, np.inf)
    middle = (share[left] + share[right]) / 2
    nearest = np.where(to_left < to_right, share[left], np.where(to_right < to_left, share[right], middle))
    nearest[~is_left & ~is_right] = np.average(positive, weights=weights)
    return nearest[places.site]


def share_of_value(value: np.ndarray, positive: np.ndarray, site: np.ndarray) -> np.ndarray:
    """The share of positives among all rows of a row's value; values at fewer than ``FEW`` sites are one value together.

    Learnt from the very rows, it errs in favour of the column: good enough to say that a column may give labels away, and not for an
    area that a score is compared with (see ``share_elsewhere``).

    Args:
        value, site: (R,) whole numbers from 0 on.
    """
    pairs = np.unique(value * (int(site.max()) + 1) + site) // (int(site.max()) + 1)
    is_rare = np.bincount(pairs, minlength=int(value.max()) + 1) < FEW
    group = np.where(is_rare, len(is_rare), np.arange(len(is_rare)))[value]
    rows = np.bincount(group)
    share: np.ndarray = np.bincount(group, weights=positive)[group] / rows[group]
    return share


def share_elsewhere(
    value: np.ndarray, positive: np.ndarray, folds: Iterable[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """The share of positives that a row's value has in the other folds; one more row of the share of all is counted with it.

    Within a fold rows of one value tie, and no label of the fold is in their share, so a useless column has an area of one half there.
    Between folds the shares must not be compared: a fold with more positives leaves fewer to the others, which turns the order around
    (Airola et al. 2011, on leave-one-out).

    Args:
        value: (R,) whole numbers from 0 on.
        folds: (rows to learn from, rows left out) of each; together they leave out every row once.
    """
    share = np.empty(len(value))
    for train, test in folds:
        num_values = int(value.max()) + 1
        rows = np.bincount(value[train], minlength=num_values)
        positives = np.bincount(value[train], weights=positive[train], minlength=num_values)
        share[test] = ((positives + positive[train].mean()) / (rows + 1))[value[test]]
    return share
