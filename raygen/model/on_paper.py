"""A model as a plan needs it: its size and conventions, without its weights and without the device it will run on.

A published checkpoint is known by its card, so a run can be planned before 13 GB are fetched; any other model by its folder. Evo 2
is published without a config.json, so its card is what says how it is built.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from raygen.model.cards import DEMO, find_card, is_hub_id
from raygen.model.checkpoint import FAMILIES, count_parameters, family_of, model_type_of, read_config
from raygen.model.convert import config_of
from raygen.model.facts import ModelFacts
from raygen.model.hub import fetch_from_hub
from raygen.model.loading import describe_network, folder_of, needs_fp8, refuse_unvalidated
from raygen.model.precision import DTYPES


def model_on_paper(
    name: str, revision: str | None = None, device: str = "auto", allow_unvalidated: bool = False
) -> ModelFacts:
    """What a plan needs to know; the arguments are ``load_network``'s, and so are the errors.

    ``device`` may be one that is not here, since a run is planned on a laptop for GPUs elsewhere; the facts say its kind,
    ``cuda`` or ``cpu``.
    """
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    card = find_card(name)
    if card and name != DEMO:
        refuse_unvalidated(card, allow_unvalidated)
        return ModelFacts(
            name=name,
            revision=revision or card.revision,
            device=kind,
            context_length=card.context_length,
            bos_id=card.bos_id,
            num_parameters=card.num_parameters,
        )
    if name != DEMO and not Path(name).is_dir() and is_hub_id(name):  # a plan needs no gigabytes
        folder = fetch_from_hub(name, revision, ["config.json"])
        if model_type_of(folder) in FAMILIES:
            config = read_config(folder)
            needs_fp8(name, config, allow_unvalidated)
            return ModelFacts(
                name=name,
                revision=revision,
                device=kind,
                context_length=config.max_seqlen,
                bos_id=family_of(config).bos_id,
                num_parameters=count_parameters(config),
            )
    facts = describe_network(
        name, revision=revision, device="cpu", dtype="float32", allow_unvalidated=allow_unvalidated
    )
    return replace(facts, device=kind, dtype="auto", dtype_because="")  # of the run, which is elsewhere


def state_bytes(model: ModelFacts, num_tokens: int, dtype: str = "float16") -> int:
    """Bytes of the state of one sequence after ``num_tokens`` tokens, with matrix products in ``dtype``.

    Raises:
        InputError: the model is on the hub, its card does not say how it is built, and its config.json is neither here nor
            to be had.
    """
    card = find_card(model.name)
    is_here = model.name == DEMO or Path(model.name).is_dir()
    config = config_of(card) if card and card.architecture and not is_here else read_config(_folder_with_config(model))
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    return int(network.state_bytes(num_tokens))


def _folder_with_config(model: ModelFacts) -> Path:
    if model.name == DEMO or Path(model.name).is_dir():
        return folder_of(model.name, model.revision, find_card(model.name))[0]
    return fetch_from_hub(model.name, model.revision, ["config.json"])
