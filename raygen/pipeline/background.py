"""Iterate in a thread, so that the main thread is free to be interrupted.

Ctrl-C and SIGTERM raise in the main thread wherever it happens to be. In the middle of Ray's compiled code that ends in a
SystemError; waiting for a queue, it ends the wait and nothing else. The thread that is left behind dies with Ray.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_PATIENCE = 0.2  # seconds; a signal is looked at this often while nothing comes


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def in_a_thread(items: Iterator[Item], while_waiting: Callable[[], None] = lambda: None) -> Iterator[Item]:
    """The items, made in a thread of their own; an error there is raised here.

    Args:
        while_waiting: called here every so often while nothing comes.
    """
    made: queue.SimpleQueue[Item | _Ended] = queue.SimpleQueue()

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                made.put(item)
        except BaseException as raised:  # noqa: BLE001 - handed to the main thread, which raises it
            error = raised
        made.put(_Ended(error))

    threading.Thread(target=make, name="raygen-stream", daemon=True).start()
    while True:
        try:
            item = made.get(timeout=_PATIENCE)
        except queue.Empty:
            while_waiting()
            continue
        if not isinstance(item, _Ended):
            yield item
        elif item.error is not None:
            raise item.error
        else:
            return
