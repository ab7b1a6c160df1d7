"""Stored states of a model as one array.

    ids, vectors = raygen.read_embeddings("out", layer="blocks.20", pool="right:64", strand="forward")

In: a run's folder and the names of a vector. Out: the variants' ids and (N, D) float32 in the order of ``raygen.read_scores``. A file's numbers
are not copied where it is the only one and holds float32; else they are copied once, into the array that is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.scoring.embedding_columns import Stored, parse_stored
from raygen.scoring.embedding_plan import vector_name
from raygen.tables.damage import naming_damage
from raygen.tables.embedding_files import numbers_of
from raygen.tables.fingerprints import no_scores
from raygen.tables.folder_kinds import refuse_no_folder, refuse_positions
from raygen.tables.layout import RunFolder

_MOST_LOOKS = 3


class Embeddings(NamedTuple):
    """Ids of N variants and (N, D) float32: the vector of each, NaN where no position was pooled."""

    variant_ids: pa.ChunkedArray
    vectors: np.ndarray


def read_embeddings(
    path: str,
    layer: str | None = None,
    pool: str | None = None,
    strand: Literal["forward", "reverse"] | None = None,
    which: Literal["ref", "delta"] = "delta",
) -> Embeddings:
    """The embeddings of a run's folder.

    Args:
        layer, pool, strand: may be left out where there is only one.
        which: ``ref``, of WT, or ``delta``, MUT's less WT's.

    Raises:
        InputError: there is no such folder, it holds no embeddings, or a file of it is missing or damaged.
        SettingsError: there is no such layer, pool or strand; what there is is named.
    """
    refuse_no_folder(path)
    refuse_positions(path)
    folder = RunFolder(path)
    identity = folder.identity()
    if identity is None:
        raise no_scores(path)
    if not identity.embeddings:
        raise InputError(
            f"{folder.path} holds no embeddings: its scores were made without them. Score with embed.layers, into another folder."
        )
    if which not in ("ref", "delta"):
        raise SettingsError(f"which is {which!r}; it can be ref or delta.")
    column = f"{which}_{_chosen(parse_stored(identity.embeddings), layer, pool, strand, folder.path)}"
    for _ in range(_MOST_LOOKS - 1):
        with suppress(FileNotFoundError):  # files were exchanged for others since they were listed
            return _read(folder, column)
    try:
        return _read(folder, column)
    except FileNotFoundError as error:
        raise InputError(f"{error}. `raygen verify` lists what is missing of {folder.path}.") from error


def _chosen(stored: Stored, layer: str | None, pool: str | None, strand: str | None, path: str) -> str:
    parts = {
        "layer": (layer, stored.plan.layers),
        "pool": (pool, stored.plan.pool_names),
        "strand": (strand, stored.strands),
    }
    return vector_name(*(_one_of(name, asked, available, path) for name, (asked, available) in parts.items()))


def _one_of(name: str, asked: str | None, available: Sequence[str], path: str) -> str:
    if asked is not None and asked in available:
        return asked
    if asked is None and len(available) == 1:
        return available[0]
    problem = f"has no {name} {asked}" if asked is not None else f"has several {name}s"
    raise SettingsError(f"{path} {problem}; there are {', '.join(available)}.")


def _read(folder: RunFolder, column: str) -> Embeddings:
    paths = [folder.embeddings_of(file.path) for file in folder.score_files() if _num_rows(folder, file.path)]
    if len(paths) == 1:
        ids, chunks = _columns_of(folder, paths[0], column)
        if len(chunks) == 1 and chunks[0].dtype == np.float32:
            return Embeddings(ids, chunks[0])
    num_rows = sum(_num_rows(folder, path) for path in paths)
    all_ids, vectors, start = [], np.empty((0, 0), np.float32), 0
    for path in paths:
        ids, chunks = _columns_of(folder, path, column)
        all_ids += ids.chunks
        for numbers in chunks:
            if not start:
                vectors = np.empty((num_rows, numbers.shape[1]), np.float32)
            vectors[start : start + len(numbers)] = numbers
            start += len(numbers)
    return Embeddings(pa.chunked_array(all_ids, pa.string()), vectors)


def _num_rows(folder: RunFolder, path: str) -> int:
    with naming_damage(path), folder.filesystem.open_input_file(path) as source:
        return int(pq.read_metadata(source).num_rows)


def _columns_of(folder: RunFolder, path: str, column: str) -> tuple[pa.ChunkedArray, list[np.ndarray]]:
    with naming_damage(path), folder.filesystem.open_input_file(path) as source:
        table = pq.ParquetFile(source, page_checksum_verification=True).read(columns=["variant_id", column])
    return table["variant_id"], [numbers_of(chunk) for chunk in table[column].chunks if len(chunk)]
