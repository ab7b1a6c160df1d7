"""The bytes of a checkpoint's tensors, as they lie in its files: the hash of the weights, and whether two are equal. Light: no torch.

In: headers of tensors. Out: a hash, or yes and no. Files are read in pieces and as they are, in the layout that safetensors documents,
because its own reader of bfloat16 is torch, whose import takes seconds; the header of a file was checked by the library before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError
from raygen.model.checkpoint_files import FLOAT_TYPES, TensorHeader
from raygen.tables.place import keep_json, kept_text

_PIECE = 2**20  # bytes; fits a core's cache, and is a multiple of every number's size
_LAYOUTS = {"F64": ("<u8", 11, 52), "F32": ("<u4", 8, 23), "BF16": ("<u2", 8, 7), "F16": ("<u2", 5, 10)}
"""Of each floating-point type: its bits as a whole number, and how many of them are the exponent and the fraction."""


def hash_with(used: dict[str, TensorHeader], architecture: dict[str, Any]) -> str:
    """SHA-256 of tensors in the order of their names and of what the numbers depend on beside them.

    The part over the tensors is cached under path, size and time of the files.

    Raises:
        InputError: a tensor holds NaN.
    """
    cached = _cache_file(used)
    weights = kept_text(cached, "sha256")
    if weights is None:
        weights = _hash_tensors(used)
        if cached:
            keep_json(cached, {"sha256": weights})
    return hashlib.sha256(json.dumps([weights, architecture], sort_keys=True).encode()).hexdigest()


def same_bytes(first: TensorHeader, second: TensorHeader) -> bool:
    """Whether two tensors are equal to the byte; a NaN equals itself here."""
    return all(one == other for one, other in zip_longest(_pieces(first), _pieces(second)))


def _hash_tensors(headers: dict[str, TensorHeader]) -> str:
    digest = hashlib.sha256()
    for name, header in headers.items():
        digest.update(f"{name} {header.dtype} {list(header.shape)}\n".encode())
        for piece in _pieces(header):
            if header.dtype in FLOAT_TYPES and _has_nan(piece, header.dtype):
                raise InputError(
                    f"{header.file}: {name} holds values that are no numbers (NaN). The checkpoint is broken."
                )
            digest.update(piece)
    return digest.hexdigest()


def _pieces(header: TensorHeader) -> Iterator[bytes]:
    start, end = _offsets(header.file)[header.stored_name]
    with header.file.open("rb") as file:
        file.seek(start)
        for left in range(end - start, 0, -_PIECE):
            yield file.read(min(left, _PIECE))


def _offsets(file: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a file begins and ends, in bytes from the file's start."""
    return _offsets_as_of(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _offsets_as_of(file: Path, mtime_ns: int) -> dict[str, tuple[int, int]]:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        described = json.loads(opened.read(size))
    described.pop("__metadata__", None)
    offsets = {name: tensor["data_offsets"] for name, tensor in described.items()}
    return {name: (8 + size + start, 8 + size + end) for name, (start, end) in offsets.items()}


def _has_nan(piece: bytes, dtype: str) -> bool:
    """A NaN is larger than infinity where both are read as whole numbers without their sign."""
    whole, exponent, fraction = _LAYOUTS[dtype]
    infinity = (2**exponent - 1) << fraction
    numbers = np.frombuffer(piece, whole)
    return bool((numbers & numbers.dtype.type(2 ** (exponent + fraction) - 1)).max() > infinity)


def _cache_file(headers: dict[str, TensorHeader]) -> Path | None:
    """Where the hash of these tensors in these files, as they are now, is kept; None where nothing can be."""
    files = sorted({header.file.resolve() for header in headers.values()})
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps([stats, list(headers)]).encode()).hexdigest()
    try:
        return cache_folder("weights-hashes") / f"{key[:32]}.json"
    except SettingsError:
        return None
