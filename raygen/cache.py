"""Where raygen keeps what it can make again: unpacked references, the demo model, weight hashes.

``RAYGEN_CACHE`` names the folder; else ``$XDG_CACHE_HOME/raygen`` or ``~/.cache/raygen``. Where none of these can be
written (a read-only HOME on a cluster node) it is a folder of this user in the machine's temporary directory: the cache
is a saving of time, so a run does not fail for want of a HOME.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from raygen.disk_errors import full_disk
from raygen.errors import SettingsError
from raygen.home import expanded

CACHE_ADVICE = "RAYGEN_CACHE can name another folder."


def cache_folder(*parts: str) -> Path:
    """The cache folder for one kind of thing, made when missing.

    Raises:
        SettingsError: no cache folder can be written.
        StoppedError: the disk is full.
    """
    configured = os.environ.get("RAYGEN_CACHE")
    if configured:
        folder = Path(expanded(configured)).joinpath(*parts)
        if error := _fault(folder):
            raise full_disk(error, folder, CACHE_ADVICE) or SettingsError(
                f"RAYGEN_CACHE is {configured!r}, which cannot be written. Name a folder that can be."
            )
        return folder
    full = None
    for folder in (root.joinpath(*parts) for root in _default_roots()):
        error = _fault(folder)
        if error is None:
            return folder
        full = full or full_disk(error, folder, CACHE_ADVICE)
    if full:
        raise full
    raise SettingsError("No cache folder can be written, not even in the temporary directory. Set RAYGEN_CACHE to one.")


def _default_roots() -> list[Path]:
    home = expanded(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
    return [Path(home) / "raygen", Path(tempfile.gettempdir()) / f"raygen-{os.getuid()}"]


def _fault(folder: Path) -> OSError | None:
    """The error with which a folder cannot be written; None where it can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error
