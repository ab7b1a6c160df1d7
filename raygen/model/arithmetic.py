"""Arithmetic as it is meant while a model scores: the shortcuts that torch may take on some hardware are off.

Float32 products and convolutions are float32, not TF32 or bfloat16 inside (torch takes TF32 in cuDNN's convolutions unless
told otherwise, and in products where a program set ``torch.set_float32_matmul_precision``), and a half-precision product
that is cut into parts adds the parts up in float32: added in float16 they could overflow, added in bfloat16 they round. A
program's ``torch.autocast`` does not reach in: it would make a float32 model one of half precision under the same fingerprint.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_backends: Any = torch.backends  # mypy knows only some of what is in it
_EXACT: tuple[tuple[Any, str, Any], ...] = (
    (_backends.cuda.matmul, "fp32_precision", "ieee"),
    (_backends.cudnn.conv, "fp32_precision", "ieee"),
    (_backends.mkldnn.matmul, "fp32_precision", "ieee"),
    (_backends.mkldnn.conv, "fp32_precision", "ieee"),
    (_backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
    (_backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
)


class _Users:
    """How many are inside ``exact_arithmetic``. The settings are the process's: the first in changes them, the last out
    puts them back.
    """

    lock = threading.Lock()
    inside = 0
    before: tuple[str | None, list[Any]]


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """While open, float32 is float32 and partial sums are not rounded to half precision; then all is as it was before."""
    with _Users.lock:
        if not _Users.inside:
            _Users.before = _make_exact()
        _Users.inside += 1
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        with _Users.lock:
            _Users.inside -= 1
            if not _Users.inside:
                _put_back(*_Users.before)


def _make_exact() -> tuple[str | None, list[Any]]:
    """Make torch's arithmetic exact, and return what was set before: torch's older setting, where it can be read, and
    those of ``_EXACT``.
    """
    older = _older_setting()
    values = [getattr(backend, name) for backend, name, _ in _EXACT]
    if older != "highest":  # sets the newer ones too; the two must agree whenever a product is made
        torch.set_float32_matmul_precision("highest")
    for backend, name, value in _EXACT:
        setattr(backend, name, value)
    return older, values


def _put_back(older: str | None, values: list[Any]) -> None:
    if older not in (None, "highest"):
        torch.set_float32_matmul_precision(older)
    for (backend, name, _), value in zip(_EXACT, values, strict=True):
        setattr(backend, name, value)


def _older_setting() -> str | None:
    """``torch.get_float32_matmul_precision``; None where a program set the newer ones to something else, which it refuses."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
