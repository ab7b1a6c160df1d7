"""Alleles out of a user's own Parquet file.

In: columns ``chrom`` and ``ref`` and ``alt`` (string), ``pos`` (an integer, 1-based), optionally ``id``, and any others; ``chrom`` and
``id`` may be integers, too. ``pos`` may be float64, which pandas makes of integers beside nulls: its values have to be whole, and NaN is
null. The settings may say that they have other names (``table_columns``), or that one column of text holds them all. It may not be float32, which holds no odd number above 2^24. A column that the file lacks may come from the folders it lies in (``partitions``). Out:
``AlleleBatch``es, one row per row. A null or negative value is a ``fault`` of its row; a missing or wrongly typed column is an
error of the file, and all such faults are named at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError, first_line
from raygen.tables.carried_types import carried_as
from raygen.variants.alleles import BATCH_ROWS, NOT_UTF8, RAW_ALLELES, SOURCE_PREFIX, AlleleBatch
from raygen.variants.split_ids import split_ids
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns

_REQUIRED = {"chrom": "string", "pos": "integer", "ref": "string", "alt": "string"}
_ALSO = {"chrom": ("integer",), "pos": ("float64",)}
_MOST_EXACT = 2.0**53  # up to here float64 holds every whole number
_SPLIT_FAULT = "fault of a split id"
_CORRUPT = (pa.ArrowException, OSError)


class ParquetReader:
    """One Parquet file. Opening it reads the schema; InputError where that is not what ``raygen`` needs."""

    kind = "table"
    has_provisional_ref = False
    remarks: Sequence[str] = ()

    def __init__(
        self,
        path: Path,
        name: str,
        partitions: Mapping[str, str | None] | None = None,
        columns: TableColumns = USUAL_COLUMNS,
    ) -> None:
        self.name = name
        self._path = path
        self._given = columns
        self._partitions = partitions or {}
        self.contig_lengths: Mapping[str, int] = {}
        with _opened(path) as file:
            self._names = file.schema_arrow.names
            stored = with_partitions(file.schema_arrow.empty_table(), self._partitions).schema
        self._stored_names = stored_names(str(path), stored.names, columns)
        self._schema = _renamed(stored, self._stored_names)
        if columns.id_column:
            self._schema = _with_split_types(self._schema, columns.id_column)
        if faults := _schema_faults(self._schema):
            raise InputError(
                f"{path}: {'; '.join(faults)}. Needed are chrom, ref and alt as strings and pos as integer."
                f"{_partition_hint(path, self._schema)}"
            )

    @property
    def recognised(self) -> str:
        """What kind of file it is, and how its columns are taken, in words."""
        if id_column := self._given.id_column:
            return f"Parquet; contig, position and alleles from {id_column}, which is split"
        names = [name for name in (*_REQUIRED, "id") if name in self._schema.names]
        return f"Parquet; {', '.join(f'{name} from {self._stored_names.get(name, name)}' for name in names)}"

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """All columns beside chrom, pos, ref, alt and id, with the types they are carried as, or else that they have."""
        return {
            field.name: carried_as(field.type) or field.type
            for field in self._schema
            if field.name not in (*_REQUIRED, "id")
        }

    def batches(self, source_columns: Sequence[str]) -> Iterator[AlleleBatch]:
        """All rows in order. InputError where the file turns out to be corrupt."""
        carried = [name for name in source_columns if name in self.columns]
        has_id = "id" in self._schema.names
        first_row = 1
        id_column = self._given.id_column
        names = [*([id_column] if id_column else _REQUIRED), *(["id"] if has_id else []), *carried]
        wanted = {name: self._stored_names.get(name, name) for name in dict.fromkeys(names)}
        for batch in read_batches(self._path, BATCH_ROWS, [name for name in wanted.values() if name in self._names]):
            rows = with_partitions(batch, self._partitions)
            rows = pa.RecordBatch.from_arrays([rows.column(name) for name in wanted.values()], names=list(wanted))
            rows = _with_split_ids(rows, id_column) if id_column else rows
            rows = self._with_whole_pos(rows, first_row)
            yield AlleleBatch(_as_alleles(rows, first_row, carried), rows.num_rows)
            first_row += rows.num_rows

    def _with_whole_pos(self, rows: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        pos = rows.column("pos")
        if not pa.types.is_floating(plain(pos.type)):
            return rows
        pos = pos.cast(pa.float64())
        pos = pc.if_else(pc.is_nan(pos), None, pos)
        is_whole = pc.and_(pc.equal(pos, pc.floor(pos)), pc.less_equal(pc.abs(pos), _MOST_EXACT))
        if (row := pc.index(is_whole, False).as_py()) >= 0:
            raise InputError(
                f"{self._path}: row {first_row + row:,} has {pos[row].as_py()} in pos, and a position is a whole number."
            )
        return rows.set_column(rows.schema.get_field_index("pos"), "pos", pos.cast(pa.int64()))


def stored_names(file: str, header: Sequence[str], given: TableColumns) -> dict[str, str]:
    """What chrom, pos, ref, alt and id are called in a file, where the settings say so.

    Raises:
        InputError: it has no such column.
    """
    if absent := [name for name in (*given.names.values(), given.id_column) if name and name not in header]:
        raise InputError(
            f"{file} has no column {', '.join(absent)}, which input.columns or input.id_column names. It has "
            f"{', '.join(header[:30])}."
        )
    return dict(given.names)


def _renamed(schema: pa.Schema, names: Mapping[str, str]) -> pa.Schema:
    """A schema with the columns of ``names`` by their keys; what else had these names is not there."""
    by_stored = {stored: name for name, stored in names.items()}
    fields = [
        field.with_name(by_stored.get(field.name, field.name))
        for field in schema
        if field.name in by_stored or field.name not in names
    ]
    return pa.schema(fields)


def _with_split_types(schema: pa.Schema, id_column: str) -> pa.Schema:
    """The schema of rows whose ids are split; an id that is no text has none."""
    if not is_text(schema.field(id_column).type):
        raise InputError(f"input.id_column: {id_column} is {schema.field(id_column).type}, not text.")
    others = [field for field in schema if field.name not in _REQUIRED]
    return pa.schema(
        [
            *others,
            *(pa.field(name, pa.int64() if kind == "integer" else pa.string()) for name, kind in _REQUIRED.items()),
        ]
    )


def _with_split_ids(rows: pa.RecordBatch, id_column: str) -> pa.RecordBatch:
    """The rows with chrom, pos, ref and alt out of their ids; and with a fault where an id does not hold them."""
    rows, is_damaged = as_utf8(rows)
    split = split_ids(pc.fill_null(rows.column(id_column).cast(pa.string()), ""), id_column)
    split["pos"] = split["pos"].cast(pa.int64())
    split[_SPLIT_FAULT] = pc.if_else(pa.array(is_damaged), NOT_UTF8, split.pop("fault"))
    for name, values in split.items():
        if name in rows.schema.names:
            rows = rows.set_column(rows.schema.get_field_index(name), name, values)
        else:
            rows = rows.append_column(name, values)
    return rows


def read_batches(path: Path, batch_rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These columns of a Parquet file, ``batch_rows`` at a time. InputError where it turns out to be corrupt."""
    with _opened(path) as file:
        batches = file.iter_batches(batch_rows, columns=list(columns))
        while True:
            try:
                batch = next(batches, None)
            except _CORRUPT as error:
                raise InputError(f"{path} {_why_unread(error)}.") from error
            if batch is None:
                return
            yield batch


