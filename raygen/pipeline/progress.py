"""How far a run is: one live bar on a terminal, a line every so often in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from raygen.pipeline.events import wants_json

_SECONDS_BETWEEN_LINES = 30.0


class RunProgress:
    """Counts variants and tokens as shards are committed."""

    def __init__(self, num_variants: int, console: Console | None = None) -> None:
        self._total = num_variants
        self._console = console or Console(file=sys.stderr)
        self._began = self._last_line = time.monotonic()
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
        self._task = self._bar.add_task("scoring", total=num_variants, rates="starting the models")

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, variants: int, tokens: int) -> None:
        """A shard was committed."""
        self._variants += variants
        self._tokens += tokens
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        rates = f"{self._variants / seconds:,.1f} variants/s  {self._tokens / seconds:,.0f} tokens/s"
        self._bar.update(self._task, completed=self._variants, rates=rates)
        if not self._console.is_terminal and not wants_json() and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (self._total - self._variants) * seconds / max(self._variants, 1)
            self._console.print(f"{self._variants:,} of {self._total:,} variants, {rates}, {left / 60:,.0f} min left")
