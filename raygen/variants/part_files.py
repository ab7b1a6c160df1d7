"""Writes a table as ``part-00000.parquet``, ``part-00001.parquet``, ... while it comes in.

Row groups hold at most ``row_group_rows`` rows and end where ``end_group`` is called (a contig's end: later stages take a row
group as their unit of work). Files roll at ``file_rows``, always between row groups.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class PartFiles:
    """Parquet files in ``folder``, which must exist. Close it, also when nothing was written."""

    def __init__(self, folder: Path, schema: pa.Schema, *, row_group_rows: int, file_rows: int) -> None:
        self._folder = folder
        self._schema = schema
        self._row_group_rows = min(row_group_rows, file_rows)
        self._file_rows = file_rows
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_file = 0
        self._num_files = 0
        self.num_rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows with the columns of the schema, in its order."""
        self._pending.append(table.cast(self._schema))
        self._pending_rows += table.num_rows
        if self._pending_rows >= self._row_group_rows:
            self._write_groups(keep_remainder=True)

    def end_group(self) -> None:
        """The next row starts a new row group."""
        self._write_groups(keep_remainder=False)

    def close(self, *, at_least_one_file: bool = False) -> None:
        """Write what is left. ``at_least_one_file``: even an empty table is a file with a schema."""
        self._write_groups(keep_remainder=False)
        if at_least_one_file and self._num_files == 0:
            self._open_next()
        self.abandon()

    def abandon(self) -> None:
        """Close the open file without writing what is pending."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_groups(self, *, keep_remainder: bool) -> None:
        if not self._pending_rows:
            return
        table = pa.concat_tables(self._pending)
        whole = table.num_rows // self._row_group_rows * self._row_group_rows
        end = whole if keep_remainder else table.num_rows
        for start in range(0, end, self._row_group_rows):
            self._write_group(table.slice(start, min(self._row_group_rows, end - start)))
        self._pending_rows = table.num_rows - end
        self._pending = [table.slice(end)] if self._pending_rows else []

    def _write_group(self, group: pa.Table) -> None:
        if self._writer is not None and self._rows_in_file + group.num_rows > self._file_rows:
            self.abandon()
        writer = self._writer or self._open_next()
        writer.write_table(group, row_group_size=group.num_rows)
        self._rows_in_file += group.num_rows
        self.num_rows += group.num_rows

    def _open_next(self) -> pq.ParquetWriter:
        path = self._folder / f"part-{self._num_files:05d}.parquet"
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", write_page_checksum=True)
        self._rows_in_file = 0
        self._num_files += 1
        return self._writer
