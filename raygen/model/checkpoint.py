"""A checkpoint folder, read without its weights: is everything there, does it fit the configuration, what is its hash.

In: a folder with ``config.json`` and ``model.safetensors``, or shards with ``model.safetensors.index.json``.
Out: the configuration, the headers of all tensors under their canonical names, a hash of what the numbers depend on.

Which tensors lie where is read by ``checkpoint_files``, which also says what canonical names are.

The model families that are written out here, by the ``model_type`` of their config.json; others go through transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from raygen.errors import InputError
from raygen.model.checkpoint_files import Shapes, read_checkpoint_header, read_settings
from raygen.model.config_rules import FAMILY_RULES, rules_of
from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.evo2 import Evo2Config, Evo2ForCausalLM
from raygen.model.evo_facts import check_folder
from raygen.model.sizes import unread_shapes
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaForCausalLM
from raygen.model.tensor_bytes import hash_with


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


def check_checkpoint(folder: Path, config: StripedHyenaConfig) -> None:
    """Check that a checkpoint holds every tensor in its right shape, and nothing else.

    What is never read may be there or not (``raygen.model.checkpoint.extra_shapes``); a tied ``unembed.weight`` only if it is
    the embedding.

    Raises:
        InputError: names every tensor that is missing, unexpected, of the wrong shape or of no floating-point type.
    """
    check_folder(folder, expected_shapes(config), extra_shapes(config))


def expected_shapes(config: StripedHyenaConfig) -> dict[str, tuple[int, ...]]:
    """Canonical name and shape of every tensor that a checkpoint must hold."""
    with torch.device("meta"):
        model = family_of(config).network(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def count_parameters(config: StripedHyenaConfig) -> int:
    """Parameters of a model; rotary frequencies are none."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in family_of(config).network(config).parameters())


def weights_hash(folder: Path, config: StripedHyenaConfig) -> str:
    """SHA-256, in hexadecimal, of what a model's numbers depend on: its weights and its architecture.

    Each tensor counts with canonical name, type, shape and bytes, in the order of the names, so how they are spread over
    files makes no difference. Tensors that are never read (rotary frequencies, a tied unembedding) do not count. The
    architecture counts because equal weights under another rotary scaling are another model. A piece of a
    tensor is in memory at a time; the hash is cached under path, size and time of the files.
    """
    headers = read_checkpoint_header(folder)
    used = {name: headers[name] for name in sorted(expected_shapes(config).keys() & headers.keys())}
    return hash_with(used, config.architecture())


@dataclass(frozen=True)
class Family:
    """What differs between families outside their networks.

    Attributes:
        bos_id: token that is read before the first base where no card says so; None for none.
    """

    config: type[StripedHyenaConfig]
    network: type[StripedHyenaForCausalLM]
    bos_id: int | None


FAMILIES = {
    config.model_type: Family(config, network, FAMILY_RULES[config.model_type].bos_id)
    for config, network in ((Evo1Config, Evo1ForCausalLM), (Evo2Config, Evo2ForCausalLM))
}


def family_of(config: StripedHyenaConfig) -> Family:
    """The family of a configuration."""
    return FAMILIES[config.model_type]


def extra_shapes(config: StripedHyenaConfig) -> Shapes:
    """Tensors that a checkpoint may hold and that are never read: computed ones, and a tied unembedding."""
    return unread_shapes({"model_type": config.model_type, **config.keys()})
