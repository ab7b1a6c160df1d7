"""``raygen compare-windows``: a sample of a user's variants under several windows, in this process, without Ray."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.model.cards import demo_warning
from raygen.number_of import number_of
from raygen.remote import stage
from raygen.scoring.likelihood import load_model
from raygen.sequence.reference import Reference
from raygen.sequence.staged import staged_reference
from raygen.sequence.window_choices import parse_window, window_text, windows_to_compare
from raygen.trials.compare_windows import WindowComparison, as_json, compare_windows
from raygen.trials.window_trial import sample_variants, try_windows
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import VARIANTS_FOLDER, is_ingested, read_ingest_info


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare. ``windows`` are words such as ``4096+256@2048``; empty for the ones that suit the model.

    The first window is the baseline. ``sample`` is a number of variants, drawn with ``seed``.
    """

    variants: Sequence[str]
    reference: str
    model: str = "demo"
    windows: Sequence[str] = ()
    sample: int = 200
    seed: int = 0
    strand: str = "forward"
    circular: Sequence[str] = ()
    device: str = "auto"
    dtype: str = "auto"
    allow_unvalidated: bool = False


def run_comparison(request: ComparisonRequest, say: Callable[[str], None] = print) -> list[WindowComparison]:
    """Score the sample under every window and compare.

    Raises:
        SettingsError: a window that is none or does not fit the model, an unknown model or contig.
        InputError: the input cannot be read, or holds no variant that can be scored.
    """
    windows = [parse_window(text) for text in request.windows]
    reference = staged_reference(request.reference)
    if unknown := [name for name in request.circular if name not in reference.lengths]:
        raise SettingsError(f"--circular names {', '.join(unknown)}, which {request.reference} does not have.")
    sample = _sample(request, reference)
    model = load_model(
        stage(request.model),
        device=request.device,
        dtype=request.dtype,
        allow_unvalidated=request.allow_unvalidated,
    )
    if warning := demo_warning(request.model, None):
        say(f"warning: {warning}")
    windows = windows or windows_to_compare(model.context_length)
    say(
        f"{number_of(len(sample), 'variant')} under {number_of(len(windows), 'window')}, model {model.name}, strand {request.strand}"
    )
    trials = try_windows(
        model,
        sample,
        reference,
        windows,
        request.strand,
        request.circular,
        on_window=lambda window: say(f"  {window_text(window)}"),
    )
    return compare_windows(
        [window_text(trial.window) for trial in trials],
        [trial.delta for trial in trials],
        [trial.num_tokens for trial in trials],
        [trial.seconds for trial in trials],
    )


def write_comparison(comparisons: Sequence[WindowComparison], request: ComparisonRequest, path: str) -> None:
    """Write a comparison as JSON.

    Raises:
        SettingsError: the file cannot be written.
    """
    about = {"model": request.model, "strand": request.strand, "sample": request.sample, "seed": request.seed}
    text = json.dumps(as_json(comparisons, about), indent=2) + "\n"
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--out {path} cannot be written: {error.strerror}.") from error


def _sample(request: ComparisonRequest, reference: Reference) -> pa.Table:
    """The sample, from an ingested folder as it is or from anything else that ``ingest`` reads."""
    only = Path(stage(request.variants[0])) if len(request.variants) == 1 else None
    if only and is_ingested(only) and read_ingest_info(only)["reference"]["digest"] == reference.digest:
        sample = sample_variants(only / VARIANTS_FOLDER, request.sample, request.seed)
    else:
        inputs = [
            path / VARIANTS_FOLDER if is_ingested(path) else path for path in map(Path, map(stage, request.variants))
        ]
        with tempfile.TemporaryDirectory() as scratch:
            taken = ingest(inputs, reference, Path(scratch) / "ingested")
            sample = sample_variants(taken.variants_dir, request.sample, request.seed)
    if not len(sample):
        raise InputError(f"{', '.join(request.variants)}: no variant can be scored, so there is nothing to compare.")
    return sample
