"""Alleles out of PLINK's tables of variants, ``.pvar`` and ``.bim``, plain or packed with zstd or gzip.

In: a path. Out: ``AlleleBatch``es, one row an ALT, as for a VCF without samples; genotypes are in another file, which is not looked at. The rules
are those of the PGEN specification (chrchang/plink-ng, pgen_spec.tex): lines ``##`` as in a VCF, then ``#CHROM`` with the names of the columns
in any order, or no header and six columns ``CHROM ID CM POS ALT REF`` or five without CM, as in a ``.bim``; columns are parted by runs of tabs
and spaces. In a ``.pvar`` REF is the reference's allele, but for records with the INFO flag PR, whose REF is provisional. So is that of all
records of a ``.bim`` (columns ``CHROM ID CM POS A1 A2``): PLINK 1 put the more frequent allele there, so A2 is REF only where the reference has it.

QUAL, FILTER and the INFO keys that the header declares can be carried along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pysam

from raygen.errors import InputError
from raygen.number_of import number_of
from raygen.variants.alleles import AlleleBatch
from raygen.variants.site_rows import site_batch
from raygen.variants.text_table import Layout, TextRows, blocks_of_lines, rows_of, unpacked
from raygen.variants.vcf import InfoColumn, info_columns
from raygen.variants.vcf_stream import quiet_htslib

_COLUMNS = ("CHROM", "POS", "ID", "REF", "ALT")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PROVISIONAL = "PR"
_WITHOUT_HEADER = {6: ("CHROM", "ID", "CM", "POS", "ALT", "REF"), 5: ("CHROM", "ID", "POS", "ALT", "REF")}


class PvarReader:
    """One ``.pvar`` or ``.bim`` file. Opening it reads the header.

    Raises:
        InputError: it is no such file, or lacks a column.
    """

    def __init__(self, path: Path, name: str, *, is_bim: bool = False) -> None:
        self.kind = ".bim" if is_bim else ".pvar"
        self.name, self.path = name, path
        self.remarks: Sequence[str] = ()
        with unpacked(path) as stream:
            lines, first = _header(stream)
        self._layout, self.has_header = _layout(path, lines, first)
        self._declared = _declared_columns(lines)
        self._is_bim = is_bim and not self.has_header
        self._has_marks = "INFO" in self._layout.columns and _PROVISIONAL in self._declared
        self.has_provisional_ref = self._is_bim or self._has_marks
        self.contig_lengths: Mapping[str, int] = _contig_lengths(lines)

    @property
    def recognised(self) -> str:
        """What kind of file it is, and how its columns are taken, in words."""
        names = " ".join(self._layout.columns)
        header = f"a header, {names}" if self.has_header else f"no header, {len(self._layout.columns)} columns, {names}"
        decided = "; which allele is REF is decided by the reference" if self._is_bim else ""
        marked = (
            f"; of records with the INFO flag {_PROVISIONAL} the reference decides which allele is REF"
            if self._has_marks
            else ""
        )
        return f"PLINK's table of variants ({self.kind}) with {header}{decided}{marked}"

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """QUAL, FILTER and the declared INFO keys, where the file has these columns."""
        return {
            name: column.type for name, column in self._declared.items() if _stored_in(column) in self._layout.columns
        }

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All alleles in file order. InputError where the file breaks off."""
        carried = [_Carried(self._declared[name]) for name in source_columns if name in self.columns]
        wanted = list(
            dict.fromkeys([*_COLUMNS, *(column.stored_in for column in carried), *["INFO"] * self._has_marks])
        )
        needed = f"{len(self._layout.columns)}, parted by tabs or spaces"
        with unpacked(self.path) as stream:
            _, first = _header(stream)
            blocks = blocks_of_lines(stream)
            body = blocks if self.has_header or not first else chain([first], blocks)
            for rows in rows_of(body, self._layout, wanted):
                yield site_batch(
                    _named_as_sites(rows),
                    {column.name: column.of(rows) for column in carried},
                    needed=needed,
                    is_provisional=self._is_provisional(rows),
                )
        self.remarks = [text for column in carried if (text := column.remark(self.name))]

    def _is_provisional(self, rows: TextRows) -> np.ndarray | None:
        if self._is_bim:
            return np.ones(len(rows.record), bool)
        if not self._has_marks:
            return None
        marked = pc.match_substring_regex(rows.columns["INFO"], f"(^|;){_PROVISIONAL}(;|$)")
        return np.asarray(marked.to_numpy())


