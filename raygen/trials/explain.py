"""Where one variant's delta comes from: the difference of the log-likelihood at every base of its window, and what every
other change at its site scores.

WT and MUT are set against each other base by base of the genome, not token by token: after an insertion or a deletion the
n-th tokens are different bases, and their difference would say nothing. A base that only one sequence has counts with its own
log-likelihood, WT's with a minus sign. The differences then add up to ``delta_llr``, whatever the alignment: they are the terms of
the same two sums.

Letters: T bases of the alignment, in the order in which they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from raygen.errors import StoppedError
from raygen.scoring.batches import run_in_batches
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.plan import Bases, plan_windows, strands_read, token_pairs
from raygen.scoring.prefix_plan import first_difference
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference
from raygen.sequence.tokens import encode, reverse_complement
from raygen.sequence.windows import Strand, Window
from raygen.tables.schemas import VARIANTS, variant_ids
from raygen.trials.every_change import saturating_variants
from raygen.variants.region import Region


@dataclass(frozen=True)
class StrandExplanation:
    """One strand of a variant's window, as it is read.

    Attributes:
        strand: forward or reverse; letters are those that the model read.
        position: (T,) int64, 1-based place in the genome; of a base that only MUT has, the place of the base read before it.
        wt, mut: (T,) letters, empty where a sequence has no such base.
        ll_wt, ll_mut: (T,) float64, ln P of the base, nats; NaN where a sequence has none.
        difference: (T,) float64, nats; 0 before the first base that differs. Their sum is the strand's ``delta_llr``.
        first: index of the first base that differs or is missing in one.
    """

    strand: Strand
    position: np.ndarray
    wt: list[str]
    mut: list[str]
    ll_wt: np.ndarray
    ll_mut: np.ndarray
    difference: np.ndarray
    first: int

    @property
    def delta(self) -> float:
        """The strand's ``delta_llr``, nats."""
        return float(self.difference.sum())


@dataclass(frozen=True)
class Explanation:
    """A variant looked into.

    Attributes:
        alleles: all changes at its site, itself among them, with ``variant_id`` and ``delta_llr``.
        expected: by ``variant_id`` the nats that the context alone makes likely, where classes are cut on what is left.
    """

    variant_id: str
    chrom: str
    pos: int
    ref: str
    alt: str
    site: int
    strands: tuple[StrandExplanation, ...]
    alleles: pa.Table
    expected: Mapping[str, float] = field(default_factory=dict)

    @property
    def delta(self) -> float:
        """``delta_llr``, nats: the mean of the strands."""
        return float(np.mean([strand.delta for strand in self.strands]))


def explain_variant(
    model: ResidentModel,
    variant: pa.Table,
    reference: Reference,
    window: Window,
    strand: str = "forward",
    circular: Sequence[str] = (),
) -> Explanation:
    """Look into one variant.

    Args:
        variant: a table of one row, normalised and checked (see ``parse_variant``).

    Raises:
        StoppedError: the model gives a value that is not finite.
    """
    (row,) = variant.select(VARIANTS.names[:4]).to_pylist()
    planned = plan_windows(variant, reference, window, strand, circular)
    strands = tuple(
        _explain_strand(model, planned, read_strand, reference, circular) for read_strand in strands_read(strand)
    )
    site = row["pos"] + _shared_start(encode(row["ref"]), encode(row["alt"]))
    alleles = _alleles_at(model, variant, site, reference, window, strand, circular)
    return Explanation(variant_ids(variant)[0].as_py(), **row, site=site, strands=strands, alleles=alleles)


def _explain_strand(
    model: ResidentModel, planned: pa.Table, strand: Strand, reference: Bases, circular: Sequence[str]
) -> StrandExplanation:
    ((wt, mut),) = token_pairs(planned, strand, reference, circular)
    ll_wt, ll_mut = _token_log_probs(model, wt, mut)
    shared = first_difference(wt, mut)
    ll_mut[:shared] = ll_wt[:shared]  # the same terms; two rows of a batch may round them differently
    (row,) = planned.to_pylist()
    length = len(reference.bases(row["chrom"]))
    start = row[f"start_{strand}"]
    in_wt, in_mut = _align(row, strand, start, length, len(wt), len(mut))
    read = start + np.where(in_wt >= 0, in_wt, np.maximum.accumulate(in_wt))
    position = read if strand == "forward" else length - 1 - read
    aligned = lambda values, indices: np.where(indices >= 0, values[np.maximum(indices, 0)], np.nan)  # noqa: E731
    aligned_wt, aligned_mut = aligned(ll_wt, in_wt), aligned(ll_mut, in_mut)
    letters_wt, letters_mut = _letters(wt, in_wt), _letters(mut, in_mut)
    difference = np.nan_to_num(aligned_mut) - np.nan_to_num(aligned_wt)
    first = next(
        (
            index
            for index, (letter_wt, letter_mut) in enumerate(zip(letters_wt, letters_mut, strict=True))
            if letter_wt != letter_mut
        ),
        0,
    )
    return StrandExplanation(
        strand, position % length + 1, letters_wt, letters_mut, aligned_wt, aligned_mut, difference, first
    )


