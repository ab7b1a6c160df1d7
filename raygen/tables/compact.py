"""Many small files of a table into fewer, larger, sorted ones.

In: a run's folder, of scores or of positions. Out: the same rows in a new generation of it (see generations.py). In each contig the files of less than half
of ``target_rows`` are merged, so that what was merged well once is not written again every night; ``full`` merges all.

A compacted file is named ``part-compact-...`` and says in its footer which shards it holds, so a run that is started again
still skips them (a file of embeddings beside it has its name and its order of rows), and where the rows themselves do not say it, how many of them each run wrote. Each new file is read back, checksums and all, and compared before readers see it. Rows of a stretch are
held in memory, up to two times ``target_rows``: some 0.5 GB at the default.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import SettingsError, StoppedError
from raygen.tables.damage import naming_damage, read_checked
from raygen.tables.embedding_files import EmbeddingRows, bytes_a_row, write_gathered
from raygen.tables.generations import embeddings_beside, keep, next_generation, scores_folder, show_embeddings
from raygen.tables.layout import (
    COMPACTED,
    ROWS_KEY,
    RUN_KEY,
    SHARDS_KEY,
    RunFolder,
    ScoreFile,
    partition_of,
    rows_of_runs,
    shards_of,
)
from raygen.tables.position_table import PositionFolder, table_folder
from raygen.tables.stretches import Stretches

TARGET_ROWS = 1 << 19
TARGET_POSITIONS = 1 << 20
"""Rows of a file of a position table: 15 MB, with both strands 39 MB; 3,000 files of 3.1e9 bases."""
TARGET_EMBEDDINGS = 1 << 31
"""Bytes of embeddings beside a file of scores."""
ROW_GROUP_ROWS = 1 << 14  # of a lookup of one position as much is read
_ORDER = ("pos", "ref", "alt", "variant_id")


@dataclass(frozen=True)
class Compacted:
    """A contig whose files were merged (None for pairs): its files before and after, and the rows written again."""

    chrom: str | None
    files_before: int
    files_after: int
    rows_rewritten: int


def compact(path: str, target_rows: int | None = None, full: bool = False) -> list[Compacted]:
    """Merge the small files of every contig; an empty list where nothing was to be done.

    Args:
        target_rows: of a file; by default ``TARGET_ROWS``, fewer where the embeddings beside it were more than ``TARGET_EMBEDDINGS``, and
            ``TARGET_POSITIONS`` of a position table.

    Raises:
        SettingsError: the filesystem cannot exchange generations.
        StoppedError: another run is at work there, the disk is full, or what was written is not what was read; nothing is changed then.
    """
    folder = table_folder(path)
    if folder.local_root is None:
        raise SettingsError(
            f"{folder.path} is on object storage, where files cannot be exchanged for others at once: readers would see rows twice "
            "or miss them. Nothing was changed. With output.table_format iceberg, maintain the Iceberg table instead."
        )
    with folder.locked():
        show_embeddings(folder.local_root)  # a kill may have come between the two links
        if target_rows is None:
            target_rows = _usual_rows(folder)
        contigs = _files_by_contig(folder)
        chosen = {chrom: _to_merge(files, target_rows, full) for chrom, files in contigs.items()}
        if not any(chosen.values()):
            return []
        now = scores_folder(folder.local_root, folder.rows)
        results = []
        with next_generation(folder.local_root, folder.rows) as new:
            for chrom, files in contigs.items():
                merged = {file.path for file in chosen[chrom]}
                for file in files:
                    if file.path not in merged:
                        keep(Path(file.path), now, new)
                if merged:
                    place = new / partition_of(chrom)
                    after, rows = _merge(folder, chosen[chrom], place, target_rows)
                    results.append(Compacted(chrom, len(files), len(files) - len(merged) + after, rows))
    return results


def _usual_rows(folder: RunFolder) -> int:
    if isinstance(folder, PositionFolder):
        return TARGET_POSITIONS
    if not (paths := folder.embedding_paths()):
        return TARGET_ROWS
    with naming_damage(paths[0]):
        return min(max(TARGET_EMBEDDINGS // bytes_a_row(pq.read_schema(paths[0])), 1), TARGET_ROWS)


def shards_by_run(path: str) -> dict[str, list[str]]:
    """The shards in a file of this machine by the run that committed them, as ``shards_of`` reads them."""
    with naming_damage(path):
        return shards_of(pq.ParquetFile(path), Path(path).name.removeprefix("part-").removesuffix(".parquet"))


def write_scores(
    folder: RunFolder, table: pa.Table, path: Path, shards: dict[str, list[str]], rows: dict[str, int] | None = None
) -> None:
    """Write a file of a folder that holds several shards, and read it back.

    Args:
        rows: by run, where the rows themselves do not name theirs.

    Raises:
        StoppedError: what is read is not what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata_items = (table.schema.metadata or {}).items()
    metadata = {key: value for key, value in metadata_items if key.startswith(b"raygen.") and key != RUN_KEY}
    metadata[SHARDS_KEY] = json.dumps(shards).encode()
    if rows is not None:
        metadata[ROWS_KEY] = json.dumps(rows).encode()
    table = table.replace_schema_metadata(metadata)
    options = {"row_group_size": ROW_GROUP_ROWS, **folder.written_as(table.schema)}
    pq.write_table(table, path, write_page_checksum=True, **options)
    refuse_other_rows(path, table)


