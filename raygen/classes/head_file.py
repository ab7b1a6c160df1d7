"""The two files of a head: ``HEAD``, its numbers as safetensors, and ``HEAD.json``, all that is known of it. Nothing in them is run.

The JSON holds a digest of the numbers and one of itself: a head that was changed since it was trained is refused, because its result
would no longer be of these numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from raygen.classes.head import HEAD_PREFIX, Head, HeadFacts
from raygen.errors import InputError, SettingsError
from raygen.remote import exists, is_remote, shown, stage, with_endpoint
from raygen.tables.place import put_in_place

JSON_END = ".json"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_DIGEST, _NUMBERS_DIGEST = "digest", "numbers_sha256"


def column_of_head(path: str) -> str:
    """The column of a head: ``head_`` and the file's name up to its first dot.

    Raises:
        SettingsError: the name is none of a column.
    """
    name = path.partition("?")[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"The head {path} gives its column the name head_{name}: a file name of letters, digits and _ is needed."
        )
    return f"{HEAD_PREFIX}{name}"


def write_head(
    path: str | Path,
    facts: HeadFacts,
    centre: np.ndarray,
    scale: np.ndarray,
    weight: np.ndarray,
    intercept: float,
    training_sites: np.ndarray,
) -> Head:
    """Write a head; see ``Head`` for the numbers.

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    column_of_head(str(path))
    numbers = {
        "centre": centre,
        "scale": scale,
        "weight": weight,
        "intercept": np.array([intercept]),
        "training_sites": np.unique(training_sites),
    }
    content = save(numbers)
    described = facts.model_dump(mode="json") | {_NUMBERS_DIGEST: hashlib.sha256(content).hexdigest()}
    digest = _digest_of(described)
    with put_in_place(path, beside=(JSON_END,)) as partial:
        text = json.dumps({_DIGEST: digest, **described}, indent=2, ensure_ascii=False) + "\n"
        partial.with_name(partial.name + JSON_END).write_text(text, encoding="utf-8")
        partial.write_bytes(content)
    return Head(facts, centre, scale, weight, intercept, numbers["training_sites"], digest, _absolute(str(path)))


def read_head(path: str) -> Head:
    """Read a head of this machine or of any filesystem.

    Raises:
        InputError: there is no such head, or one of its files was changed since it was trained.
    """
    described = _read_json(path)
    digest, numbers_digest = described.pop(_DIGEST, None), described.get(_NUMBERS_DIGEST)
    if digest != _digest_of(described):
        raise InputError(
            f"{path}{JSON_END} was changed since the head was trained: its digest is another. Train it anew."
        )
    del described[_NUMBERS_DIGEST]
    try:
        facts = HeadFacts.model_validate(described)
    except ValidationError as error:
        raise _no_head(path, str(error.errors()[0]["msg"])) from error
    content = _read_numbers(path)
    if hashlib.sha256(content).hexdigest() != numbers_digest:
        raise InputError(
            f"{path} was changed since the head was trained: its numbers have another digest. Train it anew."
        )
    try:
        numbers = load(content)
        centre, scale, weight = (numbers[name] for name in ("centre", "scale", "weight"))
        return Head(
            facts,
            centre,
            scale,
            weight,
            float(numbers["intercept"][0]),
            numbers["training_sites"],
            digest,
            _absolute(path),
        )
    except (SafetensorError, KeyError) as error:
        raise _no_head(path, "its numbers cannot be read") from error


def read_heads(paths: Sequence[str]) -> dict[str, Head]:
    """Heads by the names of their columns, in order.

    Raises:
        InputError: see ``read_head``.
        SettingsError: two have one name, or a name is none of a column.
    """
    heads: dict[str, Head] = {}
    for path in paths:
        name = column_of_head(path)
        if name in heads:
            raise SettingsError(f"Two heads would write the column {name}. Rename the files of one of them.")
        heads[name] = read_head(path)
    return heads


def _absolute(path: str) -> str:
    """A path as other folders and machines can use it."""
    return with_endpoint(path) if is_remote(path) else str(Path(path).absolute())


def _json_of(path: str) -> str:
    """The path of a head's JSON; a URI keeps its options behind it."""
    name, mark, options = path.partition("?")
    return f"{name}{JSON_END}{mark}{options}"


def _read_json(path: str) -> dict[str, Any]:
    for name in (path, _json_of(path)):
        if not exists(name):
            raise InputError(f"No such file: {shown(name)}. A head is two files, HEAD and HEAD{JSON_END}.")
    try:
        described = json.loads(Path(stage(_json_of(path))).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_head(path, "it is no JSON that can be read") from error
    if not isinstance(described, dict):
        raise _no_head(path, "it is no JSON object")
    return described


def _read_numbers(path: str) -> bytes:
    try:
        return Path(stage(path)).read_bytes()
    except OSError as error:
        raise InputError(f"The head {path} cannot be read: {error.strerror or error}.") from error


def _no_head(path: str, reason: str) -> InputError:
    return InputError(f"{path}{JSON_END} is no head of `raygen head train`: {reason}.")


def _digest_of(described: dict[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of facts and of the numbers' digest, whatever the layout of the file."""
    canonical = json.dumps(described, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
