"""Alleles out of a VCF (text, gzip, bgzip) or BCF.

In: a path. Out: ``AlleleBatch``es, one row per ALT. Genotypes are never read. htslib parses; what it refuses is one row with a
``fault`` and reading goes on with the next line. htslib gives one answer for each line after the header, so the n-th answer is the
n-th line, and a refused line can be read again as text. Records are numbered from 1; blank lines are no records.

A contig that the header does not declare is no fault: the reference says which contigs there are.

Columns that ride along from a VCF to the table: QUAL, FILTER and INFO keys, typed by the header.

    Number=A       the allele's own value            Integer  int64
    Number=R       the allele's own value            Float    float64
    Number=1       the value                         String   string
    Flag           true or false                     Flag     bool
    anything else  one string, joined by commas

Numbers of a text VCF are read from the text (``vcf_numbers``). Floats of a BCF are float32; they become the float64 that reads the
same (0.1 stays 0.1). A value that does not have as many parts as the header promises is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raygen.variants.alleles import BATCH_ROWS, NOT_UTF8, RAW_ALLELES, SOURCE_PREFIX, AlleleBatch
from raygen.variants.normalise import REFERENCE_ALTS, span_from_info
from raygen.variants.vcf_numbers import TextNumbers, whole_number
from raygen.variants.vcf_stream import BodyLines, as_text, opened_variants, quiet_htslib, truncated

_LARGEST_POS = 2**63 - 1


class VcfReader:
    """One VCF or BCF file. Opening it reads the header; InputError where there is none."""

    kind = "VCF"
    has_provisional_ref = False

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.remarks: Sequence[str] = ()
        self.path = path
        with quiet_htslib(), opened_variants(path) as handle:
            self.is_text = handle.format == "VCF"
            self._about = _about(handle.header)
            self.is_gvcf = self._about.is_gvcf
            self._columns: dict[str, InfoColumn] = info_columns(handle.header)
            self.contig_lengths: Mapping[str, int] = {
                name: handle.header.contigs[name].length
                for name in _names(handle.header, "contig")
                if handle.header.contigs[name].length
            }

    @property
    def recognised(self) -> str:
        """What kind of file it is, in words."""
        blocks = ", whose blocks are counted and not kept" if self.is_gvcf else ""
        return f"{'VCF' if self.is_text else 'BCF'}{blocks}"

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """QUAL, FILTER and the INFO keys of the header, with the types they become."""
        return {name: column.type for name, column in self._columns.items()}

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All alleles in file order. InputError where the file is truncated or corrupt."""
        columns = [self._columns[name] for name in source_columns if name in self._columns]
        numbers = {column.name: column.text_numbers() for column in columns if self.is_text and column.number_type}
        rows = _Rows(columns, numbers, self._about)
        lines = BodyLines(self.path)
        with quiet_htslib(), opened_variants(self.path) as handle:
            try:
                for line_number, record in _answers(handle):
                    fields = lines.columns(line_number) if numbers and record is not None else ()
                    if record is None or not rows.add_record(record, fields):
                        self._add_refused(rows, lines, line_number, record)
                    if len(rows.chrom) >= BATCH_ROWS:
                        yield rows.take_batch()
            finally:
                lines.close()
        yield rows.take_batch()
        self.remarks = [text for column in numbers.values() if (text := column.remark(self.name))]

    def _add_refused(self, rows: _Rows, lines: BodyLines, line_number: int, record: Any) -> None:
        if not self.is_text:
            if record is not None:  # it is whole; only its text is no UTF-8
                rows.add_malformed(as_text(record).rstrip("\n"))
                return
            raise truncated(self.path, f"record {rows.record + 1:,} cannot be read")
        line = lines.line(line_number)
        if line is None:
            raise truncated(self.path, f"it breaks off after record {rows.record:,}")
        if line.strip():
            rows.add_malformed(line)


def _answers(handle: Any) -> Iterator[tuple[int, Any]]:
    """(line number in the body, record or None where htslib refused the line), to the end of the file."""
    number = 0
    while True:
        number += 1
        try:
            record = next(handle)
        except StopIteration:
            return
        except OSError:
            record = None
        yield number, record


@dataclass(frozen=True)
class _About:
    """What a header says of how its records are to be read.

    ``svlen_holds``: SVLEN goes before END. ``is_gvcf``: a record without ALT says that there is no variant.
    """

    svlen_holds: bool
    is_gvcf: bool


