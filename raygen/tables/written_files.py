"""Small files that a command leaves where a user says: whole or not at all, and refused before the work is done."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raygen.errors import SettingsError
from raygen.tables.folder_kinds import refuse_among_scores


def refuse_unwritable(paths: Iterable[str | None]) -> None:
    """SettingsError where a file cannot be written there."""
    for given in paths:
        if given is None:
            continue
        refuse_among_scores(given)
        path = Path(given)
        if path.is_dir():
            raise SettingsError(f"{given} is a folder. Give a file to write.")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise SettingsError(f"{given} cannot be written: {path.parent} is no folder that can be written to.")


def write_text(path: str, text: str) -> None:
    """Write under a hidden name, then rename.

    Raises:
        SettingsError: it cannot be written.
    """
    partial = Path(path).with_name(f".{Path(path).name}.{uuid.uuid4().hex}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write JSON that every reader takes: a number that is none is an error of ours."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
