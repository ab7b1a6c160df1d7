"""A run's folder: what lies where, how a shard is committed, and what is found there again.

    OUT/scores/chrom=.../part-<shard>.parquet     OUT/rejects/part-<shard>.parquet
    OUT/runs/<run_id>/manifest.json

A shard is committed when its file in ``scores/`` exists: rejects are written first, then the scores, each under a hidden
name that is then renamed (on object storage an upload is whole or absent, so it goes straight to its name). A reader of
``scores/`` never sees half a file, and what is done is found by listing, not by trusting a log. A shard with nothing to
show commits a file without rows.

``chrom`` is in the folder's name, percent-encoded as Hive does, and not in the files: readers take it from the path.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.errors import SettingsError
from raygen.tables.schemas import REJECTS, SCHEMA_VERSION, SCORES

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PARTITIONING = ds.partitioning(pa.schema([("chrom", pa.string())]), flavor="hive")


@dataclass(frozen=True)
class Identity:
    """What all scores of a folder share. Another one is refused there."""

    fingerprint: str
    reference_digest: str


@dataclass(frozen=True)
class ScoreFile:
    """A committed file: the shard it holds, its contig (None for pairs) and its path."""

    shard: str
    chrom: str | None
    path: str


class RunFolder:
    """The folder of a run, on this machine or on any filesystem that pyarrow knows (s3://, gs://)."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/") or path
        self._fs, self._root = _resolve(self.path)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            SettingsError: it cannot be written.
        """
        probe = f"{self._root}/.raygen-{uuid.uuid4().hex}"
        try:
            self._fs.create_dir(self._root, recursive=True)
            with self._fs.open_output_stream(probe):
                pass
            self._fs.delete_file(probe)
        except OSError as error:
            raise SettingsError(f"The output folder {self.path} cannot be written: {error}.") from error

    def score_files(self) -> list[ScoreFile]:
        """Every committed shard, by listing."""
        return [_score_file(path) for path in self._parquet_under("scores")]

    def identity(self) -> Identity | None:
        """What the scores that are here share, from a file's own metadata; None where there are none."""
        for path in self._parquet_under("scores"):
            with self._fs.open_input_file(path) as file:
                metadata = pq.read_schema(file).metadata or {}
            return Identity(metadata[b"raygen.fingerprint"].decode(), metadata[b"raygen.reference_digest"].decode())
        return None

    def rejects_of(self, names: set[str]) -> dict[str, int]:
        """Rejected rows per reason in the committed files of these names."""
        counts: dict[str, int] = {}
        for path in self._parquet_under("rejects"):
            if _shard_name(path) not in names:
                continue
            with self._fs.open_input_file(path) as file:
                for reason in pq.read_table(file, columns=["reason"])["reason"].to_pylist():
                    counts[reason] = counts.get(reason, 0) + 1
        return counts

    def commit_shard(
        self, shard: str, chrom: str | None, scores: pa.Table, rejects: pa.Table, identity: Identity
    ) -> None:
        """Make a shard's rows visible. Scores come with the SCORES columns and perhaps source columns after them."""
        self.commit_rejects(shard, rejects)
        folder = _NULL_PARTITION if chrom is None else quote(chrom, safe="")
        metadata = {
            "raygen.schema_version": str(SCHEMA_VERSION),
            "raygen.fingerprint": identity.fingerprint,
            "raygen.reference_digest": identity.reference_digest,
        }
        table = scores.drop_columns(["chrom"]).replace_schema_metadata(metadata)
        self._write(f"scores/chrom={folder}/part-{shard}.parquet", table)

    def commit_rejects(self, name: str, rejects: pa.Table) -> None:
        """Write rejected rows; nothing where there are none."""
        if rejects.num_rows:
            self._write(f"rejects/part-{name}.parquet", rejects.select(REJECTS.names))

    def write_manifest(self, run_id: str, manifest: Mapping[str, Any]) -> str:
        """Write a run's manifest and return its path."""
        path = f"{self._root}/runs/{run_id}/manifest.json"
        self._publish(path, (json.dumps(manifest, indent=2, default=str) + "\n").encode())
        return f"{self.path}/runs/{run_id}/manifest.json"

    def _write(self, relative: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self._publish(f"{self._root}/{relative}", sink.getvalue())

    def _publish(self, path: str, content: bytes | pa.Buffer) -> None:
        folder, _, name = path.rpartition("/")
        self._fs.create_dir(folder, recursive=True)
        local = isinstance(self._fs, fs.LocalFileSystem)
        target = f"{folder}/.{name}.{uuid.uuid4().hex}" if local else path
        try:
            with self._fs.open_output_stream(target, compression=None) as stream:
                stream.write(content)
            if local:
                self._fs.move(target, path)
        except OSError:
            if local and self._fs.get_file_info(target).type == fs.FileType.File:
                self._fs.delete_file(target)
            raise

    def _parquet_under(self, part: str) -> Iterator[str]:
        selector = fs.FileSelector(f"{self._root}/{part}", recursive=True, allow_not_found=True)
        for info in sorted(self._fs.get_file_info(selector), key=lambda info: info.path):
            if info.type == fs.FileType.File and info.base_name.startswith("part-") and info.extension == "parquet":
                yield info.path


def read_scores(path: str) -> pa.Table:
    """All scores of a run's folder, with the SCORES columns in their order and source columns after them.

    Reading ``scores/`` with other tools works too, but most of them guess the type of ``chrom`` from the folder names:
    22 becomes a number.
    """
    folder = RunFolder(path)
    paths = list(folder._parquet_under("scores"))
    if not paths:
        return SCORES.empty_table()
    dataset = ds.dataset(paths, filesystem=folder._fs, partitioning=_PARTITIONING, partition_base_dir=folder._root)
    extra = [name for name in dataset.schema.names if name not in SCORES.names]
    return dataset.to_table(columns=[*SCORES.names, *extra])


def _resolve(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), str(Path(path).expanduser().absolute())
    try:
        found, root = fs.FileSystem.from_uri(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"output.path {path!r} is on no filesystem that can be reached: {error}.") from error
    return found, root


def _shard_name(path: str) -> str:
    return path.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet")


def _score_file(path: str) -> ScoreFile:
    folder = path.split("/")[-2].removeprefix("chrom=")
    chrom = None if folder == _NULL_PARTITION else unquote(folder)
    return ScoreFile(_shard_name(path), chrom, path)
