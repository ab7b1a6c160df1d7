"""Arrow columns, built without a Python object for each row: a constant, lists of strings, and lists as one string."""

from __future__ import annotations

import json
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.tables.carried_types import carried_as

Column: TypeAlias = pa.Array | pa.ChunkedArray


def constant(value: str | float, num_rows: int) -> pa.DictionaryArray:
    """The same value in every row, held once. What is written to a file wants ``pa.repeat``, which has a plain type."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(num_rows, np.int8)), pa.array([value]))


def string_lists(masks: dict[str, np.ndarray], num_rows: int) -> pa.ListArray:
    """Lists of strings: each row has those strings whose (R,) Booleans are true there, in the order of ``masks``."""
    names = list(masks)
    is_listed = np.stack([masks[name] for name in names], axis=1) if names else np.zeros((num_rows, 0), bool)
    _, which = np.nonzero(is_listed)
    offsets = np.concatenate([[0], np.cumsum(is_listed.sum(axis=1))])
    values = pa.array(names, pa.string()).take(pa.array(which))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def has_item(lists: Column, item: str) -> np.ndarray:
    """Which rows' lists of strings hold the item: (R,) bool."""
    flat = _flat(lists)
    holds_item = np.zeros(len(flat), bool)
    holds_item[pc.list_parent_indices(flat).filter(pc.equal(pc.list_flatten(flat), item)).to_numpy()] = True
    return holds_item


def with_item(lists: Column, item: str, rows: np.ndarray) -> pa.ListArray:
    """Lists of strings, none of them null, with the item at the end of those where (R,) ``rows`` is true."""
    flat = _flat(lists)
    ends = np.cumsum(pc.list_value_length(flat).to_numpy())
    values = np.insert(pc.list_flatten(flat).to_numpy(zero_copy_only=False), ends[rows], item)
    offsets = np.concatenate([[0], ends + np.cumsum(rows)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.string()))


def joined_lists(lists: Column, texts: pa.StringArray, separator: str = "&") -> pa.StringArray:
    """Each row's list as one string, null where the list is null or empty.

    Args:
        texts: the items of all lists as ``pc.list_flatten`` gives them, as strings without nulls.
    """
    flat = _flat(lists)
    lengths = pc.fill_null(pc.list_value_length(flat), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), separator)
    return pc.if_else(pa.array(lengths > 0), joined, pa.scalar(None, pa.string()))


def flat_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column without lists: each list is one string, joined by ``&``, an item that is null as nothing.

    What cannot be carried any more and lies in tables of version 0.1.0 (structs, bytes) is its JSON.
    """
    arrow_type = carried_as(column.type)
    if arrow_type is None:
        return pa.array([None if value is None else json.dumps(value, default=str) for value in column.to_pylist()])
    plain = column if column.type == arrow_type else column.cast(arrow_type)
    if not pa.types.is_list(arrow_type):
        return plain
    items = pc.fill_null(pc.list_flatten(plain).cast(pa.string()), "")
    return joined_lists(plain, items.combine_chunks())


def _flat(lists: Column) -> pa.ListArray:
    return lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
