"""Alleles out of a user's own table of text: CSV, TSV or columns parted by blanks, plain or packed with gzip, bgzip or zstd.

In: a path and what the settings say of its columns (``table_columns``). Out: ``AlleleBatch``es, one row an ALT; several ALTs may stand beside
commas. All other columns can be carried along, as text. Lines ``##`` before the header are passed over.

One column may hold it all (``input.id_column``): contig, position, REF and ALT with ``-``, ``:``, ``_``, ``/`` or ``>`` between them, or SPDI, whose
position counts from 0 and which is known by the accession of its sequence. So does Hail's table of ``locus`` (``chr1:100``) and
``alleles`` (``["A","T"]``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.variants.alleles import AlleleBatch
from raygen.variants.site_rows import site_batch
from raygen.variants.split_ids import named_parts, split_ids
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns, split_header, take_columns
from raygen.variants.text_table import Layout, TextRows, blocks_of_lines, rows_of, unpacked

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LOCUS = r"^(?P<chrom>.+):(?P<pos>[^:]+)$"
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "blanks"}


class DelimitedReader:
    """One table of text. Opening it reads the header.

    Raises:
        InputError: it has no header, or a column is missing, or two fit.
    """

    kind = "table"
    remarks: Sequence[str] = ()

    def __init__(self, path: Path, name: str, columns: TableColumns = USUAL_COLUMNS) -> None:
        self.name, self.path = name, path
        self.contig_lengths: Mapping[str, int] = {}
        with unpacked(path) as stream:
            line = _header(stream).decode("utf-8", "replace")
        if not line:
            raise InputError(f"{path} has no header that names columns.")
        self._header, delimiter, is_quoted = split_header(line)
        self.taken = take_columns(str(path), self._header, columns)
        self.has_provisional_ref = self.taken.has_provisional_ref
        self._layout = Layout(tuple(self._header), delimiter, is_quoted=is_quoted)
        self._parted_by = _DELIMITERS[delimiter]

    @property
    def recognised(self) -> str:
        """What kind of file it is, and how its columns are taken, in words."""
        return f"table of text, columns parted by {self._parted_by}; {self.taken.in_words()}"

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """All columns that are taken for nothing else, as text."""
        used = {*self.taken.names.values(), self.taken.id_column} - {self.taken.names.get("id")}
        return {name: pa.string() for name in self._header if name not in used and name != "id"}

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All alleles in file order. InputError where the file breaks off."""
        carried = [name for name in source_columns if name in self.columns]
        taken = [*self.taken.names.values(), *filter(None, [self.taken.id_column])]
        wanted = list(dict.fromkeys([*taken, *carried]))
        needed = f"{len(self._header)}, parted by {self._parted_by}"
        with unpacked(self.path) as stream:
            _header(stream)
            for rows in rows_of(blocks_of_lines(stream), self._layout, wanted):
                is_provisional = np.ones(len(rows.record), bool) if self.has_provisional_ref else None
                values = {name: _or_null(rows.columns[name].combine_chunks()) for name in carried}
                yield site_batch(self._as_sites(rows), values, needed=needed, is_provisional=is_provisional)

    def _as_sites(self, rows: TextRows) -> TextRows:
        """The rows with the columns chrom, pos, ref and alt, and id and fault where there are any."""
        columns = {name: _stripped(rows.columns[column].combine_chunks()) for name, column in self.taken.names.items()}
        if self.taken.id_column:
            text = _stripped(rows.columns[self.taken.id_column].combine_chunks())
            columns = {"id": text} | columns | split_ids(text, self.taken.id_column)
        elif "locus" in columns:
            columns |= _hail_sites(columns.pop("locus"), columns.pop("alleles"))
        return replace(rows, columns=pa.table(columns))


def _header(stream: IO[bytes]) -> bytes:
    """The first line of a stream that is neither blank nor begins with ``##``; nothing where there is none."""
    while line := stream.readline():
        line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip() and not line.startswith(b"##"):
            return line
    return b""


def _hail_sites(locus: pa.StringArray, alleles: pa.StringArray) -> dict[str, pa.Array]:
    place = named_parts(locus, _LOCUS)
    lists = pc.split_pattern(pc.replace_substring_regex(alleles, r'[\[\]"\s]', ""), ",", max_splits=1)
    has_alt = pc.greater(pc.list_value_length(lists), 1)
    alt = pc.if_else(has_alt, pc.list_element(pc.if_else(has_alt, lists, pa.scalar(["", ""])), 1), "")
    return {
        "chrom": pc.fill_null(place["chrom"], locus),
        "pos": pc.fill_null(place["pos"], ""),
        "ref": pc.list_element(lists, 0),
        "alt": alt,
    }


def _stripped(text: pa.StringArray) -> pa.StringArray:
    return pc.utf8_trim_whitespace(text)


def _or_null(text: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
