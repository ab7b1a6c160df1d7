"""The lines of a VCF or BCF as they are, for what must come out of it unchanged, genotypes included.

In: a path. Out: the header's lines, and one line of bytes for each record, in the order and number in which ``VcfReader`` counts
records: lines that it finds malformed are among them, blank ones are not. Text is never decoded; a BCF is written as text by
htslib.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pysam

from raygen.variants.vcf_stream import BROKEN_GZIP, as_text, opened_text, opened_variants, quiet_htslib, truncated


class VcfLines:
    """The lines of one VCF or BCF, to be read once, forwards. ``header`` has its lines without their ends.

    Raises:
        InputError: the file is no VCF or BCF.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with quiet_htslib(), opened_variants(path) as handle:
            self._is_text = handle.format == "VCF"
        self.header = self._text_header() if self._is_text else self._binary_header()

    def records(self) -> Iterator[bytes]:
        """Each record's line without its end.

        Raises:
            InputError: the file breaks off.
        """
        return self._text_records() if self._is_text else self._binary_records()

    def _text_header(self) -> list[bytes]:
        header: list[bytes] = []
        with opened_text(self._path) as lines:
            for line in self._lines(lines):
                if not line.startswith(b"#"):
                    break
                header.append(line)
                if not line.startswith(b"##"):
                    break
        return header

    def _text_records(self) -> Iterator[bytes]:
        with opened_text(self._path) as lines:
            in_header = True
            for line in self._lines(lines):
                if in_header:
                    in_header = line.startswith(b"##")
                    if line.startswith(b"#"):
                        continue
                yield line

    def _lines(self, file: IO[bytes]) -> Iterator[bytes]:
        try:
            for line in file:
                if (stripped := line.rstrip(b"\r\n")) and stripped.strip():
                    yield stripped
        except BROKEN_GZIP as error:
            raise truncated(self._path, f"gzip says {str(error)!r}") from error

    def _binary_header(self) -> list[bytes]:
        with quiet_htslib(), pysam.VariantFile(str(self._path)) as handle:
            return _bytes(handle.header).splitlines()

    def _binary_records(self) -> Iterator[bytes]:
        handle = pysam.VariantFile(str(self._path))
        try:
            for record in handle:
                yield _bytes(record).rstrip(b"\n")
        except OSError as error:
            raise truncated(self._path, "a record cannot be read") from error
        finally:
            with suppress(OSError):  # closing reports a broken block a second time
                handle.close()


def _bytes(record_or_header: Any) -> bytes:
    """Bytes that are no UTF-8 come out as they are."""
    return as_text(record_or_header, "surrogateescape").encode("utf-8", "surrogateescape")
