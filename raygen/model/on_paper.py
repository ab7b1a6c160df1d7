"""A model as a plan needs it: its size and conventions, without its weights and without the device it will run on.

A published checkpoint is known by its card, so a run can be planned before 13 GB are fetched; any other model by its folder. Evo 2
is published without a config.json, so its card is what says how it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raygen.model.cards import DEMO, DEMO_FOLDER, find_card, local_folder, needs_fp8, refuse_unvalidated
from raygen.model.checkpoint_files import check_header, model_type_of
from raygen.model.config_rules import EVO2, FAMILY_RULES
from raygen.model.gpu import gpu_is_usable
from raygen.model.sizes import count_parameters, keys_of, read_keys, tensor_shapes, unread_shapes
from raygen.model.sizes import state_bytes as state_bytes_of

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number, by the names of ``precision.DTYPES``."""


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
    """What a plan needs to know; the arguments are ``load_network``'s, and so are the errors, but for those of the weights' numbers,
    which are not read.

    ``device`` may be one that is not here: a run is planned on a laptop for GPUs elsewhere.
    """
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if gpu_is_usable() else "cpu"
    if card := find_card(name):
        if name == DEMO:
            local_folder(name, revision)  # which has no revisions
        refuse_unvalidated(card, allow_unvalidated)
        revision = revision or card.revision
        return ModelOnPaper(name, revision, card.context_length, card.bos_id, card.num_parameters, kind)
    folder = local_folder(name, revision)
    config_folder = folder or _config_from_hub(name, revision)
    if (model_type := model_type_of(config_folder)) not in FAMILY_RULES:
        return _of_transformers(name, revision, kind, allow_unvalidated)
    keys = read_keys(config_folder)
    needs_fp8(name, keys, allow_unvalidated)
    if folder:
        check_header(folder, tensor_shapes(keys), unread_shapes(keys))
    bos_id = FAMILY_RULES[model_type].bos_id
    return ModelOnPaper(name, revision, keys["max_seqlen"], bos_id, count_parameters(keys), kind)


def _of_transformers(name: str, revision: str | None, kind: str, allow_unvalidated: bool) -> ModelOnPaper:
    """A model that only transformers knows how to build."""
    from raygen.model.loading import describe_network

    described = describe_network(
        name, revision=revision, device="cpu", dtype="float32", allow_unvalidated=allow_unvalidated
    )
    return ModelOnPaper(
        name, described.revision, described.context_length, described.bos_id, described.num_parameters, kind
    )


def state_bytes(model: ModelOnPaper, num_tokens: int, dtype: str = "float16") -> int:
    """Bytes of the state of one sequence after ``num_tokens`` tokens, with matrix products in ``dtype``.

    Raises:
        InputError: the model is on the hub, its card does not say how it is built, and its config.json is neither here nor
            to be had.
    """
    card = find_card(model.name)
    is_here = model.name == DEMO or Path(model.name).is_dir()
    if card and card.architecture and not is_here:
        settings = card.architecture.config_settings(card.context_length, card.rotary_scaling)
        keys = keys_of({"model_type": EVO2, **settings})
    else:
        keys = read_keys(_folder_with_config(model))
    return state_bytes_of(keys, num_tokens, _BYTES[dtype])


def _folder_with_config(model: ModelOnPaper) -> Path:
    if model.name == DEMO:
        return DEMO_FOLDER
    if Path(model.name).is_dir():
        return Path(model.name)
    return _config_from_hub(model.name, model.revision)


def _config_from_hub(name: str, revision: str | None) -> Path:
    """A folder with the model's config.json alone: a plan needs no gigabytes."""
    from raygen.model.hub import fetch_from_hub  # and an HTTP library, for this alone

    return fetch_from_hub(name, revision, ["config.json"])
