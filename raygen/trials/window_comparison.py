"""``raygen compare-windows``: a sample of a user's variants under several windows, in this process, without Ray.

In: what to compare. Out: what each window says, and what it costs. The sample is stretches of neighbours, not single
variants: on a grid a variant is cheap because its neighbours are there, and a sample of lone ones would hide that.
``raygen plan`` counts the tokens of a whole input. With labels the neighbours are those among the labelled
variants.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError, SettingsError
from raygen.model.cards import demo_warning
from raygen.number_of import number_of
from raygen.remote import stage
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference, refuse_unknown_contigs, staged_reference
from raygen.sequence.window_choices import parse_window, refuse_longer_window, window_text, windows_to_compare
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.place import write_text
from raygen.tables.schemas import VARIANTS, variant_ids
from raygen.trials.compare_windows import WindowComparison, as_json, compare_windows
from raygen.trials.labelled_sample import LabelledSample, LabelsFile, sample_labelled
from raygen.trials.labelled_windows import LabelledComparison, compare_with_labels, labels_as_json
from raygen.trials.stretches import stretches
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import VARIANTS_FOLDER, is_ingested, read_ingest_info

SAMPLE, LABELLED_SAMPLE = 200, 1000
"""Variants of a sample when nobody says: ranks settle with few, a difference of two areas needs more."""


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare. ``windows`` are words such as ``4096+256@2048``; empty for the ones that suit the model.

    The first window is the baseline. ``sample`` is a number of variants, drawn with ``seed``; with ``labels`` of those that
    have one. ``margin`` is the loss of AUROC from which on a window is worse. Everything else is as in a run with
    ``settings``, but for their own window.
    """

    settings: Settings
    windows: Sequence[str] = ()
    sample: int | None = None
    seed: int = 0
    labels: LabelsFile | None = None
    margin: float = 0.01

    @property
    def sample_size(self) -> int:
        """Variants to score, at most."""
        return self.sample or (LABELLED_SAMPLE if self.labels else SAMPLE)


@dataclass(frozen=True)
class Comparison:
    """Windows against the first, and, where there are labels, against those."""

    windows: list[WindowComparison]
    labelled: LabelledComparison | None


def run_comparison(request: ComparisonRequest, say: Callable[[str], None] = print) -> Comparison:
    """Score the sample under every window and compare.

    Raises:
        SettingsError: a window that is none or does not fit the model, an unknown model or contig, no variants, or labels
            that are not told apart.
        InputError: the input or the labels cannot be read, or hold no variant that can be scored and compared.
    """
    windows = [parse_window(text) for text in request.windows]
    settings = request.settings
    input_settings, model_settings, strand = settings.input, settings.model, settings.window.strand
    if not input_settings.variants or not input_settings.reference:
        raise SettingsError(
            "raygen compare-windows needs variants and their reference; pairs and nights have no sample."
        )
    reference = staged_reference(input_settings.reference)
    refuse_unknown_contigs(input_settings.circular, reference, "input.circular", input_settings.reference)
    with _ingested(request, reference, say) as folder:
        labelled = _labelled_sample(request, folder, reference, say)
        sample = labelled.variants if labelled else sample_variants(folder, request.sample_size, request.seed)
    model = load_model(
        stage(model_settings.name),
        revision=model_settings.revision,
        device=model_settings.device,
        dtype=model_settings.dtype,
        allow_unvalidated=model_settings.allow_unvalidated,
    )
    if warning := demo_warning(model_settings.name, input_settings.domain):
        say(f"warning: {warning}")
    windows = windows or windows_to_compare(model.context_length)
    say(
        f"{number_of(len(sample), 'variant')} under {number_of(len(windows), 'window')}, model {model.name}, strand {strand}"
    )
    trials = try_windows(
        model,
        sample,
        reference,
        windows,
        strand,
        input_settings.circular,
        on_window=lambda window: say(f"  {window_text(window)}"),
    )
    deltas = [trial.delta for trial in trials]
    comparisons = compare_windows(
        [window_text(trial.window) for trial in trials],
        deltas,
        [trial.num_tokens for trial in trials],
        [trial.seconds for trial in trials],
    )
    if not labelled:
        return Comparison(comparisons, None)
    bootstrap = Bootstrap(seed=request.seed)
    return Comparison(comparisons, compare_with_labels(comparisons, deltas, labelled, request.margin, bootstrap))