class _Rows:
    """The columns of alleles being filled, until ``take_batch`` empties them."""

    def __init__(self, columns: Sequence[InfoColumn], numbers: Mapping[str, TextNumbers], about: _About) -> None:
        self.record = 0
        self._columns, self._numbers = columns, numbers
        self._about = about
        self._start()

    def _start(self) -> None:
        self.first_record = self.record
        self.chrom: list[str | None] = []
        self.pos: list[int | None] = []
        self.id: list[str | None] = []
        self.ref: list[str | None] = []
        self.alt: list[str | None] = []
        self.number: list[int] = []
        self.span: dict[int, int | None] = {}
        self.fault: dict[int, str] = {}
        self.values: list[list[Any]] = [[] for _ in self._columns]

    def add_record(self, record: Any, fields: Sequence[bytes]) -> bool:
        """Add a record: one row per ALT, or one row without ALT. False, and no row, where its text is not UTF-8.

        Args:
            fields: the first eight columns of its line, where numbers are read from them.
        """
        try:
            chrom, pos, name, ref, alts = record.chrom, record.pos, record.id, record.ref, record.alts
            carried = [self._values(column, record, fields, len(alts or (None,))) for column in self._columns]
        except UnicodeDecodeError:
            return False
        self.record += 1
        for allele, alt in enumerate(alts or (None,)):
            if alt is None and (self._about.is_gvcf or record.rlen > len(ref or "")):
                self.span[len(self.chrom)] = record.rlen - 1
            elif alt and alt[0] == "<" and alt not in REFERENCE_ALTS:
                self.span[len(self.chrom)] = span_from_info(
                    _info_text(record), pos, allele, len(alts), svlen_holds=self._about.svlen_holds
                )
            self._add_row(chrom, pos, name, ref, alt)
        for values, record_values in zip(self.values, carried, strict=True):
            values.extend(record_values)
        return True

    def _values(self, column: InfoColumn, record: Any, fields: Sequence[bytes], num_alts: int) -> Sequence[Any]:
        if numbers := self._numbers.get(column.name):
            return numbers.values(fields, num_alts, self.record + 1)
        return column.values(record, num_alts)

    def add_malformed(self, line: str) -> None:
        """Add one row with what can be made out of a line that is no record."""
        self.record += 1
        fields = line.split("\t")
        chrom, pos_text, name, ref, alt = [field or None for field in (fields + [""] * 5)[:5]]
        pos = _position(pos_text)
        self.fault[len(self.chrom)] = _what_is_wrong(line, fields, pos)
        self._add_row(chrom, pos, None if name == "." else name, ref, alt)
        for values in self.values:
            values.append(None)

    def _add_row(self, chrom: str | None, pos: int | None, name: str | None, ref: str | None, alt: str | None) -> None:
        self.chrom.append(chrom)
        self.pos.append(pos)
        self.id.append(name)
        self.ref.append(ref)
        self.alt.append(alt)
        self.number.append(self.record)

    def take_batch(self) -> AlleleBatch:
        """The alleles added since the last call, as a batch."""
        size = len(self.chrom)
        columns = [self.chrom, self.pos, self.id, self.ref, self.alt, self.number]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW_ALLELES, strict=False)]
        arrays.append(_sparse(self.span, size, pa.int64()))
        arrays.append(_sparse(self.fault, size, pa.string()))
        table = pa.table(arrays, schema=RAW_ALLELES)
        for column, values in zip(self._columns, self.values, strict=True):
            table = table.append_column(SOURCE_PREFIX + column.name, pa.array(values, column.type))
        batch = AlleleBatch(table, self.record - self.first_record)
        self._start()
        return batch


def _sparse(values: Mapping[int, Any], size: int, arrow_type: pa.DataType) -> pa.Array:
    if not values:
        return pa.nulls(size, arrow_type)
    return pa.array([values.get(row) for row in range(size)], arrow_type)


def _position(text: str | None) -> int | None:
    try:
        pos = int(text or "")
    except ValueError:
        return None
    return pos if abs(pos) <= _LARGEST_POS else None


def _what_is_wrong(line: str, fields: Sequence[str], pos: int | None) -> str:
    if line.startswith("#"):
        return "a line that starts with '#' among the records"
    if len(fields) < 8:
        return f"{len(fields)} tab-separated columns, a VCF record has at least 8"
    if pos is None:
        return f"POS is {fields[1][:40]!r}, not a whole number"
    if pos < 0:
        return f"POS is {pos}, below 0"
    if "\ufffd" in line:
        return NOT_UTF8
    return "htslib cannot parse this record"


