"""Workers for the tests' Ray that are forked from one process which has imported everything already.

A run starts an actor, and an actor is a new process: nearly all of its seconds of CPU import torch, Ray and, for some
models, transformers. Ray starts a worker by a script (``setup_worker_path``); this file in its place asks a waiting process to fork one,
which goes on in Ray's own ``default_worker.py``, with the environment, the folder and the files that Ray gave it (and without a
runtime environment, of which runs have none).
Only the imports are shared: a worker has a process, an actor and a model of its own, and dies alone.

``with forking_process() as arguments: Cluster(head_node_args={**arguments, ...})``
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SOCKET = "RAYGEN_TESTS_FORKING_PROCESS"
IMPORTED = ["pandas", "pyarrow.compute", "pyarrow.dataset", "raygen.model.causal_lm", "raygen.model.loading"]
IMPORTED += ["raygen.scoring.fork", "raygen.scoring.self_test"]  # torch comes with them
IMPORTED += ["click", "google.protobuf.json_format", "google.protobuf.struct_pb2", "jsonschema", "msgpack", "psutil"]
IMPORTED += [
    "pyarrow.json",
    "pydantic.v1",
    "requests",
    "safetensors.numpy",
]  # what Ray imports, and the loading of weights
_SET_UP = ("--serialized-runtime-env-context=", "--language=")


@contextmanager
def forking_process() -> Iterator[dict[str, str]]:
    """Start the process that workers are forked from; what a node of a Ray cluster must be told. It ends with its input."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SOCKET] = f"{folder}/socket"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_workers", os.environ[SOCKET]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the tests, which end this with them
        )
        with process:
            assert process.stdout.readline() == "ready\n"
            yield {"setup_worker_path": __file__}
        del os.environ[SOCKET]


def serve(place: str) -> None:
    """Import, then fork a worker for each that asks, until standard input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert "ray" not in sys.modules, "Ray reads who a worker is while it is imported"
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    others = [name for name in threads[1:] if name != "jemalloc_bg_thd"]  # which jemalloc starts again in a fork
    assert not others, f"a process with the threads {others} cannot be forked: they would not live on"
    signal.signal(signal.SIGCHLD, _wait_for_the_ended)
    gc.freeze()  # or each worker looks through all that is imported for what it may collect, and writes to every page of it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                break
            connection.close()
        else:
            return
    become_worker(connection)


def _wait_for_the_ended(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become_worker(connection: socket.socket) -> None:
    """Be the process that Ray started, and run the script that it named."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)  # Ray kills the whole group of a worker that has ended
    first, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as rest:
        started = json.loads(first + rest.readline())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(started["environment"])
    os.chdir(started["folder"])
    sys.argv = started["arguments"]
    runpy.run_path(sys.argv[0], run_name="__main__")


def ask(place: str, arguments: list[str]) -> None:
    """Have a worker forked, and be there for as long as it is."""
    started = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    message = json.dumps(started).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        socket.send_fds(connection, [message[:1]], [0, 1, 2])
        connection.sendall(message[1:])
        connection.recv(1)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        ask(os.environ[SOCKET], [word for word in sys.argv[1:] if not word.startswith(_SET_UP)])
