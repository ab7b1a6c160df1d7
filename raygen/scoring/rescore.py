"""A second look in float32 at pairs that half precision could not hold.

Half precision is chosen on calibration sequences, so a sequence of a run can still overflow it. Both sequences of such a
pair are then scored in float32: a difference between a float16 and a float32 sum would hold the rounding of thousands of
tokens that otherwise cancels. What is not finite even then is for the caller to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields

from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair

ScorePairs = Callable[[Sequence[SequencePair], Sequence[Hashable]], PairLikelihoods]
"""Pairs, and keys that say which WTs begin alike, to likelihoods."""


def rescoring(model: ResidentModel, make: Callable[[ResidentModel], ScorePairs]) -> ScorePairs:
    """The method that ``make`` gives for a model, with pairs that are not finite scored by it again in float32."""
    score = make(model)

    def score_twice(pairs: Sequence[SequencePair], keys: Sequence[Hashable]) -> PairLikelihoods:
        scored = score(pairs, keys)
        again = model.to_rescore(scored.ll_wt, scored.delta)
        if len(again):
            few, their_keys = [pairs[row] for row in again], [keys[row] for row in again]
            wider = model.rescore(lambda wide: make(wide)(few, their_keys), len(again))
            for field in fields(PairLikelihoods):
                getattr(scored, field.name)[again] = getattr(wider, field.name)
        return scored

    return score_twice
