"""One night at a time: a note in the output folder that says who is at work, and signs of life on it.

``OUT/nightly.lock`` is made by one atomic step, so of two nights that start together one gets it. A lock that a dead night left
is recognised, and taken over:

    the same boot of a machine and the same process namespace    its process is gone, or its number is another's by now
    the same machine (machine id) after a reboot                 at once
    any other machine or container                               no sign of life for 15 minutes

A sign of life is the note's time of change, renewed every 30 seconds; its age is taken on the clock of the filesystem that holds
it, so clocks need not agree. On object storage the lock is that of ``run_lock``.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from raygen.errors import SettingsError, StoppedError

LOCK_FILE = "nightly.lock"
SIGN_OF_LIFE, PATIENCE = 30.0, 900.0  # seconds


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``started`` of a process, in the kernel's ticks since boot, tells it from a later one of its number."""

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
        """This process, now."""
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

    def is_dead(self, own: Holder, silent: float) -> bool:
        """Whether it cannot be at work any more, as ``own`` sees it after ``silent`` seconds without a sign of life."""
        if self.boot and self.started and (self.boot, self.namespace) == (own.boot, own.namespace):
            return _started(self.pid) != self.started
        if self.machine and self.machine == own.machine and self.boot and own.boot and self.boot != own.boot:
            return True
        return silent > PATIENCE


@contextmanager
def night_lock(folder: Path) -> Iterator[str | None]:
    """Hold the lock of an output folder; gives a sentence about the dead lock that was in the way, if one was.

    Raises:
        StoppedError: another night is at work there: a scheduler may try again, as with all that exits with 4.
        SettingsError: what lies there is no lock of raygen's.
    """
    path, own = folder / LOCK_FILE, Holder.of_this_process()
    said = _acquire(path, own)
    stop = threading.Event()
    threading.Thread(target=_signs_of_life, args=(path, stop), name="raygen-night-lock", daemon=True).start()
    try:
        yield said
    finally:
        stop.set()
        if (_read(path) or own).token == own.token:
            path.unlink(missing_ok=True)


def _acquire(path: Path, own: Holder) -> str | None:
    said = None
    for _ in range(10):
        if _make(path, own):
            return said
        holder, silent = _read(path), _silent(path)
        if holder is None or silent is None:
            continue  # it was taken away in between
        if not holder.is_dead(own, silent):
            raise StoppedError(
                f"Another night is at work in {path.parent}: process {holder.pid} on {holder.host}, since {holder.since}, "
                f"last sign of life {silent:,.0f} s ago. Run the same command again when it is done; a dead one is recognised "
                f"after {PATIENCE / 60:.0f} minutes at most."
            )
        if _take_away(path, holder):
            said = (
                f"A night of {holder.since} (process {holder.pid} on {holder.host}) died here; its lock was taken over."
            )
    raise StoppedError(f"{path} cannot be taken: other nights come and go there. Run the same command again.")


def _make(path: Path, own: Holder) -> bool:
    """Put the note in place, whole; False where there is one."""
    draft = path.with_name(f".{path.name}.{own.token}")
    try:
        draft.write_text(json.dumps(asdict(own)) + "\n")
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _take_away(path: Path, dead: Holder) -> bool:
    """Remove a dead night's note, and not one that another night has put there since."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    taken = _read(aside)
    if taken is not None and taken.token != dead.token:
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
    """Seconds since the last sign of life, on the filesystem's own clock."""
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def _signs_of_life(path: Path, stop: threading.Event) -> None:
    while not stop.wait(SIGN_OF_LIFE):
        try:
            os.utime(path)
        except OSError:
            continue  # a filesystem that is away for a moment; the patience of others is thirty times as long


def _started(pid: int) -> str:
    """Field 22 of /proc/PID/stat; empty where there is no such process, where it only waits to be buried, or no /proc."""
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
