"""A model as a plan needs it: its size and conventions, without its weights and without the device it will run on.

A published checkpoint is known by its card, so a run can be planned before 13 GB are fetched; any other model by its folder. Evo 2
is published without a config.json, so its card is what says how it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from transformers import AutoModelForCausalLM

from raygen.model.cards import DEMO, find_card, is_hub_id
from raygen.model.checkpoint import FAMILIES, count_parameters, family_of, model_type_of, read_config
from raygen.model.convert import config_of
from raygen.model.hub import fetch_from_hub
from raygen.model.loading import describe_network, folder_of, needs_fp8, refuse_unvalidated
from raygen.model.network import CausalNetwork
from raygen.model.precision import DTYPES


@dataclass(frozen=True)
class ModelOnPaper:
    """What is known without weights. ``device`` is the kind that the run will have, ``cuda`` or ``cpu``."""

    name: str
    revision: str | None
    context_length: int
    bos_id: int | None
    num_parameters: int
    device: str

    @property
    def key(self) -> str:
        """By which speeds are kept: a hub id with its revision, or a folder's whole path."""
        named = str(Path(self.name).resolve()) if self.name != DEMO and Path(self.name).is_dir() else self.name
        return f"{named}@{self.revision}" if self.revision else named


def model_on_paper(
    name: str, revision: str | None = None, device: str = "auto", allow_unvalidated: bool = False
) -> ModelOnPaper:
    """What a plan needs to know; the arguments are ``load_network``'s, and so are the errors.

    ``device`` may be one that is not here: a run is planned on a laptop for GPUs elsewhere.
    """
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    card = find_card(name)
    if card and name != DEMO:
        refuse_unvalidated(card, allow_unvalidated)
        found = revision or card.revision
        return ModelOnPaper(name, found, card.context_length, card.bos_id, card.num_parameters, kind)
    if name != DEMO and not Path(name).is_dir() and is_hub_id(name):  # a plan needs no gigabytes
        folder = fetch_from_hub(name, revision, ["config.json"])
        if model_type_of(folder) in FAMILIES:
            config = read_config(folder)
            needs_fp8(name, config, allow_unvalidated)
            own = family_of(config)
            return ModelOnPaper(name, revision, config.max_seqlen, own.bos_id, count_parameters(config), kind)
    described = describe_network(
        name, revision=revision, device="cpu", dtype="float32", allow_unvalidated=allow_unvalidated
    )
    return ModelOnPaper(
        name, described.revision, described.context_length, described.bos_id, described.num_parameters, kind
    )


def state_bytes(model: ModelOnPaper, num_tokens: int, dtype: str = "float16") -> int:
    """Bytes of the state of one sequence after ``num_tokens`` tokens; the errors are ``state_on_paper``'s."""
    return state_on_paper(model, dtype)(num_tokens)


def state_on_paper(model: ModelOnPaper, dtype: str = "float16") -> Callable[[int], int]:
    """How many bytes the state of one sequence takes after a number of tokens, with matrix products in ``dtype``.

    Raises:
        InputError: the model is on the hub, its card does not say how it is built, and its config.json is neither here nor
            to be had.
    """
    card = find_card(model.name)
    is_here = model.name == DEMO or Path(model.name).is_dir()
    config = config_of(card) if card and card.architecture and not is_here else read_config(_folder_with_config(model))
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    return cast("CausalNetwork", network).state_bytes


def _folder_with_config(model: ModelOnPaper) -> Path:
    if model.name == DEMO or Path(model.name).is_dir():
        return folder_of(model.name, model.revision, find_card(model.name))[0]
    return fetch_from_hub(model.name, model.revision, ["config.json"])
