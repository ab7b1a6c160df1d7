"""Ray, started quietly; how many actors of what size a run gets; and what went wrong in a worker, as a sentence and an exit code.

Ray's usage statistics are off, its dashboard is off where it is started here, and what it logs stays in its own files
(``raygen.pipeline`` says so before Ray is imported). It is imported when it is first needed, which takes a second and
more: a run that finds nothing left needs none. A local Ray would write an authentication token into HOME; it is given
one in the environment instead, so that APIs stay closed to other users of the machine and a HOME that cannot be written
is no obstacle.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Literal

from raygen.errors import InputError, Interrupted, RaygenError, RunInterrupted, SettingsError, StoppedError, first_line
from raygen.settings import fault_of_ray_address

WAIT_FOR_GPU = 1800
"""Seconds for the first GPU and the least number of actors: a cloud takes minutes to start a machine and pull an image."""
SECONDS_TO_START = 3.0
"""Seconds of a CPU until an actor of a small model scores: a process, torch, the weights."""
TRIED_RAY = ("2.59", "2.60")
"""Minor versions of Ray that all tests but the slow ones were run with: 2.59 with the oldest of everything, 2.60 with the newest. The
pipeline relies on defaults of Ray Data that change between them."""
_has_failed = threading.Event()
_LOCAL_OBJECT_STORE = 256 * 2**20  # bytes; shards are small, and a laptop's /dev/shm may be too


def untried_ray(version: str | None = None) -> str | None:
    """What to say where another minor version of Ray is installed than those that the tests were run with; None elsewhere."""
    version = version or version_of("ray")
    if ".".join(version.split(".")[:2]) in TRIED_RAY:
        return None
    return (
        f"Ray {version} is installed; raygen was tried with {' and '.join(TRIED_RAY)} and relies on defaults of Ray Data that change "
        f"between versions. If a run hangs or takes much memory, install ray[data]=={TRIED_RAY[-1]}.*."
    )


@dataclass(frozen=True)
class ActorPlan:
    """The pool of actors: ``min_size`` to ``max_size`` of them, each with these resources and CPU threads."""

    min_size: int
    max_size: int
    num_cpus: int
    num_gpus: float
    threads: int


def plan_actors(
    actors: Literal["auto"] | int | tuple[int, int],
    gpus_per_actor: float,
    device: str,
    total_cpus: int,
    total_gpus: float,
    num_shards: int,
    model_bytes: int,
    total_memory: float,
    can_grow: bool = False,
    work_seconds: float = math.inf,
) -> ActorPlan:
    """Divide a cluster among actors; pure.

    On GPUs one actor for each share of ``gpus_per_actor``, without CPUs of their own: a pool that reserves every CPU
    leaves none for the tasks that feed it, and Ray waits for ever. On CPUs one actor a core with one thread each, as long
    as their models fit in half of the memory: threads of one model that wait for each other are slow on a busy machine
    (one model on two cores with other work on them: 35,000 tokens/s with one thread, 12,000 with two). One CPU is always
    left to the tasks. Never more actors than shards, and on CPUs with ``auto`` no actor more that would start for longer than it
    works.

    Args:
        actors: the setting ``cluster.actors``: ``auto``, a number, or a range (min, max).
        model_bytes: of the weights in float32.
        total_memory: bytes, of the cluster.
        can_grow: GPUs may come that are not there yet, as on a cluster that scales itself. Then a range ``actors``
            holds as it is: Ray asks for the GPUs, starts with ``min``, and takes more actors as they come.
        work_seconds: of one CPU for what is left to score, roughly.
    """
    on_gpu = device == "cuda"
    growing = can_grow and isinstance(actors, tuple)
    if on_gpu and total_gpus < gpus_per_actor and not growing:
        raise SettingsError(
            f"model.device is cuda, but Ray sees {total_gpus:g} GPUs and an actor wants {gpus_per_actor:g}."
        )
    on_cpus = max(min(total_cpus, int(total_memory * 0.5 // max(model_bytes, 1))), 1)
    default = int(total_gpus // gpus_per_actor) if on_gpu else on_cpus
    low, high = actors if isinstance(actors, tuple) else (default, default) if actors == "auto" else (actors, actors)
    if on_gpu and not growing:
        high = min(high, int(total_gpus // gpus_per_actor))  # more would be waited for, and never come
    high = max(min(high, num_shards), 1)
    low = min(low, high)
    if on_gpu:
        return ActorPlan(low, high, 0, gpus_per_actor, 1)
    if actors == "auto" and work_seconds < high * SECONDS_TO_START:
        few = max(math.ceil(work_seconds / SECONDS_TO_START), 1)
        return ActorPlan(few, few, max((total_cpus - 1) // few, 0), 0, max(total_cpus // high, 1))
    return ActorPlan(low, high, max((total_cpus - 1) // high, 0), 0, max(total_cpus // high, 1))


def remote_address(address: str | None) -> str | None:
    """The cluster to run on, or None for a Ray of this machine's own.

    Raises:
        SettingsError: RAY_ADDRESS is one that raygen cannot run at (settings refuse theirs when they are read).
    """
    remote = address or os.environ.get("RAY_ADDRESS")
    if remote and (fault := fault_of_ray_address(remote)):
        raise SettingsError(f"RAY_ADDRESS={remote} {fault}.")
    return remote


@contextmanager
def session(address: str | None) -> Iterator[None]:
    """A Ray to run on: the one that is connected already, the one at ``address`` or RAY_ADDRESS, or one started here.

    After an interruption it is not shut down: a thread is still in the middle of its compiled code, which would abort the
    process. It ends with the process.
    """
    if not is_connected():
        _start(remote_address(address))
        ours = True
    else:
        ours = False
        _let_actors_go()
    _configure_data()
    try:
        yield
    except (RunInterrupted, Interrupted):
        raise
    except BaseException:
        _shut_down(ours)
        _has_failed.set()
        raise
    _shut_down(ours)


def _let_actors_go() -> None:
    """Collect the garbage of a run that failed before in this process: its actors hold their CPU or GPU until then."""
    if _has_failed.is_set():
        _has_failed.clear()
        gc.collect()


def is_connected() -> bool:
    """Whether this process has a Ray; one that nobody imported is not connected."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _shut_down(ours: bool) -> None:
    if ours:
        import ray

        ray.shutdown()


