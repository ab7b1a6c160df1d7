"""Why htslib takes a file for no VCF, in words: it refuses a header that is nearly one, and says no more than that it is invalid.

In: a file that htslib refused. Out: what is wrong with it and what to do; nothing where no cause is seen. Samples are named by their
columns, since their names belong into no log.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
_FIRST = "##fileformat=VCF"
_LARGEST_HEADER = 64 * 2**20  # bytes looked at
_LONGEST_SHOWN = 40
_OTHER_KINDS = {
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd; unpack it, or pack it with bgzip",
    b"\xfd7zXZ": "it is compressed with xz; unpack it, or pack it with bgzip",
    b"BZh": "it is compressed with bzip2; unpack it, or pack it with bgzip",
    b"PK\x03\x04": "it is a zip archive; unpack it",
    b"\xff\xfe": "it is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "it is UTF-16 text; save it as UTF-8",
    b"\xef\xbb\xbf": "its first 3 bytes are a byte order mark; save it as UTF-8 without one",
}


def header_fault(path: Path) -> str | None:
    """What is wrong with a file's header, as the end of a sentence; None where no cause is seen."""
    head = _head(path)
    for first_bytes, fault in _OTHER_KINDS.items():
        if head.startswith(first_bytes):
            return fault
    lines = head.decode("utf-8", "replace").split("\n")
    return _first_line_fault(lines) or next(_column_faults(lines), None)


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked where it is gzip."""
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as unpacked:
            return bytes(unpacked.read(_LARGEST_HEADER))
    except (OSError, EOFError, zlib.error):
        return b""


def _first_line_fault(lines: Sequence[str]) -> str | None:
    if lines[0].startswith(_FIRST):
        return "its lines end with CR alone; end them with LF" if "\r#" in lines[0] else None
    number = next((number for number, line in enumerate(lines, 1) if line.strip().startswith(_FIRST)), None)
    if number == 1:
        return "a blank stands before ##fileformat; remove it"
    if number:
        return f"##fileformat is in line {number:,}; make it the first"
    if lines[0].startswith(("##", "#CHROM")):
        return "its first line is not ##fileformat=VCFv4.2 or another version; add that line"
    return None


def _column_faults(lines: Sequence[str]) -> Iterator[str]:
    number = next((number for number, line in enumerate(lines, 1) if not line.startswith("##") and line.strip()), 0)
    line = lines[number - 1].rstrip("\r") if number else ""
    if not lines[0].startswith(_FIRST):
        return
    if not line.startswith("#CHROM"):
        yield f"after the lines that begin with ## there is no line with {' '.join(_COLUMNS)}, separated by tabs"
        return
    where = f"line {number:,}, #CHROM,"
    names = line.split("\t")
    if len(names) == 1:
        yield f"{where} has blanks instead of tabs"
    for column, (name, expected) in enumerate(zip(names, _COLUMNS, strict=False), 1):
        if name != expected:
            yield f"column {column} of {where} is {name[:_LONGEST_SHOWN]!r}, not {expected!r}"
    if len(names) < len(_COLUMNS):
        yield f"{where} has {len(names)} columns and lacks {', '.join(_COLUMNS[len(names) :])}"
    if "" in names:
        yield f"column {names.index('') + 1} of {where} has no name; remove the tab"
    if len(names) > len(_COLUMNS) and names[8] != "FORMAT":
        yield f"column 9 of {where} is not FORMAT"
    if len(names) == len(_COLUMNS) + 1:
        yield f"{where} has FORMAT and no samples, as vcfanno 0.3.5 writes it; remove FORMAT"
    column_of: dict[str, int] = {}
    for column, name in enumerate(names[len(_COLUMNS) + 1 :], len(_COLUMNS) + 2):
        if column_of.setdefault(name, column) != column:
            yield f"columns {column_of[name]} and {column} of {where} name the same sample; rename one"
