"""Stored states as arrays: the columns of ``OUT/embeddings`` that hold them, and rows of these columns as ``PooledStates`` again.

A column of D numbers a row is one (P, D) array without a loop over rows; what is null there is NaN. States in half precision become
float32, as those that a run has at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.scoring.effects import SUFFIX
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates, vector_name
from raygen.tables.columns import Column

_VECTOR = re.compile(r"ref_(?P<layer>.+)_(?P<pool>variant|suffix|right:[0-9]+)_(?P<strand>fwd|rev)")


def stored_plan(names: Iterable[str]) -> tuple[EmbeddingPlan, list[str]]:
    """The layers and pools of a table of embeddings by the names of its columns, and the strands."""
    parts = [found.groupdict() for name in names if (found := _VECTOR.fullmatch(name))]
    layers, pools, ends = (tuple(dict.fromkeys(part[kind] for part in parts)) for kind in ("layer", "pool", "strand"))
    return EmbeddingPlan(layers, pools), [strand for strand, end in SUFFIX.items() if end in ends]


def state_columns(places: Iterable[tuple[str, str]], strands: Sequence[str]) -> list[str]:
    """The columns that hold the states of these (layer, pool) places on these strands."""
    vectors = [vector_name(*place, strand) for place in dict.fromkeys(places) for strand in strands]
    return [f"{kind}_{vector}" for kind in ("ref", "delta") for vector in vectors]


def pooled_states(
    table: pa.Table, places: Iterable[tuple[str, str]], strands: Sequence[str]
) -> dict[str, PooledStates]:
    """States of the rows of a table by strand; how many positions were pooled is not read."""
    listed = list(dict.fromkeys(places))

    def of(kind: str, strand: str) -> dict[tuple[str, str], np.ndarray]:
        return {place: state_array(table[f"{kind}_{vector_name(*place, strand)}"]) for place in listed}

    return {strand: PooledStates(of("ref", strand), of("delta", strand), {}) for strand in strands}


def rows_with_ids(batch: pa.RecordBatch, ids: pa.Array) -> tuple[pa.Table, np.ndarray]:
    """The rows of a batch of stored states with one of the ids, and which id each has."""
    places = pc.index_in(batch["variant_id"].cast(ids.type), value_set=ids)
    known = pc.is_valid(places)
    return pa.Table.from_batches([batch.filter(known)]), places.filter(known).to_numpy().astype(np.int64)


def state_array(column: Column) -> np.ndarray:
    """(P, D) float32 of a column of lists of D numbers; NaN where it is null."""
    width = column.type.list_size
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [np.empty((0, width), np.float32), *(_of_chunk(chunk, width) for chunk in chunks)]
    return np.concatenate(parts) if len(parts) != 2 else parts[1]


def _of_chunk(chunk: pa.FixedSizeListArray, width: int) -> np.ndarray:
    numbers = chunk.values.slice(chunk.offset * width, len(chunk) * width)
    if numbers.null_count:
        numbers = pc.fill_null(numbers, np.float32("nan") if pa.types.is_float32(numbers.type) else np.float16("nan"))
    states = numbers.to_numpy(zero_copy_only=False).reshape(-1, width).astype(np.float32, copy=False)
    if chunk.null_count:
        states = np.where(chunk.is_valid().to_numpy(zero_copy_only=False)[:, None], states, np.float32("nan"))
    return states
