"""Bases to tokens and back, and the other strand.

Evo reads bytes: a base's token is its upper-case ASCII code. Any letter but A, C, G and T (the reference has R, Y, M ...
in places) is read as N, because the models were trained on ACGTN alone.
"""

from __future__ import annotations

import numpy as np

_BASES = b"ACGT"
_N = ord("N")

_TO_TOKEN = np.full(256, _N, dtype=np.uint8)
_COMPLEMENT = np.full(256, _N, dtype=np.uint8)
for _base, _other in zip(_BASES, b"TGCA", strict=True):
    _TO_TOKEN[[_base, _base + 32]] = _base
    _COMPLEMENT[[_base, _base + 32]] = _other


def encode(sequence: str | bytes) -> np.ndarray:
    """The tokens of a sequence, uint8 (length,)."""
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return _TO_TOKEN[np.frombuffer(raw, dtype=np.uint8)]


def normalise_tokens(bases: np.ndarray) -> np.ndarray:
    """Reference bases as tokens: what is not A, C, G or T becomes N. uint8 (length,) to uint8 (length,)."""
    return _TO_TOKEN[bases]


def reverse_complement(bases: np.ndarray) -> np.ndarray:
    """The other strand, read in its own direction. uint8 (length,) to uint8 (length,)."""
    return _COMPLEMENT[bases][::-1]


def count_n(tokens: np.ndarray) -> int:
    """How many tokens are N."""
    return int(np.count_nonzero(tokens == _N))
