"""The fingerprint: one hash of everything that a score depends on. Scores with different ones are never mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from raygen.model.facts import ModelFacts
from raygen.sequence.windows import Window

LIKELIHOOD_VERSION = 2
"""Raised when the same weights and settings would give other numbers than before. 2: windows of the reverse strand on a grid."""


def fingerprint(model: ModelFacts, window: Window | None, strand: str, circular: Sequence[str] = ()) -> str:
    """16 hexadecimal digits over weights, dtype, window, anchor, strand, BOS and vocabulary reduction.

    ``window`` is None for pairs, which bring their own sequences. Contigs that are read as circles count too, since
    the windows near their origin depend on it.
    """
    if not model.weights_hash or model.dtype == "auto":
        raise ValueError(f"{model.name} is known on paper only, which says nothing of its scores")
    depends_on = {
        "likelihood": LIKELIHOOD_VERSION,
        "weights": model.weights_hash,
        "dtype": model.dtype,
        "bos": model.bos_id,
        "vocabulary": "full",
        "window": None if window is None else [window.left, window.right, window.anchor, window.stride],
        "strand": strand,
        "circular": sorted(circular),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
