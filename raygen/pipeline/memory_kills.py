"""Stops a run whose processes the kernel kills for want of memory, again and again.

In: the kernel's own count of the control group that this process runs in, which all processes of a Slurm step or a container share.
Out: nothing, or the error that names the cause.

Counted over all processes together and not an actor: under a limit that is too low actors take turns, one is killed while another
loads, and none dies often enough to be noticed while rows that are as good as any are tried again for each. The count that a node
begins a run with is kept beside the output, so that what was killed there before the run accuses nobody:

    OUT/.work/starts.<run id>/memory.<node id>.<count>
"""

from __future__ import annotations

import socket
from pathlib import Path

from raygen.errors import StoppedError
from raygen.tables.layout import RunFolder

_MOST_KILLS = 4  # of a node in a run: one or two may be a neighbour's fault


def num_memory_kills(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Processes of this control group that were killed for want of memory since it was made; 0 where no kernel says."""
    counts = [_oom_kills(path) for path in _counters(proc, mount) if path.is_file()]
    return max(counts, default=0)


def refuse_more_memory_kills(folder: RunFolder, run_id: str, node: str, num_kills: int) -> None:
    """Remember what a node had when a run came to it, and compare.

    Raises:
        StoppedError: too many were killed since.
    """
    place, prefix = f"starts.{run_id}", f"memory.{node}."
    before = [int(name.removeprefix(prefix)) for name in folder.list_work(place) if name.startswith(prefix)]
    if not before:
        folder.write_work(f"{place}/{prefix}{num_kills}", b"")
    elif num_kills - min(before) >= _MOST_KILLS:
        raise StoppedError(
            f"The kernel killed {num_kills - min(before)} processes of this run or beside it on {socket.gethostname()} for want of "
            "memory. With more memory (Slurm: --mem, Kubernetes: limits.memory) or fewer actors (cluster.actors) the same command goes on."
        )


def _counters(proc: Path, mount: Path) -> list[Path]:
    """Where version 1 and version 2 of control groups would count for this process."""
    counters = []
    for line in proc.read_text().splitlines() if proc.is_file() else []:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            counters.append(mount / group.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            counters.append(mount / "memory" / group.lstrip("/") / "memory.oom_control")
    return counters


def _oom_kills(counter: Path) -> int:
    """The line ``oom_kill 3``; kernels before 4.13 have none."""
    lines = dict(line.split()[:2] for line in counter.read_text().splitlines())
    return int(lines.get("oom_kill", "0"))
