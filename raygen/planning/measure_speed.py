"""The speed of a model on this machine's device, timed on some of the variants as one actor would score them.

In: a run's settings and its planned input. Out: a ``MeasuredSpeed``, which is kept for later estimates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import torch

from raygen.errors import InputError
from raygen.model.facts import ModelFacts
from raygen.planning.speeds import CPU_CORE, MeasuredSpeed, keep_speed
from raygen.remote import stage
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference
from raygen.sequence.window_choices import window_text
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.schemas import variant_ids

_ENOUGH_SECONDS = 5.0


def measure_speed(
    settings: Settings,
    paper: ModelFacts,
    variants: pa.Table,
    reference: Reference,
    window: Window,
    say: Callable[[str], None],
) -> MeasuredSpeed:
    """Score some of the variants on this machine's device as one actor would, and keep the speed.

    Rows are doubled until a call takes some seconds; that call counts.
    """
    model_settings, scoring_settings = settings.model, settings.scoring
    if not len(variants):
        raise InputError("The input holds no variant that can be scored, so there is nothing to time.")
    budget = scoring_settings.max_batch_tokens
    model = load_model(
        stage(model_settings.name),
        revision=model_settings.revision,
        device=model_settings.device,
        dtype=model_settings.dtype,
        max_batch_tokens=budget,
        allow_unvalidated=model_settings.allow_unvalidated,
    )
    device = _device(model)
    say(f"timing {model_settings.name} on {device}")
    state_memory = None if scoring_settings.state_memory == "auto" else scoring_settings.state_memory
    strand, circular = settings.window.strand, settings.input.circular
    scorer = VariantScorer(model, reference, strand, circular, scoring_settings.method, state_memory)
    planned = plan_windows(
        variants.append_column("variant_id", variant_ids(variants)), reference, window, strand, circular
    )
    tokens, seconds = _timed(model, scorer, planned)
    speed = MeasuredSpeed(
        device=device,
        tokens_per_second=tokens / seconds,
        num_tokens=tokens,
        seconds=round(seconds, 3),
        model=paper.key,
        dtype=str(model.loaded.dtype).removeprefix("torch."),
        method=scoring_settings.method,
        window=window_text(window),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    keep_speed(speed)
    return speed


def _timed(model: ResidentModel, scorer: VariantScorer, planned: pa.Table) -> tuple[int, float]:
    scorer.score(planned.slice(0, 1))  # the first pass prepares filters and memory
    rows = 1
    while True:
        tokens, began = model.num_tokens_computed, time.perf_counter()
        scorer.score(planned.slice(0, rows))
        seconds = time.perf_counter() - began
        if seconds >= _ENOUGH_SECONDS or rows >= len(planned):
            return model.num_tokens_computed - tokens, seconds
        rows *= 2


def _device(model: ResidentModel) -> str:
    """The name of the model's device; a CPU is timed with one thread, as its actors run."""
    if model.loaded.device.type == "cuda":
        return str(torch.cuda.get_device_name(model.loaded.device))
    torch.set_num_threads(1)
    return CPU_CORE
