"""A FASTA from its first byte to its last: each sequence's name and bases.

No index is read on the way. One that lies beside the file may be of another FASTA however new it is, because copies reset
dates, and it would give shifted bases without a word. Reading all of a FASTA needs none.

What a reader could take in two ways is refused: a name that comes twice, a sequence without bases, lines of several lengths
within one sequence (a base went missing, say) and bytes that stand for no base.

Nothing in a plain FASTA says that it is whole. An index beside it can: where the file is the beginning of what the index
describes, it was cut short.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from raygen.errors import InputError

_GZIP = b"\x1f\x8b"
_BGZIP_FIELD = b"BC"  # bytes 12 and 13 of a block
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # SAM specification, 4.1.2
_BLOCK = 1 << 24
_WHITE_SPACE = b" \t\r\n\v\f"
_LETTERS = b"ACGTURYSWKMBDHVNX"  # IUPAC's nucleotides, and the X of masked genomes
_UPPER = bytes(range(256)).upper()


@dataclass(frozen=True)
class FastaSequence:
    """One sequence: upper-case ``bases``; ``offset`` is where they start in the unpacked file, as an index says it."""

    name: str
    bases: bytearray
    offset: int


def read_fasta(fasta: Path) -> Iterator[FastaSequence]:
    """The sequences of a FASTA, plain, gzip or bgzip, in file order.

    Raises:
        InputError: the file breaks off, or it is not clear which bases a sequence has.
    """
    names: set[str] = set()
    for offset, record in _records(fasta):
        if not record.startswith(b">"):  # what comes before the first name
            if record.strip():
                raise InputError(f"The reference {fasta} is no FASTA: it does not begin with '>'.")
            continue
        header = record[: record.find(b"\n") + 1 or len(record)]
        name = _name(header, fasta)
        if name in names:
            raise InputError(f"{fasta} has two sequences of the name {name}. Each needs a name of its own.")
        names.add(name)
        del record[: len(header)]
        yield FastaSequence(name, _bases(record, name, fasta), offset + len(header))


def refuse_cut_short(fasta: Path, lengths: Sequence[tuple[str, int, int]]) -> None:
    """Refuse a FASTA that is only the beginning of what the index beside it describes.

    Args:
        lengths: name, length and offset of each sequence in the file.

    Raises:
        InputError: the file ends before its index says.
    """
    index = _index_rows(Path(f"{fasta}.fai"))
    last = len(lengths) - 1
    if len(index) <= last or list(lengths[:last]) != index[:last]:
        return  # of another FASTA, or of nothing
    name, length, offset = lengths[last]
    indexed_name, indexed_length, indexed_offset = index[last]
    if (name, offset) != (indexed_name, indexed_offset) or length > indexed_length:
        return
    if length < indexed_length:
        fault = f"{name} has {length:,} bases, but {indexed_length:,} by the index"
    elif len(index) > len(lengths) and _is_fresh(fasta):  # an older index may be of a FASTA with more sequences
        fault = f"it ends with {name}, and by the index {index[last + 1][0]} follows"
    else:
        return
    raise InputError(
        f"{fasta} is shorter than its index {fasta.name}.fai says: {fault}. Copy the FASTA again; if it is whole, delete the index."
    )


def _records(fasta: Path) -> Iterator[tuple[int, bytearray]]:
    """(offset, bytes) of each record, from its ``>`` to the end of its last line; what comes before the first, too."""
    record = bytearray()
    offset = 0
    for block in _blocks(fasta):
        searched = max(len(record) - 1, 0)
        record += block
        while (line_end := record.find(b"\n>", searched)) >= 0:
            finished = record[: line_end + 1]
            del record[: line_end + 1]
            yield offset, finished
            offset += line_end + 1
            searched = 0
    yield offset, record


def is_packed(fasta: Path) -> bool:
    """Whether a file is compressed with gzip, or with bgzip, which is gzip in blocks."""
    with fasta.open("rb") as file:
        return file.read(2) == _GZIP


def _blocks(fasta: Path) -> Iterator[bytes]:
    is_gzip = is_packed(fasta)
    with fasta.open("rb") as packed:
        if is_gzip and packed.read(14)[12:] == _BGZIP_FIELD:
            packed.seek(-min(len(_BGZIP_END), fasta.stat().st_size), 2)
            if packed.read() != _BGZIP_END:
                raise _broken(fasta, "the empty block with which bgzip ends a file is missing")
        packed.seek(0)
        file: IO[bytes] = gzip.GzipFile(fileobj=packed) if is_gzip else packed  # type: ignore[assignment]
        try:
            while block := file.read(_BLOCK):
                yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _broken(fasta, f"gzip says {str(error)!r}") from error


def _broken(fasta: Path, fault: str) -> InputError:
    return InputError(f"{fasta} is truncated or corrupt: {fault}. Copy or download it again.")


def _name(header: bytearray, fasta: Path) -> str:
    """The first word of a header line."""
    words = header[1:].split(None, 1)
    if not words:
        raise InputError(f"{fasta} has a sequence without a name. Each needs a name of its own.")
    try:
        return words[0].decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{fasta} has a sequence whose name is no UTF-8: {bytes(words[0])!r}.") from error


def _bases(lines: bytearray, name: str, fasta: Path) -> bytearray:
    """The bases in the lines of a sequence; white space at the end of ``lines`` is taken away."""
    while lines[-1:].isspace():
        del lines[-1]
    odd_line = _odd_line(lines)
    bases = lines.translate(_UPPER, _WHITE_SPACE)
    if not bases:
        raise InputError(f"{fasta} has no bases of {name}. Is the file whole? Each sequence needs bases.")
    if other := bases.translate(None, _LETTERS):
        position = bases.index(other[:1]) + 1
        shown = ascii(other[:1].decode("latin-1"))
        raise InputError(
            f"{fasta} holds {shown} at {name}:{position:,}, a byte that stands for no base. Is the file whole?"
        )
    if odd_line:
        raise InputError(
            f"{fasta}: line {odd_line:,} of {name} has another length than the first, so bases may be missing. A sequence "
            "needs lines of one length but for the last."
        )
    return bases


def _odd_line(lines: bytearray) -> int | None:
    """The number, from 1, of the first line that is longer or shorter than a sequence's lines may be; None if there is none."""
    ends = np.append(np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n")), len(lines))
    lengths = np.diff(ends, prepend=-1)
    if lines[ends[0] - 1 : ends[0]] == b"\r":
        lengths[-1] += 1  # its own line end is not there
    is_odd = lengths != lengths[0]
    is_odd[-1] = lengths[-1] > lengths[0]
    return int(np.argmax(is_odd)) + 1 if is_odd.any() else None


def _is_fresh(fasta: Path) -> bool:
    return Path(f"{fasta}.fai").stat().st_mtime_ns >= fasta.stat().st_mtime_ns


def _index_rows(index: Path) -> list[tuple[str, int, int]]:
    """Name, length and offset of each sequence as a ``.fai`` has them; nothing where it cannot be read."""
    try:
        rows = [line.split("\t") for line in index.read_text(encoding="utf-8").splitlines()]
        return [(row[0], int(row[1]), int(row[2])) for row in rows]
    except (OSError, ValueError, IndexError):
        return []
