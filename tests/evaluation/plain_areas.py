"""Areas by their definitions, for tests that need thousands of them: scikit-learn's, which a test holds them to, take a millisecond each."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def plain_auroc(positive: np.ndarray, risk: np.ndarray) -> float:
    """Share of pairs of a positive and a negative in which the positive has the higher risk, a tie counting one half."""
    num_positive = int(positive.sum())
    above = rankdata(risk)[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * (len(positive) - num_positive)))


def plain_auprc(positive: np.ndarray, risk: np.ndarray) -> float:
    """Precision at each distinct risk, weighted by the share of the positives that it adds."""
    order = np.argsort(-risk, kind="stable")
    descending = risk[order]
    last_of_each = np.append(np.flatnonzero(descending[1:] != descending[:-1]), len(risk) - 1)
    found = np.cumsum(positive[order])[last_of_each]
    return float((np.diff(found, prepend=0) / positive.sum() * found / (last_of_each + 1)).sum())
