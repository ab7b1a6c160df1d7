"""Alleles out of ``.bgi``, the index that bgenix writes beside a BGEN: a table in SQLite with a row for each site. Genotypes are not touched.

In: a path. Out: ``AlleleBatch``es, one row an allele beside the first, in the index's order. Which of two alleles is the reference's is a
convention of who wrote the BGEN (mostly the first), so REF is provisional. The index holds two alleles of a site; those of sites that have more are
read from the ``.bgen`` beside it, out of the identifying data at the head of the site's block (BGEN 1.2 and 1.3, layout 2); without it
these sites are refused.

The file is opened read-only and as immutable: nothing is locked, and nothing is written beside it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.variants.alleles import RAW_ALLELES, AlleleBatch

_COLUMNS = ("chromosome", "position", "rsid", "number_of_alleles", "allele1", "allele2", "file_start_position")
_BATCH_SITES = 1 << 13  # Python is quickest with so many rows at a time
_LARGEST_ID = 1 << 16
_LARGEST_ALLELE = 1 << 24
_MOST_SHOWN = 40
_TEXTS = ("chrom", "id", "ref", "alt")


class BgiReader:
    """One index of a BGEN. Opening it looks at its tables.

    Raises:
        InputError: it is no index of bgenix, is damaged, or is being written.
    """

    kind = ".bgi"
    has_provisional_ref = True
    remarks: Sequence[str] = ()
    recognised = "index of a BGEN; chrom, pos, id and two alleles a site from SQLite; which allele is REF is decided by the reference"

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.path = name, path
        self.columns: Mapping[str, pa.DataType] = {}
        self.contig_lengths: Mapping[str, int] = {}
        with self._opened() as index:
            names = [row[1].decode() for row in index.execute("PRAGMA table_info(Variant)")]
        if missing := [name for name in _COLUMNS if name not in names]:
            lacks = f"its table Variant lacks {', '.join(missing)}" if names else "it has no table Variant"
            raise InputError(f"{path} is SQLite, but no index that bgenix writes beside a BGEN: {lacks}.")

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All alleles in the index's order. InputError where the file turns out to be damaged."""
        with self._opened() as index, _FurtherAlleles(self.path.with_suffix("")) as further:
            sites = index.execute(f"SELECT {', '.join(_COLUMNS)} FROM Variant")
            before = 0
            while rows := sites.fetchmany(_BATCH_SITES):
                yield _as_batch(rows, before, further)
                before += len(rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file.")
        for ending in ("-journal", "-wal"):
            other = self.path.with_name(self.path.name + ending)
            if other.exists() and other.stat().st_size:
                raise InputError(
                    f"{self.path} is being written, or its writing broke off: {other.name} lies beside it."
                )
        try:
            address = f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                connection.text_factory = bytes
                yield connection
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path} cannot be read as an index of bgenix: SQLite says {str(error)!r}. It may be cut; make or copy it again."
            ) from error


def _as_batch(rows: Sequence[tuple[Any, ...]], before: int, further: _FurtherAlleles) -> AlleleBatch:
    chrom, pos, rsid, num_alleles, first, second, start = map(list, zip(*rows, strict=True))
    record = np.arange(before + 1, before + len(rows) + 1)
    faults: dict[int, str] = {}
    pos = _whole_positions(pos, faults)
    columns = {"chrom": chrom, "pos": pos, "id": rsid, "ref": first, "alt": second, "record": record}
    columns["fault"] = [faults.get(row) for row in range(len(rows))] if faults else None
    table = _raw_alleles({name: columns.get(name) for name in RAW_ALLELES.names}, len(rows))
    if num_alleles.count(2) < len(rows):
        many = [row for row, number in enumerate(num_alleles) if number != 2]
        table = _with_further(table, many, num_alleles, start, further)
    return AlleleBatch(table, len(rows), np.ones(table.num_rows, bool))


def _raw_alleles(columns: Mapping[str, Any], size: int) -> pa.Table:
    arrays = {}
    for field in RAW_ALLELES:
        values = columns[field.name]
        if values is None:
            arrays[field.name] = pa.nulls(size, field.type)
            continue
        arrays[field.name] = _texts(values) if field.name in _TEXTS else pa.array(values, field.type)
    arrays["id"] = pc.if_else(pc.is_in(arrays["id"], pa.array(["", "."])), pa.scalar(None, pa.string()), arrays["id"])
    return pa.table(arrays, schema=RAW_ALLELES)


