"""Tables that are written while they come in, as Parquet, CSV or TSV by the file's end.

Text has a header, floats as the shortest text that reads back the same, nothing for null and for an empty list, and a
list joined by ``&``.

``print_table`` puts a table on the screen, or whole into a pipe or file: there nobody can widen a window, and what is
folded cannot be searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raygen.errors import SettingsError
from raygen.tables.columns import flat_column

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv")


class TableFile:
    """An open file. ``write`` appends rows with the columns of its schema; ``num_rows`` counts them."""

    def __init__(self, path: Path, schema: pa.Schema, stack: ExitStack) -> None:
        self.num_rows = 0
        self._schema = schema
        self._parquet: pq.ParquetWriter | None = None
        self._text: Any = None
        if path.name.endswith(".parquet"):
            self._parquet = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
        else:
            self._separator = "\t" if path.name.endswith(".tsv") else ","
            self._text = stack.enter_context(path.open("wb"))
            self._write_text(schema.empty_table(), header=True)

    def write(self, rows: pa.Table) -> None:
        """Append rows, which have at least the columns of the schema."""
        if self._parquet is not None:
            self._parquet.write_table(rows.select(self._schema.names).cast(self._schema))
        else:
            self._write_text(rows.select(self._schema.names), header=False)
        self.num_rows += rows.num_rows

    def _write_text(self, rows: pa.Table, *, header: bool) -> None:
        import polars as pl  # for text tables alone; a query that prints to the screen starts without

        frame = pl.from_arrow(flat(rows))
        assert isinstance(frame, pl.DataFrame)
        frame.write_csv(self._text, include_header=header, separator=self._separator)


@contextmanager
def open_table(path: Path, schema: pa.Schema) -> Iterator[TableFile]:
    """A file to write a table to; it is closed at the end. Its name is one that ``refuse_other_kinds`` takes."""
    assert path.name.endswith(TABLE_SUFFIXES), path
    with ExitStack() as stack:
        yield TableFile(path, schema, stack)


def refuse_other_kinds(path: str, setting: str) -> None:
    """SettingsError where the name's end names no kind of table: said before the work, by the name that was given."""
    if not path.endswith(TABLE_SUFFIXES):
        raise SettingsError(f"{setting} {path}: the end of a table's name is one of {', '.join(TABLE_SUFFIXES)}.")


def flat(rows: pa.Table) -> pa.Table:
    """Columns as text formats can hold them: see ``flat_column``."""
    for place, field in enumerate(rows.schema):
        rows = rows.set_column(place, field.name, flat_column(rows[field.name]))
    return rows


_WIDE = 1_000_000  # columns; a table takes no more of them than its text


def print_table(table: Table, console: Console) -> None:
    """Print a table: on a terminal fitted to its width, elsewhere with no cell cut or folded."""
    if not console.is_terminal:
        for column in table.columns:
            column.no_wrap = True
        console = Console(file=console.file, width=_WIDE, highlight=False, emoji=False)
    console.print(table)
