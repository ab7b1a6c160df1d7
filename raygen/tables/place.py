"""Puts a file in its place whole: it is written under a hidden name beside it and renamed at the end.

The hidden name ends like the real one, because some writers choose the format by a file's end.
"""

from __future__ import annotations

import errno
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raygen.errors import SettingsError, StoppedError
from raygen.tables.folder_kinds import refuse_among_scores


@contextmanager
def put_in_place(path: str | Path, beside: tuple[str, ...] = ()) -> Iterator[Path]:
    """The name to write to; what lies there at the end, and files of that name with an end of ``beside``, move to ``path``.

    Where something fails nothing is left behind, and what was at ``path`` stays.

    Raises:
        SettingsError: the folder is not there or cannot be written.
        StoppedError: the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise SettingsError(f"{target} is a folder. Give the name of a file.")
    if not target.absolute().parent.is_dir():
        raise SettingsError(f"{target} cannot be written: there is no folder {target.absolute().parent}.")
    partial = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        yield partial
        for end in (*beside, ""):
            written = partial.with_name(partial.name + end)
            if written.exists():
                written.replace(target.with_name(target.name + end))
            elif end:
                target.with_name(target.name + end).unlink(missing_ok=True)  # the index of an earlier file
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoppedError(f"The disk of {target} is full. Make room and run the same command again.") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENXIO):
            raise SettingsError(f"{target} cannot be written: {error.strerror}.") from error
        raise
    finally:
        for end in (*beside, ""):
            partial.with_name(partial.name + end).unlink(missing_ok=True)


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


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write JSON that every reader takes: a number that is none is an error of ours."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
