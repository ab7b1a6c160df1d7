"""A folder with a table for each fingerprint, one beside the other: what ``raygen nightly`` writes into.

    OUT/<fingerprint>/               a run's folder (see layout.py), which holds scores of this fingerprint only
    OUT/<fingerprint>/nights/*.json  a record of each night that ended: its landing files, counts, run
    OUT/current.json                 which table is the current one, and which one was before it
    OUT/current                      a link to it, on this machine's filesystems

A table becomes the current one when a first night into it has ended, not while it fills.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raygen.errors import InputError, SettingsError
from raygen.remote import join
from raygen.tables.folder_kinds import POSITIONS_FOLDER, SCORES_FOLDER, refuse_no_folder, refuse_positions
from raygen.tables.layout import RunFolder

_POINTER, _LINK, _NIGHTS = "current.json", "current", "nights"
_MOST_NAMED = 5


@dataclass(frozen=True)
class Current:
    """Fingerprints of the current table and of the one before it."""

    fingerprint: str
    previous: str | None = None


class FingerprintTables:
    """The tables of one output folder.

    Raises:
        SettingsError: the folder cannot be written, or is that of single runs.
    """

    def __init__(self, path: str) -> None:
        self._folder = RunFolder(path)
        self._folder.prepare()
        self.path = self._folder.path
        if self._folder.score_files():
            raise SettingsError(
                f"{path} is the folder of `raygen score`; a night keeps a folder for each fingerprint. Give another "
                f"output folder, or move what is there to {path}/<its fingerprint>, and nights go on from it."
            )

    @property
    def local_root(self) -> Path | None:
        """The folder on this machine; None on object storage."""
        return self._folder.local_root

    def locked(self) -> AbstractContextManager[None]:
        """Keep other nights out where ``night_lock`` cannot: on object storage."""
        return self._folder.locked()

    def table(self, fingerprint: str) -> RunFolder:
        """The table of a fingerprint, which need not be there yet."""
        return RunFolder(join(self._folder.uri, fingerprint))

    def current(self) -> Current | None:
        """The current table, which ``current.json`` names; None before a first night has ended."""
        pointer = self._folder.read_file(_POINTER)
        return Current(**json.loads(pointer)) if pointer else None

    def point_to(self, fingerprint: str) -> None:
        """Make a table the current one."""
        now = self.current()
        if now is None or now.fingerprint != fingerprint:
            now = Current(fingerprint, now.fingerprint if now else None)
            self._folder.write_file(_POINTER, (json.dumps(asdict(now)) + "\n").encode())
        if self.local_root is not None:  # a convenience: what holds is the file
            draft = self.local_root / f".{_LINK}.{uuid.uuid4().hex}"
            with suppress(OSError):
                draft.symlink_to(fingerprint)
                draft.replace(self.local_root / _LINK)


def table_paths(path: str) -> list[str]:
    """The folders with scores at ``path``: this folder itself, or one for each fingerprint in it.

    They are to be opened: each as its user would write it, with the options of a URI. ``shown`` leaves these out.

    Raises:
        InputError: there is no such folder, or there are no scores in it.
    """
    refuse_no_folder(path)
    folder = RunFolder(path)
    if folder.is_folder(SCORES_FOLDER) or folder.is_folder(POSITIONS_FOLDER):
        return [path.rstrip("/") or path]
    tables = [join(path.rstrip("/"), name) for name in _names_inside(folder)]
    if not tables:
        raise InputError(f"{folder.path} holds no scores: there is no scores/ in it, nor in the folders in it.")
    return tables


def tables_inside(path: str) -> list[str]:
    """The folders with scores in the folder ``path``, as a user would write them; none where it is no folder."""
    folder = RunFolder(path)
    return [join(folder.path, name) for name in _names_inside(folder)] if folder.is_folder("") else []


def no_scores(path: str, inside: Sequence[str] | None = None) -> InputError:
    """The error of a command that takes one table and was given ``path``, which is none: it names those ``inside``.

    Raises:
        InputError: it is a position table.
    """
    refuse_positions(path)
    tables = tables_inside(path) if inside is None else inside
    if not tables:
        return InputError(f"{path} holds no scores: there are no files {path}/scores/chrom=.../part-*.parquet.")
    shown_tables = ", ".join(tables[:_MOST_NAMED]) + (
        f" and {len(tables) - _MOST_NAMED:,} more" if len(tables) > _MOST_NAMED else ""
    )
    return InputError(
        f"{path} holds no scores itself, but a table for each fingerprint. Name one of them: {shown_tables}."
    )


def _names_inside(folder: RunFolder) -> list[str]:
    return [name for name in folder.folders() if folder.is_folder(f"{name}/scores")]


def nights_of(table: RunFolder) -> list[dict[str, Any]]:
    """The records of all nights of a table, oldest first."""
    return [json.loads(content) for content in table.read_files(_NIGHTS, ".json").values()]


def write_night(table: RunFolder, record: Mapping[str, Any]) -> str:
    """Write a night's record under its run's name; returns the path."""
    return table.write_file(
        f"{_NIGHTS}/{record['run_id']}.json", (json.dumps(record, indent=2, default=str) + "\n").encode()
    )
