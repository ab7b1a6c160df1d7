"""Which Evo 2 checkpoint a file is, and its conversion: by command, or once into the cache for a hub id."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml
from filelock import FileLock

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError
from raygen.model.cards import ModelCard, all_cards, card_named, find_card, is_hub_id
from raygen.model.convert import (
    CONVERSION_VERSION,
    Conversion,
    Source,
    config_of,
    convert_checkpoint,
    find_source,
    refuse_existing,
)
from raygen.model.evo2 import Evo2Config
from raygen.model.hub import fetch_from_hub

PUBLISHED_FILES = ("*.pt", "*.pt.part*")


def convert_named(
    checkpoint: str,
    target: Path,
    *,
    model: str | None = None,
    like: str | None = None,
    config_file: str | None = None,
    revision: str | None = None,
) -> Conversion:
    """Convert a file, a folder or a hub id. At most one of ``model``, ``like`` and ``config_file`` says what it is.

    Raises:
        SettingsError: it is not known what the checkpoint is, or the target exists.
        InputError: the checkpoint is missing, broken, or something else than was said.
    """
    given = [name for name, value in (("--model", model), ("--like", like), ("--config", config_file)) if value]
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)} say what the checkpoint is: give one of them.")
    refuse_existing(target)  # before gigabytes are fetched
    if Path(checkpoint).exists() or not is_hub_id(checkpoint):
        source, card = find_source(Path(checkpoint)), None
    else:
        card = find_card(checkpoint)
        revision = card.revision if card and revision is None else revision
        source = find_source(fetch_from_hub(checkpoint, revision, PUBLISHED_FILES))
    if config_file:
        config, heads_together = _config_in(Path(config_file))
        return convert_checkpoint(source, config, target, heads_together)
    named = _card(model or like, card, source)
    return convert_checkpoint(source, config_of(named, fine_tuned=like is not None), target)


def _card(name: str | None, of_hub_id: ModelCard | None, source: Source) -> ModelCard:
    card = card_named(name) if name else of_hub_id or card_named(source.name)
    if card is None or card.architecture is None:
        known = ", ".join(one.name for one in all_cards() if one.architecture)
        what = f"There is no Evo 2 checkpoint {name}" if name else f"What {source.name} is cannot be told from its name"
        raise SettingsError(
            f"{what}. Say --model with one of {known}; --like with the one that it was fine-tuned from; or --config with a "
            "configuration."
        )
    return card


def _config_in(file: Path) -> tuple[Evo2Config, bool]:
    """A configuration as the public reference writes it, and whether q, k and v of a head lie together in ``Wqkv``."""
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as YAML or JSON: {str(error).splitlines()[0]}.") from None
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise InputError(f"{file} does not hold a configuration.")
    settings.pop("model_type", None)  # what is not Evo 2's lacks keys, whatever it calls itself
    try:
        return Evo2Config(**{**settings, "card": None}), settings.get("column_split", True)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def converted_folder(card: ModelCard, fetched: Path) -> tuple[Path, list[str]]:
    """The folder of safetensors made of what lies in ``fetched``, and what there is to say when it is made now.

    One process of a node converts, the others wait. The folder is known by the files and by how they are converted, so another revision is another folder.

    Raises:
        InputError: the checkpoint is broken, or the disk is too small.
    """
    source = find_source(fetched)
    files = [(str(file.resolve()), file.stat().st_size) for file in source.files]
    digest = hashlib.sha256(repr([CONVERSION_VERSION, *files]).encode()).hexdigest()[:12]
    folder = cache_folder("models") / f"{card.name}-{digest}"
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder, []
        made = convert_checkpoint(source, config_of(card), folder)
    return folder, [f"{card.name} was converted to safetensors once: {folder} ({made.num_bytes / 1e9:.1f} GB)."]
