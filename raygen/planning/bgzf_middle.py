"""A VCF as lines, read from anywhere in it: plain text by its bytes, bgzip by its blocks.

A bgzip file is a chain of gzip blocks of at most 64 KiB, each with its own length in its header, so a block's start can be
found from any byte of the file. (BGZF: section 4.1 of the SAM specification.)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pysam

from raygen.errors import InputError

_BLOCK = b"\x1f\x8b\x08\x04"
_LARGEST_BLOCK = 2**16
_FULL_BLOCK = 65_280  # bytes that bgzip puts into one
_MOST_BYTES = 64 * 2**20  # of one stretch: a line with the genotypes of a biobank is megabytes long


@dataclass(frozen=True)
class Stretch:
    """Consecutive records as lines, and the bytes of the file that they take."""

    lines: list[bytes]
    num_bytes: int


class OpenText:
    """An open VCF.

    Attributes:
        header: its lines, the one with the names of the columns last.
        body_bytes: bytes of the file behind the header.

    Raises:
        InputError: it is BCF, gzip without blocks, or no VCF.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        start = _first_bytes(path)
        self._is_bgzip = start[:4] == _BLOCK and start[12:14] == b"BC"
        if start[:2] == b"\x1f\x8b" and not self._is_bgzip:
            raise self._unreadable("is compressed with gzip, which has no random access (bgzip has)")
        self._raw: BinaryIO = path.open("rb")
        self._lines: BinaryIO | pysam.BGZFile = pysam.BGZFile(str(path)) if self._is_bgzip else self._raw
        self.header = self._read_header()
        self._done = self._first_record
        self._body = math.floor(self._place_of_first_record)
        self.body_bytes = path.stat().st_size - self._body

    def __enter__(self) -> OpenText:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._raw.close()

    def stretch(self, fraction: float, num_records: int, apart: bool = False) -> Stretch:
        """Records from the first whole line behind a fraction of the body on; fewer at the file's end.

        With ``apart`` none of them was in the stretch before, which lies nearer to the beginning.
        """
        self._seek(self._body + int(fraction * self.body_bytes))
        if apart and self._lines.tell() < self._done:
            self._lines.seek(self._done)
        began, size = self._place(), 0
        lines: list[bytes] = []
        while len(lines) < num_records and size < _MOST_BYTES and (line := self._readline()):
            lines.append(line)
            size += len(line)
        self._done = self._lines.tell()
        return Stretch(lines, max(round(self._place() - began), 1))

    def _read_header(self) -> list[bytes]:
        header = []
        while (line := self._readline()).startswith(b"#"):
            header.append(line)
            if not line.startswith(b"##"):
                self._first_record, self._place_of_first_record = self._lines.tell(), self._place()
                return header
        raise self._unreadable("is BCF or no VCF")

    def _unreadable(self, reason: str) -> InputError:
        return InputError(f"{self._path} {reason}, so it cannot be sampled. Plan on what `raygen ingest` makes of it.")

    def _readline(self) -> bytes:
        line = self._lines.readline()
        # pysam takes the line's end away and cannot tell an empty line from the end of the file.
        return line + b"\n" if self._is_bgzip and line else line

    def _place(self) -> float:
        """Bytes of the file before the next line; inside of a block by its share of the block."""
        position = self._lines.tell()
        if not self._is_bgzip:
            return position
        block, within = position >> 16, position & 0xFFFF
        self._raw.seek(block)
        header = self._raw.read(18)
        size = struct.unpack_from("<H", header, 16)[0] + 1 if len(header) == 18 else 0
        return block + size * within / _FULL_BLOCK

    def _seek(self, offset: int) -> None:
        """Go to the first whole line behind ``offset``."""
        if offset <= self._body:
            self._lines.seek(self._first_record)
            return
        start = self._block_from(offset) if self._is_bgzip else offset
        if start is None:
            self._lines.seek(self._first_record)
            return
        self._lines.seek(start << 16 if self._is_bgzip else start)
        self._readline()

    def _block_from(self, offset: int) -> int | None:
        """Start of the first block at ``offset`` or behind it: bytes that look like one, with another one where it ends.

        None behind the last block that holds anything.
        """
        self._raw.seek(offset)
        around = self._raw.read(2 * _LARGEST_BLOCK)
        for start in _occurrences(around):
            if around[start + 12 : start + 14] != b"BC" or len(around) < start + 18:
                continue
            end = start + struct.unpack_from("<H", around, start + 16)[0] + 1
            if end == len(around) or around[end : end + 4] == _BLOCK:
                return offset + start
        return None


def _occurrences(around: bytes) -> Iterator[int]:
    start = around.find(_BLOCK)
    while start >= 0:
        yield start
        start = around.find(_BLOCK, start + 1)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(18)
