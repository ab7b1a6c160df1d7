"""Folds that part no cluster: rows and their clusters in, (train, test) rows of each fold out.

scikit-learn's StratifiedGroupKFold spreads the labels evenly, which matters where clusters are few and large. Its time is that of clusters
times folds in plain Python, minutes for a million sites; there GroupKFold takes over, since so many small clusters are spread evenly by chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from raygen.errors import InputError
from raygen.evaluation.clusters import Clusters

MOST_STRATIFIED = 5_000


def grouped_folds(
    positive: np.ndarray, clusters: Clusters, num_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows to fit, rows left out) of each fold, for (R,) Boolean labels in clusters.

    Raises:
        InputError: without one of the folds a label is missing, so that nothing could be fitted.
    """
    kind = StratifiedGroupKFold if clusters.num_clusters <= MOST_STRATIFIED else GroupKFold
    folds = kind(num_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(np.zeros(len(positive)), positive, clusters.of_row):
        if positive[train].all() or not positive[train].any():
            raise InputError(
                f"All variants of one label are in one of the {num_folds} folds, which part no {clusters.level} "
                f"({clusters.in_words}): fewer --folds, a smaller --cluster or more labels are needed."
            )
        yield train, test
