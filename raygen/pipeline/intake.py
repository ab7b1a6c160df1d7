"""The input in raygen's own form: taken as it is where ``raygen ingest`` made it, else ingested beside the scores."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from raygen.cache import cache_folder
from raygen.sequence.reference import Reference
from raygen.settings import Settings
from raygen.tables.layout import RunFolder
from raygen.variants.ingest import IngestResult, ingest
from raygen.variants.pairs import ingest_pairs
from raygen.variants.publish import REJECTS_FOLDER, VARIANTS_FOLDER, is_ingested, read_ingest_info


def take_input(settings: Settings, folder: RunFolder, reference: Reference | None, context_length: int) -> IngestResult:
    """The variants or pairs to score, checked and in shards' reach; what was rejected on the way is in ``folder``.

    Raises:
        InputError, SettingsError: as ``ingest`` and ``ingest_pairs``.
    """
    if reference is None:
        taken = ingest_pairs(settings.input.pairs or [], _beside(folder), context_length)
    else:
        inputs = [_ingest_folder(path) or Path(path) for path in settings.input.variants or []]
        if len(inputs) == 1 and is_ingested(inputs[0]) and _as_ingested(inputs[0], reference, settings):
            return _known(inputs[0])
        taken = ingest(
            [path / VARIANTS_FOLDER if is_ingested(path) else path for path in inputs],
            reference,
            _beside(folder),
            max_allele_length=settings.input.max_allele_length,
            source_columns=settings.input.source_columns,
        )
    for path in sorted(taken.rejects_dir.glob("part-*.parquet")):
        name = f"ingest-{taken.digest[:12]}-{path.stem.removeprefix('part-')}"
        folder.commit_rejects(name, pq.read_table(path))
    return taken


def _beside(folder: RunFolder) -> Path:
    """Where an input is ingested to: beside the scores, or in the cache for scores on object storage."""
    if "://" in folder.path:
        return cache_folder("ingest", folder.path.replace("/", "_"))
    return Path(folder.path).absolute() / "ingest"


def _ingest_folder(path: str) -> Path | None:
    """The folder that ``raygen ingest`` wrote, when ``path`` is it or the ``variants`` in it."""
    found = Path(path)
    return next(
        (
            at
            for at in (found, found.parent)
            if at.is_dir() and is_ingested(at) and found.name in (at.name, VARIANTS_FOLDER)
        ),
        None,
    )


def _as_ingested(path: Path, reference: Reference, settings: Settings) -> bool:
    """Whether it was made on this reference, with the columns that are wanted."""
    info = read_ingest_info(path)
    columns_there = set(settings.input.source_columns) <= set(info["source_columns"])
    return info["reference"]["digest"] == reference.digest and columns_there


def _known(path: Path) -> IngestResult:
    """What an earlier ingest left. Its rejects were accounted for there; what comes in here are its variants."""
    info = read_ingest_info(path)
    return IngestResult(
        num_records=info["num_variants"],
        num_alleles=info["num_variants"],
        num_variants=info["num_variants"],
        rejects={},
        warnings=[],
        variants_dir=path / VARIANTS_FOLDER,
        rejects_dir=path / REJECTS_FOLDER,
        digest=info["digest"],
    )
