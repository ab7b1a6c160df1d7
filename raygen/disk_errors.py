"""What a disk answers to a writer, as an error of raygen's: one rule for every file and folder that is written.

In: what Python, Arrow, Polars, safetensors, SQLite or htslib raise. Out:

    full, or over a quota                   StoppedError   make room, and the same command goes on
    a lost mount, a broken disk, a limit    StoppedError   the same command goes on when it can be written again
    not allowed, read-only, no folder       SettingsError  another place has to be named
    anything else                           as it was

Only some libraries give the system's number. Rust's write it into the sentence, SQLite has sentences of its own, and htslib says no
more than that it failed: then the disk is asked, by writing a little beside the file while that is still there. Object storage has
no number and no disk to ask: S3's own codes tell what is refused from what does not answer.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raygen.errors import RaygenError, SettingsError, StoppedError, first_line
from raygen.home import expanded

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOST = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENXIO} | {
    errno.ENAMETOOLONG,
    errno.ELOOP,
}
_LIBRARIES = {"polars", "pysam", "safetensors", "safetensors_rust", "sqlite3", "sqlalchemy"}
_NUMBER_OF_RUST = re.compile(r"\(os error (\d+)\)")
_SENTENCES_OF_SQLITE = {"database or disk is full": errno.ENOSPC, "attempt to write a readonly database": errno.EROFS}
_CODE_OF_S3 = re.compile(r"\bAWS Error (\w+)")
_REFUSED_BY_S3 = {
    *("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "UNRECOGNIZED_CLIENT"),
    *("INVALID_CLIENT_TOKEN_ID", "MISSING_AUTHENTICATION_TOKEN"),
}
_NAME_IN_ARROW = re.compile(r"'(/[^']+)'")
_PROBED_BYTES = 1 << 20


@contextmanager
def disk_errors(path: str | Path, advice: str = "") -> Iterator[None]:
    """Turn an error of the disk that ``path`` lies on into one of raygen's that names ``path``.

    Args:
        path: the file or folder as its user knows it.
        advice: one more sentence for a full disk.

    Raises:
        StoppedError: the disk is full, over a quota, broken or gone.
        SettingsError: ``path`` may not be written, or there is no such folder.
    """
    try:
        yield
    except RaygenError:
        raise
    except Exception as error:
        translated = _translated(error, path, advice)
        if translated is None:
            raise
        raise translated from error


def full_disk(error: BaseException, path: str | Path | None = None, advice: str = "") -> StoppedError | None:
    """The error that says a disk is full, where ``error`` comes from a full one; None where it does not."""
    if _number(error, path) not in _FULL:
        return None
    return _full(_place_elsewhere(error, path) or path, advice)


def _full(place: str | Path | None, advice: str) -> StoppedError:
    disk = f"The disk of {place}" if place else "The disk"
    return StoppedError(f"{disk} is full. Make room and run the same command again.{advice and f' {advice}'}")


def _translated(error: Exception, path: str | Path, advice: str) -> RaygenError | None:
    if isinstance(error, OSError) and error.errno is None and (code := _CODE_OF_S3.search(str(error))):
        return _refusal_of_s3(error, code[1], path)
    number, elsewhere = _number(error, path), _place_elsewhere(error, path)
    if number in _FULL:
        return _full(elsewhere or path, advice)
    if number is None or elsewhere:
        return None
    if number in _LOST:
        return StoppedError(
            f"{path} could not be written: {os.strerror(number)}. Run the same command again when it can be."
        )
    return SettingsError(f"{path} cannot be written: {os.strerror(number)}.") if number in _REFUSED else None


def _refusal_of_s3(error: OSError, code: str, path: str | Path) -> RaygenError:
    if code in _REFUSED_BY_S3:
        return SettingsError(f"{path} cannot be written: {first_line(error)}.")
    return StoppedError(f"{path} could not be written: {first_line(error)}. Run the same command again when it can be.")


def _number(error: BaseException, path: str | Path | None) -> int | None:
    """The system's number of an error; with a ``path`` the disk is asked where the error does not say it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _LIBRARIES:
        return None
    message = str(error)
    if number := _NUMBER_OF_RUST.search(message):
        return int(number[1])
    for sentence, meant in _SENTENCES_OF_SQLITE.items():
        if sentence in message:
            return meant
    return _answer(path) if path is not None else None


def _answer(path: str | Path) -> int | None:
    """The number with which the disk of ``path`` refuses to take a little more; None where it takes it, or is object storage."""
    if "://" in str(path):
        return None
    folder = Path(path) if Path(path).is_dir() else Path(path).absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBED_BYTES))
            file.flush()
    except OSError as error:
        return error.errno
    return None


def _place_elsewhere(error: BaseException, path: str | Path | None) -> Path | None:
    """The folder that an error names, where that is not about ``path``: what is read, or a scratch folder on another disk."""
    match = _NAME_IN_ARROW.search(str(error))
    name = getattr(error, "filename", None) or (match[1] if match else None)
    if not isinstance(name, str | os.PathLike):
        return None
    place = Path(name).absolute()
    if path is None:
        return place.parent
    target = Path(expanded(str(path))).absolute()
    below = place.relative_to(target.parent).parts if place.is_relative_to(target.parent) else ("",)
    is_here = not below or below[0] == target.name or _is_draft(below[0], target.name)
    return None if is_here else place.parent


def _is_draft(name: str, of: str) -> bool:
    """Whether a name is the hidden one under which a file is written that is then renamed to ``of``: ``.x.of`` or ``.of.x``."""
    return name.startswith(".") and f".{of}" in name
