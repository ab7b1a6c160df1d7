"""Planned rows to likelihoods: the one object an actor keeps, and what a notebook calls.

One row in, one row out, in order. A row that cannot be given a finite score keeps its place with ``failure`` in words; a
non-finite value is never written as a score.

Half precision is chosen on calibration sequences, so a sequence of a run can still overflow it. Both sequences of such a
pair are then scored in float32: a difference between a float16 and a float32 sum would hold the rounding of thousands of
tokens that otherwise cancels. What is not finite even then is for the caller to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from raygen.errors import SettingsError
from raygen.model.cards import UNVALIDATED
from raygen.model.layer_names import refuse_layers
from raygen.scoring.effects import EXTRA_COLUMNS, Behind, behind_by_sequence, no_effects
from raygen.scoring.embedding_columns import EmbeddingRequest
from raygen.scoring.embedding_plan import EmbeddingPlan
from raygen.scoring.fork import auto_limits, score_forked_pairs
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.method import Method, refuse_fork
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.plan import MAX_N_FRACTION, Bases, behind_alleles, strands_read, token_pairs, window_keys
from raygen.scoring.pooled_states import no_states
from raygen.scoring.scored_rows import PairLikelihoods, SequencePair, add_likelihoods, with_flag
from raygen.scoring.state_columns import StateColumns, joined_plan
from raygen.sequence.tokens import count_n, encode
from raygen.sequence.windows import N_IN_WINDOW, Strand
from raygen.tables.schemas import PAIRS

UNEQUAL_LENGTH = "unequal_length"
"""Flag: the two sequences of a pair differ in length, so their sums run over different numbers of tokens."""


def _method(
    model: ResidentModel,
    method: Method,
    state_memory: int | None,
    extra_columns: Sequence[str],
    plan: EmbeddingPlan | None,
    with_scores: bool,
) -> ScorePairs:
    """How pairs are scored: by the method, and by it again in float32 where half precision overflowed.

    Raises:
        SettingsError: there is no such method, column or layer, or the model cannot be scored by it.
    """
    for name in extra_columns:
        if name not in EXTRA_COLUMNS:
            raise SettingsError(f"extra_columns names {name!r}; there are {', '.join(EXTRA_COLUMNS)}.")
    if method not in ("fork", "pair"):
        raise SettingsError(f"method is {method!r}; it can be fork or pair.")
    if plan is not None:
        refuse_layers(model.name, plan.layers, model.loaded.network.layer_names())
    wanted = {"embed": plan, "with_effects": bool(extra_columns), "with_scores": with_scores}
    return rescoring(model, lambda resident: _plain_method(resident, method, state_memory, wanted))


def _plain_method(
    model: ResidentModel, method: Method, state_memory: int | None, wanted: Mapping[str, Any]
) -> ScorePairs:
    if method == "pair":
        return lambda pairs, keys, behind: score_token_pairs(model, pairs, behind, **wanted)
    refuse_fork(model.name, model.loaded.network.fork_refusal)
    limits = auto_limits(model.loaded.device, state_memory)
    return lambda pairs, keys, behind: score_forked_pairs(model, pairs, keys, limits, behind, **wanted)


class _Scorer:
    """What scorers of variants and of pairs have in common: how pairs of sequences are scored, and what is said of them."""

    def __init__(
        self,
        model: ResidentModel,
        method: Method,
        state_memory: int | None,
        extra_columns: Sequence[str],
        embed: EmbeddingRequest | None,
        with_scores: bool,
        state_columns: StateColumns | None,
    ) -> None:
        plan = joined_plan([wanted.plan for wanted in (embed, state_columns) if wanted is not None])
        self._score_pairs = _method(model, method, state_memory, extra_columns, plan, with_scores)
        self._extra_columns, self._embed, self._with_scores = tuple(extra_columns), embed, with_scores
        self._state_columns = state_columns
        self._needs_places = bool(extra_columns) or plan is not None
        self._width = model.loaded.network.config.hidden_size
        self._unvalidated = model.loaded.facts.unvalidated

    def _scored(self, planned: pa.Table, by_strand: dict[Strand, PairLikelihoods]) -> pa.Table:
        scored = add_likelihoods(planned, by_strand, self._extra_columns, self._embed)
        if self._state_columns:
            pooled = {strand: likelihoods.pooled for strand, likelihoods in by_strand.items()}
            scored = self._state_columns.append_to(
                scored, {strand: states for strand, states in pooled.items() if states}
            )
        return _flag_all(scored, self._unvalidated)

    def _failed(self, planned: pa.Table, strands: Sequence[Strand], reason: str) -> pa.Table:
        pooled = None if self._embed is None else no_states(self._embed.plan, len(planned), self._width)
        nothing = dict.fromkeys(strands, replace(_nothing(planned), pooled=pooled, has_scores=self._with_scores))
        failed = _with_failure(add_likelihoods(planned, nothing, self._extra_columns, self._embed), reason)
        return self._state_columns.append_nothing(failed) if self._state_columns else failed


class VariantScorer(_Scorer):
    """Scores planned variants with a resident model, on one strand or both."""

    def __init__(
        self,
        model: ResidentModel,
        reference: Bases,
        strand: str = "forward",
        circular: Sequence[str] = (),
        method: Method = "fork",
        state_memory: int | None = None,
        extra_columns: Sequence[str] = (),
        embed: EmbeddingRequest | None = None,
        with_scores: bool = True,
        state_columns: StateColumns | None = None,
    ) -> None:
        super().__init__(model, method, state_memory, extra_columns, embed, with_scores, state_columns)
        self._reference = reference
        self._strands = strands_read(strand)
        self._circular = frozenset(circular)

    def score(self, planned: pa.Table) -> pa.Table:
        """The planned table with its likelihood columns (see ``add_likelihoods``)."""
        by_strand = {
            strand: self._score_pairs(
                token_pairs(planned, strand, self._reference, self._circular),
                window_keys(planned, strand, self._reference),
                behind_alleles(planned, strand, self._reference) if self._needs_places else None,
            )
            for strand in self._strands
        }
        return self._scored(planned, by_strand)

    def without_scores(self, planned: pa.Table, reason: str) -> pa.Table:
        """Planned rows with the columns that ``score`` adds, but no values, and ``reason`` as their failure."""
        return self._failed(planned, self._strands, reason)


class PairScorer(_Scorer):
    """Scores PAIRS, whose sequences are as they came."""

    def __init__(
        self,
        model: ResidentModel,
        method: Method = "fork",
        state_memory: int | None = None,
        extra_columns: Sequence[str] = (),
        embed: EmbeddingRequest | None = None,
        with_scores: bool = True,
        state_columns: StateColumns | None = None,
    ) -> None:
        super().__init__(model, method, state_memory, extra_columns, embed, with_scores, state_columns)

    def score(self, pairs: pa.Table) -> pa.Table:
        """A PAIRS table as scored rows without coordinates, with its likelihood columns (see ``add_likelihoods``)."""
        wts = [encode(sequence) for sequence in pairs["wt_sequence"].to_pylist()]
        muts = [encode(sequence) for sequence in pairs["mut_sequence"].to_pylist()]
        tokens = list(zip(wts, muts, strict=True))
        keys = [wt.tobytes() for wt, _ in tokens]
        behind = [behind_by_sequence(wt, mut) for wt, mut in tokens] if self._needs_places else None
        return self._scored(_without_coordinates(pairs, tokens), {"forward": self._score_pairs(tokens, keys, behind)})

    def without_scores(self, pairs: pa.Table, reason: str) -> pa.Table:
        """Pairs with the columns that ``score`` gives, but no values, and ``reason`` as their failure."""
        tokens = [(encode(""), encode(""))] * len(pairs)
        return self._failed(_without_coordinates(pairs, tokens), ["forward"], reason)


def _nothing(rows: pa.Table) -> PairLikelihoods:
    """No value for any row."""
    missing = np.full(len(rows), np.nan)
    no_tokens, differs = np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
    return PairLikelihoods(missing, missing, missing, no_tokens, differs, no_effects(len(rows)))


def _with_failure(table: pa.Table, reason: str) -> pa.Table:
    return table.set_column(table.schema.get_field_index("failure"), "failure", pa.repeat(reason, len(table)))


def _without_coordinates(pairs: pa.Table, tokens: Sequence[SequencePair]) -> pa.Table:
    """Pairs as planned rows: the window is the sequence itself, which is not carried further; other columns are."""
    lengths = np.array([len(wt) for wt, _ in tokens], dtype=np.int64)
    num_n = np.array([max(count_n(wt), count_n(mut)) for wt, mut in tokens], dtype=np.int64)
    flags = [
        [N_IN_WINDOW] * bool(count) + [UNEQUAL_LENGTH] * (len(wt) != len(mut))
        for count, (wt, mut) in zip(num_n, tokens, strict=True)
    ]
    columns = {
        "variant_id": pairs["pair_id"],
        "chrom": pa.nulls(len(tokens), pa.string()),
        "pos": pa.nulls(len(tokens), pa.int64()),
        "ref": pa.nulls(len(tokens), pa.string()),
        "alt": pa.nulls(len(tokens), pa.string()),
        "window_start": pa.array(np.zeros_like(lengths)),
        "window_end": pa.array(lengths),
        "flags": pa.array(flags, pa.list_(pa.string())),
        "too_many_n": pa.array(num_n > MAX_N_FRACTION * lengths),
    }
    planned = pairs.drop_columns([name for name in (*PAIRS.names, *columns) if name in pairs.column_names])
    for name, column in columns.items():
        planned = planned.append_column(name, column)
    return planned


def _flag_all(scored: pa.Table, unvalidated: bool) -> pa.Table:
    """Every row of a model whose published numbers need what is not done here says so."""
    return with_flag(scored, UNVALIDATED, np.full(len(scored), unvalidated))


ScorePairs = Callable[[Sequence[SequencePair], Sequence[Hashable], Sequence[Behind] | None], PairLikelihoods]
"""Pairs, keys that say which WTs begin alike, and where effects are wanted the places behind the alleles, to likelihoods."""


def rescoring(model: ResidentModel, make: Callable[[ResidentModel], ScorePairs]) -> ScorePairs:
    """The method that ``make`` gives for a model, with pairs that are not finite scored by it again in float32."""
    score = make(model)

    def score_twice(
        pairs: Sequence[SequencePair], keys: Sequence[Hashable], behind: Sequence[Behind] | None
    ) -> PairLikelihoods:
        scored = score(pairs, keys, behind)
        not_finite = model.to_rescore(np.where(scored.is_finite, 0.0, np.nan))
        if len(not_finite):
            few, their_keys = [pairs[row] for row in not_finite], [keys[row] for row in not_finite]
            places = None if behind is None else [behind[row] for row in not_finite]
            wider = model.rescore(lambda wide: make(wide)(few, their_keys, places), len(not_finite))
            scored.replace_rows(not_finite, wider)
        return scored

    return score_twice
