"""How fast a model runs on a device that is here: measured once by ``raygen plan --measure``, kept in the cache.

A speed is of one model, method and device. Fork reads short pieces where pair reads whole windows, so each has its own; the
window it was measured at is kept beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from raygen.cache import cache_folder
from raygen.errors import InputError
from raygen.model.on_paper import ModelOnPaper
from raygen.remote import stage
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference
from raygen.sequence.window_choices import window_text
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.place import write_text
from raygen.tables.schemas import variant_ids

CPU_CORE = "one CPU core"
_ENOUGH_SECONDS = 5.0


class MeasuredSpeed(BaseModel):
    """Tokens a second of one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    tokens_per_second: float
    num_tokens: int
    seconds: float
    model: str
    dtype: str
    method: str
    window: str
    measured: str


def known_speeds(model_key: str, method: str) -> list[MeasuredSpeed]:
    """What was measured on machines that share this cache, of this model (``ModelOnPaper.key``) and method."""
    found = []
    for path in sorted(cache_folder("speeds").glob("*.json")):
        try:
            speed = MeasuredSpeed.model_validate_json(path.read_text())
        except ValidationError as error:
            raise InputError(f"{path} cannot be read as a measured speed; remove it and measure again.") from error
        if (speed.model, speed.method) == (model_key, method):
            found.append(speed)
    return found


def measure_speed(
    settings: Settings,
    paper: ModelOnPaper,
    variants: pa.Table,
    reference: Reference,
    window: Window,
    say: Callable[[str], None],
) -> MeasuredSpeed:
    """Score some of the variants on this machine's device as one actor would, and keep the speed.

    Rows are doubled until a call takes some seconds; that call counts.
    """
    named, chosen = settings.model, settings.scoring
    if not len(variants):
        raise InputError("The input holds no variant that can be scored, so there is nothing to time.")
    budget = chosen.max_batch_tokens
    model = load_model(
        stage(named.name),
        revision=named.revision,
        device=named.device,
        dtype=named.dtype,
        max_batch_tokens=budget,
        allow_unvalidated=named.allow_unvalidated,
    )
    device = _device(model)
    say(f"timing {named.name} on {device}")
    state_memory = None if chosen.state_memory == "auto" else chosen.state_memory
    strand, circular = settings.window.strand, settings.input.circular
    scorer = VariantScorer(model, reference, strand, circular, chosen.method, state_memory)
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
        method=chosen.method,
        window=window_text(window),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _keep(speed)
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
    """Its name; a CPU is timed with one thread, as its actors run."""
    if model.loaded.device.type == "cuda":
        return str(torch.cuda.get_device_name(model.loaded.device))
    torch.set_num_threads(1)
    return CPU_CORE


def _keep(speed: MeasuredSpeed) -> None:
    key = hashlib.sha256(f"{speed.device} {speed.model} {speed.method}".encode()).hexdigest()[:16]
    write_text(cache_folder("speeds") / f"{key}.json", speed.model_dump_json(indent=2) + "\n")
