"""Puts a file or a folder in its place whole, or not at all: it is written under a hidden name beside it and renamed at the end.

The hidden name ends like the real one, because some writers choose the format by a file's end. What the disk answers is said by
the rule of ``disk_errors``; nothing is left behind then, and what was there before stays.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from raygen.disk_errors import disk_errors
from raygen.errors import RaygenError, SettingsError
from raygen.tables.folder_kinds import refuse_among_scores


@contextmanager
def put_in_place(path: str | Path, beside: tuple[str, ...] = ()) -> Iterator[Path]:
    """The name to write to; what lies there at the end, and files of that name with an end of ``beside``, move to ``path``.

    Raises:
        SettingsError: the folder is not there or cannot be written.
        StoppedError: the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise SettingsError(f"{target} is a folder. Give the name of a file.")
    if not target.absolute().parent.is_dir():
        raise SettingsError(f"{target} cannot be written: there is no folder {target.absolute().parent}.")
    partial = _hidden(target)
    try:
        with disk_errors(target):
            yield partial
            for end in (*beside, ""):
                written = partial.with_name(partial.name + end)
                if written.exists():
                    written.replace(target.with_name(target.name + end))
                elif end:
                    target.with_name(target.name + end).unlink(missing_ok=True)  # the index of an earlier file
    finally:
        for end in (*beside, ""):
            _take_away(partial.with_name(partial.name + end))


@contextmanager
def put_folder_in_place(
    path: Path, advice: str = "", is_same: Callable[[Path, Path], bool] = lambda written, standing: False
) -> Iterator[Path]:
    """An empty folder to write to, which becomes ``path`` at the end.

    Args:
        advice: one more sentence for a full disk.
        is_same: whether what another process has put at ``path`` meanwhile, its second argument, may stay in place of this one.

    Raises:
        FileExistsError: something of that name is there by then.
        SettingsError: the folder above cannot be written.
        StoppedError: the disk is full.
    """
    partial = _hidden(path)
    try:
        with disk_errors(path, advice):
            partial.mkdir(parents=True)
            yield partial
            _rename_folder(partial, path, is_same)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename_folder(partial: Path, target: Path, is_same: Callable[[Path, Path], bool]) -> None:
    try:
        partial.rename(target)
    except OSError as error:
        if os.path.lexists(target):
            if is_same(partial, target):
                return
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


def put_first(path: Path, content: bytes) -> bool:
    """Put a file in its place unless there is one, in one step: of several writers one does. Returns whether this one did.

    Raises:
        OSError: the filesystem has no hard links.
        SettingsError, StoppedError: as ``put_in_place``.
    """
    partial = _hidden(path)
    try:
        with disk_errors(path):
            partial.write_bytes(content)
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        _take_away(partial)
    return True


def refuse_unwritable(*paths: str | Path | None) -> None:
    """SettingsError where a file cannot or must not be put at one of ``paths``: said before the work, not after it."""
    for path in paths:
        if path is None:
            continue
        refuse_among_scores(path)
        with put_in_place(path) as partial:
            partial.touch()
            partial.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Put a text file in its place.

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    with put_in_place(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write JSON that every reader takes: NaN or infinity in it is an error of ours (ValueError).

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def keep_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON of what can be found out again, to spare that the next time; where it cannot be written nothing is
    said.
    """
    with suppress(RaygenError, OSError):
        write_text(path, json.dumps(content))


def kept_text(path: Path | None, name: str) -> str | None:
    """A text that ``keep_json`` kept under ``name``; None where there is none, or nothing was kept."""
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing.

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def _hidden(target: Path) -> Path:
    return target.with_name(f".{uuid.uuid4().hex}.{target.name}")


def _take_away(partial: Path) -> None:
    with suppress(OSError):  # a disk that is read-only refuses this, too, even where there is nothing
        partial.unlink(missing_ok=True)
