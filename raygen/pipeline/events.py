"""What a run does as lines of JSON, for the log collector of a cluster: ``RAYGEN_LOG=json``.

One line an event on standard error: ``time`` (UTC), ``event``, ``run`` (null for an error of the command), and numbers. The line of progress on a terminal is
off then. No variant is in it: what is said in words is searched for alleles first.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from raygen.errors import SettingsError

VARIABLE = "RAYGEN_LOG"
# chrom-pos-ref-alt and chrom:pos, with whatever stands between them
_ALLELE = re.compile(r"[\w.*]+[-:]\d+(?:[-:][ACGTNacgtn]+[-:>][ACGTNacgtn*<>]+)?|'[ACGTN]+'")


def wants_json() -> bool:
    """Whether the log is to be JSON.

    Raises:
        SettingsError: the variable says something else.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "text", "json"):
        raise SettingsError(f"{VARIABLE} is {value!r}; it can be text or json.")
    return value == "json"


class EventLog:
    """Writes events, or nothing where JSON was not asked for."""

    def __init__(self, run_id: str | None, stream: TextIO | None = None) -> None:
        self._run = run_id
        self._stream = stream
        self._wanted = wants_json()

    def write(self, event: str, **facts: object) -> None:
        """Write one event. Facts are numbers and words of ours; ``message`` is freed of alleles."""
        if not self._wanted:
            return
        if "message" in facts:
            facts["message"] = without_alleles(str(facts["message"]))
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, "run": self._run}
        print(json.dumps({**line, **facts}), file=self._stream or sys.stderr, flush=True)


def without_alleles(text: str) -> str:
    """The text with what looks like a variant or a position taken out."""
    return _ALLELE.sub("<variant>", text)
