"""A published Evo 2 checkpoint that was fetched as ``.pt``, converted once into the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock

from raygen.cache import cache_folder
from raygen.model.cards import ModelCard
from raygen.model.convert import config_of, convert_checkpoint, find_source


def converted_folder(card: ModelCard, fetched: Path) -> tuple[Path, list[str]]:
    """The folder of safetensors made of what lies in ``fetched``, and what there is to say when it is made now.

    One process of a node converts, the others wait. The folder is known by the files, so another revision is another folder.

    Raises:
        InputError: the checkpoint is broken, or the disk is too small.
    """
    source = find_source(fetched)
    files = [(str(file.resolve()), file.stat().st_size) for file in source.files]
    digest = hashlib.sha256(repr(files).encode()).hexdigest()[:12]
    folder = cache_folder("models") / f"{card.name}-{digest}"
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder, []
        made = convert_checkpoint(source, config_of(card), folder)
    return folder, [f"{card.name} was converted to safetensors once: {folder} ({made.num_bytes / 1e9:.1f} GB)."]
