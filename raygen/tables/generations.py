"""Generations of a table's folder, ``scores/`` or ``positions/``: how many files are exchanged for others at once.

    OUT/scores -> .generations/000002       a link, once there was a second generation; before that a folder
    OUT/.generations/000002/chrom=.../      what is read and written now
    OUT/.generations/000001/chrom=.../      what was before: kept for readers that began in it, until the next change

``OUT/scores`` is the table (``OUT/positions`` one of positions, in all of this like it). The generations are hidden, so that pandas, pyarrow, Spark and Python's globs over all of OUT do not read
rows a second time; those of DuckDB and polars look into hidden folders, too, and have to be given ``OUT/scores``. Versions up to
0.1.0 named the folder ``generations``; the next two changes take such a one away.

A new generation is built beside the old one (files that do not change are hard links), flushed to the disk, and then the link
is set to it in one atomic step. Rows are never seen twice. Whoever resolves the link first (raygen's own readers do, others by
``os.path.realpath`` or ``readlink -f``) stays in one generation from the first file to the last and notices nothing.

Whoever goes through the link for every file is not safe in the instant of the step, and no arrangement of a folder can make it
so: a name that is not listed any more cannot be found any more. A file that was listed before and is opened after gives an
error (FileNotFoundError). A file that pyarrow has read from the folder and not yet looked at it leaves out of its
listing without an error (measured: 578 of 621 listings of thousands of files while the link changed every 5 ms).

Embeddings, where there are any, have files of the same names in a folder beside: OUT/embeddings, and of a generation
OUT/.generations/000002.embeddings, to which OUT/embeddings then leads. raygen takes the way over the link of the scores, so that both
change in one step; OUT/embeddings, which follows it, is for other tools.

This needs links and, where ``scores/`` is still a folder, the exchange of two names (Linux, local filesystems). Object storage has
neither: there it is refused.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raygen.disk_errors import disk_errors
from raygen.errors import SettingsError
from raygen.tables.folder_kinds import EMBEDDINGS_FOLDER, SCORES_FOLDER
from raygen.tables.place import make_folder

_GENERATIONS = ".generations"
_GENERATIONS_BEFORE = "generations"
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def scores_folder(root: Path, rows: str = SCORES_FOLDER) -> Path:
    """The folder that ``scores`` is or leads to, or that of another kind of table, ``rows``."""
    table = root / rows
    return root / table.readlink() if table.is_symlink() else table


def embeddings_beside(scores: Path) -> Path:
    """Where the embeddings of a folder or generation of scores lie, which need not be there."""
    if scores.parent.name in (_GENERATIONS, _GENERATIONS_BEFORE):
        return scores.with_name(f"{scores.name}.{EMBEDDINGS_FOLDER}")
    return scores.with_name(EMBEDDINGS_FOLDER)


def show_embeddings(root: Path) -> None:
    """Let ``embeddings`` lead to the embeddings of the scores that are read now."""
    shown, now = root / EMBEDDINGS_FOLDER, embeddings_beside(scores_folder(root))
    if now == shown:
        return
    if not now.is_dir():
        if shown.is_symlink():
            shown.unlink()
        return
    if shown.is_symlink() and root / shown.readlink() == now:
        return
    draft = root / f".{EMBEDDINGS_FOLDER}.{uuid.uuid4().hex}"
    draft.symlink_to(now.relative_to(root))
    if shown.is_dir() and not shown.is_symlink():
        _exchange(draft, shown)
        before = now.with_name(f"{int(now.name.partition('.')[0]) - 1:06d}.{EMBEDDINGS_FOLDER}")
        if before.exists():  # a kill came after an earlier change: these are older still
            shutil.rmtree(draft)
        else:
            draft.rename(before)
    else:
        draft.replace(shown)


def begin(root: Path) -> None:
    """Make a folder without scores ready, so that no exchange of names is needed later."""
    if not os.path.lexists(root / SCORES_FOLDER):
        first = Path(_GENERATIONS) / f"{0:06d}"
        make_folder(root / first)
        with suppress(OSError):  # a filesystem without links: scores/ becomes a folder there, and cannot be compacted
            (root / SCORES_FOLDER).symlink_to(first)


@contextmanager
def next_generation(root: Path, rows: str = SCORES_FOLDER) -> Iterator[Path]:
    """An empty folder to build in; it becomes ``scores`` (or ``rows``) when the block ends well, and is gone when it does not.

    The caller holds the folder's lock.

    Raises:
        SettingsError: the filesystem cannot exchange generations.
        StoppedError: the disk is full.
    """
    now = scores_folder(root, rows)
    _remove_others(root, now, rows)
    number = int(now.name) + 1 if now.parent.name in (_GENERATIONS, _GENERATIONS_BEFORE) else 1
    new = root / _GENERATIONS / f"{number:06d}"
    try:
        with disk_errors(root):
            new.mkdir(parents=True)
            yield new
            _flush(new)
            _lead_to(root, rows, new, number)
    except BaseException:
        for folder in (new, embeddings_beside(new)):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # other generations are in it
            new.parent.rmdir()
        raise
    show_embeddings(root)


def keep(file: Path, now: Path, new: Path) -> None:
    """Take a file over into a new generation as it is, with its embeddings."""
    _link(file, new / file.relative_to(now))
    keep_embeddings(file, now, new)


def keep_embeddings(file: Path, now: Path, new: Path) -> None:
    """Take the embeddings of a file over into a new generation as they are, where there are any."""
    embeddings = embeddings_beside(now) / file.relative_to(now)
    if embeddings.exists():
        _link(embeddings, embeddings_beside(new) / file.relative_to(now))


def _link(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        shutil.copy2(file, place)  # a filesystem without hard links


def _remove_others(root: Path, now: Path, rows: str) -> None:
    """Take away what an earlier change left: the generation before this one, and one that was not finished."""
    generations = (*(root / _GENERATIONS).glob("*"), *(root / _GENERATIONS_BEFORE).glob("*"))
    for folder in (*generations, *root.glob(f".{rows}.*"), *root.glob(f".{EMBEDDINGS_FOLDER}.*")):
        if folder.is_symlink():
            folder.unlink()
        elif folder not in (now, embeddings_beside(now)):
            shutil.rmtree(folder)
    with suppress(OSError):  # not there, or not empty yet
        (root / _GENERATIONS_BEFORE).rmdir()


def _flush(new: Path) -> None:
    """Flush the files and folders of a generation to the disk: they must be there before their names are found."""
    embeddings = embeddings_beside(new)
    beside = [*embeddings.rglob("*"), embeddings] if embeddings.is_dir() else []
    for path in (*beside, *new.rglob("*"), new, new.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lead_to(root: Path, rows: str, new: Path, number: int) -> None:
    table, draft = root / rows, root / f".{rows}.{uuid.uuid4().hex}"
    draft.symlink_to(new.relative_to(root))
    try:
        if table.is_symlink():
            draft.replace(table)
            return
        _exchange(draft, table)
    except BaseException:
        draft.unlink()
        raise
    draft.rename(root / _GENERATIONS / f"{number - 1:06d}")


def _exchange(first: Path, second: Path) -> None:
    """Swap two names in one step.

    Raises:
        SettingsError: this system or filesystem cannot swap names.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None and rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return
    number = ctypes.get_errno() if rename is not None else errno.ENOSYS
    if number not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        raise OSError(number, os.strerror(number), str(second))
    raise SettingsError(
        f"The filesystem of {second} cannot exchange a folder in one step, so readers would be disturbed. Nothing was "
        "changed. Tables that `raygen nightly` began there can be compacted; others on a local Linux filesystem."
    )
