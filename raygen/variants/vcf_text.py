"""The alleles of a text VCF by their first columns alone, a block of lines at a time: ten times as fast as whole records through htslib.

In: a VCF, plain, gzip or bgzip, whose header a ``VcfReader`` has read. Out: contig, position, REF and ALT, one row an ALT, and how many lines
are no records.

For lookups. What lies right of ALT is not looked at, so a record with an INFO that htslib refuses is an allele here; ``ingest``, which makes
what is scored, reads with htslib.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.variants.vcf_stream import BROKEN_GZIP, opened_text, truncated

_BLOCK = 1 << 22  # bytes: 50,000 lines of a VCF without genotypes
_NEWLINE, _RETURN, _TAB, _HASH = b"\n\r\t#"
_LAST_COLUMN = 8  # INFO, without which a line is no record
_MOST_DIGITS = 18  # of a position that fits 64 bits


class TextAlleles(NamedTuple):
    """Consecutive alleles: ``chrom`` (a dictionary), ``pos``, ``ref``, ``alt``; and the lines between them that are no records."""

    table: pa.Table
    num_malformed: int


def text_alleles(path: Path) -> Iterator[TextAlleles]:
    """All alleles of a text VCF, in file order. InputError where a packed file is broken."""
    try:
        with opened_text(path) as file:
            _skip_header(file)
            for block in _blocks_of_lines(file):
                yield _alleles_in(np.frombuffer(block, np.uint8))
    except BROKEN_GZIP as error:
        raise truncated(path, f"gzip says {str(error)!r}") from error


def _skip_header(file: IO[bytes]) -> None:
    while (line := file.readline()) and (line.startswith(b"##") or not line.strip()):
        pass


def _blocks_of_lines(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of a file, in whole lines; the last one ends in a newline, whether it has one or not."""
    rest = b""
    while chunk := file.read(_BLOCK):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    if rest:
        yield rest + b"\n"


def _alleles_in(octets: np.ndarray) -> TextAlleles:
    ends = np.flatnonzero(octets == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    is_blank = (ends == starts) | ((ends == starts + 1) & (octets[starts] == _RETURN))
    starts, ends = starts[~is_blank], ends[~is_blank]
    tabs = np.concatenate([np.flatnonzero(octets == _TAB), np.full(_LAST_COLUMN, len(octets))])
    tab = np.searchsorted(tabs, starts)  # the first one of each line
    is_record = (tabs[tab + _LAST_COLUMN - 2] < ends) & (octets[starts] != _HASH)
    num_lines, starts, tab = len(starts), starts[is_record], tab[is_record]
    pos, has_pos = _positions(octets, tabs[tab] + 1, tabs[tab + 1])
    starts, tab = starts[has_pos], tab[has_pos]
    table = pa.table(
        {
            "chrom": _texts(octets, starts, tabs[tab]).dictionary_encode(),
            "pos": pa.array(pos[has_pos]),
            "ref": _texts(octets, tabs[tab + 2] + 1, tabs[tab + 3]),
            "alt": _texts(octets, tabs[tab + 3] + 1, tabs[tab + 4]),
        }
    )
    return TextAlleles(_split_alts(table), num_lines - len(starts))


def _texts(octets: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.StringArray:
    """The texts from ``starts`` to ``ends``, half-open; bytes that are no UTF-8 are U+FFFD."""
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    letters = octets[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)]
    if letters.size and letters.max() >= 128:
        return pa.array(
            [octets[start:end].tobytes().decode("utf-8", "replace") for start, end in zip(starts, ends, strict=True)]
        )
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(letters))


def _positions(octets: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 whole numbers, and (N,) bool: which texts are one, not below 0."""
    texts = _texts(octets, starts, ends)
    is_number = pc.ascii_is_decimal(texts).to_numpy(zero_copy_only=False) & (ends - starts <= _MOST_DIGITS)
    if not is_number.all():
        texts = pc.if_else(pa.array(is_number), texts, "0")
    return texts.cast(pa.int64()).to_numpy(), is_number


def _split_alts(table: pa.Table) -> pa.Table:
    """One row an ALT."""
    alt = table["alt"].combine_chunks()
    if not pc.any(pc.match_substring(alt, ",")).as_py():
        return table
    alts = pc.split_pattern(alt, ",")
    rows = table.take(pc.list_parent_indices(alts))
    return rows.set_column(rows.schema.get_field_index("alt"), "alt", pc.list_flatten(alts))
