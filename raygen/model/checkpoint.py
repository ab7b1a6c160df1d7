"""The families of models that are written out here, by the ``model_type`` of their config.json; others go through transformers.

In: a folder with ``config.json`` and ``model.safetensors``, or shards with ``model.safetensors.index.json``. Out: its configuration,
and whether it holds every tensor that the family's network has. Shapes are asked of the network itself, on torch's meta device;
``sizes`` computes them without torch. Which tensors lie where is read by ``checkpoint_files``, which also says what canonical names
are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from raygen.errors import InputError
from raygen.model.checkpoint_files import Shapes, TensorHeader, read_settings
from raygen.model.config_rules import rules_of
from raygen.model.evo1 import Evo1Config, Evo1Network
from raygen.model.evo2 import Evo2Config, Evo2Network
from raygen.model.evo_facts import check_folder
from raygen.model.sizes import unread_shapes
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaNetwork


def read_config(folder: Path) -> StripedHyenaConfig:
    """The configuration of a checkpoint of a family that is written out here.

    Raises:
        InputError: there is no config.json, it is not JSON, it is of another family, or keys are missing or unusable.
    """
    settings = read_settings(folder)
    rules_of(settings.get("model_type"), folder / "config.json")
    try:
        return FAMILIES[settings["model_type"]].config(**settings)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def check_checkpoint(folder: Path, config: StripedHyenaConfig) -> dict[str, TensorHeader]:
    """The tensors of a checkpoint by canonical name, if it holds every one in its right shape, and nothing else.

    What is never read may be there or not (``extra_shapes``); a tied ``unembed.weight`` only if it is
    the embedding.

    Raises:
        InputError: names every tensor that is missing, unexpected, of the wrong shape or of no floating-point type.
    """
    return check_folder(folder, expected_shapes(config), extra_shapes(config))


def expected_shapes(config: StripedHyenaConfig) -> dict[str, tuple[int, ...]]:
    """Canonical name and shape of every tensor that a checkpoint must hold."""
    with torch.device("meta"):
        model = family_of(config).network(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@dataclass(frozen=True)
class Family:
    """How the configuration of a family is read, and what is built from it."""

    config: type[StripedHyenaConfig]
    network: type[StripedHyenaNetwork]


FAMILIES = {
    Evo1Config.model_type: Family(Evo1Config, Evo1Network),
    Evo2Config.model_type: Family(Evo2Config, Evo2Network),
}


def family_of(config: StripedHyenaConfig) -> Family:
    """The family of a configuration."""
    return FAMILIES[config.model_type]


def extra_shapes(config: StripedHyenaConfig) -> Shapes:
    """Tensors that a checkpoint may hold and that are never read: computed ones, and a tied unembedding."""
    return unread_shapes({"model_type": config.model_type, **config.keys()})
