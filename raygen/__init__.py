"""raygen: rescore genomic variants with DNA language models.

    import raygen
    model = raygen.load_model("demo")
    raygen.score_pairs(model, [("ACGT...", "ACTT...")])
    raygen.score_variants(model, "variants.vcf", reference="ref.fa", window=raygen.Window(left=512, right=512))
    raygen.open_table("table").lookup(variants)
    ids, vectors = raygen.read_embeddings("out", layer="blocks.20")

Importing the package loads neither torch nor ray; the names below are fetched when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raygen.errors import InputError, RaygenError, SettingsError, StoppedError
from raygen.home import ensure_home
from raygen.version import __version__

if TYPE_CHECKING:
    from raygen.api import load_model, score_pairs, score_variants
    from raygen.finished.embeddings import read_embeddings
    from raygen.finished.position_lookup import open_table
    from raygen.sequence.windows import Window
    from raygen.tables.layout import read_scores

ensure_home()  # before any library asks for it

_HOMES = {
    "load_model": "raygen.api",
    "score_pairs": "raygen.api",
    "score_variants": "raygen.api",
    "open_table": "raygen.finished.position_lookup",
    "Window": "raygen.sequence.windows",
    "read_embeddings": "raygen.finished.embeddings",
    "read_scores": "raygen.tables.layout",
}

__all__ = [
    "InputError",
    "RaygenError",
    "SettingsError",
    "StoppedError",
    "Window",
    "__version__",
    "load_model",
    "open_table",
    "read_embeddings",
    "read_scores",
    "score_pairs",
    "score_variants",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raygen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
