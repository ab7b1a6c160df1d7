"""One run at a time in a folder.

On this machine and on shared filesystems it is a lock of the operating system, which is gone with the process that holds it.

Object storage has no such thing, but what it writes and lists is seen by all at once (S3 since 2020, Google and Azure too),
and that is enough: a run writes an object of its own below ``.lock/``, then lists. When it sees another one it steps back.
Of two runs at least the one that wrote last sees the other, so two never go on. A run that lives renews its object every
``RENEW_SECONDS``; one that has not moved for ``DEAD_SECONDS`` belongs to a run that was killed, and is taken away. No clock is
compared with another machine's: who finds a lock watches whether it moves.

A folder that is taken is no wrong setting: it is exit code 4, the same command works later, and a scheduler tries again.
"""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pyarrow import fs

from raygen.errors import StoppedError

RENEW_SECONDS, DEAD_SECONDS = 15.0, 60.0


@contextmanager
def lock_folder(root: str, shown: str) -> Iterator[None]:
    """Hold a local folder. One that is empty afterwards is taken away again.

    Raises:
        StoppedError: another run is at work here.
    """
    path = Path(root) / ".raygen.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoppedError(_taken(shown)) from error
    try:
        yield
    finally:
        if {entry.name for entry in path.parent.iterdir()} <= {path.name}:
            shutil.rmtree(path.parent)
        lock.release()


@contextmanager
def lock_prefix(
    filesystem: fs.FileSystem, root: str, shown: str, renew: float = RENEW_SECONDS, dead: float = DEAD_SECONDS
) -> Iterator[None]:
    """Hold a prefix of object storage.

    Raises:
        StoppedError: another run is at work here, which takes up to ``dead`` seconds to know.
    """
    own = f"{root}/.lock/{uuid.uuid4().hex}"
    _touch(filesystem, own)
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(filesystem, own, renew, ended), name="raygen-lock", daemon=True)
    thread.start()
    try:
        _wait_for_the_dead(filesystem, root, own, shown, dead)
        yield
    finally:
        ended.set()
        thread.join(max(renew, RENEW_SECONDS))  # a renewal on its way would bring back what is deleted now
        with suppress(OSError):  # left behind, it is dead after a minute
            filesystem.delete_file(own)


def _wait_for_the_dead(filesystem: fs.FileSystem, root: str, own: str, shown: str, dead: float) -> None:
    """Return when no other lock is left; take away those that do not move."""
    before = _others(filesystem, root, own)
    until = time.monotonic() + dead
    while before:
        if time.monotonic() >= until:
            for path in before:
                with suppress(FileNotFoundError):
                    filesystem.delete_file(path)
            return
        time.sleep(min(1.0, dead / 10))
        now = _others(filesystem, root, own)
        if any(now[path] != before.get(path) for path in now):
            raise StoppedError(_taken(shown))
        before = now


def _others(filesystem: fs.FileSystem, root: str, own: str) -> dict[str, str]:
    """The locks of other runs and what stands in them."""
    found = filesystem.get_file_info(fs.FileSelector(f"{root}/.lock", allow_not_found=True))
    locks = {}
    for info in found:
        if info.type == fs.FileType.File and info.path != own:
            try:
                with filesystem.open_input_file(info.path) as file:
                    locks[info.path] = file.read().decode()
            except FileNotFoundError:
                continue
            except OSError:  # it changes or goes just now: unlike anything, so it counts as one that moves
                locks[info.path] = uuid.uuid4().hex
    return locks


def _renew(filesystem: fs.FileSystem, own: str, seconds: float, ended: threading.Event) -> None:
    while not ended.wait(seconds):
        with suppress(OSError):  # tried again at the next turn, four times before anyone takes it for dead
            _touch(filesystem, own)


def _touch(filesystem: fs.FileSystem, path: str) -> None:
    with filesystem.open_output_stream(path, compression=None) as stream:
        stream.write(uuid.uuid4().hex.encode())


def _taken(shown: str) -> str:
    return (
        f"Another run is writing into {shown}. Run the same command again when it is done (a killed one is let go of within a "
        "minute or so), or give another folder."
    )
