"""Model cards: what is known of each published checkpoint beside its weights, read from ``configs/models/*.yaml``. Light: no torch.

In: the name a model is asked for by, a hub id or ``demo``. Out: its card, or None; a folder on disk has none, but for
one that ``raygen convert`` wrote, whose config.json names its card. The card of an Evo 2 checkpoint says how it is
built, too, as the keys of a configuration, because it is published without one.

A card holds over the hub's ``config.json`` for context length and rotary scaling: of ``evo-1-131k-base`` revisions were
published whose configuration says 8,192 tokens and no interpolation, and the public scorer (``evo-model``) goes by its
own configuration too. The files are in ``configs/models``; ``raygen/model/model_cards`` is a link to that folder, which
a build follows, so that an installed package holds copies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub.utils import HFValidationError, validate_repo_id
from pydantic import BaseModel, ConfigDict, Field, field_validator

from raygen.errors import SettingsError

Domain = Literal["bacteria", "archaea", "phage", "plasmid", "virus", "eukaryote", "mitochondrion", "plastid"]
"""What a sequence comes from. ``virus`` is one of eukaryotes, ``phage`` one of prokaryotes."""

DEMO = "demo"
"""The model that ships with the package."""

OFF_LABEL_DOMAIN = "off_label_domain"
"""Flag: the model was not trained on sequences of the declared domain."""

UNVALIDATED = "unvalidated_model"
"""Flag: the published numbers of this model need an arithmetic (FP8) that is not done here."""

DEMO_FOLDER = Path(__file__).with_name("demo")  # trained by jobs/training/train_demo_model.py

_NAME = r"[A-Za-z0-9][\w.-]*"
_HUB_ID = re.compile(f"{_NAME}/{_NAME}")

NO_CARD = "no model card: domains unknown"


class ModelCard(BaseModel):
    """What is known of one published checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="of the checkpoint, and of the card's file")
    hub_id: str | None = Field(description="what model.name says; null for a model that is on no hub")
    source: str = Field(description="where it is published")
    revision: str | None = Field(description="of the hub, taken where model.revision is not set")
    context_length: int = Field(gt=0, description="tokens the model was trained to read at once")
    bos_id: int | None = Field(description="token that is read before the first base; null for none")
    rotary_scaling: float = Field(gt=0, description="positions are divided by it; 1 for none")
    strand: str = Field(description="advice for window.strand")
    licence: str
    domains: tuple[Domain, ...] = Field(description="what it was trained on")
    num_parameters: int = Field(gt=0)
    needs_fp8: bool = Field(False, description="whether the published numbers need FP8, which is not done here")
    published_loss: float | None = Field(
        None, description="nats a base over the publishers' own test sequences; null where none is published"
    )
    architecture: Evo2Architecture | None = Field(
        None, description="of Evo 2, whose published weights come without a configuration; null for others"
    )
    notes: str


def find_card(name: str | Path) -> ModelCard | None:
    """The card of a hub id, of ``demo``, or that the config.json of a folder names; None for what has no card."""
    if str(name) != DEMO and Path(name).is_dir():
        return _card_in(Path(name) / "config.json")
    cards = _by_name()
    return cards.get(str(name)) or cards.get(str(name).lower() if "/" in str(name) else "")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``organisation/model`` that the hub accepts."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return _HUB_ID.fullmatch(name) is not None


def refuse_unknown_name(name: str | Path) -> None:
    """A model is ``demo``, a folder that is there, or a hub id.

    Raises:
        SettingsError: the name is none of them.
    """
    if name == DEMO or Path(name).is_dir() or (isinstance(name, str) and is_hub_id(name)):
        return
    meant = card_named(str(name))
    explanation = "which is a file" if Path(name).is_file() else "and there is no such folder"
    hint = f" Did you mean {meant.hub_id}?" if meant and meant.hub_id else ""
    raise SettingsError(
        f"model.name is {str(name)!r}, {explanation}.{hint} A model is a folder with config.json and safetensors, "
        f"a hub id such as togethercomputer/evo-1-8k-base, or {DEMO}."
    )


def local_folder(name: str | Path, revision: str | None) -> Path | None:
    """The folder of a model that is on this machine; None for a hub id.

    Raises:
        SettingsError: a revision is named and only the hub has them, or there is no such model.
    """
    if name == DEMO:  # before a folder that happens to be called so: ./demo names that one
        if revision is not None:
            raise SettingsError(f"model.revision is {revision!r}, but {DEMO} ships with raygen and has no revisions.")
        return DEMO_FOLDER
    if Path(name).is_dir():
        if revision is not None:
            raise SettingsError(f"model.revision is {revision!r}, but {name} is a folder, which has no revisions.")
        return Path(name)
    refuse_unknown_name(name)
    return None


def all_cards() -> list[ModelCard]:
    """Every card that ships, by name."""
    texts = [
        file.read_text() for file in files("raygen.model").joinpath("model_cards").iterdir() if _is_card(file.name)
    ]
    cards = [ModelCard.model_validate(yaml.safe_load(text)) for text in texts]
    return sorted(cards, key=lambda card: card.name)


