"""What half precision costs on a user's own variants: a sample of them scored in float32 and in each half precision.

In: a run's settings. Out: for each mode how far ``delta_llr`` lies from float32, and how many classes change. The input is read as
``raygen score`` reads it, and its rows are scored as they were ingested. All modes are scored in this process, one after the other,
and a model is given back before the next one is loaded; float32 weights must fit the device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError
from raygen.evaluation.precision_noise import ModeNoise, measure_noise
from raygen.model.devices import dtype_named
from raygen.model.on_paper import model_on_paper
from raygen.number_of import number_of
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.intake import take_input
from raygen.remote import shown, stage
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import PairScorer, VariantScorer
from raygen.sequence.reference import Reference, refuse_unknown_contigs, staged_reference
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import PAIRS, VARIANTS, variant_ids

Say = Callable[[str], None]

_ROWS_AT_ONCE = 4096  # their windows are in memory as sequences while they are scored


@dataclass(frozen=True)
class MeasuredNoise:
    """The noise of each mode, over ``num_rows`` rows of the input."""

    num_rows: int
    noises: Sequence[ModeNoise]


def measure_half_precision(settings: Settings, modes: Sequence[str], count: int, seed: int, say: Say) -> MeasuredNoise:
    """Score a sample in float32 and in each mode.

    Args:
        modes: dtypes by name.
        count: rows of the sample, drawn with ``seed``.
        say: is told what of the input cannot be scored, and what a mode could not hold.

    Raises:
        InputError, SettingsError: the settings, the model or the input cannot be used, as for ``run_score``; or no row of
            the input can be scored.
    """
    for mode in modes:
        dtype_named(mode)
    reference, context_length = _reference(settings), _context_length(settings)
    window = choose_window(settings, context_length) if reference else None
    rows = sample(_read_input(settings, reference, context_length, say), count, seed)

    def score(mode: str) -> pa.Table:
        model = _load(settings, mode)
        scored = _score(settings, model, rows, reference, window)
        if model.num_rescored:
            say(f"{mode}: {model.num_rescored:,} pairs were not finite and count as in float32")
        return scored

    return MeasuredNoise(len(rows), measure_noise(score, modes, settings.classes.cuts))


def noise_as_json(measured: MeasuredNoise, settings: Settings, seed: int) -> dict[str, Any]:
    """The measured noise with what it hangs on (model, window, method, sample), as plain values for JSON."""
    facts = {
        "model": shown(settings.model.name),
        "window": settings.window.model_dump(),
        "method": settings.scoring.method,
    }
    noises = [asdict(noise) for noise in measured.noises]
    return {**facts, "sample": measured.num_rows, "seed": seed, "noise": noises}


def sample(rows: pa.Table, count: int, seed: int) -> pa.Table:
    """``count`` rows at random, in their order; all where there are fewer."""
    chosen = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
    return rows.take(np.sort(chosen))


def _reference(settings: Settings) -> Reference | None:
    """The reference of variants; None for pairs."""
    path, circular = settings.input.reference, settings.input.circular
    if not path:
        return None
    reference = staged_reference(path)
    refuse_unknown_contigs(circular, reference, "input.circular", path)
    return reference


def _context_length(settings: Settings) -> int:
    chosen = settings.model
    return model_on_paper(stage(chosen.name), chosen.revision, chosen.device, chosen.allow_unvalidated).context_length


def _read_input(settings: Settings, reference: Reference | None, context_length: int, say: Say) -> pa.Table:
    """Every row that a run with these settings would score, but for the haplotypes it would make."""
    plain = settings.input.model_copy(update={"source_columns": [], "haplotype_column": None})
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(scratch)
        ingested = take_input(settings.model_copy(update={"input": plain}), folder, reference, context_length)
        columns = PAIRS.names if reference is None else VARIANTS.names[:4]
        rows = pq.read_table(ingested.variants_dir, columns=columns)
    for warning in ingested.warnings:
        say(f"warning: {warning}")
    if ingested.rejects:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in ingested.rejects.items())
        of_all = number_of(ingested.num_alleles, "pair" if reference is None else "allele")
        say(f"{sum(ingested.rejects.values()):,} of {of_all} left out: {counts}")
    if not len(rows):
        raise InputError("No row of the input can be scored, so there is nothing to measure.")
    return rows


def _load(settings: Settings, dtype: str) -> ResidentModel:
    chosen = settings.model
    return load_model(
        stage(chosen.name),
        revision=chosen.revision,
        device=chosen.device,
        dtype=dtype,
        max_batch_tokens=settings.scoring.max_batch_tokens,
        allow_unvalidated=chosen.allow_unvalidated,
    )


def _score(
    settings: Settings, model: ResidentModel, rows: pa.Table, reference: Reference | None, window: Window | None
) -> pa.Table:
    """``variant_id`` and ``delta_llr`` of the rows that the model gives a finite score; ``window`` is None for pairs."""
    strand, circular, scoring = settings.window.strand, settings.input.circular, settings.scoring
    state_memory = None if scoring.state_memory == "auto" else scoring.state_memory

    def score_some(some: pa.Table) -> pa.Table:
        if reference is None or window is None:
            return PairScorer(model, scoring.method, state_memory).score(some)
        identified = some.append_column("variant_id", variant_ids(some))
        planned = plan_windows(identified, reference, window, strand, circular)
        return VariantScorer(model, reference, strand, circular, scoring.method, state_memory).score(planned)

    pieces = [rows.slice(start, _ROWS_AT_ONCE) for start in range(0, len(rows), _ROWS_AT_ONCE)]
    scored = pa.concat_tables([score_some(piece).select(["variant_id", "delta_llr", "failure"]) for piece in pieces])
    return scored.filter(pc.is_null(scored["failure"]))
