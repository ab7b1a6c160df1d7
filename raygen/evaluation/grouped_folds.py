"""Folds that part no cluster: rows and their clusters in, (train, test) rows of each fold out.

scikit-learn's StratifiedGroupKFold spreads the labels evenly, which matters where few clusters hold one of them. Its time is that of
clusters times folds in plain Python, minutes for a million sites. So of many clusters those with the commoner label alone are put together
first; where both labels are in many, GroupKFold takes over, since so many are spread evenly by chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from raygen.errors import InputError
from raygen.evaluation.clusters import Clusters

MOST_STRATIFIED = 5_000
FOLDS = 5
"""Where nobody says how many."""


def grouped_folds(
    positive: np.ndarray, clusters: Clusters, num_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows to fit, rows left out) of each fold, for (R,) Boolean labels in clusters.

    Raises:
        InputError: without one of the folds a label is missing, so that nothing could be fitted.
    """
    groups = _few_groups(positive, clusters)
    kind = GroupKFold if groups is None else StratifiedGroupKFold
    folds = kind(num_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(np.zeros(len(positive)), positive, clusters.of_row if groups is None else groups):
        if positive[train].all() or not positive[train].any():
            raise InputError(
                f"All variants of one label are in one of the {num_folds} folds, which part no {clusters.level} "
                f"({clusters.in_words}): a smaller --cluster or more labels are needed."
            )
        yield train, test


def _few_groups(positive: np.ndarray, clusters: Clusters) -> np.ndarray | None:
    """(R,) numbers of at most ``MOST_STRATIFIED`` groups of whole clusters; None where more hold the label that is in fewer."""
    if clusters.num_clusters <= MOST_STRATIFIED:
        return clusters.of_row
    num_together = MOST_STRATIFIED - clusters.fewest
    if num_together < MOST_STRATIFIED / 2:
        return None
    in_fewer = positive if clusters.num_with_positive <= clusters.num_with_negative else ~positive
    holds_it = np.isin(clusters.of_row, clusters.of_row[in_fewer])
    return np.where(holds_it, num_together + clusters.of_row, clusters.of_row % num_together)
