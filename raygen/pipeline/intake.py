"""The input in raygen's own form: taken as it is where ``raygen ingest`` made it, else ingested beside the scores.

In: a run's settings and folder. Out: checked variants or pairs as Parquet, with what was rejected on the way. It can be
made ahead of the run, on a machine without a GPU (``raygen ingest CONFIG.yaml``): then it lies where a run with the
same settings looks for it, which finds it there and starts to score at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.cache import cache_folder
from raygen.errors import SettingsError
from raygen.remote import is_remote, join, stage, stamp, with_endpoint
from raygen.sequence.reference import Reference, staged_reference
from raygen.sequence.window_choices import usual_length
from raygen.settings import Settings
from raygen.tables.carried_types import carried_as, is_as_wide
from raygen.tables.layout import RunFolder
from raygen.variants.assembly import MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE
from raygen.variants.ingest import IngestResult, ingest
from raygen.variants.ingested_folder import REJECTS_FOLDER, VARIANTS_FOLDER, is_ingested, read_ingest_info
from raygen.variants.inputs import DeclaredColumns, InputFile, find_inputs, input_files
from raygen.variants.pairs import ingest_pairs


def take_input(
    settings: Settings,
    folder: RunFolder,
    reference: Reference | None,
    context_length: int,
    types: Mapping[str, pa.DataType] | None = None,
) -> IngestResult:
    """The variants or pairs to score, checked and in shards' reach; what was rejected on the way is in ``folder``.

    Args:
        types: of the source columns in the table that ``folder`` holds. Where the input has as wide ones or wider, those of
            the input hold for both.

    Raises:
        InputError, SettingsError: as ``ingest`` and ``ingest_pairs``.
    """
    if reference is None:
        paths = [Path(stage(path)) for path in settings.input.pairs or []]
        ingested = ingest_pairs(
            [str(path) for path in paths], _beside(folder, input_files(paths), "pairs"), context_length
        )
    else:
        staged = [stage(path) for path in settings.input.variants or []]
        inputs = [_ingest_folder(path) or Path(path) for path in staged]
        declared = DeclaredColumns(f"the scores in {folder.path}", types or {})
        is_known = len(inputs) == 1 and is_ingested(inputs[0]) and _as_ingested(inputs[0], reference, settings)
        narrower = _narrower_columns(inputs[0], settings.input.carried_columns, declared) if is_known else []
        if is_known and not narrower:
            return _known(inputs[0], _right(settings, context_length))
        _refuse_ingested_haplotypes(inputs, narrower)
        paths = [path / VARIANTS_FOLDER if is_ingested(path) else path for path in inputs]
        ingested = _ingested(paths, settings, folder, reference, _right(settings, context_length), declared)
    return replace(ingested, reject_names=_commit_rejects(folder, ingested))


def source_types(variants_dir: Path, source_columns: Sequence[str]) -> dict[str, pa.DataType]:
    """The types of the source columns in a folder of ingested variants."""
    file = next(iter(sorted(variants_dir.glob("part-*.parquet"))), None)
    schema = pa.schema([]) if file is None else pq.read_schema(file)
    return {name: schema.field(name).type for name in source_columns if name in schema.names}


def where_workers_read(settings: Settings, folder: RunFolder, ingested: IngestResult) -> str | None:
    """Where every node finds the variants; None where that is the same path as here.

    A folder of ``raygen ingest`` on object storage is read there. What was ingested into this machine's cache, because the
    output is on object storage, is put beside the output.
    """
    for path in settings.input.variants or []:
        if is_remote(path) and ingested.variants_dir.is_relative_to(stage(path)):
            return join(with_endpoint(path), VARIANTS_FOLDER)
    if not is_remote(folder.uri) or not ingested.variants_dir.is_relative_to(cache_folder("ingest")):
        return None
    place = f".ingest/{ingested.variants_dir.parent.name}/{VARIANTS_FOLDER}"
    for file in sorted(ingested.variants_dir.glob("part-*.parquet")):
        folder.upload_once(file, f"{place}/{file.name}")
    return join(folder.uri, place)


def _right(settings: Settings, context_length: int) -> int:
    """Bases that a window holds from the variant on: a haplotype that spans more would be scored in part only."""
    return settings.window.right if settings.window.right is not None else usual_length(context_length) // 2


def _refuse_ingested_haplotypes(inputs: Sequence[Path], narrower: Sequence[str]) -> None:
    """Haplotypes are rows of an ingested table like others, so ingesting it again would take them for members.

    Args:
        narrower: source columns for whose types alone it would be ingested again, in words.
    """
    for path in inputs:
        if is_ingested(path) and read_ingest_info(path).get("haplotype_column"):
            if narrower:
                raise SettingsError(
                    f"{path} was ingested with haplotypes, so it can be scored only as it is, and of its columns "
                    f"{'; '.join(narrower)}. Give the files that it was made from, or another output folder."
                )
            raise SettingsError(
                f"{path} was ingested with haplotypes, so it can be scored only by itself, on its own reference and with "
                "its own columns. Give the files that it was made from."
            )


def _ingested(
    paths: list[Path],
    settings: Settings,
    folder: RunFolder,
    reference: Reference,
    right: int,
    declared: DeclaredColumns,
) -> IngestResult:
    """Ingest beside the scores, or take what an earlier start of the same run left there."""
    input_settings = settings.input
    haplotypes = (input_settings.haplotype_column, right) if input_settings.haplotype_column else ()
    shares = (input_settings.max_mismatch_share, input_settings.max_unknown_share)
    unusual_shares = () if shares == (MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE) else shares
    inputs = find_inputs(paths)
    place = _beside(
        folder,
        inputs.files,
        reference.digest,
        input_settings.max_allele_length,
        input_settings.source_columns,
        *haplotypes,
        *unusual_shares,
        *filter(None, [input_settings.table_columns]),
    )
    if is_ingested(place) and not _narrower_columns(place, input_settings.carried_columns, declared):
        return _left_there(place)
    return ingest(
        inputs,
        reference,
        place,
        max_haplotype_span=right,
        declared=declared,
        **input_settings.ingest_options,
    )


def _narrower_columns(ingested: Path, source_columns: Sequence[str], declared: DeclaredColumns) -> list[str]:
    """Source columns of an ingested folder that do not hold the values of the table's, in words; where there are any, it has to
    be read again.
    """
    faults = []
    for name, arrow_type in source_types(ingested / VARIANTS_FOLDER, source_columns).items():
        if carried_as(arrow_type) is None:
            faults.append(f"{name} is {arrow_type}, which cannot be carried")
        elif not is_as_wide(arrow_type, table_type := declared.columns.get(name, pa.null())):
            faults.append(f"{name} is {arrow_type}, but {table_type} in {declared.name}")
    return faults


def _commit_rejects(folder: RunFolder, ingested: IngestResult) -> tuple[str, ...]:
    """Write what was rejected on the way, under names made from it: the same rejects are written once."""
    names = []
    for path in sorted(ingested.rejects_dir.glob("part-*.parquet")):
        rejects = pq.read_table(path)
        digest = hashlib.sha256(repr(rejects.to_pydict()).encode()).hexdigest()[:12]
        if len(rejects):
            names.append(f"ingest-{digest}")
            folder.commit_rejects(names[-1], rejects)
    return tuple(names)


def _beside(folder: RunFolder, inputs: Sequence[InputFile], *settings: object) -> Path:
    """Where an input is ingested to: a hidden folder beside the scores, or in the cache for scores on object storage.

    Its name says which files at which size and time, and which settings, so that two inputs do not meet there.
    """
    files = [file.path for file in inputs]
    stamps = [(str(file.resolve()), *stamp(str(file))) for file in files if file.is_file()]
    key = hashlib.sha256(repr((stamps, settings)).encode()).hexdigest()[:16]
    if is_remote(folder.uri):
        return cache_folder("ingest", key)
    return Path(folder.path).absolute() / ".ingest" / key


def _ingest_folder(path: str) -> Path | None:
    """The folder that ``raygen ingest`` wrote, when ``path`` is it or the ``variants`` in it."""
    location = Path(path)
    return next(
        (
            folder
            for folder in (location, location.parent)
            if folder.is_dir() and is_ingested(folder) and location.name in (folder.name, VARIANTS_FOLDER)
        ),
        None,
    )


def _as_ingested(path: Path, reference: Reference, settings: Settings) -> bool:
    """Whether a folder was ingested on this reference, with the columns wanted, and without longer alleles."""
    info = read_ingest_info(path)
    columns_there = set(settings.input.source_columns) <= set(info["source_columns"])
    short_enough = info["max_allele_length"] <= settings.input.max_allele_length
    same_haplotypes = settings.input.haplotype_column in (None, info.get("haplotype_column"))
    return info["reference"]["digest"] == reference.digest and columns_there and short_enough and same_haplotypes


def _known(path: Path, right: int) -> IngestResult:
    """The input of a folder that the user ingested before. Its rejects were accounted for there; what comes in here are
    its variants.
    """
    longest = read_ingest_info(path).get("longest_haplotype", 0)
    if longest > right:
        raise SettingsError(
            f"window.right is {right:,} bases, but a haplotype in {path} spans {longest:,}. Use a larger window.right, or "
            "score the files that it was made from: there a haplotype that is too long is rejected."
        )
    ingested = _left_there(path)
    return replace(
        ingested, num_records=ingested.num_variants, num_alleles=ingested.num_variants, rejects={}, warnings=[]
    )


def _left_there(path: Path) -> IngestResult:
    info = read_ingest_info(path)
    return IngestResult(
        num_records=info["num_records"],
        num_alleles=info["num_alleles"],
        num_variants=info["num_variants"],
        rejects=info["rejects"],
        warnings=info["warnings"],
        variants_dir=path / VARIANTS_FOLDER,
        rejects_dir=path / REJECTS_FOLDER,
        digest=info["digest"],
        num_haplotypes=info.get("num_haplotypes", 0),
    )


def ingested_as_wanted(inputs: Sequence[Path], settings: Settings, reference: Reference) -> Path | None:
    """The one folder of ``raygen ingest`` that a run over these inputs would take as it is; None where it would ingest."""
    folder = _ingest_folder(str(inputs[0])) if len(inputs) == 1 else None
    return folder if folder and _as_ingested(folder, reference, settings) else None


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
    input_settings = settings.input
    if not input_settings.variants or not input_settings.reference:
        raise SettingsError("raygen ingest reads variants; pairs need none: give the settings to `raygen score`.")
    reference = staged_reference(input_settings.reference)
    if out is None:
        folder = RunFolder(str(settings.output.path))
        folder.prepare()
        with folder.locked():
            return take_input(settings, folder, reference, _context_length(settings), folder.carried_types())
    return ingest(
        [stage(path) for path in input_settings.variants],
        reference,
        Path(out),
        max_haplotype_span=settings.window.right,
        on_progress=on_progress,
        **input_settings.ingest_options,
    )


def _context_length(settings: Settings) -> int:
    """The model's context length in bases; the model is looked at only where the length of haplotypes hangs on it."""
    if settings.window.right is not None or not settings.input.haplotype_column:
        return _ANY_LENGTH
    from raygen.pipeline.resolve import describe_model  # torch and Ray, for this alone

    return describe_model(settings).context_length
