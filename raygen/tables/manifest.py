"""What a run writes down about itself: versions, machine, and the one check that every run ends with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raygen.errors import StoppedError

_PACKAGES = (
    "raygen",
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
    """Where each input allele went. ``rejected`` counts by reason, ``classes`` the rows scored in this run."""

    alleles_in: int = 0
    scored: int = 0
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
    """The versions that numbers can depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """The machine of the driver; no host name, manifests travel."""
    return {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()}
