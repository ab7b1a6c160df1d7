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
from raygen.scoring.effects import Behind, Predictions, effects_of, no_effects, sum_of_differences
from raygen.scoring.letters import of_letters
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.prefix_plan import first_difference
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair


def score_token_pairs(
    model: ResidentModel, pairs: Sequence[SequencePair], behind: Sequence[Behind] | None = None
) -> PairLikelihoods:
    """Score P pairs of token sequences, in batches of like length.

    Args:
        behind: P places where WT and MUT go on behind the alleles; given where effects are wanted, too.
    """
    ll_wt, delta = np.zeros(len(pairs)), np.zeros(len(pairs))
    effects = {} if behind is None else no_effects(len(pairs))
    unread = model.num_uncounted

    def work(batch: Sequence[int]) -> None:
        wts, muts = [pairs[pair][0] for pair in batch], [pairs[pair][1] for pair in batch]
        differences = [first_difference(wt, mut) for wt, mut in zip(wts, muts, strict=True)]
        firsts = [max(difference, unread) for difference in differences]
        outputs = model.letter_log_probs_of_rows([*wts, *muts], [unread] * len(batch) + firsts)
        for pair, wt_tokens, mut_tokens, difference, first, wt_TL, mut_TL in zip(
            batch, wts, muts, differences, firsts, outputs[: len(batch)], outputs[len(batch) :], strict=True
        ):
            ll_wt[pair] = of_letters(wt_TL, wt_tokens[unread:]).sum()
            wt = Predictions(wt_TL[first - unread :], wt_tokens[first:])
            mut = Predictions(mut_TL, mut_tokens[first:])
            delta[pair] = sum_of_differences(wt.of_tokens_T, mut.of_tokens_T)
            if behind is not None and difference < max(len(wt_tokens), len(mut_tokens)):
                numbers = effects_of(wt, mut, first, behind[pair], has_site=difference >= unread)
                for name, value in numbers.items():
                    effects[name][pair] = value

    run_in_batches([2 * max(len(wt), len(mut)) for wt, mut in pairs], model.budget, work)
    num_tokens = np.array([max(len(wt), len(mut)) - unread for wt, mut in pairs], dtype=np.int64)
    same = np.array([np.array_equal(wt, mut) for wt, mut in pairs], dtype=bool)
    return PairLikelihoods(ll_wt, ll_wt + delta, delta, num_tokens, same, effects)
