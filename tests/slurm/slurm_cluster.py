"""A Slurm of three machines on this one: a controller and the nodes n1 and n2, each a process tree of its own.

In: a folder. Out: ``SlurmCluster``, which submits jobs, asks after them, and kills, starts and ends nodes.

A machine is a network namespace on a bridge (nothing outside can be reached from it or reaches it), with its own host name,
/etc/hosts, processes, /tmp/ray, /dev/shm and memory cgroup. All its processes are children of one, so that killing that one by its
id is a power cut, and Ray on one node cannot see Ray on the other. The addresses are of the block for benchmarks, 198.18.0.0/15.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "ip", "nsenter", "unshare", "mount")
ADDRESSES = {"ctl": "198.18.0.1", "n1": "198.18.0.11", "n2": "198.18.0.12"}
NODES = ("n1", "n2")
_CGROUPS = Path("/sys/fs/cgroup/memory")

_SLURM_CONF = """\
ClusterName=raygen
SlurmctldHost=ctl({ctl})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
TaskProlog={folder}/task_prolog.sh
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=bf_interval=5
SlurmdParameters=config_overrides
SlurmdTimeout=60
KillWait=30
ReturnToService=2
MinJobAge=36000
MpiDefault=none
NodeName=n1 NodeAddr={n1} CPUs=2 RealMemory=8000
NodeName=n2 NodeAddr={n2} CPUs=2 RealMemory=8000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE
"""
_CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
"""
# What every machine does before its daemon starts. The first process of its tree reaps what others leave.
_MACHINE = """\
set -e
hostname {name}
mount --bind {folder}/hosts.{name} /etc/hosts
mkdir -p /tmp/ray {folder}/ray.{name}
mount --bind {folder}/ray.{name} /tmp/ray
mount -t tmpfs -o size=1g tmpfs /dev/shm
[[ -z "{cgroup}" ]] || mount --bind "{cgroup}" /sys/fs/cgroup/memory
{daemon} &
wait
"""


class NoSlurm(Exception):
    """Why a Slurm cannot be run here."""


def refuse_where_slurm_cannot_run() -> None:
    """Raises NoSlurm with what is missing and how to get it."""
    if os.geteuid() != 0:
        raise NoSlurm("a Slurm of several nodes on one machine needs root, for namespaces and mounts")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [name for name in NEEDED if shutil.which(name, path=path) is None]:
        raise NoSlurm(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge iproute2 util-linux")
    done = subprocess.run(["ip", "netns", "add", "raygen-probe"], capture_output=True, text=True)
    if done.returncode:
        raise NoSlurm(f"this user may not make network namespaces: {done.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", "raygen-probe"], check=True)


@dataclass
class SlurmCluster:
    """Three machines with Slurm's daemons; commands run where the controller is."""

    folder: Path
    limits_memory: bool
    machines: dict[str, subprocess.Popen] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True, folder: Path | None = None, **environment: str) -> str:
        """Standard output of a command on the controller's network."""
        inside = self.command_on("ctl", *command)
        done = subprocess.run(inside, capture_output=True, text=True, env=self._environment(environment), cwd=folder)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def command_on(self, name: str, *command: str) -> list[str]:
        """The command on the network of a machine."""
        return ["nsenter", f"--net=/run/netns/{_namespace(name)}", *command]

    def start(self, name: str, hosts: Mapping[str, str] = ADDRESSES) -> None:
        """Switch a machine on; ``hosts`` is what its own /etc/hosts says."""
        lines = ["127.0.0.1 localhost", *(f"{address} {host}" for host, address in hosts.items())]
        (self.folder / f"hosts.{name}").write_text("\n".join(lines) + "\n")
        daemon = "slurmctld -D" if name == "ctl" else f"slurmd -D -N {name}"
        cgroup = _own_cgroup() / f"raygen-{os.getpid()}-{name}" if self.limits_memory and name != "ctl" else None
        script = _MACHINE.format(name=name, folder=self.folder, daemon=daemon, cgroup=cgroup or "")
        spaces = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = self.command_on(name, *spaces, "bash", "-c", script)
        if cgroup:  # it is joined first: the machine sees it as the root of all
            cgroup.mkdir(exist_ok=True)
            joined = 'echo $$ > "$0/cgroup.procs"; exec unshare --cgroup "$@"'
            command = ["bash", "-c", joined, str(cgroup), *command]
        with (self.folder / f"machine.{name}.log").open("ab") as log:
            self.machines[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment({}), cwd=self.folder
            )

    def kill(self, name: str) -> None:
        """A power cut: every process of the machine ends at once."""
        machine = self.machines.pop(name)
        machine.kill()
        machine.wait()

    def restore(self) -> None:
        """End all jobs, switch on what was killed, with the /etc/hosts that all have."""
        self.run("scancel", "--user=root")
        for name in NODES:
            if name not in self.machines:
                self.start(name)
        self.wait_for_states({"idle"})

    def submit(self, folder: Path, *words: str, **environment: str) -> int:
        """The number of a new job: ``sbatch`` in ``folder`` with options, script and arguments."""
        out = self.run("sbatch", "--parsable", *words, folder=folder, **environment)
        return int(out.strip().split(";")[0])

    def job(self, number: int) -> dict[str, str]:
        """What ``scontrol show job`` says: JobState, ExitCode, Restarts, BatchHost, ..."""
        words = self.run("scontrol", "show", "job", "-o", str(number), check=False).split()
        return dict(word.partition("=")[::2] for word in words if "=" in word)

    def wait_for_states(self, wanted: set[str], names: tuple[str, ...] = NODES, seconds: float = 180) -> None:
        """Until every node is in one of these states (IDLE, DOWN, ...)."""

        def states() -> set[str]:
            return {self.run("sinfo", "-h", "-N", "-n", name, "-o", "%T", check=False).strip() for name in names}

        wait_until(lambda: states() <= wanted, f"nodes {wanted}", seconds)

    def wait_for_end(self, number: int, seconds: float = 900) -> dict[str, str]:
        """The job when it is over and off its nodes."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
        wait_until(lambda: self.job(number).get("JobState") in over, f"the end of job {number}", seconds)
        return self.job(number)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "RAY_"))}
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**kept, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf"), **more}


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """A Slurm that works, and nothing of it afterwards."""
    cluster = SlurmCluster(folder, limits_memory=(_own_cgroup() / "memory.limit_in_bytes").exists())
    _write_configuration(cluster)
    with ExitStack() as undone_at_the_end:
        _make_network(undone_at_the_end)
        undone_at_the_end.enter_context(_munge(folder))
        undone_at_the_end.callback(_end_machines, cluster)
        for name in ADDRESSES:
            cluster.start(name)
        cluster.wait_for_states({"idle"})
        yield cluster


def wait_until(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    """Look every half second.

    Raises:
        TimeoutError: it was not so in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.5)