_TYPES = {"Integer": pa.int64(), "Float": pa.float64(), "String": pa.string(), "Character": pa.string()}


@dataclass(frozen=True)
class InfoColumn:
    """One column that rides along from a VCF: where its values come from, and their type. ``number`` is the header's
    Number, or ``QUAL`` or ``FILTER``.
    """

    name: str
    number: str | int
    type: pa.DataType
    number_type: str | None = None
    """``Integer`` or ``Float``, as the header has it; None for what is no number."""

    def text_numbers(self) -> TextNumbers:
        """A reader of the column's numbers out of text."""
        return TextNumbers(self.name, self.number, self.type, self.number_type or "")

    def values(self, record: Any, num_alts: int) -> Sequence[Any]:
        """One value for each of the record's ``num_alts`` alleles."""
        if self.number == "QUAL":
            return [_exact(record.qual)] * num_alts
        if self.number == "FILTER":
            return [";".join(record.filter) or None] * num_alts
        value = _info_value(record, self.name)
        if value is None or self.number == 0:
            return [value] * num_alts
        if self.number in ("A", "R"):
            skipped = 1 if self.number == "R" else 0
            is_whole = isinstance(value, tuple) and len(value) == num_alts + skipped
            return [_exact(part) for part in value[skipped:]] if is_whole else [None] * num_alts
        if self.number == 1 and not isinstance(value, tuple):
            return [_exact(value)] * num_alts
        if not pa.types.is_string(self.type):
            return [None] * num_alts
        return [_joined(value)] * num_alts


def info_columns(header: Any) -> dict[str, InfoColumn]:
    """The columns that a VCF header offers, by name."""
    columns = {
        "QUAL": InfoColumn("QUAL", "QUAL", pa.float64(), "Float"),
        "FILTER": InfoColumn("FILTER", "FILTER", pa.string()),
    }
    for name in _names(header, "INFO"):
        entry = header.info[name]
        columns.setdefault(name, InfoColumn(name, entry.number, _arrow_type(entry), _number_type(entry)))
    return columns


def _about(header: Any) -> _About:
    return _About(svlen_holds=_version(header) >= (4, 4), is_gvcf=_is_gvcf(header))


def _is_gvcf(header: Any) -> bool:
    """GATK declares its bands, it and bcftools their ALT for any other allele, Illumina's callers their blocks."""
    for record in header.records:
        with suppress(UnicodeDecodeError, KeyError):
            if record.key.startswith("GVCFBlock"):
                return True
            if record.key == "ALT" and f"<{record['ID']}>" in REFERENCE_ALTS:
                return True
            if record.key == "INFO" and record["ID"].startswith("BLOCKAVG"):
                return True
    return False


def _version(header: Any) -> tuple[int, ...]:
    """(4, 2) of ``##fileformat=VCFv4.2``; () where it is written in another way."""
    match = re.fullmatch(r"VCFv(\d+)\.(\d+)", header.version or "")
    return tuple(map(int, match.groups())) if match else ()


def _names(header: Any, key: str) -> list[str]:
    """The IDs of a header's ``##key=<ID=...>`` lines. pysam cannot look up one that is no UTF-8: it is left out, and what
    uses it is a malformed record.
    """
    names = []
    for record in header.records:
        if record.key == key:
            with suppress(UnicodeDecodeError):
                names.append(record["ID"])
    return names


def _exact(value: Any) -> Any:
    """A value of a BCF; a float32 becomes the float64 that reads the same: 0.1 stays 0.1."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _number_type(entry: Any) -> str | None:
    return entry.type if entry.type in ("Integer", "Float") and entry.number != 0 else None


def _arrow_type(entry: Any) -> pa.DataType:
    if entry.type == "Flag" or entry.number == 0:
        return pa.bool_()
    return _TYPES.get(entry.type, pa.string()) if entry.number in ("A", "R", 1) else pa.string()


def _info_value(record: Any, name: str) -> Any:
    if name == "END":  # pysam keeps it out of record.info
        text = dict(item.partition("=")[::2] for item in _info_text(record).split(";")).get("END")
        return whole_number(text) if text else None
    return record.info.get(name)


def _info_text(record: Any) -> str:
    """The column INFO as it is written: pysam hides END behind ``record.stop``."""
    return as_text(record).rstrip("\n").split("\t", 8)[7]


def _joined(value: Any) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    return ",".join(
        "." if part is None else str(np.float32(part)) if isinstance(part, float) else str(part) for part in parts
    )
