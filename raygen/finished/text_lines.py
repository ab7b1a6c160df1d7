"""Rows of columns as lines of text, built by Arrow: without a Python object for a line, millions of them take a second."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def text_lines(first: str, *columns: pa.Array | pa.ChunkedArray | str) -> bytes:
    """R lines with their ends, of columns of R strings without nulls; what is a plain string is the same on every line."""
    arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    # a line begins with the end of the one before it: to join that to its own end would copy each once more
    lines = pc.binary_join_element_wise(f"\n{first}", *arrays, "\t")
    assert not lines.null_count, "a line with a null in it would be no line"
    return bytes(_characters(lines)[1:]) + b"\n" if len(lines) else b""


def shortest(values: pa.Array) -> pa.StringArray:
    """Numbers as the shortest texts that read back as the same float32."""
    return values.cast(pa.float32()).cast(pa.string())


def _characters(texts: pa.StringArray) -> memoryview:
    """All of (R,) strings, one after the other, as they lie in memory."""
    _, offset_buffer, characters = texts.buffers()
    offsets = memoryview(offset_buffer).cast("i")
    return memoryview(characters)[offsets[texts.offset] : offsets[texts.offset + len(texts)]]
