"""The definition of a score: two full passes, one over WT and one over MUT.

Up to their first difference the two sequences are the same and so are the terms of their likelihoods; those are taken
once, from the pass over WT. ``delta_llr`` is then the sum over the remaining tokens of the difference of the two
log-probabilities: differences are taken per token and summed in float64, two sums of thousands of nats are never
subtracted. States that are wanted beside it are pooled off the same two passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raygen.scoring.batches import run_in_batches
from raygen.scoring.effects import Behind, Predictions, effects_of, no_effects, sum_of_differences
from raygen.scoring.embedding_plan import EmbeddingPlan
from raygen.scoring.letters import of_letters
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.pooled_states import no_states, pooled_places
from raygen.scoring.pooling import PairPlaces, StateSums, pair_places
from raygen.scoring.prefix_plan import first_difference
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair


def score_token_pairs(
    model: ResidentModel,
    pairs: Sequence[SequencePair],
    behind: Sequence[Behind] | None = None,
    embed: EmbeddingPlan | None = None,
    with_effects: bool = True,
    with_scores: bool = True,
) -> PairLikelihoods:
    """Score P pairs of token sequences, in batches of like length.

    Args:
        behind: P places where WT and MUT go on behind the alleles; given where effects or states are wanted, too.
        embed: the states that are pooled.
        with_effects: whether effects are wanted where ``behind`` is given.
        with_scores: whether likelihoods are wanted.
    """
    ll_wt, delta = np.zeros(len(pairs)), np.zeros(len(pairs))
    has_effects = behind is not None and with_effects and with_scores
    effects = no_effects(len(pairs)) if behind is not None and with_effects else {}
    pooled = None if embed is None else no_states(embed, len(pairs), model.loaded.network.config.hidden_size)
    unread = model.num_uncounted

    def work(batch: Sequence[int]) -> None:
        wts, muts = [pairs[pair][0] for pair in batch], [pairs[pair][1] for pair in batch]
        differences = [first_difference(wt, mut) for wt, mut in zip(wts, muts, strict=True)]
        firsts = [max(difference, unread) for difference in differences]
        sums, places = _watch(model, pairs, batch, behind, embed, with_scores) if embed is not None else (None, [])
        rows = [*wts, *muts]
        taps = sums.taps(range(len(rows)), [0] * len(rows), max(map(len, rows)) + 1) if sums is not None else None
        outputs = model.letter_log_probs_of_rows(rows, [unread] * len(batch) + firsts, taps)
        if sums is not None and pooled is not None:
            sums.end_pass()
            for of_pair in places:
                of_pair.fill(pooled, sums)
        if not with_scores:
            return
        for pair, wt_tokens, mut_tokens, difference, first, wt_TL, mut_TL in zip(
            batch, wts, muts, differences, firsts, outputs[: len(batch)], outputs[len(batch) :], strict=True
        ):
            ll_wt[pair] = of_letters(wt_TL, wt_tokens[unread:]).sum()
            wt = Predictions(wt_TL[first - unread :], wt_tokens[first:])
            mut = Predictions(mut_TL, mut_tokens[first:])
            delta[pair] = sum_of_differences(wt.of_tokens_T, mut.of_tokens_T)
            if has_effects and behind is not None and difference < max(len(wt_tokens), len(mut_tokens)):
                numbers = effects_of(wt, mut, first, behind[pair], has_site=difference >= unread)
                for name, value in numbers.items():
                    effects[name][pair] = value

    run_in_batches([2 * max(len(wt), len(mut)) for wt, mut in pairs], model.budget, work)
    num_tokens = np.array([max(len(wt), len(mut)) - unread for wt, mut in pairs], dtype=np.int64)
    same = np.array([np.array_equal(wt, mut) for wt, mut in pairs], dtype=bool)
    if not with_scores:
        ll_wt, delta = np.full((2, len(pairs)), np.nan)
    return PairLikelihoods(ll_wt, ll_wt + delta, delta, num_tokens, same, effects, pooled, with_scores)


def _watch(
    model: ResidentModel,
    pairs: Sequence[SequencePair],
    batch: Sequence[int],
    behind: Sequence[Behind] | None,
    embed: EmbeddingPlan,
    with_scores: bool,
) -> tuple[StateSums, list[PairPlaces]]:
    """The states that a pass over WTs and then MUTs is to add up."""
    assert behind is not None, "states are pooled behind the alleles"
    sums, places = StateSums(embed.layers, stops=not with_scores), []
    bos = 1 - model.num_uncounted
    for row, pair in enumerate(batch):
        num_wt, num_mut = map(len, pairs[pair])
        for pool in embed.pools:
            of_pool = pooled_places(pool, behind[pair], num_wt, num_mut, has_bos=bool(bos))
            places.append(pair_places(pair, pool.name, of_pool, row, [(len(batch) + row, 0)], bos))
            places[-1].want(sums)
    return sums, places