def write_comparison(comparison: Comparison, request: ComparisonRequest, path: str) -> None:
    """Write a comparison as JSON.

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    model, strand = request.settings.model.name, request.settings.window.strand
    about = {"model": model, "strand": strand, "sample": request.sample_size, "seed": request.seed}
    document = as_json(comparison.windows, about)
    if request.labels and comparison.labelled:
        document["labels"] = asdict(request.labels) | labels_as_json(comparison.labelled)
        for entry, window in zip(document["windows"], comparison.labelled.windows, strict=True):
            entry |= asdict(window)
    write_text(path, json.dumps(document, indent=2) + "\n")


@contextmanager
def _ingested(request: ComparisonRequest, reference: Reference, say: Callable[[str], None]) -> Iterator[Path]:
    """The folder of the input's variants: an ingested folder's own, or of anything else that ``ingest`` reads.

    Raises:
        InputError: no variant can be scored.
    """
    input_settings = request.settings.input
    variants = input_settings.variants or []
    only = Path(stage(variants[0])) if len(variants) == 1 else None
    with tempfile.TemporaryDirectory() as scratch:
        if only and is_ingested(only) and read_ingest_info(only)["reference"]["digest"] == reference.digest:
            folder = only / VARIANTS_FOLDER
        else:
            inputs = [path / VARIANTS_FOLDER if is_ingested(path) else path for path in map(Path, map(stage, variants))]
            options = {**input_settings.ingest_options, "source_columns": [], "haplotype_column": None}
            ingested = ingest(inputs, reference, Path(scratch) / "ingested", **options)
            folder = ingested.variants_dir
            for warning in ingested.warnings:
                say(f"warning: {warning}")
        if not any(pq.read_metadata(path).num_rows for path in folder.glob("part-*.parquet")):
            raise InputError(f"{', '.join(variants)}: no variant can be scored, so there is nothing to compare.")
        yield folder


def _labelled_sample(
    request: ComparisonRequest, folder: Path, reference: Reference, say: Callable[[str], None]
) -> LabelledSample | None:
    if not request.labels:
        return None
    sample = sample_labelled(folder, request.labels, reference, request.sample_size, request.seed)
    say(", ".join(f"{name}: {count:,}" for name, count in sample.counts.items()))
    for label in sample.unknown:
        say(f"note: no row has the label {label}.")
    return sample


@dataclass(frozen=True)
class WindowTrial:
    """What one window gave for V variants: ``delta`` (V,) float64 in nats, NaN where the model gave no finite value."""

    window: Window
    delta: np.ndarray
    num_tokens: int
    seconds: float


def sample_variants(folder: Path, size: int, seed: int = 0) -> pa.Table:
    """About ``size`` variants of an ingested folder, or all where there are fewer: stretches of neighbours, in order.

    Only the row groups that hold them are read. The same folder, size and seed give the same sample.
    """
    groups = [(path, group) for path in sorted(folder.glob("part-*.parquet")) for group in _row_groups(path)]
    sizes = [rows for _, (_, rows) in groups]
    chosen = stretches(sum(sizes), size, seed)
    parts, offset = [], 0
    for (path, (group, _)), rows in zip(groups, sizes, strict=True):
        rows_of_group = chosen[(chosen >= offset) & (chosen < offset + rows)] - offset
        if len(rows_of_group):
            table = pq.ParquetFile(path).read_row_group(group, columns=VARIANTS.names[:4])
            parts.append(table.take(pa.array(rows_of_group)))
        offset += rows
    return pa.concat_tables(parts) if parts else VARIANTS.empty_table().select(VARIANTS.names[:4])


def try_windows(
    model: ResidentModel,
    variants: pa.Table,
    reference: Reference,
    windows: Sequence[Window],
    strand: str = "forward",
    circular: Sequence[str] = (),
    on_window: Callable[[Window], None] | None = None,
) -> list[WindowTrial]:
    """Score the same variants under each window.

    Args:
        variants: normalised and checked, sorted by contig and position.
        on_window: is told each window before it is tried.

    Raises:
        SettingsError: a window does not fit the model.
    """
    for window in windows:
        refuse_longer_window(window, model.context_length, model.name)
    scorer = VariantScorer(model, reference, strand, circular)
    identified = variants.append_column("variant_id", variant_ids(variants))
    trials = []
    for window in windows:
        if on_window:
            on_window(window)
        began, tokens = time.perf_counter(), model.num_tokens_computed
        scored = scorer.score(plan_windows(identified, reference, window, strand, circular))
        delta = scored["delta_llr"].to_numpy().astype(float)
        trials.append(
            WindowTrial(
                window,
                np.where(np.isfinite(delta), delta, np.nan),
                model.num_tokens_computed - tokens,
                time.perf_counter() - began,
            )
        )
    return trials


def _row_groups(path: Path) -> list[tuple[int, int]]:
    """(index, rows) of each row group."""
    metadata = pq.read_metadata(path)
    return [(index, metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]