def _header(stream: IO[bytes]) -> tuple[list[str], bytes]:
    """The lines ``##`` of a stream, and the line after them, with its end."""
    lines: list[str] = []
    while line := stream.readline():
        line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.startswith(b"##"):
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
        elif line.strip():
            return lines, line
    return lines, b""


def _layout(path: Path, lines: Sequence[str], first: bytes) -> tuple[Layout, bool]:
    """How the columns lie, and whether a header names them."""
    names = first.decode("utf-8", "replace").split()
    if not names:
        raise InputError(f"{path} has no variants, and no header that names columns.")
    if not names[0].startswith("#"):
        if lines or len(names) not in _WITHOUT_HEADER:
            raise InputError(
                f"{path} is no .pvar: {'after ## lines' if lines else 'without a header'} its first line has {number_of(len(names), 'column')}. "
                "#CHROM POS ID REF ALT names columns; without it there are six (CHROM ID CM POS ALT REF) or five (without CM)."
            )
        return Layout(_WITHOUT_HEADER[len(names)], " "), False
    names[0] = names[0].removeprefix("#")
    missing = [name for name in _COLUMNS if name not in names]
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if missing or repeated:
        faults = [f"has no column {', '.join(missing)}"] * bool(missing) + [
            f"names {', '.join(repeated)} twice"
        ] * bool(repeated)
        raise InputError(f"{path}: the header #{' '.join(names)[:80]} {' and '.join(faults)}.")
    return Layout(tuple(names), " "), True


def _named_as_sites(rows: TextRows) -> TextRows:
    table = rows.columns.rename_columns(
        [name.lower() if name in _COLUMNS else name for name in rows.columns.column_names]
    )
    return replace(rows, columns=table)


def _declared_columns(lines: Sequence[str]) -> dict[str, InfoColumn]:
    header = pysam.VariantHeader()
    with quiet_htslib():
        for line in lines:
            if line.startswith("##INFO="):
                header.add_line(line)
        return info_columns(header)


def _contig_lengths(lines: Sequence[str]) -> dict[str, int]:
    contigs = (re.match(r"##contig=<(?:.*,)?ID=([^,>]+).*?[,<]length=(\d+)[,>]", line) for line in lines)
    return {match[1]: int(match[2]) for match in contigs if match}


def _stored_in(column: InfoColumn) -> str:
    return column.name if column.name in ("QUAL", "FILTER") else "INFO"


class _Carried:
    """A column that rides along, read off the text of QUAL, FILTER or INFO."""

    def __init__(self, column: InfoColumn) -> None:
        self.name, self.stored_in = column.name, _stored_in(column)
        self._column = column
        self._numbers = column.text_numbers() if column.number_type else None
        self._pattern = re.compile(rf"(?:^|;){re.escape(column.name)}(?:=([^;]*))?(?=;|$)")

    def of(self, rows: TextRows) -> pa.Array:
        """A list for each row, of a value for each allele."""
        texts, alts = rows.columns[self.stored_in].to_pylist(), rows.columns["ALT"].to_pylist()
        values = [
            self._values(text, alt.count(",") + 1, record)
            for text, alt, record in zip(texts, alts, rows.record.tolist(), strict=True)
        ]
        return pa.array(values, pa.list_(self._column.type))

    def _values(self, text: str, num_alts: int, record: int) -> Sequence[Any]:
        if self._numbers:
            return self._numbers.values([b""] * 5 + [text.encode()] * 3, num_alts, record)
        if self.name == "FILTER":
            return [None if text in ("", ".") else text] * num_alts
        match = self._pattern.search(text)
        if pa.types.is_boolean(self._column.type):
            return [match is not None] * num_alts
        value = match[1] if match else None
        if value in (None, "", "."):
            return [None] * num_alts
        if self._column.number not in ("A", "R"):
            return [value] * num_alts
        parts = value.split(",")
        skipped = 1 if self._column.number == "R" else 0
        if len(parts) != num_alts + skipped:
            return [None] * num_alts
        return [None if part in ("", ".") else part for part in parts[skipped:]]

    def remark(self, name: str) -> str | None:
        """A sentence about values that became null; None where there are none."""
        return self._numbers.remark(name) if self._numbers else None
