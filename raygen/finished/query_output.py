"""Rows of a query: on a terminal, as TSV or JSON for a pipe, or into a file. They are written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TextIO

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raygen.classes.background import BACKGROUND_COLUMNS
from raygen.finished.query import PlaceQuery
from raygen.tables.columns import flat_column
from raygen.tables.schemas import SCORES
from raygen.tables.table_files import print_table

_SHOWN = ("variant_id", "delta_llr", "classification", "abstained", "flags")
_MOST_SHOWN = 50
_FORMATS = {"phred": ".2f", "percentile": ".4g", "percentile_in_group": ".4g", "delta_context": ".3f"}
"""Of a background's columns: a share of a millionth is one."""


def show(query: PlaceQuery, console: Console, most: int = _MOST_SHOWN) -> int:
    """Print the main columns of a query's first rows as a table, then how many rows there are; returns their number."""
    columns = _columns_shown(query)
    table = Table(*map(escape, columns), box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.columns[0].overflow = "fold"
    if query.facts.background:
        for name in set(columns) & set(_FORMATS):
            table.columns[columns.index(name)].justify = "right"
    formats = _FORMATS if query.facts.background else {}
    num_rows = 0
    for rows in query.tables():
        for row in rows.select(columns).slice(0, max(most - num_rows, 0)).to_pylist():
            table.add_row(*(escape(_cell(row[name], formats.get(name))) for name in columns))
        num_rows += rows.num_rows
    if num_rows:
        print_table(table, console)
    more = f", the first {most:,} are shown; --tsv, --json or --out give all" if num_rows > most else ""
    facts = query.facts
    console.print(
        f"{num_rows:,} score{'' if num_rows == 1 else 's'}{more} (model {facts.model}, fingerprint {facts.fingerprint})",
        soft_wrap=True,
        markup=False,
    )
    return num_rows


def write_tsv(query: PlaceQuery, stream: TextIO) -> int:
    """Write a query's rows as TSV: a header and a line a row, all columns; null is empty, a list is joined by ``&``.

    Returns the number of rows.
    """
    stream.write("\t".join(query.schema.names) + "\n")
    num_rows = 0
    for rows in query.tables():
        texts = [_texts(rows[name]) for name in query.schema.names]
        stream.writelines("\t".join(values) + "\n" for values in zip(*texts, strict=True))
        num_rows += rows.num_rows
    return num_rows


def write_json(query: PlaceQuery, stream: TextIO) -> int:
    """Write a query's rows as JSON: one array of objects, all columns, an object a line. Returns the number of rows."""
    num_rows = 0
    stream.write("[")
    for row in _dicts(query):
        stream.write(",\n " if num_rows else "\n ")
        stream.write(json.dumps(row, default=str, ensure_ascii=False))
        num_rows += 1
    stream.write("\n]\n")
    return num_rows


def write_file(query: PlaceQuery, path: str) -> int:
    """Write a query's rows as Parquet, CSV or TSV, by the name's end; returns the number of rows."""
    from raygen.tables.place import put_in_place
    from raygen.tables.table_files import open_table  # polars, for this alone

    with put_in_place(path) as partial, open_table(partial, query.schema) as table:
        for rows in query.tables():
            table.write(rows)
    return table.num_rows


def _dicts(query: PlaceQuery) -> Iterator[dict[str, object]]:
    for rows in query.tables():
        yield from _as_written(rows).to_pylist()


def _as_written(rows: pa.Table) -> pa.Table:
    """The rows with float64 that reads the same in the place of float32: 0.1 stays 0.1."""
    for place, column in enumerate(rows.schema):
        if column.type == pa.float32():
            rows = rows.set_column(place, column.name, rows[column.name].cast(pa.string()).cast(pa.float64()))
    return rows


def _columns_shown(query: PlaceQuery) -> list[str]:
    """The main columns of SCORES, PHRED beside the score, then what was carried along, then the other ranks."""
    names = query.schema.names
    ranks = [name for name in BACKGROUND_COLUMNS if name in names] if query.facts.background else []
    carried = [name for name in names if name not in SCORES.names and name not in ranks]
    main = [name for name in _SHOWN if name in names]
    return [
        *main[:2],
        *(name for name in ranks if name == "phred"),
        *main[2:],
        *carried,
        *(name for name in ranks if name != "phred"),
    ]


def _cell(value: object, number_format: str | None = None) -> str:
    if isinstance(value, float) and number_format:
        return format(value, number_format)
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Text of every value of a column, without tabs or line ends in it."""
    texts = flat_column(column).cast(pa.string()).fill_null("").to_pylist()
    return [" ".join(text.split()) if any(mark in text for mark in "\t\r\n") else text for text in texts]
