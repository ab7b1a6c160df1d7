"""The reference on the node where it is needed: fetched there once when it lies elsewhere, laid down once, mapped by all."""

from __future__ import annotations

from functools import lru_cache

from raygen.remote import stage
from raygen.sequence.reference import Reference, open_reference


@lru_cache(maxsize=8)
def staged_reference(path: str) -> Reference:
    """Open a FASTA of this machine or of any filesystem; looked up once a process.

    Raises:
        InputError, SettingsError, StoppedError: as ``stage`` and ``open_reference``.
    """
    return open_reference(stage(path))
