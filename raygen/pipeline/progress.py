"""How far a run is, one live bar on a terminal or a line every so often in a log, while its results come in from a thread.

Rows count when their shard is committed, and before that when their piece of it is kept, which is looked up every few
seconds by listing.

The results come from a thread so that the main one is free to be interrupted: Ctrl-C and SIGTERM raise in the main
thread wherever it happens to be. In the middle of Ray's compiled code that ends in a SystemError; waiting for a queue,
it ends the wait and nothing else. The thread that is left behind dies with Ray.
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from raygen.number_of import rate
from raygen.pipeline.events import wants_json
from raygen.pipeline.pieces import Kept

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_LOOKS = 5.0


def time_left(seconds: float) -> str:
    """``3 min left``; ``40 s left`` within the last minute and a half."""
    return f"{seconds:,.0f} s left" if seconds < 90 else f"{seconds / 60:,.0f} min left"


class RunProgress:
    """Counts variants and tokens as shards are committed.

    Args:
        units: what is counted, in a word.
    """

    def __init__(
        self,
        num_variants: int,
        console: Console | None = None,
        in_pieces: Callable[[], Kept] = Kept,
        units: str = "variants",
    ) -> None:
        self._total, self._units = num_variants, units
        self._look_into_pieces = in_pieces
        self._in_pieces = Kept()
        self._console = console or Console(file=sys.stderr, emoji=False)
        self._began = self._last_line = self._last_look = time.monotonic()
        self._variants = self._tokens = 0
        self._bar = Progress(
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal or wants_json(),
        )
        self._task = self._bar.add_task("scoring", total=num_variants, rates="starting")

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # rich 13 writes an empty line where no bar was
            self._bar.stop()

    def advance(self, variants: int, tokens: int) -> None:
        """Count the rows and tokens of a committed shard."""
        self._variants += variants
        self._tokens += tokens
        in_pieces = self._in_pieces  # those of this shard are no longer there, the others' are
        self._in_pieces = Kept(max(in_pieces.rows - variants, 0), max(in_pieces.tokens - tokens, 0))
        self._show()

    def look(self) -> None:
        """Look, every few seconds, which rows are kept in pieces of shards that are not committed yet."""
        now = time.monotonic()
        if now - self._last_look >= _SECONDS_BETWEEN_LOOKS:
            self._last_look = now
            self._in_pieces = self._look_into_pieces()
            self._show()

    def _show(self) -> None:
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        rows, tokens = min(self._variants + self._in_pieces.rows, self._total), self._tokens + self._in_pieces.tokens
        rates = f"{rate(rows / seconds)} {self._units}/s  {rate(tokens / seconds)} tokens/s" if rows else "starting"
        self._bar.update(self._task, completed=rows, rates=rates)
        if not self._console.is_terminal and not wants_json() and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = f", {time_left((self._total - rows) * seconds / rows)}" if 0 < rows < self._total else ""
            self._console.print(f"{rows:,} of {self._total:,} {self._units}, {rates}{left}")


Item = TypeVar("Item")

_PATIENCE = 0.2  # seconds; a signal is looked at this often while nothing comes


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def _let_go(error: BaseException) -> None:
    """Let go of what the frames of an error hold: of a run that failed Ray Data's executor, and by it the actors with their GPUs, which
    whoever runs again in the same process would wait for.
    """
    traceback.clear_frames(error.__traceback__)
    gc.collect()


def in_a_thread(items: Iterator[Item], while_waiting: Callable[[], None] = lambda: None) -> Iterator[Item]:
    """The items, made in a thread of their own; an error there is raised here.

    Args:
        while_waiting: called here every so often while nothing comes.
    """
    item_queue: queue.SimpleQueue[Item | _Ended] = queue.SimpleQueue()

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                item_queue.put(item)
        except BaseException as raised:  # noqa: BLE001 - handed to the main thread, which raises it
            _let_go(raised)
            error = raised
        item_queue.put(_Ended(error))

    threading.Thread(target=make, name="raygen-stream", daemon=True).start()
    while True:
        try:
            item = item_queue.get(timeout=_PATIENCE)
        except queue.Empty:
            while_waiting()
            continue
        if not isinstance(item, _Ended):
            yield item
        elif item.error is not None:
            raise item.error
        else:
            return
