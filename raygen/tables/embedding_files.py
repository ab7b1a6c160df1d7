"""Files of embeddings as Parquet: how they are written, and gathered from others into a new one.

In and out: tables with ``variant_id``, vectors as FixedSizeList and counts. A row group is some 16 MB, so that files of any size are merged and
checked with little memory. Vectors are neither compressed nor put into dictionaries: their bits are noise.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError, StoppedError
from raygen.tables.damage import naming_damage

COUNT = "num_pooled_"
"""How the names of columns begin that say over how many positions vectors are pooled; then come pool and strand."""
ROW_GROUP_BYTES = 1 << 24
_GROUPS_IN_MEMORY = 32


def bytes_a_row(schema: pa.Schema) -> int:
    """Bytes of the vectors of a row."""
    vectors = [field.type for field in schema if pa.types.is_fixed_size_list(field.type)]
    return sum(vector.list_size * vector.value_type.bit_width // 8 for vector in vectors)


def rows_a_group(schema: pa.Schema) -> int:
    """Rows of a row group."""
    return max(ROW_GROUP_BYTES // max(bytes_a_row(schema), 1), 1)


def without_nulls(embeddings: pa.Table) -> pa.Table:
    """The table with vectors whose numbers cannot be null: these are written and read in blocks.

    A vector that is null is none of a row with a score: there NaN stands for nothing.
    """
    for place, field in enumerate(embeddings.schema):
        if pa.types.is_fixed_size_list(field.type):
            column = embeddings[field.name].combine_chunks()
            assert not column.null_count, f"{field.name} has no vector in {column.null_count} rows"
            numbers = pa.field("element", field.type.value_type, nullable=False)
            vectors = pa.FixedSizeListArray.from_arrays(column.flatten(), type=pa.list_(numbers, field.type.list_size))
            embeddings = embeddings.set_column(place, field.name, vectors)
    return embeddings


def embeddings_written_as(schema: pa.Schema) -> dict[str, Any]:
    """How Parquet files of this schema are written, but for the size of a row group."""
    return {
        "compression": {field.name: "zstd" for field in schema if not pa.types.is_fixed_size_list(field.type)},
        "use_dictionary": False,
        "write_page_checksum": True,
    }


def numbers_of(vectors: pa.FixedSizeListArray) -> np.ndarray:
    """(R, D) of a column's chunk, which has no nulls, without a copy."""
    return np.asarray(vectors.flatten().to_numpy()).reshape(len(vectors), vectors.type.list_size)


class EmbeddingRows:
    """The rows of some files, found by their ids. A few row groups that were read last are kept."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._files: list[pq.ParquetFile] = []
        ids, self._groups, sizes = [], [], list[int]()
        for path in self._paths:
            with naming_damage(path):
                file = pq.ParquetFile(path, page_checksum_verification=True, memory_map=True)
                ids += file.read(columns=["variant_id"])["variant_id"].chunks
            self._groups += [(len(self._files), group) for group in range(file.num_row_groups)]
            sizes += [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._files.append(file)
        self._ids = pa.chunked_array(ids, pa.string()).combine_chunks()
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._read: OrderedDict[int, pa.Table] = OrderedDict()
        self.schema: pa.Schema = self._files[0].schema_arrow

    def tables(self, ids: pa.ChunkedArray) -> Iterator[pa.Table]:
        """The rows of these ids in this order, in tables of a row group.

        Raises:
            InputError: an id has no row.
        """
        rows = pc.index_in(ids.combine_chunks(), value_set=self._ids)
        if rows.null_count:
            first = ids.filter(pc.is_null(rows))[0]
            raise InputError(
                f"{self._paths[0]} and the files after it lack the embeddings of {rows.null_count:,} variants (first: {first}). "
                "Nothing was changed; `raygen verify` lists what is missing."
            )
        numbers, size = rows.to_numpy(), rows_a_group(self.schema)
        for start in range(0, len(numbers), size):
            yield self._take(numbers[start : start + size])

    def _take(self, rows: np.ndarray) -> pa.Table:
        group_of = np.searchsorted(self._starts, rows, "right") - 1
        order = np.argsort(group_of, kind="stable")
        groups, firsts = np.unique(group_of[order], return_index=True)
        parts = [
            self._group(int(group)).take(pa.array(rows[order[first:stop]] - self._starts[group]))
            for group, (first, stop) in zip(groups, pairwise([*firsts, len(rows)]), strict=True)
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_tables(parts).combine_chunks().take(pa.array(back))

    def _group(self, group: int) -> pa.Table:
        if group not in self._read:
            number, own = self._groups[group]
            with naming_damage(self._paths[number]):
                self._read[group] = self._files[number].read_row_group(own).combine_chunks()
            if len(self._read) > _GROUPS_IN_MEMORY:
                self._read.popitem(last=False)
        self._read.move_to_end(group)
        return self._read[group]


def write_gathered(rows: EmbeddingRows, ids: pa.ChunkedArray, place: Path) -> None:
    """Write the rows of these ids, in this order, and read them back.

    Raises:
        InputError: an id has no row. StoppedError: what is read is not what was written.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with pq.ParquetWriter(place, rows.schema, **embeddings_written_as(rows.schema)) as writer:
        for table in rows.tables(ids):
            writer.write_table(table, row_group_size=len(table))
            written = _checksum(table, written)
    read = 0
    with naming_damage(str(place)):
        file = pq.ParquetFile(place, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            read = _checksum(file.read_row_group(group), read)
    if read != written:
        raise StoppedError(f"{place} does not hold what was written to it. Nothing was changed; check the disk.")


def _checksum(table: pa.Table, before: int) -> int:
    """A checksum over the values of a table, from that of the tables before it."""
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            before = zlib.crc32(numbers_of(column).data.cast("B"), before)
        else:
            before = zlib.crc32("\t".join(map(str, column.to_pylist())).encode(), before)
    return before
