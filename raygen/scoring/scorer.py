"""Planned rows to likelihoods: the one object an actor keeps, and what a notebook calls.

One row in, one row out, in order. A row that cannot be given a finite score keeps its place with ``failure`` in words; a
non-finite value is never written as a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.pair import PairLikelihoods, SequencePair, score_token_pairs
from raygen.scoring.plan import MAX_N_FRACTION, Bases, contig_runs, strands_read
from raygen.sequence.tokens import count_n, encode
from raygen.sequence.windows import N_IN_WINDOW, Strand, StrandView, mirror
from raygen.tables.schemas import PAIRS

SAME_SEQUENCE = "same_sequence"
"""Flag: WT and MUT are the same within the window (a deletion that reaches the contig's end), so the delta says nothing."""
UNEQUAL_LENGTH = "unequal_length"
"""Flag: the two sequences of a pair differ in length, so their sums run over different numbers of tokens."""


class VariantScorer:
    """Scores planned variants with a resident model, on one strand or both."""

    def __init__(
        self,
        model: ResidentModel,
        reference: Bases,
        strand: str = "forward",
        circular: Sequence[str] = (),
        method: Literal["pair"] = "pair",
    ) -> None:
        self.model = model
        self.method = method
        self._reference = reference
        self._strand = strand
        self._circular = frozenset(circular)

    def score(self, planned: pa.Table) -> pa.Table:
        """The planned table with its likelihood columns (see ``add_likelihoods``)."""
        by_strand = {
            strand: score_token_pairs(self.model, self._pairs(planned, strand)) for strand in strands_read(self._strand)
        }
        return add_likelihoods(planned, by_strand)

    def _pairs(self, planned: pa.Table, strand: Strand) -> list[SequencePair]:
        """WT and MUT tokens of every row on one strand, in order."""
        return [pair for chrom, run in contig_runs(planned) for pair in self._contig_pairs(chrom, run, strand)]

    def _contig_pairs(self, chrom: str, run: pa.Table, strand: Strand) -> list[SequencePair]:
        bases = self._reference.bases(chrom)
        view = StrandView(bases, strand, chrom in self._circular)
        refs, alts = run["ref"].to_pylist(), run["alt"].to_pylist()
        first = run["pos"].to_numpy() - 1
        if strand == "reverse":
            first = mirror(first, np.array([len(ref) for ref in refs]), len(bases))
        start = run[f"start_{strand}"].to_numpy()
        end = start + run["length"].to_numpy()
        rows = zip(first.tolist(), refs, alts, start.tolist(), end.tolist(), strict=True)
        return [view.pair(*row) for row in rows]


class PairScorer:
    """Scores PAIRS, whose sequences are as they came."""

    def __init__(self, model: ResidentModel, method: Literal["pair"] = "pair") -> None:
        self.model = model
        self.method = method

    def score(self, pairs: pa.Table) -> pa.Table:
        """A PAIRS table as scored rows without coordinates, with its likelihood columns (see ``add_likelihoods``)."""
        wts = [encode(sequence) for sequence in pairs["wt_sequence"].to_pylist()]
        muts = [encode(sequence) for sequence in pairs["mut_sequence"].to_pylist()]
        tokens = list(zip(wts, muts, strict=True))
        return add_likelihoods(_without_coordinates(pairs, tokens), {"forward": score_token_pairs(self.model, tokens)})


def add_likelihoods(planned: pa.Table, by_strand: dict[Strand, PairLikelihoods]) -> pa.Table:
    """Append ``ll_wt, ll_mut, delta_llr, delta_fwd, delta_rev, num_tokens, failure`` to R planned rows.

    Values are the means over the strands that were read, the strands' own deltas are kept beside them. Rows with a value
    that is not finite have a ``failure``; in the other rows it is null. A pair whose sequences are the same, on every
    strand, gets the flag ``same_sequence``.
    """
    strands = list(by_strand.values())
    ll_wt = np.mean([strand.ll_wt for strand in strands], axis=0)
    delta = np.mean([strand.delta for strand in strands], axis=0)
    finite = np.isfinite(ll_wt) & np.isfinite(delta)
    nothing = pa.nulls(planned.num_rows, pa.float64())
    columns = {
        "ll_wt": pa.array(ll_wt),
        "ll_mut": pa.array(ll_wt + delta),
        "delta_llr": pa.array(delta),
        "delta_fwd": pa.array(by_strand["forward"].delta) if "forward" in by_strand else nothing,
        "delta_rev": pa.array(by_strand["reverse"].delta) if "reverse" in by_strand else nothing,
        "num_tokens": pa.array(strands[0].num_tokens),
        "failure": pa.array(
            [None if good else "the model gave a value that is not finite" for good in finite], pa.string()
        ),
    }
    for name, column in columns.items():
        planned = planned.append_column(name, column)
    same = np.logical_and.reduce([strand.same_sequence for strand in strands])
    return _with_flag(planned, SAME_SEQUENCE, same)


def _without_coordinates(pairs: pa.Table, tokens: Sequence[SequencePair]) -> pa.Table:
    """Pairs as planned rows: the window is the sequence itself, which is not carried further; other columns are."""
    lengths = np.array([len(wt) for wt, _ in tokens], dtype=np.int64)
    num_n = np.array([max(count_n(wt), count_n(mut)) for wt, mut in tokens], dtype=np.int64)
    flags = [
        [N_IN_WINDOW] * bool(n) + [UNEQUAL_LENGTH] * (len(wt) != len(mut))
        for n, (wt, mut) in zip(num_n, tokens, strict=True)
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
    kept = pairs.drop_columns([name for name in (*PAIRS.names, *columns) if name in pairs.column_names])
    for name, column in columns.items():
        kept = kept.append_column(name, column)
    return kept


def _with_flag(table: pa.Table, flag: str, rows: np.ndarray) -> pa.Table:
    if not rows.any():
        return table
    flags = [[*said, flag] if new else said for said, new in zip(table["flags"].to_pylist(), rows, strict=True)]
    return table.set_column(table.schema.get_field_index("flags"), "flags", pa.array(flags, pa.list_(pa.string())))
