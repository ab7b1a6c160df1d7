"""The landing folder: which files lie there, which of them are whole, and which no night has taken yet.

A file is taken for whole when nothing about it has changed for ``settle_seconds``. The time of change of its inode is looked
at, not the time of its content: a copy that keeps its source's date has an old one while it is written. Hidden files, files that
end as unfinished copies do (``.part``, ``.tmp``), and files that are no VCF, BCF or Parquet are passed over and named, so a copy
under another name may take its time. Output folders of raygen's in the landing folder are not looked into.

On object storage a file is whole when it is listed; one that no earlier night took is fetched into the cache.

A file is known by its content: one that was touched, renamed or copied again is not new. Its size and dates only spare reading it.
What ``KEY=VALUE`` folders say is part of a table's content: the same bytes below ``chrom=1`` and ``chrom=2`` are other variants.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from raygen.errors import InputError
from raygen.remote import first_bytes, is_remote, join, list_files, shown, stage
from raygen.variants.file_kinds import HEAD_BYTES, is_parquet
from raygen.variants.folder_contents import look_into, partitions_of, sort_out
from raygen.variants.inputs import InputFile

Stamp = tuple[int, int]
"""Size and time of change (ns)."""


@dataclass(frozen=True)
class LandedFile:
    """A file by its path below the landing folder. ``sha256`` is of its content, see ``_digest``."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    def as_plain(self) -> dict[str, Any]:
        """The file as a night's record holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Landing:
    """What a look at the folder found: ``new`` files, names of files that are ``known`` and of those still ``settling``, why
    others cannot be read, and sentences on what is ``passed_over``.
    """

    new: tuple[LandedFile, ...]
    known: tuple[str, ...]
    settling: tuple[str, ...]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()


def look_at(folder: str, settle_seconds: float, earlier_files: Iterable[Mapping[str, Any]]) -> Landing:
    """See what lies in the folder.

    Args:
        folder: a path, or the URI of a prefix on object storage, where nothing is found as long as it is empty.
        earlier_files: files of earlier nights, as ``LandedFile.as_plain`` gives them.

    Raises:
        InputError: there is no such folder, or it cannot be read.
        SettingsError: object storage does not answer. StoppedError: a file of it cannot be fetched.
    """
    look = _Look(folder, time.time() - settle_seconds, [LandedFile(**file) for file in earlier_files])
    files, remarks = _files(folder)
    for name, stamped in files.items():
        try:
            look.take(name, stamped)
        except OSError as error:  # the next look tries it again, and it holds up none of the others
            look.unreadable[name] = f"it cannot be read: {error.strerror or error}"
    return Landing(tuple(look.new), tuple(look.known), tuple(look.settling), look.unreadable, tuple(remarks))


class _Look:
    """A look at the folder under way; a file is whole that has not changed since ``settled``."""

    def __init__(self, folder: str, settled: float, earlier: Sequence[LandedFile]) -> None:
        self._folder, self._settled = folder, settled
        self._stamps = {(file.name, file.size, file.mtime_ns) for file in earlier}
        self._contents = {file.sha256 for file in earlier}
        self.new: list[LandedFile] = []
        self.known: list[str] = []
        self.settling: list[str] = []
        self.unreadable: dict[str, str] = {}

    def take(self, name: str, stamped: Stamp | None) -> None:
        """See which of the lists a file belongs into; one on object storage comes with its size and time of change."""
        if stamped is None:
            stat = (Path(self._folder) / name).stat()
            stamped = stat.st_size, stat.st_mtime_ns
            if max(stat.st_mtime, stat.st_ctime) > self._settled:
                self.settling.append(name)
                return
        if (name, *stamped) in self._stamps:
            self.known.append(name)
        else:
            self._by_content(LandedFile(name, *stamped, _digest(as_input(self._folder, name))))

    def _by_content(self, file: LandedFile) -> None:
        if file.sha256 in self._contents:
            self.known.append(file.name)
        else:
            self.new.append(file)
            self._contents.add(file.sha256)


def as_input(folder: str, name: str) -> InputFile:
    """A file of the landing folder as an input: a table there may be partitioned by folders."""
    return InputFile(where_to_read(folder, name), partitions_of(name))


def where_to_read(folder: str, name: str) -> Path:
    """A file of the landing folder on this machine; one on object storage is fetched into the cache, once a version."""
    return Path(stage(join(folder, name)))


def changed_since(folder: str, files: Sequence[LandedFile]) -> list[str]:
    """Names of the landing files that are not what they were when they were looked at, or are gone."""
    stamps = (
        list_files(folder) if is_remote(folder) else {file.name: _stamp(Path(folder) / file.name) for file in files}
    )
    return [file.name for file in files if stamps.get(file.name) != (file.size, file.mtime_ns)]


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _files(folder: str) -> tuple[dict[str, Stamp | None], list[str]]:
    """Names of what a night can read, sorted, stamped where listing tells it; and sentences on what it cannot."""
    if is_remote(folder):
        stamps = list_files(folder)
        contents = sort_out(stamps, lambda name: first_bytes(join(folder, name), HEAD_BYTES))
        return {name: stamps[name] for name in contents.inputs}, contents.remarks(shown(folder))
    if not Path(folder).is_dir():
        reason = "a file, not a folder" if Path(folder).exists() else "no such folder"
        raise InputError(f"landing.folder {folder}: {reason}.")
    contents = look_into(Path(folder))
    return dict.fromkeys(contents.inputs), contents.remarks(folder)


def _digest(file: InputFile) -> str:
    """The SHA-256 of a file's bytes; of a table in ``KEY=VALUE`` folders also of what these say."""
    with file.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    if file.partitions and is_parquet(file.path):
        digest.update(repr(sorted(file.partitions.items())).encode())
    return digest.hexdigest()