def _why_unread(error: Exception) -> str:
    """What keeps rows from being read, in words: damage, or a null in a list of fixed size, which pyarrow reads from 26 on."""
    if "Expected all lists to be of size" in str(error):
        return f"holds a list of fixed size that is null, which pyarrow {pa.__version__} cannot read; version 26 can"
    return f"is corrupt: {first_line(error)}"


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except _CORRUPT as error:
        raise InputError(f"{path} cannot be read as Parquet; it may be truncated or another kind of file.") from error


def with_partitions(rows: pa.Table | pa.RecordBatch, partitions: Mapping[str, str | None]) -> Any:
    """The rows with a column of text for each folder ``KEY=VALUE`` that they lie in; their own columns stay as they are."""
    for name, value in partitions.items():
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
    return rows


def _partition_hint(path: Path, schema: pa.Schema) -> str:
    lacking = [part for part in path.absolute().parts if part.partition("=")[0] in _REQUIRED and "=" in part]
    if not lacking or lacking[0].partition("=")[0] in schema.names:
        return ""
    whole = str(path.absolute()).partition(f"/{lacking[0]}/")[0]
    return f" It lies in a folder {lacking[0]}: give the table as a whole, {whole}."


def _schema_faults(schema: pa.Schema) -> list[str]:
    faults = []
    for name, needed in _REQUIRED.items():
        indices = schema.get_all_field_indices(name)
        if len(indices) != 1:
            faults.append(
                f"column '{name}' is missing" if not indices else f"column '{name}' is there {len(indices)} times"
            )
        elif not any(_fits(plain(schema.field(name).type), kind) for kind in (needed, *_ALSO.get(name, ()))):
            faults.append(f"column '{name}' is {schema.field(name).type}, not {needed}")
    if "id" in schema.names and not any(_fits(plain(schema.field("id").type), kind) for kind in ("string", "integer")):
        faults.append(f"column 'id' is {schema.field('id').type}, not string")
    return faults