def _start(remote: str | None) -> None:
    import ray

    if not remote:
        # A Ray that is started here asks for a token by default and would write one to HOME if none were given.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        _refuse_closed_port(remote)
    local = {} if remote else {"include_dashboard": False, "object_store_memory": _LOCAL_OBJECT_STORE}
    logging.getLogger("ray").setLevel(logging.ERROR)

    try:
        with _quiet_start(), _own_signals():
            # "local": without it Ray would join whatever cluster somebody started on this machine
            ray.init(address=remote or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except ConnectionError as error:
        raise SettingsError(f"No Ray cluster answers at {remote}: {error}.") from error
    except (OSError, RuntimeError, ValueError) as error:
        if remote:
            raise SettingsError(f"The Ray cluster at {remote} cannot be joined: {first_line(error)}.") from error
        raise SettingsError(
            f"Ray cannot be started here: {first_line(error)}. "
            "It keeps its files in the temporary directory, whose path must be short and writable (RAY_TMPDIR names another)."
        ) from error


def _refuse_closed_port(address: str) -> None:
    """Ray itself tries for minutes before it says that nobody is there."""
    host, _, port = address.rpartition(":")
    if not host:
        return  # a name that Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise SettingsError(f"No Ray cluster answers at {address}: {error.strerror or error}.") from error


def _configure_data() -> None:
    """Ray Data's settings for a run, before the dataset is made."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.wait_for_min_actors_s = WAIT_FOR_GPU
    context.max_errored_blocks = 0
    context.actor_init_retry_on_errors = False
    context.memory_usage_poll_interval_s = None  # else every task starts a thread to watch its memory


@dataclass(frozen=True)
class Resources:
    """What the whole cluster has; memory in bytes."""

    cpus: int
    gpus: float
    memory: float


def resources() -> Resources:
    """CPUs, GPUs and memory (bytes) of the cluster that Ray is connected to, all nodes together."""
    import ray

    total = ray.cluster_resources()
    return Resources(int(total.get("CPU", 1)), float(total.get("GPU", 0)), float(total.get("memory", 0)))


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers that are set: Ray puts its own in SIGTERM's place, in Python and in its compiled core."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Ray's C++ side writes a line about its own log level to standard error while it starts; errors come as exceptions."""
    sys.stderr.flush()
    stderr_copy = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)


_OWN_ERROR = re.compile(r"\braygen\.errors\.(\w+): (.+)")
_ANY_ERROR = re.compile(r"(?!ray\.exceptions)[\w.]*(Error|Exception|Exit)\b.*")


def in_our_words(error: BaseException, so_far: str) -> RaygenError:
    """The error that a stage raised, without Ray's layers around it.

    An error travels from a worker as text; its own line names its class. Ray gives it the class of its cause besides its own.
    """
    from ray.exceptions import RayError

    if isinstance(error, RaygenError) and not isinstance(error, RayError):
        return error
    lines = [line.strip() for line in str(error).splitlines()]
    own_errors = [match for line in lines if (match := _OWN_ERROR.search(line))]
    if own_errors:
        kind = {error_class.__name__: error_class for error_class in (SettingsError, InputError, StoppedError)}.get(
            own_errors[-1][1], StoppedError
        )
        return kind(f"{own_errors[-1][2]} {so_far}")
    other = [line for line in lines if _ANY_ERROR.match(line)]
    message = other[-1].rstrip(".") if other else type(error).__name__
    return StoppedError(f"The run stopped on an error that it did not expect: {message}. {so_far}")
