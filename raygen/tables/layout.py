"""A run's folder: what lies where, how a shard is committed, and what is found there again.

    OUT/scores/chrom=.../part-<shard>.parquet     OUT/rejects/part-<shard>.parquet
    OUT/embeddings/chrom=.../part-<shard>.parquet   states of the model, the same rows in the same order
    OUT/runs/<run_id>/manifest.json, report.html    OUT/runs/self_test-<hash>.json
    OUT/.generations/<number>/chrom=.../            where scores/ leads once `raygen compact` rewrote it
    OUT/.work/<shard>-<hash>/...                    what is known of a shard that is not committed yet

A shard is committed when its file in ``scores/`` exists: embeddings and rejects are written first, then the scores, each under a hidden
name that is then renamed. On object storage nothing is renamed: an upload is whole or absent there, so it goes straight to
its name, in one write. A reader of ``scores/`` never sees half a file, and what is done is found by listing, not by trusting
a log. A shard with nothing to show commits a file without rows.

``chrom`` is in the folder's name, percent-encoded as Hive does, and not in the files: readers take it from the path. Pairs, which have
no contig, lie in ``chrom=pairs``.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.disk_errors import disk_errors, full_disk
from raygen.errors import InputError, SettingsError
from raygen.home import expanded
from raygen.remote import exists, is_remote, join, keeps_folders, resolve, shown, with_endpoint
from raygen.tables.damage import naming_damage, read_checked
from raygen.tables.embedding_files import embeddings_written_as, rows_a_group, without_nulls
from raygen.tables.folder_kinds import (
    EMBEDDINGS_FOLDER,
    SCORES_FOLDER,
    refuse_file_for_output,
    refuse_no_folder,
    refuse_other_table,
    refuse_positions,
)
from raygen.tables.generations import embeddings_beside, scores_folder, show_embeddings
from raygen.tables.identity import (
    Identity,
    carried_types,
    declaring,
    identity_of,
    refuse_other_types,
)
from raygen.tables.locks import lock_folder, lock_prefix
from raygen.tables.manifest import parse_manifest
from raygen.tables.place import make_folder, put_first, put_in_place
from raygen.tables.schemas import REJECTS, SCHEMA_VERSION, SCORES

COMPACTED = "compact-"
"""How the name of a file begins that holds several shards."""
SHARDS_KEY = b"raygen.shards"
"""Key in the footer of a file that holds several shards: a JSON object of their names by the run that wrote them."""
ROWS_KEY = b"raygen.rows"
"""Key in the footer of a file that was merged of others and whose rows do not name their run: a JSON object of the rows by run. Of the files
of one merge the first says it for all of them.
"""
RUN_KEY = b"raygen.run_id"
"""Key in the footer of a file of one shard: the run that committed it."""
_MOST_LOOKS = 3
_FOOTERS_AT_ONCE = 16
"""Footers that are read at a time: on object storage each is a request or two."""
_WORK = ".work"
_PAIRS = "pairs"
"""The value of ``chrom`` in the folder of pairs, which have none: Hive's name for null alone in a table cannot be read by pyarrow
and pandas ("No non-null segments"). A contig of this name is written ``%70airs``.
"""
_PAIRS_BEFORE = "__HIVE_DEFAULT_PARTITION__"  # in tables that versions up to 0.1.0 wrote
PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
"""How scores and rejects are read: every page against its checksum, so that a flipped bit is an error and no number."""


@dataclass(frozen=True)
class ScoreFile:
    """A committed file: the shard it holds (or its own name, when compacted), its contig (None for pairs) and its path."""

    shard: str
    chrom: str | None
    path: str


class RunFolder:
    """The folder of a run, on this machine or on any filesystem that pyarrow or fsspec knows (s3://, gs://).

    Attributes:
        path: the folder as messages show it, without options and credentials.
        uri: the folder as other machines can use it.
        rows: the name of the folder in it that holds the table, and ``columns``, what a row has there: another table than scores
            (see ``position_table``) has others.
    """

    rows: ClassVar[str] = SCORES_FOLDER
    columns: ClassVar[pa.Schema] = SCORES

    def __init__(self, path: str) -> None:
        location = path.rstrip("/") or path
        self.path = shown(location)
        self.uri = with_endpoint(location) if is_remote(location) else str(Path(expanded(location)).absolute())
        self._fs, self._root = resolve(location)
        self._keeps_folders = keeps_folders(self._fs)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            SettingsError: the folder cannot be written, or holds a table of another kind.
            StoppedError: its disk is full.
        """
        probe = f"{self._root}/.raygen-{uuid.uuid4().hex}"
        refuse_file_for_output(self.path)
        if exists(join(self.uri, "ingest.json")):
            raise SettingsError(
                f"{self.path} is a folder of `raygen ingest`. Give another output folder for the scores."
            )
        refuse_other_table(self.uri, self.rows)
        try:
            if self._keeps_folders:
                self._fs.create_dir(self._root, recursive=True)
            with self._fs.open_output_stream(probe):
                pass
            self._fs.delete_file(probe)
        except OSError as error:
            raise full_disk(error, self.path) or SettingsError(
                f"The output folder {self.path} cannot be written: {error}."
            ) from error

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs out (see ``locks``); a killed run's lock is gone with it or soon after.

        Raises:
            StoppedError: another run is at work here.
        """
        if self._keeps_folders:
            return lock_folder(self._root, self.path)
        return lock_prefix(self._fs, self._root, self.path)

    def score_files(self) -> list[ScoreFile]:
        """Every file of scores, by listing: a shard each, or several that were compacted into one."""
        return [_score_file(path) for path in self._parquet_under(self.rows)]

    def committed_shards(self, files: Sequence[ScoreFile] | None = None) -> set[str]:
        """Every committed shard, by listing; a compacted file says in its footer which ones it holds.

        Args:
            files: what ``score_files`` gave, so that it need not be listed again.
        """
        shards: set[str] = set()
        for file in self.score_files() if files is None else files:
            shards |= self._shards_in(file) if file.shard.startswith(COMPACTED) else {file.shard}
        return shards

    def _shards_in(self, compacted: ScoreFile) -> set[str]:
        shards_json = (self._schema(compacted.path).metadata or {}).get(SHARDS_KEY)
        if shards_json is None:  # a copy with other classes: it goes by its own name
            return {compacted.shard}
        return {shard for shards in json.loads(shards_json).values() for shard in shards}

    def scores_dataset(self, files: Sequence[str] | None = None) -> ds.Dataset:
        """Committed scores, all or of these files, to be scanned with columns and filters; ``chrom`` is a string, source
        columns come last.
        """
        paths = list(self._parquet_under(self.rows)) if files is None else list(files)
        if not paths:
            return ds.InMemoryDataset(self.columns.empty_table())
        schema = self._schema(paths[0]).append(pa.field("chrom", pa.string())).remove_metadata()
        fragments = [
            PARQUET.make_fragment(file.path, self._fs, _of_contig(file.chrom)) for file in map(_score_file, paths)
        ]
        return ds.FileSystemDataset(fragments, schema, PARQUET, self._fs)

    def refuse_mixed_files(self, paths: Sequence[str] | None = None) -> None:
        """Refuse files of scores, all or these, that cannot be read with the types of the first: text would become numbers unseen.

        Raises:
            InputError: there is such a file, or a damaged one.
        """
        paths = list(self._parquet_under(self.rows)) if paths is None else paths
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            schemas = list(pool.map(self._schema, paths))
        for path, schema in zip(paths, schemas, strict=True):
            refuse_other_types(path, schema, schemas[0])

    def read_score_file(self, file: ScoreFile) -> pa.Table:
        """The rows of a committed shard with the SCORES columns in their order and those that follow them."""
        table = self._read_parquet(file.path)
        table = table.replace_schema_metadata(None).append_column(
            "chrom", pa.array([file.chrom] * len(table), pa.string())
        )
        return table.select(
            [*self.columns.names, *(name for name in table.column_names if name not in self.columns.names)]
        )

    def _read_parquet(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        with naming_damage(path), self._fs.open_input_file(path) as stream:
            return read_checked(stream, columns)

    def reject_files(self) -> Iterator[tuple[str, pa.Table]]:
        """The name and the rows of each file of rejects."""
        for path in self._parquet_under("rejects"):
            yield _shard_name(path), self._read_parquet(path)

    def rejects_dataset(self) -> ds.Dataset:
        """All committed rejects, to be scanned."""
        paths = list(self._parquet_under("rejects"))
        return (
            ds.dataset(paths, filesystem=self._fs, format=PARQUET)
            if paths
            else ds.InMemoryDataset(REJECTS.empty_table())
        )

    def identity(self, files: Sequence[ScoreFile] | None = None) -> Identity | None:
        """What the scores that are here share, from a file's own metadata; None where there are none.

        Args:
            files: what ``score_files`` gave, so that it need not be listed again.
        """
        path = self._first_path(files)
        if path is None:
            return None
        schema = self._schema(path)
        if b"raygen.fingerprint" not in (schema.metadata or {}):
            raise SettingsError(f"{path} was not written by raygen. Give another output folder.")
        return identity_of(schema)

    def carried_types(self, files: Sequence[ScoreFile] | None = None) -> dict[str, pa.DataType]:
        """The types that the table declares for the columns carried along from the input; none where it has no files.

        Args:
            files: what ``score_files`` gave, so that it need not be listed again.
        """
        path = self._first_path(files)
        return {} if path is None else carried_types(self._schema(path))

    def _first_path(self, files: Sequence[ScoreFile] | None) -> str | None:
        return (
            next((file.path for file in files), None)
            if files is not None
            else next(self._parquet_under(self.rows), None)
        )

    def _schema(self, path: str) -> pa.Schema:
        with naming_damage(path), self._fs.open_input_file(path) as file:
            return pq.read_schema(file)

    def shards_by_run(self, file: ScoreFile) -> dict[str, list[str]]:
        """The shards in a file of scores by the run that committed them, as ``shards_of`` reads them."""
        with naming_damage(file.path), self._fs.open_input_file(file.path) as source:
            return shards_of(pq.ParquetFile(source), file.shard)

    def scored_ids(
        self, paths: Sequence[str], extra: Sequence[str] = (), near: tuple[int, int] | None = None
    ) -> pa.Table:
        """``variant_id`` and ``extra`` columns of committed files, of positions in ``near`` where it is given."""
        dataset = ds.dataset(list(paths), filesystem=self._fs, format=PARQUET)
        within = None if near is None else (ds.field("pos") >= near[0]) & (ds.field("pos") <= near[1])
        with naming_damage(self.path):
            return dataset.to_table(columns=["variant_id", *extra], filter=within)

    def positions_in(self, paths: Sequence[str], near: tuple[int, int]) -> pa.ChunkedArray:
        """``pos`` of the rows of committed files, from ``near[0]`` to ``near[1]``."""
        dataset = ds.dataset(list(paths), filesystem=self._fs, format=PARQUET)
        within = (ds.field("pos") >= near[0]) & (ds.field("pos") <= near[1])
        with naming_damage(self.path):
            return dataset.to_table(columns=["pos"], filter=within)["pos"]

    def rejects_of(self, names: set[str]) -> dict[str, int]:
        """Rejected rows per reason in the committed files of these names."""
        counts: dict[str, int] = {}
        for path in self._parquet_under("rejects"):
            if _shard_name(path) not in names:
                continue
            for reason in self._read_parquet(path, ["reason"])["reason"].to_pylist():
                counts[reason] = counts.get(reason, 0) + 1
        return counts

    def commit_shard(
        self,
        shard: str,
        chrom: str | None,
        scores: pa.Table,
        rejects: pa.Table,
        identity: Identity,
        run_id: str | None = None,
        shards: Mapping[str, Sequence[str]] | None = None,
        embeddings: pa.Table | None = None,
    ) -> None:
        """Make a shard's rows visible. Scores come with the SCORES columns and perhaps source columns after them; ``embeddings``, where the
        run stores any, with ``variant_id`` and the columns of ``embedding_columns``, row by row as the scores.

        ``run_id`` goes into the footer: a file without rows tells in no other way which run committed it. ``shards`` too, where
        a file holds several (``shards_of``).

        Raises:
            InputError: a source column has another type than ``identity`` declares.
        """
        identity = declaring(identity, scores.schema, f"shard {shard}")
        part = f"{partition_of(chrom)}/part-{shard}.parquet"
        if identity.embeddings:
            self._commit_embeddings(part, embeddings, identity)
        if rejects.num_rows:
            self.commit_rejects(shard, rejects)
        else:  # a try that was killed between its two files may have rejected what is scored now
            self._remove(f"{self._root}/rejects/part-{shard}.parquet")
        metadata = _metadata(identity)
        if run_id:
            metadata[RUN_KEY.decode()] = run_id
        if shards is not None:
            metadata[SHARDS_KEY.decode()] = json.dumps(shards)
        table = scores.drop_columns(["chrom"]).replace_schema_metadata(metadata)
        self._write(f"{self.rows}/{part}", table)

    def _commit_embeddings(self, part: str, embeddings: pa.Table | None, identity: Identity) -> None:
        """Write the embeddings of a shard, which has none where it has no rows."""
        place = f"{self._embeddings_root()}/{part}"
        if embeddings is None or not len(embeddings):  # a try that was killed may have left some
            return self._remove(place)
        table = without_nulls(embeddings).replace_schema_metadata(_metadata(identity))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=rows_a_group(table.schema), **embeddings_written_as(table.schema))
        self._publish(place, sink.getvalue())
        if self.local_root:
            show_embeddings(self.local_root)
        return None

    def _embeddings_root(self) -> str:
        root = self.local_root
        return str(embeddings_beside(scores_folder(root, self.rows))) if root else f"{self._root}/{EMBEDDINGS_FOLDER}"

    def embeddings_of(self, scores_path: str) -> str:
        """The path of the embeddings that belong to a file of scores, which need not be there."""
        *root, partition, name = scores_path.split("/")
        beside = embeddings_beside(Path("/".join(root)))
        return f"{beside if self.local_root else self._embeddings_root()}/{partition}/{name}"

    def embedding_paths(self) -> list[str]:
        """The paths of all files of embeddings, by listing, whether their shards are committed or not."""
        return list(self._parquet_in(self._embeddings_root()))

    def commit_rejects(self, name: str, rejects: pa.Table) -> None:
        """Write rejected rows; nothing where there are none."""
        if rejects.num_rows:
            self._write(f"rejects/part-{name}.parquet", rejects.select(REJECTS.names))

    def written_as(self, schema: pa.Schema) -> dict[str, Any]:
        """How Parquet files of this schema are written: what ``pq.write_table`` is to know."""
        return {"compression": "zstd"}

    def write_manifest(self, run_id: str, manifest: Mapping[str, Any]) -> str:
        """Write a run's manifest and return its path."""
        return self.write_run_file(
            run_id, "manifest.json", (json.dumps(manifest, indent=2, default=str) + "\n").encode()
        )

    def write_run_file(self, run_id: str, name: str, content: bytes) -> str:
        """Write a file beside a run's manifest, whole or not at all, and return its path."""
        self._publish(f"{self._root}/runs/{run_id}/{name}", content)
        return f"{self.path}/runs/{run_id}/{name}"

    def run_ids(self) -> list[str]:
        """Runs that left a manifest here, the oldest first."""
        selector = fs.FileSelector(f"{self._root}/runs", recursive=True, allow_not_found=True)
        manifest_paths = [info.path for info in self._fs.get_file_info(selector) if info.base_name == "manifest.json"]
        return sorted(path.split("/")[-2] for path in manifest_paths)

    def read_manifest(self, run_id: str | None = None) -> dict[str, Any] | None:
        """The manifest of a run, or of the last one; None where there is none."""
        run_ids = self.run_ids()
        chosen = run_id or (run_ids[-1] if run_ids else None)
        if chosen not in run_ids:
            return None
        path = f"{self._root}/runs/{chosen}/manifest.json"
        with self._fs.open_input_file(path) as file:
            return parse_manifest(file.read(), path)

    def manifests(self) -> list[dict[str, Any]]:
        """The manifests of all runs into this folder, oldest first; one that cannot be read is left out."""
        manifests = []
        for run_id in self.run_ids():
            with suppress(InputError):
                manifests.append(self.read_manifest(run_id) or {})
        return manifests

    def write_first(self, relative: str, content: bytes) -> bytes:
        """Write a small file unless it is there already, and return what is there: of several writers the first one wins.

        On object storage two writers at the same moment may both write; what is read afterwards is one of them, whole.
        """
        path = f"{self._root}/{relative}"
        if self._fs.get_file_info(path).type == fs.FileType.NotFound:
            if self._keeps_folders:
                _put_first(Path(path), content)
            else:
                self._publish(path, content)
        with self._fs.open_input_file(path) as file:
            return file.read()

    def write_file(self, relative: str, content: bytes) -> str:
        """Write a small file, whole or not at all, in place of an earlier one; returns its path."""
        self._publish(f"{self._root}/{relative}", content)
        return f"{self.path}/{relative}"

    def read_file(self, relative: str) -> bytes | None:
        """A small file's content; None where there is no such file."""
        try:
            with self._fs.open_input_file(f"{self._root}/{relative}") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def read_files(self, folder: str, name: str) -> dict[str, bytes]:
        """Contents of the files whose name ends in ``name``, anywhere below a folder, by their path from there, sorted."""
        base = f"{self._root}/{folder}".rstrip("/")
        infos = self._fs.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        contents = {}
        for path in sorted(info.path for info in infos if info.type == fs.FileType.File and info.path.endswith(name)):
            with self._fs.open_input_file(path) as file:
                contents[path.removeprefix(f"{base}/")] = file.read()
        return contents

    def is_folder(self, relative: str) -> bool:
        """Whether a folder of this name is there; without a name, whether this one is."""
        return self._fs.get_file_info(f"{self._root}/{relative}".rstrip("/")).type == fs.FileType.Directory

    def folders(self) -> list[str]:
        """Names of the folders in this one, without hidden ones and links."""
        infos = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        names = [info.base_name for info in infos if info.type == fs.FileType.Directory]
        local = self.local_root
        return sorted(
            name for name in names if not name.startswith(".") and not (local and (local / name).is_symlink())
        )

    def reject_paths(self) -> list[str]:
        """The paths of all files of rejects, by listing."""
        return list(self._parquet_under("rejects"))

    @property
    def filesystem(self) -> fs.FileSystem:
        """The filesystem on which the paths of ``score_files`` and ``reject_paths`` lie."""
        return self._fs

    @property
    def local_root(self) -> Path | None:
        """The folder on this machine; None on object storage."""
        return Path(self._root) if isinstance(self._fs, fs.LocalFileSystem) else None

    def upload_once(self, source: Path, relative: str) -> str:
        """Put a file of this machine into the folder, unless one of its size is there; return where it then is."""
        path = f"{self._root}/{relative}"
        uploaded = self._fs.get_file_info(path)
        if uploaded.type != fs.FileType.File or uploaded.size != source.stat().st_size:
            with pa.memory_map(str(source)) as content:
                self._publish(path, content.read_buffer())
        return join(self.uri, relative)

    def write_work(self, relative: str, content: bytes | pa.Buffer) -> None:
        """Write a file of unfinished work, whole or not at all. It is hidden from readers of scores."""
        self._publish(f"{self._root}/{_WORK}/{relative}", content)

    def read_work(self, relative: str) -> pa.Buffer:
        """Read a file of unfinished work."""
        with self._fs.open_input_file(f"{self._root}/{_WORK}/{relative}") as file:
            return file.read_buffer()

    def list_work(self, relative: str = "") -> list[str]:
        """Files of unfinished work below a folder of it, as paths from there, sorted; none where there is no such folder."""
        base = f"{self._root}/{_WORK}/{relative}".rstrip("/")
        try:
            infos = self._fs.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        except FileNotFoundError:  # a folder in it was taken away meanwhile
            return self.list_work(relative)
        files = [info for info in infos if info.type == fs.FileType.File and not info.base_name.startswith(".")]
        return sorted(info.path.removeprefix(f"{base}/") for info in files)

    def drop_work(self, relative: str = "") -> None:
        """Take a file or a folder of unfinished work away; it need not be there."""
        self._remove(f"{self._root}/{_WORK}/{relative}".rstrip("/"))

    def _remove(self, path: str) -> None:
        """Take a file or a folder away if it is there."""
        kind = self._fs.get_file_info(path).type
        with suppress(FileNotFoundError):
            if kind == fs.FileType.Directory:
                self._fs.delete_dir(path)
            elif kind == fs.FileType.File:
                self._fs.delete_file(path)

    def _write(self, relative: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, write_page_checksum=True, **self.written_as(table.schema))
        self._publish(f"{self._root}/{relative}", sink.getvalue())

    def _publish(self, path: str, content: bytes | pa.Buffer) -> None:
        folder, _, name = path.rpartition("/")
        local = self._keeps_folders
        target = f"{folder}/.{name}.{uuid.uuid4().hex}" if local else path
        with disk_errors(self.path):
            try:
                if local:
                    self._fs.create_dir(folder, recursive=True)
                with self._fs.open_output_stream(target, compression=None) as stream:
                    stream.write(content)
                if local:
                    self._fs.move(target, path)
            except OSError:
                if local and self._fs.get_file_info(target).type == fs.FileType.File:
                    self._fs.delete_file(target)
                raise

    def _parquet_under(self, part: str) -> Iterator[str]:
        base = f"{self._root}/{part}"
        if isinstance(self._fs, fs.LocalFileSystem) and Path(base).is_symlink():
            base = f"{self._root}/{os.readlink(base)}"  # noqa: PTH115 - a reader stays in the generation it began with
        return self._parquet_in(base)

    def _parquet_in(self, base: str) -> Iterator[str]:
        selector = fs.FileSelector(base, recursive=True, allow_not_found=True)
        for info in sorted(self._fs.get_file_info(selector), key=lambda info: info.path):
            if info.type == fs.FileType.File and info.base_name.startswith("part-") and info.extension == "parquet":
                yield info.path


def read_scores(path: str) -> pa.Table:
    """All scores of a run's folder, with the SCORES columns in their order and source columns after them.

    Reading ``scores/`` with other tools works too, but most of them guess the type of ``chrom`` from the folder names:
    22 becomes a number.

    Raises:
        InputError: there is no such folder, it holds a position table, or a file of it is damaged.
    """
    refuse_no_folder(path)
    refuse_positions(path)
    for _ in range(_MOST_LOOKS - 1):
        with suppress(FileNotFoundError):  # files were exchanged for others since they were listed
            return _read_scores(path)
    return _read_scores(path)


def _read_scores(path: str) -> pa.Table:
    dataset = RunFolder(path).scores_dataset()
    extra = [name for name in dataset.schema.names if name not in SCORES.names]
    with naming_damage(path):
        try:
            scores = dataset.to_table(columns=[*SCORES.names, *extra])
        except pa.ArrowException:
            _refuse_other_types(dataset)
            raise
    _refuse_other_types(dataset)
    return scores


def _refuse_other_types(dataset: ds.Dataset) -> None:
    """Look at the types of every file of scores that was read; their footers are in memory then."""
    for fragment in dataset.get_fragments() if isinstance(dataset, ds.FileSystemDataset) else ():
        refuse_other_types(fragment.path, fragment.physical_schema, dataset.schema)


def shards_of(file: pq.ParquetFile, name: str) -> dict[str, list[str]]:
    """The shards of a file by the run that committed them; under an empty name where a file without rows does not say
    it.

    Args:
        name: of the shard, where the file holds a single one.
    """
    metadata = file.schema_arrow.metadata or {}
    if SHARDS_KEY in metadata:
        return dict(json.loads(metadata[SHARDS_KEY]))
    run = metadata.get(RUN_KEY, b"").decode()
    if file.metadata.num_rows and "run_id" in file.schema_arrow.names:
        run = file.read_row_group(0, ["run_id"])["run_id"][0].as_py()
    return {run or "": [name]}


def rows_of_runs(footer: pq.FileMetaData) -> dict[str, int]:
    """The rows by run that the footer of a file says, whose rows do not name it; under an empty name where it says none."""
    metadata = footer.metadata or {}
    if ROWS_KEY in metadata:
        return dict(json.loads(metadata[ROWS_KEY]))
    return {metadata.get(RUN_KEY, b"").decode(): footer.num_rows}


def _put_first(path: Path, content: bytes) -> None:
    """Put a small file in its place unless there is one; where the filesystem has no hard links the last writer wins."""
    make_folder(path.parent)
    try:
        put_first(path, content)
    except OSError:
        with put_in_place(path) as partial:
            partial.write_bytes(content)


def _metadata(identity: Identity) -> dict[str, str]:
    return {
        "raygen.schema_version": str(SCHEMA_VERSION),
        **{f"raygen.{name}": value for name, value in asdict(identity).items()},
    }


def _shard_name(path: str) -> str:
    return path.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet")


def partition_of(chrom: str | None) -> str:
    """The name of a contig's folder of scores; None stands for pairs."""
    if chrom is None:
        return f"chrom={_PAIRS}"
    return f"chrom={quote(chrom, safe='') if chrom != _PAIRS else '%70airs'}"


def _of_contig(chrom: str | None) -> ds.Expression:
    return ds.field("chrom").is_null() if chrom is None else ds.field("chrom") == chrom


def _score_file(path: str) -> ScoreFile:
    folder = path.split("/")[-2].removeprefix("chrom=")
    chrom = None if folder in (_PAIRS, _PAIRS_BEFORE) else unquote(folder)
    return ScoreFile(_shard_name(path), chrom, path)
