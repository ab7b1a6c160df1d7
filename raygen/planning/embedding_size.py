"""What the embeddings of a run would take on the disk: 2 (WT's and the difference) x D x bytes of a number x vectors x variants.

In: settings, the model on paper, and how many variants are scored. Out: a remark, and a warning where the output's disk has less room.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from raygen.errors import InputError
from raygen.home import expanded
from raygen.model.facts import ModelFacts
from raygen.model.layer_names import refuse_layers
from raygen.model.on_paper import hidden_size_on_paper, layers_on_paper
from raygen.remote import is_remote
from raygen.scoring.plan import strands_read
from raygen.settings import Settings


def embedding_remarks(settings: Settings, model: ModelFacts, num_variants: int) -> tuple[list[str], list[str]]:
    """(remarks, warnings) on the size of the embeddings; none where none are stored.

    Raises:
        SettingsError: the model has no such layer.
    """
    request = settings.embed.request
    if request is None:
        return [], []
    try:
        refuse_layers(model.name, request.plan.layers, layers_on_paper(model))
        each = request.bytes_a_variant(hidden_size_on_paper(model), strands_read(settings.window.strand))
    except InputError:
        unknown = "embeddings: what they take is not known without the model's config.json"
        return [unknown] if request.storage else [], []
    if request.storage is None:
        return [], []
    needed = each * num_variants
    remark = f"embeddings: {_size(each)} a variant, {_size(needed)} in all ({request.storage.name})"
    free = _free_bytes(settings.output.path)
    if free is None or needed <= free:
        return [remark], []
    warning = (
        f"The embeddings take {_size(needed)}, and the disk of {settings.output.path} has {_size(free)} free. Fewer layers or pools, or "
        "embed.store=projection:256, take less; embed.store=none keeps distances alone."
    )
    return [remark], [warning]


def _free_bytes(output: str | None) -> int | None:
    """Bytes free where the output will lie; None where that is not known."""
    if output is None or is_remote(output):
        return None
    target = Path(expanded(output)).absolute()
    try:
        return shutil.disk_usage(next(folder for folder in (target, *target.parents) if folder.exists())).free
    except OSError:
        return None


def _size(num_bytes: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.1f} kB"