def _texts(values: Sequence[Any]) -> pa.StringArray:
    """Text out of SQLite, which keeps values of any type in any column; U+FFFD for bytes that are no UTF-8."""
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
        return pa.array([None if value is None else str(value) for value in texts], pa.string())


def _whole_positions(values: list[Any], faults: dict[int, str]) -> Any:
    """Positions, null where one is no whole number, or below 0, which then is the fault."""
    try:
        positions = pa.array(values, pa.int64())
        if not positions.null_count and pc.min(positions).as_py() >= 0:
            return positions
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    kept: list[int | None] = []
    for row, value in enumerate(values):
        is_whole = type(value) is int and 0 <= value < 2**63
        kept.append(value if is_whole else None)
        if not is_whole:
            shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            faults[row] = f"position is {shown[:_MOST_SHOWN]!r}, not a whole number"
    return kept


def _with_further(
    table: pa.Table, many: Sequence[int], num_alleles: Sequence[Any], start: Sequence[int], further: _FurtherAlleles
) -> pa.Table:
    """The alleles with a row for each of sites that have more than two, or fewer."""
    sites = table.take(pa.array(many, pa.int64())).to_pylist()
    more = []
    for row, site in zip(many, sites, strict=True):
        number = num_alleles[row] if type(num_alleles[row]) is int else 0
        alts, fault = further.of(site, number, start[row])
        more += [{**site, "alt": alt, "fault": site["fault"] or fault} for alt in alts]
    is_kept = np.ones(table.num_rows, bool)
    is_kept[list(many)] = False
    whole = pa.concat_tables([table.filter(pa.array(is_kept)), pa.Table.from_pylist(more, RAW_ALLELES)])
    return whole.take(np.argsort(whole["record"].to_numpy(), kind="stable"))


class _FurtherAlleles:
    """The alleles of sites that have more than two, out of a BGEN that may be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._why = f"they are in {path.name}, which is not beside it"
        self._is_layout_2 = False

    def __enter__(self) -> _FurtherAlleles:
        try:
            self._file = self._path.open("rb")
            self._is_layout_2 = _layout(self._file) == 2
        except (OSError, struct.error):
            if self._file:
                self._why = f"{self._path.name} beside it cannot be read as BGEN"
        return self

    def __exit__(self, *error: object) -> None:
        if self._file:
            self._file.close()

    def of(self, site: Mapping[str, Any], number: int, start: int) -> tuple[list[str | None], str | None]:
        """Alleles beside the first, and why they are not known."""
        if number < 2:
            return [None], None
        nothing = [site["alt"], *[None] * (number - 2)]
        where = f"a site of {number} alleles, of which the index holds two: "
        if self._file is None or not self._is_layout_2:
            return nothing, where + self._why
        try:
            pos, alleles = _alleles_at(self._file, start)
        except (OSError, ValueError, TypeError, struct.error):
            return nothing, f"{where}{self._path.name} breaks off or is no BGEN at byte {start}"
        if (pos, len(alleles), alleles[:2]) != (site["pos"], number, [site["ref"], site["alt"]]):
            return (
                nothing,
                f"{where}{self._path.name} has another site at byte {start}, so the index is of another file",
            )
        return list(alleles[1:]), None


def _layout(file: IO[bytes]) -> int:
    """The layout that a BGEN's header gives; 0 for what is no BGEN."""
    _, header_length, _, _, magic = struct.unpack("<IIII4s", file.read(20))
    if magic not in (b"bgen", b"\0\0\0\0"):
        return 0
    file.seek(4 + header_length - 4)
    (flags,) = struct.unpack("<I", file.read(4))
    return flags >> 2 & 15


def _alleles_at(file: IO[bytes], start: int) -> tuple[int, list[str]]:
    """The position and the alleles of the site whose block starts at a byte."""
    file.seek(start)
    for _ in ("id", "rsid", "chromosome"):
        _text(file, "<H", _LARGEST_ID)
    pos, number = struct.unpack("<IH", file.read(6))
    return pos, [_text(file, "<I", _LARGEST_ALLELE) for _ in range(number)]


def _text(file: IO[bytes], length_format: str, longest: int) -> str:
    (length,) = struct.unpack(length_format, file.read(struct.calcsize(length_format)))
    text = file.read(length) if length <= longest else b""
    if len(text) != length:
        raise ValueError("a text that breaks off")
    return text.decode()