def _token_log_probs(model: ResidentModel, wt: np.ndarray, mut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln P of every base of both sequences, nats; again in float32 where half precision overflows."""
    log_probs = _read_both(model, wt, mut)
    if len(model.to_rescore(log_probs.sum(axis=1))):
        log_probs = model.rescore(lambda wide: _read_both(wide, wt, mut), 1)
    if not np.isfinite(log_probs).all():
        raise StoppedError(f"The model {model.name} gave a value that is not finite for this variant.")
    return log_probs[0][: len(wt)], log_probs[1][: len(mut)]


def _read_both(model: ResidentModel, wt: np.ndarray, mut: np.ndarray) -> np.ndarray:
    """(2, T) float64, in one pass or, where that does not fit into memory, in two."""
    pair, log_probs = (wt, mut), np.zeros((2, max(len(wt), len(mut))))

    def work(batch: Sequence[int]) -> None:
        values = model.token_log_probs([pair[row] for row in batch])
        log_probs[batch, : values.shape[1]] = values

    run_in_batches([len(wt), len(mut)], model.budget, work)
    return log_probs


def _align(
    row: dict[str, object], strand: Strand, start: int, length: int, num_wt: int, num_mut: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each base of the alignment its index in WT and in MUT, -1 where there is none: two (T,) int64."""
    ref, alt, first = encode(str(row["ref"])), encode(str(row["alt"])), int(str(row["pos"])) - 1
    if strand == "reverse":
        first = length - first - len(ref)
        ref, alt = reverse_complement(ref), reverse_complement(alt)
    begins = first - start + _shared_start(ref, alt)
    ref, alt = ref[_shared_start(ref, alt) :], alt[_shared_start(ref, alt) :]
    end = _shared_start(ref[::-1], alt[::-1])
    num_ref, num_alt = len(ref) - end, len(alt) - end
    num_replaced = min(num_ref, num_alt)
    before, replaced = np.arange(begins), begins + np.arange(num_replaced)
    only_ref, only_alt = begins + np.arange(num_replaced, num_ref), begins + np.arange(num_replaced, num_alt)
    after_wt, after_mut = np.arange(begins + num_ref, num_wt), np.arange(begins + num_alt, num_mut)
    shared = min(len(after_wt), len(after_mut))
    rest_wt, rest_mut = after_wt[shared:], after_mut[shared:]
    none = lambda bases: np.full(len(bases), -1)  # noqa: E731
    in_wt = [before, replaced, only_ref, none(only_alt), after_wt[:shared], rest_wt, none(rest_mut)]
    in_mut = [before, replaced, none(only_ref), only_alt, after_mut[:shared], none(rest_wt), rest_mut]
    wt, mut = np.concatenate(in_wt).astype(np.int64), np.concatenate(in_mut).astype(np.int64)
    is_read = (wt < num_wt) & (mut < num_mut)  # a window may end within the alleles
    return wt[is_read], mut[is_read]


def _shared_start(allele: np.ndarray, other: np.ndarray) -> int:
    """How many bases two alleles begin with in common."""
    return first_difference(allele, other)


def _letters(tokens: np.ndarray, indices: np.ndarray) -> list[str]:
    return [chr(tokens[index]) if index >= 0 else "" for index in indices.tolist()]


def _alleles_at(
    model: ResidentModel,
    variant: pa.Table,
    site: int,
    reference: Reference,
    window: Window,
    strand: str,
    circular: Sequence[str],
) -> pa.Table:
    """The variant, every SNV at its site and the deletion of the base there, scored; by delta."""
    columns = VARIANTS.names[:4]
    chrom = variant["chrom"][0].as_py()
    others = saturating_variants(Region(chrom, site, site), reference, deletions=True).select(columns)
    variant_row = variant.select(columns).cast(others.schema)
    together = pa.concat_tables([variant_row, others.filter(pa.array(_is_other(others, variant_row)))])
    identified = together.append_column("variant_id", variant_ids(together))
    scored = VariantScorer(model, reference, strand, circular).score(
        plan_windows(identified, reference, window, strand, circular)
    )
    return scored.select(["variant_id", *columns, "delta_llr"]).sort_by("delta_llr")


def _is_other(others: pa.Table, variant_row: pa.Table) -> list[bool]:
    (name,) = variant_ids(variant_row).to_pylist()
    return [other != name for other in variant_ids(others).to_pylist()]
