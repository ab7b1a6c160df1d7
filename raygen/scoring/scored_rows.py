"""What a scorer gives: likelihoods of pairs, and planned rows that carry them. No model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.scoring.effects import names_on_strands, over_strands
from raygen.scoring.embedding_columns import EmbeddingRequest, embedding_columns
from raygen.scoring.embedding_plan import PooledStates
from raygen.scoring.pooled_states import distances_of, replace_pooled, rows_finite, without_rows
from raygen.sequence.windows import Strand
from raygen.tables.columns import with_item

SAME_SEQUENCE = "same_sequence"
"""Flag: WT and MUT are the same within the window (an indel at a contig's end), so the delta says nothing."""

SequencePair = tuple[np.ndarray, np.ndarray]
"""WT and MUT tokens, uint8 each."""


@dataclass(frozen=True)
class PairLikelihoods:
    """Likelihoods of P pairs on one strand, nats.

    Attributes:
        ll_wt, ll_mut: (P,) float64; ``ll_mut`` is ``ll_wt + delta``.
        delta: (P,) float64.
        num_tokens: (P,) int64, tokens that were summed over.
        same_sequence: (P,) bool, WT and MUT do not differ.
        effects: (P,) float64 by name, where they were asked for (``effects``).
        pooled: states, where they were asked for.
        has_scores: whether likelihoods were; else they are NaN.
    """

    ll_wt: np.ndarray
    ll_mut: np.ndarray
    delta: np.ndarray
    num_tokens: np.ndarray
    same_sequence: np.ndarray
    effects: Mapping[str, np.ndarray] = field(default_factory=dict)
    pooled: PooledStates | None = None
    has_scores: bool = True

    @property
    def is_finite(self) -> np.ndarray:
        """(P,) bool: all that was asked for is finite."""
        finite = np.isfinite(self.ll_wt) & np.isfinite(self.delta) | (not self.has_scores)
        return finite if self.pooled is None else finite & rows_finite(self.pooled)

    def replace_rows(self, rows: np.ndarray, others: PairLikelihoods) -> None:
        """Put other values into some rows."""
        for name in ("ll_wt", "ll_mut", "delta", "num_tokens", "same_sequence"):
            getattr(self, name)[rows] = getattr(others, name)
        for name, values in self.effects.items():
            values[rows] = others.effects[name]
        if self.pooled is not None and others.pooled is not None:
            replace_pooled(self.pooled, rows, others.pooled)


def add_likelihoods(
    planned: pa.Table,
    by_strand: dict[Strand, PairLikelihoods],
    extra_columns: Sequence[str] = (),
    embed: EmbeddingRequest | None = None,
) -> pa.Table:
    """Append ``ll_wt, ll_mut, delta_llr, delta_fwd, delta_rev, num_tokens, failure`` to R planned rows, and the extra columns.

    Values are the means over the strands that were read, the strands' own deltas are kept beside them. Rows with a value
    that is not finite have a ``failure``; in the other rows it is null. A pair whose sequences are the same, on every
    strand, gets the flag ``same_sequence``. Where no likelihoods were asked for theirs are null.
    """
    strands = list(by_strand.values())
    ll_wt = np.mean([strand.ll_wt for strand in strands], axis=0)
    delta = np.mean([strand.delta for strand in strands], axis=0)
    finite = np.logical_and.reduce([strand.is_finite for strand in strands])
    nothing = pa.nulls(planned.num_rows, pa.float64())
    columns = {
        "ll_wt": pa.array(ll_wt),
        "ll_mut": pa.array(ll_wt + delta),
        "delta_llr": pa.array(delta),
        "delta_fwd": pa.array(by_strand["forward"].delta) if "forward" in by_strand else nothing,
        "delta_rev": pa.array(by_strand["reverse"].delta) if "reverse" in by_strand else nothing,
        "num_tokens": pa.array(strands[0].num_tokens),
        "failure": pc.if_else(finite, pa.scalar(None, pa.string()), "the model gave a value that is not finite"),
    }
    if extra_columns:
        effects = over_strands({strand: scored.effects for strand, scored in by_strand.items()})
        columns |= {
            name: pa.array(effects[name], from_pandas=True) for name in names_on_strands(extra_columns, len(strands))
        }
    if not strands[0].has_scores:
        columns |= dict.fromkeys(("ll_wt", "ll_mut", "delta_llr", "delta_fwd", "delta_rev"), nothing)
    if embed is not None:
        columns |= _of_states(by_strand, ~finite, embed)
    for name, column in columns.items():
        planned = planned.append_column(name, column)
    same = np.logical_and.reduce([strand.same_sequence for strand in strands])
    return with_flag(planned, SAME_SEQUENCE, same)


def _of_states(
    by_strand: Mapping[Strand, PairLikelihoods], failed: np.ndarray, embed: EmbeddingRequest
) -> dict[str, pa.Array]:
    pooled = {
        strand: without_rows(scored.pooled, failed) for strand, scored in by_strand.items() if scored.pooled is not None
    }
    columns = {name: pa.array(values, from_pandas=True) for name, values in distances_of(pooled, embed).items()}
    return columns | (embedding_columns(pooled, embed.plan, embed.storage) if embed.storage else {})


def with_flag(table: pa.Table, flag: str, rows: np.ndarray) -> pa.Table:
    """The table with a flag more in the rows that (R,) Booleans name."""
    if not rows.any():
        return table
    return table.set_column(table.schema.get_field_index("flags"), "flags", with_item(table["flags"], flag, rows))
