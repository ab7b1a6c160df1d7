"""An ingest's folder: written in a scratch folder beside its place, then swapped in whole.

    OUT/variants/part-*.parquet   OUT/rejects/part-*.parquet   OUT/ingest.json

``ingest.json`` comes last and says ``"complete": true``. While an earlier ingest is being replaced it says false, so
that a run killed in those few renames is seen as unfinished, and the next one may replace it. A finished ingest is
replaced by one of the same input only, which is known by its paths. Files of anyone else in OUT stay as they are.

``PartFiles`` writes a table as ``part-00000.parquet``, ``part-00001.parquet``, ... while it comes in. Row groups hold
at most ``row_group_rows`` rows and end where ``end_group`` is called (a contig's end: later stages take a row group
as their unit of work). Files roll at ``file_rows``, always between row groups.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.disk_errors import disk_errors
from raygen.errors import InputError, SettingsError
from raygen.tables.folder_kinds import refuse_file_for_output

VARIANTS_FOLDER = "variants"
REJECTS_FOLDER = "rejects"
INFO_FILE = "ingest.json"
_TABLE_FOLDERS = (VARIANTS_FOLDER, REJECTS_FOLDER)
_SCRATCH_PREFIX = ".ingest-"


def is_ingested(out: str | Path) -> bool:
    """True where ``out`` holds a finished ingest."""
    return _info(Path(out)).get("complete") is True and (Path(out) / VARIANTS_FOLDER).is_dir()


def read_ingest_info(out: str | Path) -> dict[str, Any]:
    """What ``ingest.json`` says: counts, digest, reference, inputs, settings, versions. InputError where there is none."""
    info = _info(Path(out))
    if info.get("complete") is not True:
        raise InputError(f"{out} holds no finished ingest. Run `raygen ingest` with --out {out}.")
    return info


def input_paths(inputs: Sequence[str | Path]) -> list[str]:
    """What ``ingest.json`` knows an input by: its files and folders as they were given, with whole paths."""
    return sorted({str(Path(path).resolve()) for path in inputs})


def refuse_other_input(out: Path, inputs: Sequence[str | Path], names: Sequence[str]) -> None:
    """SettingsError where ``out`` holds a finished ingest of another input. The same input again may have changed.

    Args:
        names: of the input's files, by which an ingest is known that did not write down its paths.
    """
    info = _info(out)
    if not is_ingested(out):
        return
    earlier_paths, new_paths = info.get("input_paths"), input_paths(inputs)
    if earlier_paths == new_paths or (earlier_paths is None and info.get("inputs") == list(names)):
        return
    earlier, ours = (_shown(paths) for paths in (earlier_paths or info.get("inputs") or ["another input"], new_paths))
    raise SettingsError(
        f"{out} holds the ingested variants of {earlier}; they would be lost to those of {ours}. "
        f"Give another --out, or remove {VARIANTS_FOLDER}/, {REJECTS_FOLDER}/ and {INFO_FILE} there first."
    )


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """A folder in ``out`` for unfinished work, gone afterwards; so are ``out`` and what is above it where they were made for this
    and stayed empty.

    SettingsError where ``out`` cannot be written or holds tables that no ingest wrote. StoppedError where its disk is full.
    """
    refuse_file_for_output(out)
    made_here = [folder for folder in (out, *out.parents) if not folder.exists()]
    scratch = out / f"{_SCRATCH_PREFIX}{uuid.uuid4().hex[:12]}"
    try:
        with disk_errors(out):
            scratch.mkdir(parents=True)
            _refuse_foreign_tables(out)
            for name in _TABLE_FOLDERS:
                (scratch / name).mkdir()
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # the first that is not empty
            for folder in made_here:
                folder.rmdir()


def abandoned_scratch(out: Path, scratch: Path) -> list[str]:
    """Names of scratch folders in ``out`` other than ``scratch``: left by a killed ingest, or of another one at work."""
    return sorted(path.name for path in out.glob(f"{_SCRATCH_PREFIX}*") if path != scratch)


def publish(scratch: Path, out: Path, info: Mapping[str, Any]) -> None:
    """Move the tables from ``scratch`` to ``out``, in place of an earlier ingest's, then write ``ingest.json``."""
    _write_info(scratch, out, {**info, "complete": False})
    for name in _TABLE_FOLDERS:
        if (out / name).exists():
            (out / name).rename(scratch / f"replaced-{name}")
        (scratch / name).rename(out / name)
    _write_info(scratch, out, {**info, "complete": True})


def _write_info(scratch: Path, out: Path, info: Mapping[str, Any]) -> None:
    path = scratch / INFO_FILE
    path.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    path.replace(out / INFO_FILE)


def _info(out: Path) -> dict[str, Any]:
    try:
        info = json.loads((out / INFO_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _shown(paths: Sequence[str], most: int = 3) -> str:
    more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


def _refuse_foreign_tables(out: Path) -> None:
    if "complete" in _info(out):
        return
    for name in _TABLE_FOLDERS:
        folder = out / name
        if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
            raise SettingsError(f"{folder} is there already and no ingest wrote it. Choose another --out.")


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
        """End the row group: the next row starts a new one."""
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
        rows_of_full_groups = table.num_rows // self._row_group_rows * self._row_group_rows
        end = rows_of_full_groups if keep_remainder else table.num_rows
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
