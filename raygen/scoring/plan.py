"""Variants to planned rows: where each window lies on each strand that is read, and what there is to say about it.

Plain columns in, plain columns out, no model: this is the stage that runs on CPUs beside the scorers. A planned table is
the variants' table with ``length_forward`` and ``length_reverse`` (bases of the window: on a grid and at a contig's end the
strands' windows differ), ``start_forward`` and ``start_reverse`` (each 0-based on its own strand), null where that strand is
not read, ``window_start`` and ``window_end`` (on the forward strand, of the strand
that is read first), ``flags``, and ``too_many_n``.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import SettingsError
from raygen.sequence.tokens import count_n, encode, normalise_tokens
from raygen.sequence.windows import (
    N_IN_WINDOW,
    SHIFTED_WINDOW,
    SHORT_WINDOW,
    Placement,
    Strand,
    StrandView,
    Window,
    mirror,
    place_windows,
)
from raygen.tables.columns import has_item, string_lists
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, REF_SWAPPED

HAPLOTYPE = "haplotype"
"""Flag: the row is the alleles of a haplotype together; its members have rows of their own."""
MAX_N_FRACTION = 0.05
"""A window with a larger share of N than this makes a score that is abstained on."""


class Bases(Protocol):
    """What planning needs of a reference."""

    def bases(self, contig: str) -> np.ndarray:
        """All bases of a contig, uint8."""
        ...


def strands_read(strand: str) -> tuple[Strand, ...]:
    """The strands that the setting ``strand`` reads, in order.

    Raises:
        SettingsError: there is no such setting.
    """
    if strand not in ("forward", "reverse", "both"):
        raise SettingsError(f"strand is {strand!r}; it can be forward, reverse or both.")
    return ("forward", "reverse") if strand == "both" else (strand,)  # type: ignore[return-value]


def plan_windows(
    variants: pa.Table, reference: Bases, window: Window, strand: str = "forward", circular: Sequence[str] = ()
) -> pa.Table:
    """Plan normalised variants that agree with the reference; contigs may be mixed, order is kept."""
    runs = [
        _plan_contig(run, reference.bases(chrom), window, strand, chrom in circular)
        for chrom, run in contig_runs(variants)
    ]
    return pa.concat_tables(runs) if runs else _plan_contig(variants, np.zeros(0, np.uint8), window, strand, False)


def contig_runs(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """Consecutive rows of one contig: (chrom, rows) in the table's order."""
    runs = pc.run_end_encode(table["chrom"].combine_chunks())
    ends = runs.run_ends.to_pylist()
    return [
        (chrom, table.slice(start, end - start))
        for chrom, (start, end) in zip(runs.values.to_pylist(), pairwise([0, *ends]), strict=True)
    ]


def _plan_contig(variants: pa.Table, bases: np.ndarray, window: Window, strand: str, circular: bool) -> pa.Table:
    first = variants["pos"].to_numpy() - 1
    ref_length = pc.utf8_length(variants["ref"]).to_numpy()
    alt_length = pc.utf8_length(variants["alt"]).to_numpy()
    placed = place_on_strands(first, ref_length, alt_length, len(bases), window, strand, circular)
    shown_strand = next(iter(placed))
    shown = placed[shown_strand]
    num_n = most_n(placed, bases, circular)
    length = shown.end - shown.start
    start = shown.start if shown_strand == "forward" else len(bases) - shown.end
    planned = {
        "length_forward": _lengths(placed.get("forward"), len(variants)),
        "length_reverse": _lengths(placed.get("reverse"), len(variants)),
        "start_forward": _starts(placed.get("forward"), len(variants)),
        "start_reverse": _starts(placed.get("reverse"), len(variants)),
        "window_start": pa.array(start % max(len(bases), 1), pa.int64()),
        "window_end": pa.array(start % max(len(bases), 1) + length, pa.int64()),
        "flags": string_lists({**window_flags(placed, num_n), **_input_flags(variants)}, len(num_n)),
        "too_many_n": pa.array(num_n > MAX_N_FRACTION * length, pa.bool_()),
    }
    for name, column in planned.items():
        variants = variants.append_column(name, column)
    return variants


def place_on_strands(
    first: np.ndarray,
    ref_length: np.ndarray,
    alt_length: np.ndarray,
    contig_length: int,
    window: Window,
    strand: str,
    circular: bool,
) -> dict[Strand, Placement]:
    """Where the windows of V variants lie on each strand that is read; ``first`` as in ``place_windows``, on the forward strand."""
    firsts = {"forward": first, "reverse": mirror(first, ref_length, contig_length)}
    return {
        name: place_windows(firsts[name], ref_length, alt_length, contig_length, window, circular)
        for name in strands_read(strand)
    }


def most_n(placed: dict[Strand, Placement], bases: np.ndarray, circular: bool) -> np.ndarray:
    """N in each variant's window, (V,), of the strand with more of them: mirrored, the two do not hold the same bases."""
    return np.maximum.reduce(
        [_count_n(placement, StrandView(bases, name, circular)) for name, placement in placed.items()]
    )


