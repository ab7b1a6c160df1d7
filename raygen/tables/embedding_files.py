"""Files of embeddings as Parquet: how they are written, gathered from others, and read back.

In and out: tables with ``variant_id``, vectors as FixedSizeList and counts. A row group is some 16 MB, so that a file of any size is merged and
checked with little memory. Vectors are neither compressed nor put into dictionaries: their bits are noise, which costs time and saves nothing.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

ROW_GROUP_BYTES = 1 << 24


def bytes_a_row(schema: pa.Schema) -> int:
    """Bytes of the vectors of a row."""
    vectors = [field.type for field in schema if pa.types.is_fixed_size_list(field.type)]
    return sum(vector.list_size * vector.value_type.bit_width // 8 for vector in vectors)


def rows_a_group(schema: pa.Schema) -> int:
    """Rows of a row group."""
    return max(ROW_GROUP_BYTES // max(bytes_a_row(schema), 1), 1)


def embeddings_written_as(schema: pa.Schema) -> dict[str, Any]:
    """How Parquet files of this schema are written: what ``pq.write_table`` is to know."""
    return {
        "compression": {field.name: "zstd" for field in schema if not pa.types.is_fixed_size_list(field.type)},
        "use_dictionary": False,
        "row_group_size": rows_a_group(schema),
        "write_page_checksum": True,
    }
