"""What lies where a folder is wanted: nothing, a file or a folder. Said before the work, in one way by every command.

A folder that is read is the input (exit code 3); one that is written is what the command says (exit code 2).
"""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from raygen.errors import InputError, SettingsError
from raygen.home import expanded
from raygen.remote import is_remote, kind_of, shown


def refuse_no_folder(path: str) -> None:
    """InputError where there is no folder at ``path``, which may be on object storage."""
    kind = kind_of(path.rstrip("/") or path)
    if kind == fs.FileType.NotFound:
        raise InputError(f"No such folder: {shown(path)}.")
    if kind == fs.FileType.File:
        raise InputError(f"{shown(path)} is a file, not a folder.")


def refuse_file_for_output(path: str | Path) -> None:
    """SettingsError where a file lies at ``path`` or at a folder above it, so that no folder can be made there."""
    if is_remote(str(path)):
        return
    target = Path(expanded(str(path))).absolute()
    existing = next(folder for folder in (target, *target.parents) if _is_there(folder))
    if existing.is_dir():
        return
    if existing == target:
        raise SettingsError(f"{path} is a file, not a folder. Give another folder for the results.")
    raise SettingsError(f"The output folder {path} cannot be written: {existing} is a file, not a folder.")


def refuse_among_scores(path: str | Path) -> None:
    """SettingsError where a file at ``path`` would lie among the scores or rejects of a run's folder, and be read as such."""
    target = Path(expanded(str(path))).absolute()
    for folder in (*target.parents, *target.resolve().parents):
        if (
            folder.name in ("scores", "positions", "rejects", ".generations", "generations")
            and (folder.parent / "runs").is_dir()
        ):
            raise SettingsError(f"{path} lies among the scores themselves. Give another folder.")


def _is_there(path: Path) -> bool:
    """Whether something lies at ``path``; False, too, where that may not be known: whoever makes the folder says what
    is wrong.
    """
    try:
        return path.exists()
    except OSError:
        return False
