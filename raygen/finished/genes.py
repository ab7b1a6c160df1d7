"""Where genes lie, from a user's own BED, GFF3 or GTF, plain or compressed.

In: a file and names. Out: the stretches of each name, 1-based and both ends included. A line whose second and third columns are
numbers is BED (0-based, half-open, the name in the fourth column); one whose fourth and fifth are, GFF or GTF. There the lines of
the gene itself count where there are any; else the gene reaches from the first to the last of its lines.
"""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raygen.errors import InputError

_NAMING = re.compile(r"""(?:^|;)\s*(?:gene_name|gene|Name|gene_id|ID|locus_tag)[ =]+"?([^";]+)"?""")
_PREFIX = re.compile(r"^gene[:-]")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Stretch:
    """A part of a contig by the file's own name for it: 1-based, both ends included."""

    chrom: str
    start: int
    end: int


@dataclass(frozen=True)
class _Line:
    names: frozenset[str]
    is_gene: bool
    stretch: Stretch


def find_genes(path: str, names: Sequence[str]) -> dict[str, list[Stretch]]:
    """The stretches of contigs of each gene of ``names``, in the order of the file.

    Raises:
        InputError: there is no file ``path``, nothing in it is BED, GFF or GTF, or a name is not in it.
    """
    requested = set(names)
    lines_by_name: dict[str, list[_Line]] = {name: [] for name in names}
    num_lines = 0
    for line in _lines(path):
        num_lines += 1
        for name in requested & line.names:
            lines_by_name[name].append(line)
    if not num_lines:
        raise InputError(f"{path}: no line of it is BED, GFF3 or GTF.")
    if absent := [name for name, lines in lines_by_name.items() if not lines]:
        raise InputError(_not_there(path, absent))
    return {name: _stretches(lines) for name, lines in lines_by_name.items()}


def _stretches(lines: Sequence[_Line]) -> list[Stretch]:
    if genes := [line.stretch for line in lines if line.is_gene]:
        return genes
    contigs = dict.fromkeys(line.stretch.chrom for line in lines)
    by_contig = {chrom: [line.stretch for line in lines if line.stretch.chrom == chrom] for chrom in contigs}
    return [
        Stretch(chrom, min(part.start for part in parts), max(part.end for part in parts))
        for chrom, parts in by_contig.items()
    ]


def _lines(path: str) -> Iterator[_Line]:
    try:
        with Path(path).open("rb") as file:
            is_gzip = file.peek(2)[:2] == b"\x1f\x8b"  # a pipe can be read only once
            for line in gzip.GzipFile(fileobj=file) if is_gzip else file:
                if (parsed := _parsed(line.decode(errors="replace"))) is not None:
                    yield parsed
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _parsed(line: str) -> _Line | None:
    columns = line.rstrip("\r\n").split("\t")
    if line.startswith("#") or len(columns) < 4:
        return None
    if columns[1].isdecimal() and columns[2].isdecimal():
        stretch = Stretch(columns[0], int(columns[1]) + 1, int(columns[2]))
        return _Line(frozenset([columns[3].strip()]), True, stretch)
    if len(columns) < 9 or not (columns[3].isdecimal() and columns[4].isdecimal()):
        return None
    names = {name.strip() for name in _NAMING.findall(columns[8])}
    names |= {_PREFIX.sub("", name) for name in names}
    return _Line(frozenset(names), columns[2].endswith("gene"), Stretch(columns[0], int(columns[3]), int(columns[4])))


def _not_there(path: str, absent: Sequence[str]) -> str:
    all_names = {name for line in _lines(path) for name in line.names}
    close = [near for name in absent for near in difflib.get_close_matches(name, all_names, 3)]
    hint = f" Did you mean {', '.join(close[:_MOST_NAMED])}?" if close else ""
    return f"{path} has no gene {', '.join(absent)} among its {len(all_names):,} names.{hint}"