def _fits(arrow_type: pa.DataType, needed: str) -> bool:
    if needed == "integer":
        return pa.types.is_integer(arrow_type)
    if needed == "float64":
        return arrow_type == pa.float64()
    return is_text(arrow_type)


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a column's values are text, as any of Arrow's types of text or a dictionary of it."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(plain(arrow_type)) for is_kind in kinds)


def plain(arrow_type: pa.DataType) -> pa.DataType:
    """The type of a column's values, which pandas' categories and Arrow's dictionaries keep in another way."""
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _as_alleles(rows: pa.RecordBatch, first_row: int, carried: Sequence[str]) -> pa.Table:
    size = rows.num_rows
    rows, is_damaged = as_utf8(rows)
    columns = {name: rows.column(name).cast(RAW_ALLELES.field(name).type, safe=False) for name in _REQUIRED}
    columns["id"] = rows.column("id").cast(pa.string()) if "id" in rows.schema.names else pa.nulls(size, pa.string())
    columns["record"] = pa.array(np.arange(first_row, first_row + size))
    columns["span"] = pa.nulls(size, pa.int64())
    columns["fault"] = _faults(columns, is_damaged)
    if _SPLIT_FAULT in rows.schema.names:
        columns["fault"] = pc.coalesce(rows.column(_SPLIT_FAULT), columns["fault"])
    table = pa.table([columns[field.name] for field in RAW_ALLELES], schema=RAW_ALLELES)
    for name in carried:
        values = rows.column(name)
        table = table.append_column(SOURCE_PREFIX + name, values.cast(carried_as(values.type)))
    return table


def as_utf8(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows with U+FFFD for bytes of text, and of text in lists, that are no UTF-8, and (R,) bool: which rows had such bytes."""
    is_damaged = np.zeros(rows.num_rows, bool)
    for index, column in enumerate(rows.columns):
        stored_type = carried_as(column.type)
        if stored_type not in (pa.string(), pa.list_(pa.string())):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raw = _as_bytes(column).to_pylist()
            texts = [_decoded(value) for value in raw]
            is_damaged |= [_encoded(text) != value for text, value in zip(texts, raw, strict=True)]
            rows = rows.set_column(index, rows.schema.names[index], pa.array(texts, stored_type))
    return rows, is_damaged


def _as_bytes(column: pa.Array) -> pa.Array:
    if carried_as(column.type) == pa.string():
        return column.cast(plain(column.type)).cast(pa.large_binary())
    return column.cast(pa.large_list(pa.large_binary()))


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return None if value is None else value.decode("utf-8", "replace")


def _encoded(text: Any) -> Any:
    if isinstance(text, list):
        return [_encoded(item) for item in text]
    return None if text is None else text.encode()


def _faults(columns: Mapping[str, pa.Array], is_damaged: np.ndarray) -> pa.Array:
    faults = pc.if_else(pa.array(is_damaged), NOT_UTF8, pa.scalar(None, pa.string()))
    for name in reversed(_REQUIRED):
        faults = pc.if_else(pc.is_null(columns[name]), f"{name} is null", faults)
    below_zero = pc.fill_null(pc.less(columns["pos"], 0), False)
    return pc.if_else(pc.and_(below_zero, pc.is_null(faults)), "pos is below 0", faults)
