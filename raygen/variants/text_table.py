"""A text file of rows and columns, packed or not, as Arrow columns of text: a block of lines at a time, in memory that does not grow.

In: a path. Out: ``TextRows``, whose lines that do not have as many columns as the table are set apart with their number. Records are lines
after the header that are not blank, numbered from 1. gzip and bgzip are unpacked as for VCF, zstd by Arrow, each known by its first bytes.

pyarrow's CSV reader parses, since it reads 100 MB/s and keeps quiet about nothing: numbers stay text here, so that a position ``1e6`` is
a fault of its row and not a number.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from raygen.errors import InputError, first_line
from raygen.variants.vcf_stream import BROKEN_GZIP, opened_text, truncated

BLOCK_BYTES = 1 << 22
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_MOST_IN_A_LINE = 1 << 28


def is_zstd(head: bytes) -> bool:
    """Whether a file begins as zstd does: with a frame, or with one to skip."""
    return head.startswith(ZSTD_MAGIC) or _ZSTD_SKIPPABLE.match(head) is not None


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked.

    Raises:
        InputError: there is no such file, it is empty, cannot be read, or its packing is broken, also while it is read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if not head:
            raise InputError(f"{path} is empty (0 bytes).")
        with _stream(path, head) as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except BROKEN_GZIP as error:
        raise truncated(path, f"gzip says {str(error)!r}") from error
    except OSError as error:
        if error.strerror:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        raise truncated(path, f"zstd says {first_line(error)!r}") from error


def _stream(path: Path, head: bytes) -> Any:
    if not is_zstd(head):
        return opened_text(path)
    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), BLOCK_BYTES)


def blocks_of_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The rest of a stream in blocks of whole lines; the last one ends in a newline, whether the file does or not."""
    rest: list[bytes] = []
    while chunk := stream.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, chunk[:end]])
            rest = [chunk[end:]] if end < len(chunk) else []
        else:
            rest.append(chunk)
            if sum(map(len, rest)) > _MOST_IN_A_LINE:
                raise InputError(f"A line of more than {_MOST_IN_A_LINE >> 20} MiB is no line of a table.")
    if rest:
        yield b"".join([*rest, b"\n"])


@dataclass(frozen=True)
class Layout:
    """How lines become columns.

    Attributes:
        columns: their names, in order.
        delimiter: one character; a space stands for runs of spaces and tabs, as PLINK reads them.
        is_quoted: whether a value may stand between quotation marks.
    """

    columns: tuple[str, ...]
    delimiter: str = "\t"
    is_quoted: bool = False


@dataclass(frozen=True)
class TextRows:
    """Consecutive rows of a table.

    Attributes:
        columns: of text, by name; empty text where a line has nothing.
        record: (R,) int64 numbers of their records.
        malformed: (record, line, number of its columns) of lines with another number of columns.
        num_records: rows and malformed lines.
        is_damaged: (R,) Boolean, rows that held bytes that are no UTF-8.
    """

    columns: pa.Table
    record: np.ndarray
    malformed: list[tuple[int, str, int]]
    num_records: int
    is_damaged: np.ndarray


def rows_of(blocks: Iterator[bytes], layout: Layout, wanted: Sequence[str]) -> Iterator[TextRows]:
    """The rows in blocks of lines; of their columns the wanted ones."""
    before = 0
    for block in blocks:
        rows = _rows_in(block, layout, wanted, before)
        before += rows.num_records
        yield rows


def _rows_in(block: bytes, layout: Layout, wanted: Sequence[str], before: int) -> TextRows:
    if not block.strip():
        return TextRows(
            pa.table({name: pa.array([], pa.string()) for name in wanted}),
            np.empty(0, np.int64),
            [],
            0,
            np.empty(0, bool),
        )
    block, damaged_lines = _as_utf8(block.replace(b"\r\n", b"\n"))
    if layout.delimiter == " ":
        block = _by_tabs(block)
    malformed: list[tuple[int, str, int]] = []

    def set_apart(row: csv.InvalidRow) -> str:
        malformed.append((before + row.number, row.text, row.actual_columns))
        return "skip"

    columns = csv.read_csv(
        pa.py_buffer(block),
        read_options=csv.ReadOptions(column_names=list(layout.columns), use_threads=False, block_size=len(block) + 1),
        parse_options=csv.ParseOptions(
            delimiter="\t" if layout.delimiter == " " else layout.delimiter,
            quote_char='"' if layout.is_quoted else False,
            invalid_row_handler=set_apart,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(layout.columns, pa.string()),
            include_columns=list(wanted),
            strings_can_be_null=False,
        ),
    ).combine_chunks()
    num_records = columns.num_rows + len(malformed)
    is_row = np.ones(num_records, bool)
    is_row[[record - before - 1 for record, _, _ in malformed]] = False
    number = np.flatnonzero(is_row)
    is_damaged = np.isin(number, damaged_lines) if damaged_lines else np.zeros(len(number), bool)
    return TextRows(columns, before + 1 + number, malformed, num_records, is_damaged)


def _as_utf8(block: bytes) -> tuple[bytes, list[int]]:
    """Lines with U+FFFD for what is no UTF-8, and which lines, blank ones not counted, had such bytes.

    pyarrow gives up on a malformed line that is no UTF-8 before its handler sees it.
    """
    try:
        block.decode()
    except UnicodeDecodeError:
        lines = [line for line in block.split(b"\n") if line]
        texts = [line.decode("utf-8", "replace").encode() for line in lines]
        damaged = [number for number, (line, text) in enumerate(zip(lines, texts, strict=True)) if line != text]
        return b"\n".join([*texts, b""]), damaged
    return block, []


def _by_tabs(block: bytes) -> bytes:
    """Lines whose columns are parted by runs of spaces and tabs, with one tab between each. Most have that already, and are left."""
    if not (b" " in block or b"\t\t" in block or b"\t\n" in block or b"\n\t" in block or block.startswith(b"\t")):
        return block
    one_each = re.sub(rb"[ \t]+", b"\t", block)
    return re.sub(rb"(?m)^\t|\t$", b"", one_each)
