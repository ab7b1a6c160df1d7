"""What the readers need to know of a reference genome. The room ``sequence`` opens the FASTA and imports this one, so the
reference comes in as an object of this shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np


class Reference(Protocol):
    """A reference genome: names, lengths and bases of its contigs."""

    @property
    def path(self) -> str:
        """Where it was read from; its last part names it in messages."""

    @property
    def digest(self) -> str:
        """Hex digest over the names and sequences of all contigs."""

    @property
    def lengths(self) -> Mapping[str, int]:
        """Bases of each contig, in FASTA order."""

    def bases(self, contig: str) -> np.ndarray:
        """(length,) uint8, upper-case ASCII, read-only, one whole contig; a view on a memory map, so cheap to call."""


def reference_name(reference: Reference) -> str:
    """The FASTA's file name, as messages call it."""
    return Path(reference.path).name
