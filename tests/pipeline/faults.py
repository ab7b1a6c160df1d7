"""Scorers and output folders that fail on purpose, put in a run through ``run_score``'s own seams.

run_score(settings, make_scorer=partial(faulty_scorer, exits={130}))      the process dies on position 130, always
run_score(settings, make_scorer=partial(faulty_scorer, once=tmp_path))    the first process dies in the middle of a batch
run_score(settings, open_folder=partial(KilledWrite, once=tmp_path))      the first write of scores dies half-way
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import torch

from raygen.errors import StoppedError
from raygen.pipeline.actor_scorer import ResidentPositionScorer, ResidentScorer
from raygen.tables.layout import RunFolder


def faulty_scorer(job, **faults) -> FaultyScorer:
    """A scorer as every run has, that fails in some places."""
    return FaultyScorer(ResidentScorer(job), **faults)


def faulty_position_scorer(job, **faults) -> FaultyScorer:
    """The same for a run over every base."""
    return FaultyScorer(ResidentPositionScorer(job), **faults)


class FaultyScorer:
    """Fails on chosen positions of the variants, before their batch is scored.

    Args:
        raises, exits, stops: positions that raise, that end the process, and that stop the run.
        most_rows: more at once run out of memory.
        once: a folder; the first process to score a batch there is killed, with half of the batch scored.
        broken_by: positions after which nothing can be scored any more in the same process.
        seconds_a_row: how slow it is.
        seen: a file that is told how many rows each call had.
        fills: a file that takes all room on its disk before rows are scored.
    """

    def __init__(
        self,
        inner: ResidentScorer,
        raises: Collection[int] = (),
        exits: Collection[int] = (),
        stops: Collection[int] = (),
        most_rows: int | None = None,
        once: Path | None = None,
        broken_by: Collection[int] = (),
        seconds_a_row: float = 0.0,
        seen: Path | None = None,
        fills: Path | None = None,
    ) -> None:
        self._inner = inner
        self._raises, self._exits, self._most_rows, self._once = raises, exits, most_rows, once
        self._fills, self._stops = fills, stops
        self._broken_by, self._seconds_a_row, self._seen, self._broken = broken_by, seconds_a_row, seen, False

    def score(self, planned: pa.Table) -> pa.Table:
        here = set(planned["pos"].to_pylist())
        if self._seen is not None and len(planned):
            with self._seen.open("a") as file:
                file.write(f"{len(planned)}\n")
        if self._most_rows is not None and len(planned) > self._most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory (not really)")
        if here & set(self._stops):
            raise StoppedError("as a test wants it.")
        if here & set(self._exits):
            os._exit(11)
        if self._once is not None and len(planned) > 1 and first(self._once / "batch"):
            self._inner.score(planned.slice(0, len(planned) // 2))
            os.kill(os.getpid(), signal.SIGKILL)
        self._broken |= bool(here & set(self._broken_by))
        if self._broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered (not really)")
        if bad := sorted(here & set(self._raises)):
            raise ValueError(f"position {bad[0]} cannot be scored\nand more lines")
        if self._fills is not None and len(planned):
            fill_disk(self._fills)
        time.sleep(self._seconds_a_row * len(planned))
        return self._inner.score(planned)

    def fail(self, planned: pa.Table, reason: str) -> pa.Table:
        return self._inner.fail(planned, reason)

    def check(self) -> None:
        if self._broken:
            raise RuntimeError("broken for good")
        self._inner.check()

    def spent(self) -> dict[str, int]:
        return self._inner.spent()


def dies_at_the_start(job) -> FaultyScorer:
    """A scorer whose process does not survive its making."""
    os._exit(11)


def dies_at_every_start_but_the_first(job, once: Path) -> FaultyScorer:
    """A scorer that is made well, dies over its first rows, and whose process then does not survive its making."""
    if first(once / "start"):
        return faulty_scorer(job, once=once)
    os._exit(11)


class KilledWrite(RunFolder):
    """A folder whose first write of a shard's scores is killed half-way."""

    def __init__(self, path: str, once: Path) -> None:
        super().__init__(path)
        self._once = once

    def _publish(self, path: str, content: bytes | pa.Buffer) -> None:
        if "/scores/" in path and first(self._once / "write"):
            folder, _, name = path.rpartition("/")
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f".{name}.half").write_bytes(memoryview(content)[: len(memoryview(content)) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        super()._publish(path, content)


def first(path: Path) -> bool:
    """Whether nobody has been here before, over all processes."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def fill_disk(ballast: Path) -> None:
    """Take the last page of a small disk."""
    try:
        with ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