def demo_warning(name: str, domain: str | None) -> str | None:
    """What to say of scores by the model that ships, which is also the default, where nobody declared what they are of."""
    if name != DEMO or domain is not None:
        return None
    return (
        "the model is demo, which is small and knows animal mitochondria only: on anything else its scores mean nothing. "
        "Name the model that should score: model.name (--model)."
    )


def is_off_label(domain: str | None, trained_on: Sequence[str] | None) -> bool:
    """Whether a declared domain is not among those of a model; never where either is not known."""
    return domain is not None and trained_on is not None and domain not in trained_on


def refuse_unvalidated(card: ModelCard | None, allow_unvalidated: bool) -> None:
    """A model whose published numbers need FP8 is used only where the user says so.

    Raises:
        SettingsError: its card says so, and the user did not.
    """
    if card and card.needs_fp8 and not allow_unvalidated:
        raise SettingsError(_needs_fp8(card.name, "its publishers say"))


def needs_fp8(name: str | Path, keys: Mapping[str, Any], allow_unvalidated: bool) -> bool:
    """Whether a checkpoint without a card needs FP8, by the keys of its config.json, and whether it is used nevertheless.

    Configurations of the 7B models say FP8 too; their cards know better.

    Raises:
        SettingsError: its config.json says so, and the user did not.
    """
    needed = bool(keys.get("use_fp8_input_projections"))
    if needed and not allow_unvalidated:
        raise SettingsError(_needs_fp8(str(name), "use_fp8_input_projections in its config.json says"))
    return needed


def _needs_fp8(name: str, who_says: str) -> str:
    return (
        f"{name} needs FP8 (Transformer Engine, a Hopper GPU) for its published accuracy, {who_says}; here it would run in "
        "another precision, and no one has shown what its scores then mean. The 7B models run without. To score with it anyway set "
        f"model.allow_unvalidated: true; every row then has the flag {UNVALIDATED}."
    )


def _is_card(file_name: str) -> bool:
    return file_name.endswith(".yaml")


def card_named(name: str) -> ModelCard | None:
    """The card of a checkpoint by its own name, e.g. ``evo2_7b``."""
    return next((card for card in all_cards() if card.name == name), None)


def _card_in(config: Path) -> ModelCard | None:
    try:
        card_name = json.loads(config.read_text(encoding="utf-8")).get("card")
    except (OSError, ValueError, AttributeError):  # whoever loads the model says what is wrong with it
        return None
    return card_named(card_name) if isinstance(card_name, str) else None


@cache
def _by_name() -> dict[str, ModelCard]:
    """The cards by what a model is asked for; hub ids in lower case too, as the hub takes them in any."""
    cards = {card.hub_id or card.name: card for card in all_cards()}
    return {name.lower(): card for name, card in cards.items() if card.hub_id} | cards


_KINDS = {"S": "hcs_layer_idxs", "M": "hcm_layer_idxs", "L": "hcl_layer_idxs", "A": "attn_layer_idxs"}


class Evo2Architecture(BaseModel):
    """What differs between the published sizes. Context and rotary scaling are the card's own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: str = Field(description="one letter a layer: Short, Medium, Long, Attention; blanks are for the eye")
    hidden_size: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    filter_groups: int = Field(gt=0, description="of short and medium filters")
    inner_mlp_size: int = Field(gt=0)
    rotary_emb_base: float = Field(gt=0)

    @field_validator("layers")
    @classmethod
    def _known_letters(cls, layers: str) -> str:
        letters = layers.replace(" ", "")
        if not letters or set(letters) - _KINDS.keys():
            raise ValueError(f"one of {', '.join(_KINDS)} for each layer")
        return letters

    def config_settings(self, context_length: int, rotary_scaling: float) -> dict[str, Any]:
        """Keyword arguments of ``Evo2Config``; FP8 is not among them."""
        indices = {
            key: [layer for layer, letter in enumerate(self.layers) if letter == kind] for kind, key in _KINDS.items()
        }
        return {
            "vocab_size": 512,
            "hidden_size": self.hidden_size,
            "num_layers": len(self.layers),
            **indices,
            "num_attention_heads": self.num_attention_heads,
            "state_size": 16,
            "short_filter_length": 3,
            "short_filter_bias": False,
            "hcs_filter_length": 7,
            "hcs_filter_groups": self.filter_groups,
            "hcm_filter_length": 128,
            "hcm_filter_groups": self.filter_groups,
            "inner_mlp_size": self.inner_mlp_size,
            "mlp_activation": "gelu",
            "evo2_style_activations": True,
            "eps": 1e-6,
            "tie_embeddings": True,
            "qkv_proj_bias": False,
            "mha_out_proj_bias": True,
            "hyena_out_proj_bias": True,
            "rotary_emb_base": self.rotary_emb_base,
            "use_interpolated_rotary_pos_emb": rotary_scaling != 1,
            "rotary_emb_scaling_factor": rotary_scaling,
            "max_seqlen": context_length,
        }
