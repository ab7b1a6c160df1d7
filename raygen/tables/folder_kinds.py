"""What lies where a folder is wanted: nothing, a file or a folder, scores or a position table. Said before the work, in one way by every
command.

A folder that is read is the input (exit code 3); one that is written is what the command says (exit code 2).
"""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from raygen.errors import InputError, RaygenError, SettingsError
from raygen.home import expanded
from raygen.remote import is_remote, join, kind_of, shown

SCORES_FOLDER, POSITIONS_FOLDER = "scores", "positions"
"""The folder in a run's folder that holds its table: of scores, or a row for each base of a reference."""
EMBEDDINGS_FOLDER = "embeddings"
"""The folder beside ``scores/`` with states of the model, a file for each of its files."""
_NOT_SCORES = ", not a folder of scores. `raygen query`, `export`, `report`, `diff`, `verify` and `compact` read it."


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


def holds_positions(path: str) -> bool:
    """Whether a position table lies at ``path``, which may be on object storage: its folder of rows is there from its first manifest on."""
    return kind_of(join(path.rstrip("/") or path, POSITIONS_FOLDER)) == fs.FileType.Directory


def refuse_positions(path: str, why: str = _NOT_SCORES, error: type[RaygenError] = InputError) -> None:
    """Raise ``error`` where a position table lies at ``path`` and a command works on scores; ``why`` goes on after its name."""
    if holds_positions(path):
        raise error(f"{shown(path)} is a position table of `raygen tabulate`{why}")


def refuse_other_table(path: str, rows: str) -> None:
    """SettingsError where rows of one kind, ``rows``, are to be written to ``path`` and a table of the other kind lies there."""
    other, kind, command = (
        (POSITIONS_FOLDER, "a position table", "tabulate")
        if rows == SCORES_FOLDER
        else (SCORES_FOLDER, "scores", "score")
    )
    if kind_of(join(path, other)) == fs.FileType.Directory:
        raise SettingsError(f"{shown(path)} holds {kind} of `raygen {command}`. Give another output folder.")


def refuse_among_scores(path: str | Path) -> None:
    """SettingsError where a file at ``path`` would lie among the scores or rejects of a run's folder, and be read as such."""
    target = Path(expanded(str(path))).absolute()
    for folder in (*target.parents, *target.resolve().parents):
        if (
            folder.name
            in (SCORES_FOLDER, POSITIONS_FOLDER, EMBEDDINGS_FOLDER, "rejects", ".generations", "generations")
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
