"""The files of a checkpoint folder, without the numbers in them: config.json as it is, and which tensors lie where. Light: no torch.

In: a folder with ``config.json`` and ``model.safetensors``, or shards with ``model.safetensors.index.json``. Out: headers of all
tensors under their canonical names, which are those of the published checkpoints with the prefix ``backbone.``; a folder in which
no tensor has the prefix is accepted too. Only safetensors are read: a pickle can run code when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from raygen.errors import InputError

Shapes = dict[str, tuple[int, ...]]

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOAT_TYPES = ("F64", "F32", "BF16", "F16")
MAX_NAMES_IN_ERROR = 5

PREFIX = "backbone."
EMBEDDING = f"{PREFIX}embedding_layer.weight"
UNEMBEDDING = f"{PREFIX}unembed.weight"


@dataclass(frozen=True)
class TensorHeader:
    """Where a tensor lies: its file, its name there, its type as safetensors writes it (``BF16``) and its shape."""

    file: Path
    stored_name: str
    dtype: str
    shape: tuple[int, ...]


def model_type_of(folder: Path) -> str:
    """``model_type`` of a folder's config.json.

    Raises:
        InputError: there is no config.json, or it is not JSON.
    """
    return str(read_settings(folder).get("model_type"))


def read_settings(folder: Path) -> dict[str, Any]:
    """A folder's config.json as it is."""
    return _read_json(folder / "config.json", "a model folder has one beside its weights")


def read_checkpoint_header(folder: Path) -> dict[str, TensorHeader]:
    """All tensors of a checkpoint by canonical name; reads the headers of its files only.

    Raises:
        InputError: no weights, a shard is missing or cannot be read, or the index and the shards disagree.
    """
    headers = read_stored_header(folder)
    if not any(name.startswith(PREFIX) for name in headers):
        return {PREFIX + name: header for name, header in headers.items()}
    return headers


def read_stored_header(folder: Path) -> dict[str, TensorHeader]:
    """All tensors of a checkpoint under the names they have in its files, see ``read_checkpoint_header``."""
    headers: dict[str, TensorHeader] = {}
    for file in _weight_files(folder):
        for header in _file_headers(file):
            earlier = headers.get(header.stored_name)
            if earlier:
                raise InputError(f"{folder}: {header.stored_name} is both in {earlier.file.name} and in {file.name}.")
            headers[header.stored_name] = header
    if not (folder / SINGLE_FILE).is_file():
        _check_index(folder, headers)
    return headers


def check_header(folder: Path, expected: Shapes, unread: Shapes) -> dict[str, TensorHeader]:
    """The tensors of a checkpoint by canonical name, held to what a configuration expects; ``unread`` may be there or not.

    Raises:
        InputError: names every tensor that is missing, unexpected, of the wrong shape or of no floating-point type.
    """
    headers = read_checkpoint_header(folder)
    allowed = expected | unread
    wrong = [
        f"{name} is {header.dtype} {list(header.shape)}, not {list(allowed[name])}"
        for name, header in headers.items()
        if name in allowed and (header.shape != allowed[name] or header.dtype not in FLOAT_TYPES)
    ]
    faults = [
        named_fault("missing", expected.keys() - headers.keys()),
        named_fault("unexpected", headers.keys() - allowed.keys()),
        named_fault("of the wrong shape or type", wrong, separator="; "),
    ]
    if any(faults):
        raise InputError(f"{folder} does not fit its config.json. {' '.join(fault for fault in faults if fault)}")
    return headers


def checkpoint_bytes(folder: Path) -> int:
    """Size of the weight files on disk."""
    return sum(file.stat().st_size for file in _weight_files(folder))


# Files --------------------------------------------------------------------------------------------------------------


def _weight_files(folder: Path) -> list[Path]:
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if not (folder / INDEX_FILE).is_file():
        raise InputError(_no_weights(folder))
    files = sorted({folder / name for name in _weight_map(folder).values()})
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(files)} files that {INDEX_FILE} names are not there: "
            f"{_shortened(missing)}. Copy or download the checkpoint again."
        )
    return files


def _no_weights(folder: Path) -> str:
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} holds weights as pickles only ({_shortened(pickles)}), which can run code when they are opened. "
            "Convert them to safetensors."
        )
    return f"{folder} holds neither {SINGLE_FILE} nor {INDEX_FILE}."


def _weight_map(folder: Path) -> dict[str, str]:
    index = _read_json(folder / INDEX_FILE, "it names the shards of a checkpoint")
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise InputError(f"{folder / INDEX_FILE} has no weight_map from tensor names to files.")
    if not isinstance(index.get("metadata"), dict):
        raise InputError(
            f'{folder / INDEX_FILE} has no metadata, without which it is not loaded: add "metadata": {{}}.'
        )
    return weight_map


def _check_index(folder: Path, headers: dict[str, TensorHeader]) -> None:
    weight_map = _weight_map(folder)
    misplaced = [
        name for name, file in weight_map.items() if name not in headers or headers[name].file.name != Path(file).name
    ]
    faults = [
        named_fault("not in the file that the index names", misplaced),
        named_fault("not in the index", headers.keys() - weight_map.keys()),
    ]
    if any(faults):
        raise InputError(
            f"{folder / INDEX_FILE} disagrees with its shards. {' '.join(fault for fault in faults if fault)}"
        )


def _file_headers(file: Path) -> list[TensorHeader]:
    try:
        file.open("rb").close()  # else safetensors calls a file without permission one that is not there
        with safe_open(file, framework="np") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping
            return [
                TensorHeader(file, name, part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()
            ]
    except PermissionError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file} ({file.stat().st_size:,} bytes) cannot be read as safetensors: {error}. "
            "Was it copied or downloaded completely?"
        ) from None


def _read_json(file: Path, purpose: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); {purpose}.") from None
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} is not a JSON object.")
    return content


def named_fault(fault: str, names: Iterable[str], separator: str = ", ") -> str:
    """How many names have a fault and which; empty where none has."""
    listed = sorted(names)
    return f"{len(listed)} {fault}: {_shortened(listed, separator)}." if listed else ""


def _shortened(names: list[str], separator: str = ", ") -> str:
    num_more = len(names) - MAX_NAMES_IN_ERROR
    return separator.join(names[:MAX_NAMES_IN_ERROR]) + (f" and {num_more} more" if num_more > 0 else "")
