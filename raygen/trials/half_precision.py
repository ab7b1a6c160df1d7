"""What half precision costs on a user's own variants: a sample of them scored in float32 and in each half precision.

In: a run's settings. Out: for each mode how far ``delta_llr`` lies from float32, and how many classes change. All modes are scored in
this process, one after the other, and a model is given back before the next one is loaded; float32 weights must fit the device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.api import score_pairs, score_variants
from raygen.evaluation.precision_noise import ModeNoise, measure_noise
from raygen.pipeline.chosen_window import choose_window
from raygen.remote import shown, stage
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.sequence.reference import staged_reference
from raygen.settings import Settings
from raygen.tables.schemas import VARIANTS
from raygen.variants.ingest import ingest

Say = Callable[[str], None]


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

    Raises:
        InputError, SettingsError: the settings, the model or the input cannot be used, as for ``run_score``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = sample(_read_input(settings, Path(scratch), say), count, seed)
        noises = measure_noise(lambda mode: _score(settings, rows, mode, say), modes, settings.classes.cuts)
    return MeasuredNoise(len(rows), noises)


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


def _read_input(settings: Settings, scratch: Path, say: Say) -> pa.Table:
    """PAIRS as they are, or variants as ``raygen ingest`` writes them; ``say`` is told what it warns of."""
    if settings.input.pairs:
        return pa.concat_tables([pq.read_table(stage(path)) for path in settings.input.pairs])
    input_settings = settings.input
    ingested = ingest(
        [stage(path) for path in input_settings.variants or []],
        staged_reference(str(input_settings.reference)),
        scratch / "ingested",
        **{**input_settings.ingest_options, "source_columns": [], "haplotype_column": None},
    )
    for warning in ingested.warnings:
        say(f"warning: {warning}")
    return pq.read_table(ingested.variants_dir).select(VARIANTS.names)


def _score(settings: Settings, rows: pa.Table, dtype: str, say: Say) -> pa.Table:
    """SCORES of the rows, computed in one dtype."""
    chosen, method = settings.model, settings.scoring.method
    model = load_model(
        stage(chosen.name),
        revision=chosen.revision,
        device=chosen.device,
        dtype=dtype,
        allow_unvalidated=chosen.allow_unvalidated,
    )
    scores = score_pairs(model, rows, method) if settings.input.pairs else _score_variants(settings, model, rows)
    if model.num_rescored:
        say(f"{dtype}: {model.num_rescored:,} pairs were not finite and count as in float32")
    return scores


def _score_variants(settings: Settings, model: ResidentModel, rows: pa.Table) -> pa.Table:
    input_settings, window = settings.input, choose_window(settings, model.context_length)
    method, strand = settings.scoring.method, settings.window.strand
    reference = stage(str(input_settings.reference))
    return score_variants(model, rows, reference, method, strand, window, input_settings.circular)
