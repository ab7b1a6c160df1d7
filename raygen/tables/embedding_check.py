"""What is checked of embeddings: each file of scores has one of the same name beside it, with its rows in its order, and there are no others.

In: a file of scores that was opened. Out: where something is wrong, and a sentence about it. A vector is NaN where no position was
pooled, and finite elsewhere. Row group by row group: a file of embeddings is larger than memory may be.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import first_line
from raygen.number_of import number_of
from raygen.tables.embedding_files import COUNT, numbers_of
from raygen.tables.identity import Identity, identity_of
from raygen.tables.layout import RunFolder, ScoreFile

_Faults = Iterator[tuple[str, str]]


def faults_beside(folder: RunFolder, file: ScoreFile, opened: pq.ParquetFile) -> _Faults:
    """What is wrong with the embeddings of a file of scores."""
    identity, num_rows = identity_of(opened.schema_arrow), opened.metadata.num_rows
    if not identity.embeddings or not num_rows:
        return
    path = folder.embeddings_of(file.path)
    try:
        with folder.filesystem.open_input_file(path) as source:
            embeddings = pq.ParquetFile(source, page_checksum_verification=True)
            if message := _of_another_kind(embeddings.schema_arrow, identity):
                yield path, message
                return
            ids = [parquet.read(["variant_id"])["variant_id"] for parquet in (embeddings, opened)]
            if not ids[0].equals(ids[1]):
                yield path, f"does not have the {number_of(num_rows, 'row')} of {file.path} in their order"
            for name, number in _not_finite(embeddings).items():
                yield path, f"{number_of(number, 'vector')} of {name} not finite, or finite over no positions"
    except FileNotFoundError:
        yield file.path, f"has no embeddings: there is no {path}"
    except (OSError, pa.ArrowException) as error:
        yield path, f"cannot be read: {first_line(error)}"


def faults_of_others(folder: RunFolder) -> _Faults:
    """Files of embeddings that belong to no file of scores."""
    belonging = {folder.embeddings_of(file.path) for file in folder.score_files()}
    for path in folder.embedding_paths():
        if path not in belonging:
            yield path, "holds embeddings of no file of scores"


def _of_another_kind(schema: pa.Schema, identity: Identity) -> str | None:
    own = identity_of(schema)
    for name in ("fingerprint", "reference_digest", "embeddings"):
        if getattr(own, name) != getattr(identity, name):
            return f"its {name} is {getattr(own, name)!r}, that of its scores {getattr(identity, name)!r}"
    if schema.names[:1] != ["variant_id"]:
        return "its first column is not variant_id"
    other = [field.name for field in schema if field.name != "variant_id" and not _is_vector_or_count(field)]
    return f"has columns of another type: {', '.join(other)}" if other else None


def _is_vector_or_count(field: pa.Field) -> bool:
    if field.name.startswith(COUNT):
        return bool(field.type == pa.int64())
    is_list = pa.types.is_fixed_size_list(field.type)
    return bool(is_list and field.type.value_type in (pa.float32(), pa.float16()))


def _not_finite(embeddings: pq.ParquetFile) -> dict[str, int]:
    """Vectors by column that are not finite though positions were pooled, or the other way round."""
    numbers: dict[str, int] = {}
    for group in range(embeddings.num_row_groups):
        rows = embeddings.read_row_group(group).combine_chunks()
        pooled = {
            name.removeprefix(COUNT): rows[name].to_numpy() > 0 for name in rows.column_names if name.startswith(COUNT)
        }
        for name in rows.column_names:
            column = rows[name].combine_chunks()
            if not pa.types.is_fixed_size_list(column.type):
                continue
            is_pooled = next((mask for pool, mask in pooled.items() if name.endswith(f"_{pool}")), None)
            if bad := _num_bad(column, is_pooled):
                numbers[name] = numbers.get(name, 0) + bad
    return numbers


def _num_bad(vectors: pa.FixedSizeListArray, is_pooled: np.ndarray | None) -> int:
    if vectors.null_count or is_pooled is None:
        return len(vectors)
    return int((np.isfinite(numbers_of(vectors)).all(axis=1) != is_pooled).sum())
