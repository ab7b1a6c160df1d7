"""Every single-base change of a stretch of bases: what a position table holds, a row for each base.

Where a window ends at the base that is changed (``window.right`` 1, on a grid), the model says all four letters there at once, and one pass
over the window's bases says it for every base of its stride: (left + stride) / stride tokens a base and strand. Other
bases (longer windows, the whole of a contig that is shorter than a window) are scored as variants, through ``VariantScorer``; both give the
numbers that variants get.

Shapes:  P bases   L letters
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from raygen.model.arithmetic import exact_arithmetic
from raygen.scoring.batches import run_in_batches
from raygen.scoring.effects import SUFFIX, entropy_of
from raygen.scoring.letters import LETTERS
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.method import Method
from raygen.scoring.plan import (
    MAX_N_FRACTION,
    Bases,
    most_n,
    place_on_strands,
    plan_windows,
    strands_read,
    window_flags,
)
from raygen.scoring.reader import Reader
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.tokens import encode
from raygen.sequence.windows import Strand, StrandView, Window, mirror
from raygen.tables.position_table import BASES, TOO_MANY_N, flags_bitmap
from raygen.tables.schemas import variant_ids

NOT_FINITE = "the model gave a value that is not finite"
_LETTERS_OF_BASES = encode("".join(BASES))
_CODE = np.zeros(256, np.int8)
_CODE[_LETTERS_OF_BASES] = np.arange(len(BASES))
IS_BASE = np.zeros(256, bool)
"""(256,) whether a letter of the reference is one of ``BASES``."""
IS_BASE[_LETTERS_OF_BASES] = True


def plan_bases(
    chrom: str, first: np.ndarray, reference: Bases, window: Window, strand: str, circular: bool
) -> pa.Table:
    """Rows to score, of P bases of a contig: ``chrom, pos, ref, flags, num_tokens`` (bases of the base's windows on all strands).

    Args:
        first: (P,) 0-based, ascending; each an A, C, G or T of the reference.
    """
    bases = reference.bases(chrom)
    ones = np.ones(len(first), np.int64)
    placed = place_on_strands(first, ones, ones, len(bases), window, strand, circular)
    num_n = most_n(placed, bases, circular)
    length = next(iter(placed.values()))
    masks = {**window_flags(placed, num_n), TOO_MANY_N: num_n > MAX_N_FRACTION * (length.end - length.start)}
    codes = pa.array(_CODE[bases[first]])
    return pa.table(
        {
            "chrom": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(first), np.int8)), pa.array([chrom])),
            "pos": pa.array(first + 1),
            "ref": pa.DictionaryArray.from_arrays(codes, pa.array(BASES)),
            "flags": pa.array(flags_bitmap(masks, len(first))),
            "num_tokens": pa.array(sum(placement.end - placement.start for placement in placed.values()), pa.int32()),
        }
    )


@dataclass(frozen=True)
class _OnStrand:
    """What one strand says of P bases: (P, 4) deltas of the changes to A, C, G and T of the forward strand, and (P,) entropies."""

    deltas: np.ndarray
    entropy: np.ndarray

    def put(self, rows: np.ndarray, numbers: _OnStrand) -> None:
        """Put the numbers of some bases into their rows."""
        self.deltas[rows], self.entropy[rows] = numbers.deltas, numbers.entropy

    @classmethod
    def nothing(cls, num_bases: int) -> _OnStrand:
        return cls(np.full((num_bases, len(BASES)), np.nan), np.full(num_bases, np.nan))


class PositionScorer:
    """Scores planned bases with a resident model, on one strand or both."""

    def __init__(
        self,
        model: ResidentModel,
        reference: Bases,
        window: Window,
        strand: str = "forward",
        circular: Sequence[str] = (),
        method: Method = "fork",
        state_memory: int | None = None,
    ) -> None:
        self._model, self._reference, self._window = model, reference, window
        self._strand, self._circular = strand, frozenset(circular)
        self._by_path = method == "fork"
        self._variants = VariantScorer(model, reference, strand, circular, method, state_memory, ("entropy",))

    def score(self, rows: pa.Table) -> pa.Table:
        """Planned rows of one contig with ``delta_A`` to ``delta_T``, with both strands each strand's, ``entropy`` and ``failure``.

        A delta is null where it is the reference's own base. Rows with a value that is not finite have a ``failure``.
        """
        first, code = rows["pos"].to_numpy() - 1, _codes(rows)
        numbers: dict[Strand, _OnStrand] = {name: _OnStrand.nothing(len(rows)) for name in strands_read(self._strand)}
        if len(rows):
            chrom = rows["chrom"][0].as_py()
            on_path = self._put_read_on_path(numbers, chrom, first, code)
            others = np.flatnonzero(~on_path)
            if len(others):
                for name, of_strand in self._as_variants(chrom, rows.take(others), code[others]).items():
                    numbers[name].put(others, of_strand)
        return _with_numbers(rows, numbers, code)

    def without_scores(self, rows: pa.Table, reason: str) -> pa.Table:
        """The rows with the columns that ``score`` adds, but no values, and ``reason`` as their failure."""
        nothing = dict.fromkeys(strands_read(self._strand), _OnStrand.nothing(len(rows)))
        scored = _with_numbers(rows, nothing, _codes(rows))
        return scored.set_column(scored.schema.get_field_index("failure"), "failure", pa.repeat(reason, len(rows)))

    def _put_read_on_path(
        self, numbers: Mapping[Strand, _OnStrand], chrom: str, first: np.ndarray, code: np.ndarray
    ) -> np.ndarray:
        """Score the bases that all strands' windows end with, and say which they are: (P,) bool."""
        bases, circular = self._reference.bases(chrom), chrom in self._circular
        ones = np.ones(len(first), np.int64)
        placed = place_on_strands(first, ones, ones, len(bases), self._window, self._strand, circular)
        firsts = {name: first if name == "forward" else mirror(first, ones, len(bases)) for name in placed}
        is_last = [placement.end == firsts[name] + 1 for name, placement in placed.items()]
        is_on_path = np.logical_and.reduce(is_last) & self._by_path
        rows = np.flatnonzero(is_on_path)
        for name, placement in placed.items() if len(rows) else ():
            view = StrandView(bases, name, circular)
            log_probs_PL = self._predictions(view, firsts[name][rows], placement.start[rows])
            numbers[name].put(rows, _from_predictions(log_probs_PL, code[rows], name))
        return is_on_path

    def _predictions(self, view: StrandView, first: np.ndarray, start: np.ndarray) -> np.ndarray:
        """ln P of each letter in place of P bases whose windows end with them, (P, L), again in float32 where it is not finite.

        Args:
            first, start: (P,) places of the bases and of their windows' first base, on the strand that is read.
        """
        model = self._model
        log_probs_PL = _read_windows(model, view, first, start)
        if len(again := model.to_rescore(log_probs_PL.sum(axis=1))):
            log_probs_PL[again] = model.rescore(
                lambda wide: _read_windows(wide, view, first[again], start[again]), len(again)
            )
        return log_probs_PL

    def _as_variants(self, chrom: str, rows: pa.Table, code: np.ndarray) -> dict[Strand, _OnStrand]:
        """What the model says of P bases, each of their changes a variant with a window of its own."""
        row, alt = np.nonzero(np.arange(len(BASES)) != code[:, None])
        variants = pa.table(
            {
                "chrom": pa.array([chrom]).take(pa.array(np.zeros(len(row), np.int8))),
                "pos": rows["pos"].take(pa.array(row)),
                "ref": pa.array(BASES).take(pa.array(code[row])),
                "alt": pa.array(BASES).take(pa.array(alt)),
            }
        )
        variants = variants.append_column("variant_id", variant_ids(variants))
        planned = plan_windows(variants, self._reference, self._window, self._strand, list(self._circular))
        scored = self._variants.score(planned)
        of_strand = {}
        for strand in strands_read(self._strand):
            suffix = SUFFIX[strand]
            entropy = scored["entropy" if len(strands_read(self._strand)) == 1 else f"entropy_{suffix}"]
            numbers = _OnStrand.nothing(len(rows))
            numbers.deltas[np.arange(len(rows)), code] = 0
            numbers.deltas[row, alt] = scored[f"delta_{suffix}"].to_numpy()
            numbers.entropy[row] = entropy.to_numpy()
            of_strand[strand] = numbers
        return of_strand


def _codes(rows: pa.Table) -> np.ndarray:
    """Which of ``BASES`` the reference has in each row: (P,)."""
    return rows["ref"].combine_chunks().indices.to_numpy()


def _read_windows(model: ResidentModel, view: StrandView, first: np.ndarray, start: np.ndarray) -> np.ndarray:
    """ln P of each letter in place of each base, (P, L); windows that start alike are read once. 0 where nothing predicts it."""
    log_probs_PL = np.zeros((len(first), len(LETTERS)))
    output = first - start - model.num_uncounted  # of its window's read, the one that predicts the base
    order = np.lexsort((first, start))
    order = order[output[order] >= 0]
    groups = np.split(order, np.flatnonzero(np.diff(start[order])) + 1) if len(order) else []
    reads = [model.read_and_targets(view.read(int(start[of[0]]), int(first[of[-1]]) + 1))[0] for of in groups]
    reader = Reader(model)

    @torch.inference_mode()
    @exact_arithmetic()
    def work(batch: Sequence[int]) -> None:
        wanted_from = [int(output[groups[index][0]]) for index in batch]
        log_probs = reader.read([reads[index] for index in batch], wanted_from, None)
        for index, of_row in zip(batch, log_probs, strict=True):
            log_probs_PL[groups[index]] = of_row[output[groups[index]]]

    run_in_batches([len(read) for read in reads], model.budget, work)
    return log_probs_PL


def _from_predictions(log_probs_PL: np.ndarray, code: np.ndarray, strand: Strand) -> _OnStrand:
    """Deltas and entropies from ln P of each letter on the strand that was read; ``code``: (P,) the bases, of the forward strand."""
    log_probs_P4 = log_probs_PL[:, : len(BASES)]
    if strand == "reverse":
        log_probs_P4 = log_probs_P4[:, ::-1]  # of A, C, G, T the complements are T, G, C, A
    of_reference = log_probs_P4[np.arange(len(code)), code]
    entropy = np.where(log_probs_PL.any(axis=1), entropy_of(log_probs_PL), np.nan)
    return _OnStrand(log_probs_P4 - of_reference[:, None], entropy)


def _with_numbers(rows: pa.Table, numbers: Mapping[Strand, _OnStrand], code: np.ndarray) -> pa.Table:
    """Rows with their numbers: means over the strands, and with two of them each strand's."""
    deltas = np.mean([of_strand.deltas for of_strand in numbers.values()], axis=0)
    entropy = np.mean([of_strand.entropy for of_strand in numbers.values()], axis=0)
    is_reference = np.arange(len(BASES)) == code[:, None]
    tables = {"": deltas}
    if len(numbers) > 1:
        tables |= {f"_{SUFFIX[strand]}": of_strand.deltas for strand, of_strand in numbers.items()}
    for suffix, deltas_P4 in tables.items():
        for column, base in enumerate(BASES):
            values = pa.array(deltas_P4[:, column].astype(np.float32), mask=is_reference[:, column])
            rows = rows.append_column(f"delta_{base}{suffix}", values)
    rows = rows.append_column("entropy", pa.array(entropy.astype(np.float32), from_pandas=True))
    is_finite = np.isfinite(deltas).all(axis=1)
    return rows.append_column("failure", pc.if_else(is_finite, pa.scalar(None, pa.string()), NOT_FINITE))
