"""What a run writes down about itself: versions, machine, and the one check that every run ends with.

``Pace`` keeps how fast a run went over its time, small enough for a manifest whatever the run's size. Its points are
cumulative, ``[seconds since scoring began, variants scored, tokens computed]``, one for each committed shard; when
there are too many every other one is dropped, so a run of any length keeps its shape in at most ``MAX_POINTS``.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raygen.errors import InputError, StoppedError
from raygen.version import __version__

_PACKAGES = (
    "ray",
    "torch",
    "transformers",
    "accelerate",
    "safetensors",
    "pyarrow",
    "polars",
    "pysam",
    "numpy",
)


@dataclass
class Counts:
    """Where each input allele went. ``rejected`` counts by reason, ``classes`` the rows scored in this run, ``prescored`` those of them
    that a position table held.
    """

    alleles_in: int = 0
    scored: int = 0
    prescored: int = 0
    already_scored: int = 0
    abstained: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)

    @property
    def num_rejected(self) -> int:
        """Rejects of every reason."""
        return sum(self.rejected.values())

    def check_conservation(self) -> None:
        """Alleles in = scored + rejected + already scored.

        Raises:
            StoppedError: with the four numbers.
        """
        out = self.scored + self.num_rejected + self.already_scored
        if out != self.alleles_in:
            raise StoppedError(
                f"{self.alleles_in:,} alleles went in, but {out:,} came out ({self.scored:,} scored, "
                f"{self.num_rejected:,} rejected, {self.already_scored:,} already scored). Run the same command again."
            )


def add_counts(total: dict[str, int], more: dict[str, int]) -> None:
    """Add counts by name, in place."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def new_run_id(now: datetime | None = None) -> str:
    """A name for a run that sorts by time, to the microsecond, and is unique, e.g. ``20261121T213045Z-3f2a9c1b``."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{os.urandom(2).hex()[:3]}"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that scores can depend on, by name."""
    package_versions = {"python": platform.python_version(), "raygen": __version__}
    for package in _PACKAGES:
        try:
            package_versions[package] = version(package)
        except PackageNotFoundError:
            package_versions[package] = "not installed"
    return package_versions


def machine() -> dict[str, Any]:
    """System, architecture and number of CPUs of this machine; no host name, since manifests travel."""
    return {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()}


MAX_POINTS = 400

Point = tuple[float, int, int]


class Pace:
    """How far one run had come after how many seconds, as points for its manifest."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._scored = self._tokens = 0
        self._every = 1
        self._since = 0
        self._points: list[Point] = []

    def start(self) -> None:
        """Count seconds from now on: scoring begins."""
        self._began = time.monotonic()

    def add(self, scored: int, tokens: int, seconds: float | None = None) -> None:
        """Count a shard that was committed.

        Args:
            scored: variants of the shard.
            tokens: computed for the shard.
            seconds: since scoring began; by default until now.
        """
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
        """(seconds since scoring began, variants scored, tokens computed) so far; the last is where the run is."""
        return self._points if not self._since else [*self._points, self._last]


def parse_manifest(text: bytes, path: str) -> dict[str, Any]:
    """Parse the JSON of a run's manifest.

    Args:
        path: of the manifest, for the message.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        manifest = json.loads(text)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise InputError(
            f"{path} cannot be read: it is no manifest. Put it back from a copy, or take the run's folder away."
        )
    return manifest
