"""A model as a plan needs it: its size and conventions, without its weights and without the device it will run on.

A published checkpoint is known by its card, so a run can be planned before 13 GB are fetched; any other model by its folder. Evo 2
is published without a config.json, so its card is what says how it is built.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from raygen.model.cards import DEMO, DEMO_FOLDER, find_card, local_folder, needs_fp8, refuse_unvalidated
from raygen.model.checkpoint_files import check_header, model_type_of
from raygen.model.config_rules import EVO2, FAMILY_RULES
from raygen.model.facts import ModelFacts
from raygen.model.gpu import gpu_is_usable
from raygen.model.layer_names import evo_layers
from raygen.model.sizes import (
    Keys,
    StateSize,
    count_parameters,
    keys_of,
    read_keys,
    state_size,
    tensor_shapes,
    unread_shapes,
)

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by the names of ``precision.DTYPES``."""


def model_on_paper(
    name: str, revision: str | None = None, device: str = "auto", allow_unvalidated: bool = False
) -> ModelFacts:
    """What a plan needs to know of a model; the arguments are ``load_network``'s, and so are the errors, but for those
    of the weights' numbers, which are not read.

    ``device`` may be one that is not here, since a run is planned on a laptop for GPUs elsewhere; the facts say its kind,
    ``cuda`` or ``cpu``.
    """
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if gpu_is_usable() else "cpu"
    if card := find_card(name):
        if name == DEMO:
            local_folder(name, revision)  # which has no revisions
        refuse_unvalidated(card, allow_unvalidated)
        return ModelFacts(
            name=name,
            revision=revision or card.revision,
            device=kind,
            context_length=card.context_length,
            bos_id=card.bos_id,
            num_parameters=card.num_parameters,
        )
    folder = local_folder(name, revision)
    config_folder = folder or _config_from_hub(name, revision)
    if (model_type := model_type_of(config_folder)) not in FAMILY_RULES:
        return _of_transformers(name, revision, kind, allow_unvalidated)
    keys = read_keys(config_folder)
    needs_fp8(name, keys, allow_unvalidated)
    if folder:
        check_header(folder, tensor_shapes(keys), unread_shapes(keys))
    return ModelFacts(
        name=name,
        revision=revision,
        device=kind,
        context_length=keys["max_seqlen"],
        bos_id=FAMILY_RULES[model_type].bos_id,
        num_parameters=count_parameters(keys),
    )


def _of_transformers(name: str, revision: str | None, kind: str, allow_unvalidated: bool) -> ModelFacts:
    """A model that only transformers knows how to build."""
    from raygen.model.loading import describe_network

    facts = describe_network(
        name, revision=revision, device="cpu", dtype="float32", allow_unvalidated=allow_unvalidated
    )
    return replace(facts, device=kind, dtype="auto", dtype_because="")  # of the run, which is elsewhere


def layers_on_paper(model: ModelFacts) -> tuple[str, ...]:
    """The layers of a model that can be tapped, without its weights. Errors as of ``model_on_paper``."""
    if _has_own_family(model):
        return evo_layers(_keys_on_paper(model)["num_layers"])
    from raygen.model.loading import describe_layers

    return describe_layers(model.name, revision=model.revision, allow_unvalidated=True)


def _has_own_family(model: ModelFacts) -> bool:
    return find_card(model.name) is not None or model_type_of(_folder_with_config(model)) in FAMILY_RULES


def hidden_size_on_paper(model: ModelFacts) -> int:
    """Channels of the model's states. Errors as of ``state_on_paper``."""
    return model.hidden_size if model.hidden_size is not None else int(_keys_on_paper(model)["hidden_size"])


def state_on_paper(model: ModelFacts, dtype: str = "float16") -> StateSize:
    """How many bytes the state of one sequence takes, with matrix products in ``dtype``.

    Raises:
        InputError: the model is on the hub, its card does not say how it is built, and its config.json is neither here nor
            to be had.
    """
    return state_size(_keys_on_paper(model), _BYTES[dtype])


def _keys_on_paper(model: ModelFacts) -> Keys:
    """The keys of the model's config.json, or what its card says in its place."""
    card = find_card(model.name)
    is_here = model.name == DEMO or Path(model.name).is_dir()
    if card and card.architecture and not is_here:
        settings = card.architecture.config_settings(card.context_length, card.rotary_scaling)
        return keys_of({"model_type": EVO2, **settings})
    return read_keys(_folder_with_config(model))


def _folder_with_config(model: ModelFacts) -> Path:
    if model.name == DEMO:
        return DEMO_FOLDER
    if Path(model.name).is_dir():
        return Path(model.name)
    return _config_from_hub(model.name, model.revision)


def _config_from_hub(name: str, revision: str | None) -> Path:
    """A folder with the model's config.json alone: a plan needs no gigabytes."""
    from raygen.model.hub import fetch_from_hub  # and an HTTP library, for this alone

    return fetch_from_hub(name, revision, ["config.json"])