def refuse_other_rows(path: Path, table: pa.Table) -> None:
    """StoppedError where a file that was just written does not hold the rows of ``table``. NaN is NaN here, in Arrow it is not."""
    written = read_checked(path)
    columns = zip(written.columns, table.columns, strict=True)
    if written.schema != table.schema or not all(_is_same(read, wanted) for read, wanted in columns):
        raise StoppedError(f"{path} does not hold what was written to it. Nothing was changed; check the disk.")


def _is_same(read: pa.ChunkedArray, wanted: pa.ChunkedArray) -> bool:
    if read.equals(wanted):
        return True
    if pa.types.is_list(wanted.type):
        same_lengths = pc.list_value_length(read).equals(pc.list_value_length(wanted))
        return same_lengths and _is_same(pc.list_flatten(read), pc.list_flatten(wanted))
    if not pa.types.is_floating(wanted.type) or not pc.is_nan(read).equals(pc.is_nan(wanted)):
        return False
    return _without_nan(read).equals(_without_nan(wanted))


def _without_nan(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)


def _files_by_contig(folder: RunFolder) -> dict[str | None, list[ScoreFile]]:
    files_of_contig: dict[str | None, list[ScoreFile]] = {}
    for file in folder.score_files():
        files_of_contig.setdefault(file.chrom, []).append(file)
    return files_of_contig


def _to_merge(files: Sequence[ScoreFile], target_rows: int, full: bool) -> list[ScoreFile]:
    small = [file for file in files if full or _num_rows(file.path) < target_rows // 2]
    return small if len(small) > 1 else []


def _num_rows(path: str) -> int:
    with naming_damage(path):
        return int(pq.read_metadata(path).num_rows)


def _rows_of(paths: Sequence[str]) -> dict[str, int]:
    rows_of: Counter[str] = Counter()
    for path in paths:
        rows_of.update(rows_of_runs(pq.read_metadata(path)))
    return dict(rows_of)


def _merge(folder: RunFolder, files: Sequence[ScoreFile], place: Path, target_rows: int) -> tuple[int, int]:
    """Write the rows of some files of one contig; returns the number of new files and of rows."""
    paths = [file.path for file in files]
    shards: dict[str, list[str]] = {}
    for path in paths:
        for run, names in shards_by_run(path).items():
            shards.setdefault(run, []).extend(names)
    rows_of = None if "run_id" in folder.columns.names else _rows_of(paths)
    expected = sum(map(_num_rows, paths))
    folder.refuse_mixed_files(paths)
    stem = f"part-{COMPACTED}{hashlib.sha256(repr(sorted(paths)).encode()).hexdigest()[:12]}"
    beside = [folder.embeddings_of(path) for path in paths]
    beside = [path for path in beside if Path(path).exists()]
    embeddings = EmbeddingRows(beside) if beside else None
    rows, number = 0, 0
    for table in _sorted_tables(folder, files, target_rows):
        file = place / f"{stem}-{number:04d}.parquet"
        # which file of a merge names the shards and the runs is all the same: they are looked for in all of them
        write_scores(folder, table, file, shards, rows_of)
        if embeddings and len(table):
            write_gathered(embeddings, table["variant_id"], embeddings_beside(place.parent) / place.name / file.name)
        shards, rows_of = {}, None if rows_of is None else {}
        rows, number = rows + len(table), number + 1
    if rows != expected:
        raise StoppedError(
            f"{place.name}: {expected:,} rows were to be merged, {rows:,} came out. Nothing was changed."
        )
    return number, rows


def _sorted_tables(folder: RunFolder, files: Sequence[ScoreFile], target_rows: int) -> Iterator[pa.Table]:
    """The rows of some files of one contig in order, in at least one table with the schema and metadata of the first
    file.
    """
    paths = [file.path for file in files]
    schema = _as_null_as_now(pq.read_schema(paths[0]), folder.columns)
    if files[0].chrom is None:
        tables = _joined(paths, target_rows)
    else:
        order = [(name, "ascending") for name in _ORDER if name in schema.names]
        tables = (_sorted(table, order) for table in Stretches(paths, folder.filesystem, target_rows).tables())
    some = False
    for table in tables:
        some = True
        yield table.select(schema.names).cast(schema).combine_chunks()
    if not some:
        yield schema.empty_table()


def _as_null_as_now(schema: pa.Schema, columns: pa.Schema) -> pa.Schema:
    """The schema of a file that an earlier version may have written, with columns that may be null where those of the table may be now."""
    may_be_null = {column.name for column in columns if column.nullable}
    fields = [field.with_nullable(True) if field.name in may_be_null else field for field in schema]
    return pa.schema(fields, schema.metadata)


def _sorted(rows: pa.Table, order: list[tuple[str, str]]) -> pa.Table:
    """Rows in order. Those of files that follow each other are so already, where a position has one row."""
    pos = rows["pos"].to_numpy()
    return rows if bool((pos[1:] > pos[:-1]).all()) else rows.sort_by(order)


def _joined(paths: Sequence[str], target_rows: int) -> Iterator[pa.Table]:
    """The rows of files of pairs, which have no positions: one file after the other, in tables of at least
    ``target_rows``.
    """
    pending: list[pa.Table] = []
    for path in paths:
        with naming_damage(path):
            pending.append(read_checked(path))
        if sum(map(len, pending)) >= target_rows:
            yield pa.concat_tables(pending)
            pending = []
    if sum(map(len, pending)):
        yield pa.concat_tables(pending)
