"""The definition of a score: two full passes, one over WT and one over MUT.

Up to their first difference the two sequences are the same and so are the terms of their likelihoods; those are taken
once, from the pass over WT. ``delta_llr`` is then the sum over the remaining tokens of the difference of the two
log-probabilities: differences are taken per token and summed in float64, two sums of thousands of nats are never
subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raygen.scoring.batches import run_in_batches
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.prefix_plan import first_difference
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair


def score_token_pairs(model: ResidentModel, pairs: Sequence[SequencePair]) -> PairLikelihoods:
    """Score P pairs of token sequences, in batches of like length."""
    ll_wt, delta = np.zeros(len(pairs)), np.zeros(len(pairs))

    def work(batch: Sequence[int]) -> None:
        wts, muts = [pairs[pair][0] for pair in batch], [pairs[pair][1] for pair in batch]
        first = [first_difference(wt, mut) for wt, mut in zip(wts, muts, strict=True)]
        log_probs_BT = model.token_log_probs([*wts, *muts], [0] * len(batch) + first)
        wt_BT, mut_BT = log_probs_BT[: len(batch)], log_probs_BT[len(batch) :]
        differs_BT = np.arange(wt_BT.shape[1]) >= np.array(first)[:, None]
        ll_wt[batch] = wt_BT.sum(axis=1)
        delta[batch] = (mut_BT - wt_BT * differs_BT).sum(axis=1)

    run_in_batches([2 * max(len(wt), len(mut)) for wt, mut in pairs], model.budget, work)
    num_tokens = np.array([max(len(wt), len(mut)) - model.num_uncounted for wt, mut in pairs], dtype=np.int64)
    same = np.array([np.array_equal(wt, mut) for wt, mut in pairs], dtype=bool)
    return PairLikelihoods(ll_wt, ll_wt + delta, delta, num_tokens, same)
