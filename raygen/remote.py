"""Paths elsewhere: ``s3://bucket/key`` and whatever else pyarrow or an installed fsspec filesystem can reach.

    s3://bucket/out?endpoint_override=http://127.0.0.1:9000&region=eu-central-1       pyarrow's own options follow a ``?``

For ``s3://`` the endpoint may come from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, too. It is written into the URI before that
travels to other machines; credentials are not, each machine finds its own where AWS looks for them.

Readers of FASTA, VCF and weights want files of this machine. ``stage`` brings a file or folder into the cache, once a
machine and version: its place there depends on the URI, sizes and times of change, and a lock lets one process fetch while
the others wait.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
from filelock import FileLock
from pyarrow import fs

from raygen.cache import CACHE_ADVICE, cache_folder
from raygen.disk_errors import full_disk
from raygen.errors import InputError, SettingsError, StoppedError, first_line
from raygen.home import expanded

_CHUNK = 16 * 2**20  # bytes


def is_remote(path: str) -> bool:
    """Whether a path is a URI."""
    return "://" in path


def with_endpoint(uri: str) -> str:
    """The URI as other machines can use it: an S3 endpoint of this machine's environment is written into it.

    Raises:
        SettingsError: the URI holds credentials, which would end in manifests and logs.
    """
    parts = urlsplit(uri)
    if not parts.scheme:
        return uri
    if "@" in parts.netloc or {"access_key", "secret_key"} & dict(parse_qsl(parts.query)).keys():
        raise SettingsError(
            f"{shown(uri)}: leave credentials out of paths; they belong into the environment or into ~/.aws."
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options = dict(parse_qsl(parts.query))
    if parts.scheme != "s3" or not endpoint or "endpoint_override" in options:
        return uri
    return urlunsplit(parts._replace(query=urlencode({**options, "endpoint_override": endpoint})))


def shown(uri: str) -> str:
    """The URI without options and credentials, as it is printed."""
    if not is_remote(uri):
        return uri
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def join(uri: str, name: str) -> str:
    """The URI of something below a folder."""
    if not is_remote(uri):
        return f"{uri}/{name}"
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def resolve(path: str) -> tuple[fs.FileSystem, str]:
    """The filesystem of a path or URI, and the path on it.

    Raises:
        SettingsError: nothing on this machine can reach the filesystem.
    """
    if not is_remote(path):
        return fs.LocalFileSystem(), str(Path(expanded(path)).absolute())
    return _resolve_remote(with_endpoint(path))


@lru_cache(maxsize=64)
def _resolve_remote(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        return fs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowInvalid) as error:
        try:
            import fsspec

            filesystem, root = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError, OSError):
            raise SettingsError(f"{shown(uri)} is on no filesystem that can be reached: {error}.") from error
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), root


def keeps_folders(filesystem: fs.FileSystem) -> bool:
    """Whether a filesystem makes folders and renames files; object storage does neither."""
    return isinstance(filesystem, fs.LocalFileSystem)


def exists(path: str) -> bool:
    """Whether there is a file or folder at a path or URI.

    Raises:
        SettingsError: the filesystem does not answer.
    """
    if not is_remote(path):
        return Path(path).exists()
    return _info(path).type != fs.FileType.NotFound


def kind_of(path: str) -> fs.FileType:
    """Whether there is a file, a folder or nothing at a path or URI.

    Raises:
        SettingsError: the filesystem does not answer.
    """
    return _info(path).type


def stamp(path: str) -> tuple[int, int]:
    """Size and time of change (ns) of a file, by which one that was swapped is known."""
    if not is_remote(path):
        stat = Path(path).stat()
        return stat.st_size, stat.st_mtime_ns
    info = _info(path)
    return int(info.size or 0), int(info.mtime_ns or 0)


def first_bytes(uri: str, size: int) -> bytes:
    """The first bytes of a file elsewhere; none where it cannot be read."""
    filesystem, path = resolve(uri)
    try:
        with filesystem.open_input_file(path) as file:
            return bytes(file.read(size))
    except OSError:
        return b""


def list_files(uri: str) -> dict[str, tuple[int, int]]:
    """Files below a folder elsewhere: their paths from there, with size and time of change (ns). Empty where there is none.

    Raises:
        SettingsError: the filesystem does not answer.
    """
    filesystem, root = resolve(uri)
    return {
        info.path.removeprefix(root.rstrip("/")).lstrip("/"): (int(info.size or 0), int(info.mtime_ns or 0))
        for info in _below(uri, filesystem, root)
    }


def stage(path: str) -> str:
    """A path on this machine to a file or folder of any filesystem: fetched into the cache; one of this machine stays
    as it is.

    Raises:
        InputError: there is no such file or folder.
        SettingsError: its filesystem cannot be reached.
        StoppedError: it cannot be fetched, or the cache has no room.
    """
    if not is_remote(path):
        return path
    filesystem, root = resolve(path)
    files = _files(path, filesystem, root)
    described = repr((shown(path), [(info.path, info.size, info.mtime_ns) for info in files]))
    folder = cache_folder("staged") / hashlib.sha256(described.encode()).hexdigest()[:20]
    target = folder / root.rstrip("/").rpartition("/")[2]
    if not target.exists():
        with FileLock(folder.with_suffix(".lock")):
            if not target.exists():
                _fetch(filesystem, root.rstrip("/"), files, folder, path)
    return str(target)


def _files(path: str, filesystem: fs.FileSystem, root: str) -> list[fs.FileInfo]:
    info = _info(path)
    if info.type == fs.FileType.File:
        return [info]
    files = _below(path, filesystem, root)
    if not files:
        raise InputError(f"No such file or folder: {shown(path)}.")
    return files


def _below(path: str, filesystem: fs.FileSystem, root: str) -> list[fs.FileInfo]:
    try:
        infos = filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    except OSError as error:
        raise SettingsError(f"{shown(path)} cannot be reached: {first_line(error)}.") from error
    return sorted((info for info in infos if info.type == fs.FileType.File), key=lambda info: info.path)


def _info(path: str) -> fs.FileInfo:
    filesystem, root = resolve(path)
    try:
        return filesystem.get_file_info(root)
    except OSError as error:
        raise SettingsError(f"{shown(path)} cannot be reached: {first_line(error)}.") from error


def _fetch(filesystem: fs.FileSystem, root: str, files: list[fs.FileInfo], folder: Path, path: str) -> None:
    """Fetch files into a scratch folder beside ``folder``, then rename it in one step."""
    scratch = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    name = root.rpartition("/")[2]
    try:
        for info in files:
            target = scratch / f"{name}{info.path.removeprefix(root)}"
            target.parent.mkdir(parents=True, exist_ok=True)
            with closing(filesystem.open_input_stream(info.path, compression=None)) as source, target.open("wb") as out:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)
            os.utime(target, ns=(info.mtime_ns or 0, info.mtime_ns or 0))
        scratch.rename(folder)
    except OSError as error:
        raise full_disk(error, folder.parent, CACHE_ADVICE) or StoppedError(
            f"{shown(path)} cannot be fetched into {folder.parent}: {first_line(error)}."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