def window_flags(placed: dict[Strand, Placement], num_n: np.ndarray) -> dict[str, np.ndarray]:
    """What there is to say of the windows of V variants: (V,) Booleans by flag."""
    return {
        SHORT_WINDOW: np.logical_or.reduce([placement.short for placement in placed.values()]),
        SHIFTED_WINDOW: np.logical_or.reduce([placement.shifted for placement in placed.values()]),
        N_IN_WINDOW: num_n > 0,
    }


def _starts(placement: Placement | None, num_variants: int) -> pa.Array:
    return pa.nulls(num_variants, pa.int64()) if placement is None else pa.array(placement.start, pa.int64())


def _lengths(placement: Placement | None, num_variants: int) -> pa.Array:
    if placement is None:
        return pa.nulls(num_variants, pa.int64())
    return pa.array(placement.end - placement.start, pa.int64())


def _count_n(placement: Placement, view: StrandView) -> np.ndarray:
    """N in each window: (V,). Sorted variants lie close together, so the whole stretch is looked at before each window."""
    num_variants = len(placement.start)
    if not num_variants:
        return np.zeros(0, np.int64)
    first, last = int(placement.start.min()), int(placement.end.max())
    if last - first <= 64 * 2**20:
        is_n = normalise_tokens(view.read(first, last)) == ord("N")
        if not is_n.any():
            return np.zeros(num_variants, np.int64)
        upto = np.concatenate([[0], np.cumsum(is_n)])
        return upto[placement.end - first] - upto[placement.start - first]
    ranges = zip(placement.start.tolist(), placement.end.tolist(), strict=True)
    return np.array([count_n(view.read(start, end)) for start, end in ranges])


def _input_flags(variants: pa.Table) -> dict[str, np.ndarray]:
    """What the input says of V variants: (V,) Booleans by flag, of a row that spans a haplotype's members, and of one whose alleles the
    reference has the other way round.
    """
    flags = {}
    if HAPLOTYPE_MEMBERS in variants.column_names:
        flags[HAPLOTYPE] = pc.is_valid(variants[HAPLOTYPE_MEMBERS]).to_numpy()
    if REF_SWAPPED in variants.column_names:
        flags[REF_SWAPPED] = pc.fill_null(variants[REF_SWAPPED], False).to_numpy()
    return flags


def token_pairs(
    planned: pa.Table, strand: Strand, reference: Bases, circular: Collection[str] = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """WT and MUT tokens of every planned row on one strand, in order."""
    return [
        pair
        for chrom, run in contig_runs(planned)
        for pair in _contig_pairs(run, strand, reference.bases(chrom), chrom in circular)
    ]


def window_keys(planned: pa.Table, strand: Strand, reference: Bases) -> list[Hashable]:
    """One key a row: windows of a contig that start at the same base share what is read before their variants.

    A row whose REF says which base a letter of the reference stands for has a WT that others need not share.
    """
    keys: list[Hashable] = list(zip(planned["chrom"].to_pylist(), planned[f"start_{strand}"].to_pylist(), strict=True))
    rows = np.flatnonzero(has_item(planned["flags"], N_IN_WINDOW))
    few = planned.select(["chrom", "pos", "ref"]).take(rows)
    for row, chrom, pos, ref in zip(rows.tolist(), *(few[name].to_pylist() for name in few.column_names), strict=True):
        if not np.array_equal(encode(ref), normalise_tokens(reference.bases(chrom)[pos - 1 : pos - 1 + len(ref)])):
            keys[row] = (keys[row], pos, ref)
    return keys


def behind_alleles(planned: pa.Table, strand: Strand, reference: Bases) -> list[tuple[int, int]]:
    """For each row where WT and MUT go on behind the alleles, as indices of the tokens of its window."""
    places: list[tuple[int, int]] = []
    for chrom, run in contig_runs(planned):
        first = run["pos"].to_numpy() - 1
        ref_length, alt_length = (pc.utf8_length(run[name]).to_numpy() for name in ("ref", "alt"))
        if strand == "reverse":
            first = mirror(first, ref_length, len(reference.bases(chrom)))
        inside = first - run[f"start_{strand}"].to_numpy()
        places.extend(zip((inside + ref_length).tolist(), (inside + alt_length).tolist(), strict=True))
    return places


def _contig_pairs(
    run: pa.Table, strand: Strand, bases: np.ndarray, circular: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    view = StrandView(bases, strand, circular)
    refs, alts = run["ref"].to_pylist(), run["alt"].to_pylist()
    first = run["pos"].to_numpy() - 1
    if strand == "reverse":
        first = mirror(first, np.array([len(ref) for ref in refs]), len(bases))
    start = run[f"start_{strand}"].to_numpy()
    end = start + run[f"length_{strand}"].to_numpy()
    rows = zip(first.tolist(), refs, alts, start.tolist(), end.tolist(), strict=True)
    return [view.pair(*row) for row in rows]
