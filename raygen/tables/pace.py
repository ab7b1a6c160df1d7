"""How fast a run went over its time, small enough for a manifest whatever the run's size.

Points are cumulative, ``[seconds since scoring began, variants scored, tokens computed]``, one for each committed shard; when
there are too many every other one is dropped, so a run of any length keeps its shape in at most ``MAX_POINTS``.
"""

from __future__ import annotations

import time

MAX_POINTS = 400

Point = tuple[float, int, int]


class Pace:
    """Collects the points of one run."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._scored = self._tokens = 0
        self._every = 1
        self._since = 0
        self._points: list[Point] = []

    def start(self) -> None:
        """Scoring begins now."""
        self._began = time.monotonic()

    def add(self, scored: int, tokens: int, seconds: float | None = None) -> None:
        """A shard was committed; ``seconds`` since the start, by default until now."""
        self._scored += scored
        self._tokens += tokens
        self._since += 1
        self._last = (
            round(time.monotonic() - self._began if seconds is None else seconds, 2),
            self._scored,
            self._tokens,
        )
        if self._since < self._every:
            return
        self._since = 0
        self._points.append(self._last)
        if len(self._points) >= MAX_POINTS:
            self._points = self._points[1::2]
            self._every *= 2

    @property
    def points(self) -> list[Point]:
        """The points so far; the last is where the run is."""
        return self._points if not self._since else [*self._points, self._last]
