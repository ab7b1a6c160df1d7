"""The input of a run ingested ahead of it, on a machine without a GPU: ``raygen ingest CONFIG.yaml``.

Without a folder of its own it lies where a run with the same settings looks for it, so that ``raygen score`` with the same
file finds it there and starts to score at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from raygen.errors import SettingsError
from raygen.model.loading import describe_network
from raygen.pipeline.intake import take_input
from raygen.remote import stage
from raygen.sequence.staged import staged_reference
from raygen.settings import Settings
from raygen.tables.layout import RunFolder
from raygen.variants.ingest import IngestResult, ingest

_ANY_LENGTH = 2**40


def prepare_input(
    settings: Settings, out: str | None = None, on_progress: Callable[[int], None] | None = None
) -> IngestResult:
    """Ingest the variants that the settings name.

    Args:
        out: a folder for variants/ and rejects/; None for the place where the run looks.

    Raises:
        SettingsError: the settings name pairs, which are taken as they are.
        InputError: as ``ingest``.
    """
    given = settings.input
    if not given.variants or not given.reference:
        raise SettingsError("raygen ingest reads variants; pairs need none: give the settings to `raygen score`.")
    reference = staged_reference(given.reference)
    if out is None:
        folder = RunFolder(str(settings.output.path))
        folder.prepare()
        with folder.locked():
            return take_input(settings, folder, reference, _context_length(settings))
    return ingest(
        [stage(path) for path in given.variants],
        reference,
        Path(out),
        max_allele_length=given.max_allele_length,
        source_columns=given.source_columns,
        haplotype_column=given.haplotype_column,
        max_haplotype_span=settings.window.right,
        on_progress=on_progress,
    )


def _context_length(settings: Settings) -> int:
    """Of the model, which is looked at only where the length of haplotypes hangs on it."""
    if settings.window.right is not None or not settings.input.haplotype_column:
        return _ANY_LENGTH
    model = settings.model
    return describe_network(
        stage(model.name), revision=model.revision, device=model.device, dtype=model.dtype
    ).context_length
