"""One run at a time in a folder.

On this machine and on shared filesystems it is a lock of the operating system, which is gone with the process that holds it.

Object storage has no such thing, but what it writes and lists is seen by all at once (S3 since 2020, Google and Azure too),
and that is enough: a run writes an object of its own below ``.lock/``, then lists. When it sees another one it steps back.
Of two runs at least the one that wrote last sees the other, so two never go on. A run that lives renews its object every
``RENEW_SECONDS``; one that has not moved for ``DEAD_SECONDS`` belongs to a run that was killed, and is taken away. No clock is
compared with another machine's: who finds a lock watches whether it moves.

A folder that is taken is no wrong setting: it is exit code 4, the same command works later, and a scheduler tries again.

Nights have a lock of their own: a note in the output folder that says who is at work, and signs of life on it.

``OUT/nightly.lock`` is made by one atomic step, so of two nights that start together one gets it. A lock that a dead night left
is recognised, and taken over:

    the same boot of a machine and the same process namespace    its process is gone, or its number is another's by now
    the same machine (machine id) after a reboot                 at once
    any other machine or container                               no sign of life for 15 minutes

A sign of life is the note's time of change, renewed every 30 seconds; its age is taken on the clock of the filesystem that holds
it, so clocks need not agree. On object storage the lock is that of ``lock_prefix``.

``filelock.SoftFileLease`` (4.2) counts silence from its own first look only, so that every night after a dead one would wait 15 minutes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pyarrow import fs

from raygen.disk_errors import disk_errors
from raygen.errors import SettingsError, StoppedError
from raygen.tables.place import put_first

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
        with disk_errors(shown):
            lock.acquire(timeout=0)
    except Timeout as error:
        raise StoppedError(_in_use(shown)) from error
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
    lock_path = f"{root}/.lock/{uuid.uuid4().hex}"
    with disk_errors(shown):
        _touch(filesystem, lock_path)
    try:
        with _signs_of_life(lambda: _touch(filesystem, lock_path), renew):
            _wait_for_the_dead(filesystem, root, lock_path, shown, dead)
            yield
    finally:
        with suppress(OSError):  # left behind, it is dead after a minute
            filesystem.delete_file(lock_path)


def _wait_for_the_dead(filesystem: fs.FileSystem, root: str, lock_path: str, shown: str, dead: float) -> None:
    """Return when no other lock is left; take away those that do not move."""
    before = _others(filesystem, root, lock_path)
    until = time.monotonic() + dead
    while before:
        if time.monotonic() >= until:
            for path in before:
                with suppress(FileNotFoundError):
                    filesystem.delete_file(path)
            return
        time.sleep(min(1.0, dead / 10))
        now = _others(filesystem, root, lock_path)
        if any(now[path] != before.get(path) for path in now):
            raise StoppedError(_in_use(shown))
        before = now


def _others(filesystem: fs.FileSystem, root: str, lock_path: str) -> dict[str, str]:
    """The paths of the locks of other runs, each with the content of its object."""
    infos = filesystem.get_file_info(fs.FileSelector(f"{root}/.lock", allow_not_found=True))
    locks = {}
    for info in infos:
        if info.type == fs.FileType.File and info.path != lock_path:
            try:
                with filesystem.open_input_file(info.path) as file:
                    locks[info.path] = file.read().decode()
            except FileNotFoundError:
                continue
            except OSError:  # it changes or goes just now: unlike anything, so it counts as one that moves
                locks[info.path] = uuid.uuid4().hex
    return locks


@contextmanager
def _signs_of_life(give: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call ``give`` every ``seconds`` until the block ends. One that fails is made up for by the next: other
    processes wait for several before they take this one for dead.
    """
    ended = threading.Event()

    def give_all() -> None:
        while not ended.wait(seconds):
            with suppress(OSError):
                give()

    thread = threading.Thread(target=give_all, name="raygen-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(max(seconds, RENEW_SECONDS))  # one on its way would bring back a lock that is taken away now


def _touch(filesystem: fs.FileSystem, path: str) -> None:
    with filesystem.open_output_stream(path, compression=None) as stream:
        stream.write(uuid.uuid4().hex.encode())


def _in_use(shown: str) -> str:
    return (
        f"Another run is writing into {shown}. Run the same command again when it is done (a killed one is let go of within a "
        "minute or so), or give another folder."
    )


LOCK_FILE = "nightly.lock"
SIGN_OF_LIFE, PATIENCE = 30.0, 900.0  # seconds


@dataclass(frozen=True)
class Holder:
    """The process that holds a night's lock. ``started``, in the kernel's ticks since boot, tells it from a later
    process with the same number.
    """

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    since: str
    token: str

    @classmethod
    def of_this_process(cls) -> Holder:
        """A holder that stands for this process, with a new token."""
        return cls(
            host=platform.node(),
            machine=_line("/etc/machine-id"),
            boot=_line("/proc/sys/kernel/random/boot_id"),
            namespace=_link("/proc/self/ns/pid"),
            pid=os.getpid(),
            started=_started(os.getpid()),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            token=uuid.uuid4().hex,
        )

    def is_dead(self, observer: Holder, silent: float) -> bool:
        """Whether the holder cannot be at work any more, as ``observer`` sees it after ``silent`` seconds without a
        sign of life.
        """
        if self.boot and self.started and (self.boot, self.namespace) == (observer.boot, observer.namespace):
            return _started(self.pid) != self.started
        if (
            self.machine
            and self.machine == observer.machine
            and self.boot
            and observer.boot
            and self.boot != observer.boot
        ):
            return True
        return silent > PATIENCE


@contextmanager
def night_lock(folder: Path) -> Iterator[str | None]:
    """Hold the lock of an output folder; gives a sentence about the dead lock that was in the way, if one was.

    Raises:
        StoppedError: another night is at work there: a scheduler may try again, as with all that exits with 4.
        SettingsError: what lies there is no lock of raygen's.
    """
    path, this_night = folder / LOCK_FILE, Holder.of_this_process()
    with disk_errors(folder):
        notice = _acquire(path, this_night)
    try:
        with _signs_of_life(lambda: os.utime(path), SIGN_OF_LIFE):
            yield notice
    finally:
        if (_read(path) or this_night).token == this_night.token:
            path.unlink(missing_ok=True)


def _acquire(path: Path, this_night: Holder) -> str | None:
    notice = None
    for _ in range(10):
        if put_first(path, (json.dumps(asdict(this_night)) + "\n").encode()):
            return notice
        holder, silent = _read(path), _silent(path)
        if holder is None or silent is None:
            continue  # it was taken away in between
        if not holder.is_dead(this_night, silent):
            raise StoppedError(
                f"Another night is at work in {path.parent}: process {holder.pid} on {holder.host}, since {holder.since}, "
                f"last sign of life {silent:,.0f} s ago. Run the same command again when it is done; a dead one is recognised "
                f"after {PATIENCE / 60:.0f} minutes at most."
            )
        if _take_away(path, holder):
            notice = (
                f"A night of {holder.since} (process {holder.pid} on {holder.host}) died here; its lock was taken over."
            )
    raise StoppedError(f"{path} cannot be taken: other nights come and go there. Run the same command again.")


def _take_away(path: Path, dead: Holder) -> bool:
    """Remove a dead night's note, and not one that another night has put there since."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    removed = _read(aside)
    if removed is not None and removed.token != dead.token:
        os.link(aside, path)
        aside.unlink()
        return False
    aside.unlink()
    return True


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path} is no lock of raygen's. Take it away.") from error


def _silent(path: Path) -> float | None:
    """Seconds since the last sign of life on a lock, by the clock of its filesystem; None where the lock is gone."""
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def _started(pid: int) -> str:
    """When a process started, in ticks since boot (field 22 of /proc/PID/stat); empty where there is no such process,
    where it is a zombie, or where there is no /proc.
    """
    fields = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the first is field 3, the state
    return fields[19] if fields and fields[0] != "Z" else ""


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
