import signal
import threading
import time
import weakref

import pytest

from raygen.errors import Interrupted
from raygen.pipeline.progress import in_a_thread


def test_items_come_in_order():
    assert list(in_a_thread(iter(range(5)))) == [0, 1, 2, 3, 4]


def test_an_error_of_the_thread_is_raised_here():
    def items():
        yield 1
        raise ValueError("from the thread")

    made = in_a_thread(items())
    assert next(made) == 1
    with pytest.raises(ValueError, match="from the thread"):
        next(made)


def test_an_error_keeps_nothing_of_what_the_thread_worked_with():
    """Such as actors, for which the next run in this process would wait."""
    actors = []

    def items():
        actor = type("Actor", (), {})()
        actor.itself = actor
        actors.append(weakref.ref(actor))
        yield 1
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread") as raised:
        list(in_a_thread(items()))
    assert actors[0]() is None and raised.value.__traceback__


def test_a_signal_ends_the_wait_though_the_thread_is_busy():
    def items():
        yield 1
        time.sleep(30)  # what the thread does is not waited for

    def interrupt(number, frame):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    began = time.monotonic()
    try:
        made = in_a_thread(items())
        next(made)
        with pytest.raises(Interrupted):
            threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGUSR1)).start()
            next(made)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 25