def _write_configuration(cluster: SlurmCluster) -> None:
    folder = cluster.folder
    (folder / "state").mkdir()
    task_plugin = "task/cgroup" if cluster.limits_memory else "task/none"
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(folder=folder, task_plugin=task_plugin, **ADDRESSES))
    (folder / "cgroup.conf").write_text(_CGROUP_CONF)
    prolog = folder / "task_prolog.sh"
    prolog.write_text(
        f'#!/bin/bash\n[[ ! -e {folder}/late.$SLURMD_NODENAME ]] || sleep "$(cat {folder}/late.$SLURMD_NODENAME)"\n'
    )
    prolog.chmod(0o755)


def _namespace(name: str) -> str:
    return f"raygen-{os.getpid()}-{name}"


def _make_network(undone_at_the_end: ExitStack) -> None:
    """A bridge in the controller's namespace, a pair of interfaces to each node's."""

    def ip(name: str, *words: str) -> None:
        subprocess.run(["ip", "-n", _namespace(name), *words], check=True)

    for name in ADDRESSES:
        subprocess.run(["ip", "netns", "add", _namespace(name)], check=True)
        undone_at_the_end.callback(subprocess.run, ["ip", "netns", "del", _namespace(name)])
        ip(name, "link", "set", "lo", "up")
    ip("ctl", "link", "add", "br0", "type", "bridge")
    ip("ctl", "addr", "add", f"{ADDRESSES['ctl']}/24", "dev", "br0")
    ip("ctl", "link", "set", "br0", "up")
    for name in NODES:
        ip("ctl", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", _namespace(name))
        ip("ctl", "link", "set", name, "master", "br0", "up")
        ip(name, "addr", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
        ip(name, "link", "set", "eth0", "up")


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """munged with a key and a socket of its own, as root: ``--force`` because the folders above are not munge's."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    options = [f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    options += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
    with (folder / "munged.out").open("wb") as log:
        munged = subprocess.Popen(["/usr/sbin/munged", "--foreground", "--force", *options], stdout=log, stderr=log)
    try:
        wait_until((folder / "munge.socket").exists, "munged", 60)
        yield
    finally:
        munged.terminate()
        munged.wait()


def _end_machines(cluster: SlurmCluster) -> None:
    for name in list(cluster.machines):
        cluster.kill(name)
    for name in NODES:
        group = _own_cgroup() / f"raygen-{os.getpid()}-{name}"
        if group.exists():
            wait_until(lambda group=group: _removed(group), f"the processes of {name}", 30)


def _removed(group: Path) -> bool:
    """A cgroup goes when its last process has gone."""
    with suppress(OSError):
        for part in (*sorted(group.rglob("*/"), key=lambda path: -len(path.parts)), group):
            part.rmdir()
    return not group.exists()


def _own_cgroup() -> Path:
    """The memory cgroup of this process (version 1 of cgroups), where there is one."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = [path for _, kinds, path in (line.split(":", 2) for line in lines) if "memory" in kinds.split(",")]
    return _CGROUPS / paths[0].lstrip("/") if paths else _CGROUPS / "none"
