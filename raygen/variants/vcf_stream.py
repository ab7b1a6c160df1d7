"""Bytes into htslib, and lines out beside it.

htslib reads VCF, bgzip and BCF itself. Two things it does not do are done here: plain gzip (pysam 0.24 wants to seek in it and
cannot) is unpacked by a thread into a pipe; and ``BodyLines`` reads text beside htslib, of lines that it refused and of numbers.
"""

from __future__ import annotations

import gzip
import io
import os
import select
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pysam
from pysam.libcutils import get_encoding_error_handler, set_encoding_error_handler

from raygen.errors import InputError
from raygen.variants.vcf_header_faults import header_fault

_GZIP_MAGIC = b"\x1f\x8b"
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
_PIPE_CHUNK = 1 << 18
_NUM_COLUMNS = 8  # of a record, before FORMAT and genotypes


@contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib from writing warnings to stderr; what matters of them is said in rejects and errors."""
    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def as_text(record_or_header: Any, errors: str = "replace") -> str:
    """A pysam record or header as the text of a VCF, whatever bytes are in it.

    Args:
        errors: what becomes of bytes that are no UTF-8: ``replace``, or ``surrogateescape`` where they are to be written again.
    """
    before = get_encoding_error_handler()
    set_encoding_error_handler(errors)
    try:
        return str(record_or_header)
    finally:
        set_encoding_error_handler(before)


@contextmanager
def opened_variants(path: Path) -> Iterator[Any]:
    """A ``pysam.VariantFile`` without samples. InputError, in words, where ``path`` is no VCF or BCF or turns out to break off."""
    _check_readable(path)
    if not _is_plain_gzip(path):
        with _closing(_open_with_htslib(path, str(path))) as handle:
            yield handle
        return
    with _gunzipped(path) as pipe, _closing(_open_with_htslib(path, pipe)) as handle:
        yield handle


@contextmanager
def _closing(handle: Any) -> Iterator[Any]:
    try:
        yield handle
    finally:
        with suppress(OSError):  # closing reports a broken block a second time
            handle.close()


def _open_with_htslib(path: Path, source: str | IO[bytes]) -> Any:
    try:
        return pysam.VariantFile(source, drop_samples=True)
    except (OSError, ValueError, TypeError) as error:  # TypeError: pysam fails to name a pipe in its own OSError
        if "EOF marker" in str(error):
            raise truncated(path, "its end-of-file block is missing") from error
        fault = header_fault(path)
        why = f"{fault}." if fault else "no valid header in it. Is it another kind of file, or only part of one?"
        raise InputError(f"{path} cannot be read as VCF or BCF: {why}") from error


def truncated(path: Path, why: str) -> InputError:
    """The error for a file that stops before its end."""
    return InputError(f"{path} is truncated or corrupt: {why}. Copy or download it again.")


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes): not even a VCF header.")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _is_plain_gzip(path: Path) -> bool:
    """gzip without bgzip's extra field, whose first subfield is named ``BC``."""
    with path.open("rb") as file:
        head = file.read(14)
    return head[:2] == _GZIP_MAGIC and not (head[3:4] == b"\x04" and head[12:14] == b"BC")


@contextmanager
def _gunzipped(path: Path) -> Iterator[IO[bytes]]:
    """A pipe that a thread fills with what is in a gzip file. InputError at the end where the file was not whole."""
    faults: list[Exception] = []
    stop = threading.Event()
    read_end, write_end = os.pipe()
    thread = threading.Thread(target=_pump, args=(path, write_end, stop, faults), daemon=True)
    thread.start()
    try:
        with os.fdopen(read_end, "rb") as reader:
            yield reader
    finally:
        stop.set()
        thread.join()
        if faults:
            raise truncated(path, f"gzip says {str(faults[0])!r}") from faults[0]


def _pump(path: Path, write_end: int, stop: threading.Event, faults: list[Exception]) -> None:
    """Unpack a gzip file into a pipe. A write never blocks for long: pysam keeps its copy of the other end when it
    refuses a file, so a broken pipe may never show.
    """
    os.set_blocking(write_end, False)
    with os.fdopen(write_end, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        try:
            with gzip.open(path, "rb") as file:
                while chunk := memoryview(file.read(_PIPE_CHUNK)):
                    while chunk and not stop.is_set():
                        _, is_writable, _ = select.select([], [pipe], [], 0.1)
                        chunk = chunk[pipe.write(chunk) or 0 :] if is_writable else chunk
                    if stop.is_set():
                        return
        except BrokenPipeError:
            raise
        except (OSError, *BROKEN_GZIP) as error:
            faults.append(error)


def opened_text(path: Path) -> IO[bytes]:
    """The bytes of a VCF, unpacked. bgzip is unpacked by htslib, in half of the time that Python's gzip takes.

    Where a packed file is broken, reading raises one of ``BROKEN_GZIP``.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
    if not is_gzip:
        return path.open("rb")
    if _is_plain_gzip(path):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return io.BufferedReader(_Bgzip(path), _PIPE_CHUNK)


class _Bgzip(io.RawIOBase):
    """pysam's ``BGZFile`` as a stream; its own ``readline`` gives the same for a blank line and for the end."""

    def __init__(self, path: Path) -> None:
        self._file = pysam.BGZFile(str(path), "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            with quiet_htslib():
                content = self._file.read(len(buffer))
        except OSError as error:
            raise gzip.BadGzipFile(str(error)) from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        with suppress(OSError), quiet_htslib():  # closing reports a broken block a second time
            self._file.close()
        super().close()


class BodyLines:
    """The lines after a text VCF's header, by number from 1, read forwards only and not before they are asked for.

    The same line may be asked for again, not one before it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._last = b""
        self._file: IO[bytes] | None = None

    def line(self, number: int) -> str | None:
        """Line ``number`` of the body without its end; None past the last one. Numbers must rise from call to call."""
        text = self._bytes(number)
        return text.decode("utf-8", errors="replace").rstrip("\r\n") if text else None

    def columns(self, number: int) -> list[bytes]:
        """The first eight columns of line ``number``, of a record; genotypes are not looked at."""
        return self._bytes(number).rstrip(b"\r\n").split(b"\t", _NUM_COLUMNS)[:_NUM_COLUMNS]

    def _bytes(self, number: int) -> bytes:
        """Line ``number`` with its end; nothing past the last one."""
        while self._number < number:
            self._last = self._next_line()
            if not self._last:
                break
            self._number += 1
        return self._last

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _next_line(self) -> bytes:
        try:
            if self._file is None:
                self._file = self._at_body()
            return self._file.readline()
        except BROKEN_GZIP as error:
            raise truncated(self._path, f"gzip says {str(error)!r}") from error

    def _at_body(self) -> IO[bytes]:
        lines = opened_text(self._path)
        while (head := lines.readline()) and (head.startswith(b"##") or not head.strip()):
            pass
        return lines
