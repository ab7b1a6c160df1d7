"""A name to a network that is ready to score: a folder, a model on the Hugging Face hub, or the demonstration model.

The checkpoint is checked before it is loaded, so that a broken one is named in our words, and then read shard by shard, straight
onto its device, so the host holds no more than the model and one shard. Evo's are read by ``weights``; transformers, whose import takes
seconds of every actor, is for the others alone (``causal_lm``). Weights from the hub are
downloaded as files first (the user's token, cache and HF_HUB_OFFLINE hold as they do everywhere) and then are a folder like
any other. Code from the hub is never run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from raygen.model.cards import DEMO, ModelCard, find_card, local_folder, refuse_unvalidated
from raygen.model.checkpoint import FAMILIES, check_checkpoint, family_of, read_config
from raygen.model.checkpoint_files import checkpoint_bytes, model_type_of
from raygen.model.convert import PUBLISHED_FILES, converted_folder
from raygen.model.devices import auto_dtypes, device_named, dtype_named, placement
from raygen.model.evo_facts import AS_ASKED, by_its_card, changes_by_card, evo_facts, folder_remarks
from raygen.model.facts import ModelFacts
from raygen.model.hub import fetch_from_hub
from raygen.model.layer_names import evo_layers
from raygen.model.network import CausalNetwork, Checkpoint, DeviceMap
from raygen.model.precision import (
    DTYPES,
    DtypeChoice,
    choose_dtype,
    release_memory,
    remember_choice,
    remembered_choice,
)
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaNetwork
from raygen.model.weights import load_weights

_FILES = (
    "config.json",
    "model*.safetensors*",
    *("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network in memory, in evaluation mode, beside what is known of it.

    Attributes:
        device: where tokens go in.
        token_ids, card: as in ``Checkpoint``.
    """

    network: CausalNetwork
    facts: ModelFacts
    device: torch.device
    token_ids: np.ndarray | None = None
    card: ModelCard | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the matrix products."""
        return DTYPES[self.facts.dtype]


def load_network(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    allow_unvalidated: bool = False,
) -> LoadedNetwork:
    """Load a network for scoring.

    Args:
        name: a folder, a hub id such as ``togethercomputer/evo-1-8k-base``, or ``demo`` (small, ships with the package).
        revision: branch, tag or commit on the hub.
        device: ``auto`` (a GPU where there is one), ``cuda``, ``cuda:1``, ``cpu``. A model that does not fit the GPU is spread
            over all GPUs and host memory by accelerate, unless one GPU is named by number.
        dtype: one of ``DTYPES``, or ``auto``: float32 on a CPU; on a GPU float16 where calibration sequences fit it, else
            bfloat16 (see ``raygen.model.precision``).
        allow_unvalidated: load a model whose published numbers need FP8, too.

    Raises:
        SettingsError: no such name, device or dtype, or a model that needs FP8.
        InputError: the checkpoint is broken, no causal model whose tokens are bases, or cannot be fetched.
    """
    checkpoint = _find(name, revision, device, allow_unvalidated)
    choice, network = _settle_dtype(checkpoint, dtype)
    network = network or _load_weights(checkpoint, choice.dtype)
    facts = _in_dtype(checkpoint, choice)
    return LoadedNetwork(network, facts, _input_device(network, facts.device), checkpoint.token_ids, checkpoint.card)


def describe_network(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    allow_unvalidated: bool = False,
) -> ModelFacts:
    """What ``load_network`` with the same arguments would load on this machine.

    Checks everything and loads no weights, but for the first ``dtype="auto"`` of a checkpoint on a GPU: the choice needs
    the network once and is then remembered.

    Raises:
        SettingsError, InputError: as ``load_network``.
    """
    checkpoint = _find(name, revision, device, allow_unvalidated)
    choice = _settle_dtype(checkpoint, dtype)[0]
    release_memory(torch.device(checkpoint.facts.device))
    return _in_dtype(checkpoint, choice)


def describe_layers(
    name: str | Path, *, revision: str | None = None, allow_unvalidated: bool = False
) -> tuple[str, ...]:
    """The layers of a model that can be tapped; arguments and errors are those of ``describe_network``. No weights are loaded."""
    return _find(name, revision, "cpu", allow_unvalidated).layers


# Steps --------------------------------------------------------------------------------------------------------------


def _find(name: str | Path, revision: str | None, device: str | torch.device, allow_unvalidated: bool) -> Checkpoint:
    device = device_named(device)
    card = find_card(name)
    refuse_unvalidated(card, allow_unvalidated)  # before gigabytes are fetched
    is_folder = name != DEMO and Path(name).is_dir()
    revision = card.revision if card and revision is None and not is_folder else revision
    folder, remarks = folder_of(name, revision, card)
    remarks += folder_remarks(folder, card)
    if model_type_of(folder) in FAMILIES:
        checkpoint = _own_checkpoint(folder, card, evo_facts(name, folder, card, allow_unvalidated))
    else:
        from raygen.model.causal_lm import other_checkpoint  # and transformers, for these alone

        checkpoint = other_checkpoint(folder)
    facts = replace(
        by_its_card(checkpoint.facts, card),
        name=str(name),
        revision=revision,
        device=device,
        remarks=(*remarks, *checkpoint.facts.remarks),
    )
    return replace(checkpoint, facts=facts, card=card)


def _in_dtype(checkpoint: Checkpoint, choice: DtypeChoice) -> ModelFacts:
    facts, remark = checkpoint.facts, checkpoint.half_precision_remark
    remarks = (*facts.remarks, *([remark] if remark and choice.dtype != "float32" else []))
    return replace(facts, dtype=choice.dtype, dtype_because=choice.because, remarks=remarks)


def _own_checkpoint(folder: Path, card: ModelCard | None, facts: ModelFacts) -> Checkpoint:
    """An Evo checkpoint that was checked."""
    config = read_config(folder)
    if card:
        config = _by_card(config, card)
    return Checkpoint(
        folder,
        facts,
        load=lambda dtype, device_map: _load_own(folder, config, dtype, device_map),
        layers=evo_layers(config.num_layers),
    )


def _by_card(config: StripedHyenaConfig, card: ModelCard) -> StripedHyenaConfig:
    """The configuration with what the card knows better."""
    changed, _ = changes_by_card(config.keys(), card)
    return type(config)(**{**config.keys(), **changed}) if changed else config


def _settle_dtype(checkpoint: Checkpoint, dtype: str | torch.dtype) -> tuple[DtypeChoice, CausalNetwork | None]:
    """The dtype by its name, and the network where it had to be loaded to choose."""
    dtype = dtype_named(dtype)
    if dtype != "auto":
        return DtypeChoice(dtype, AS_ASKED), None
    facts, device = checkpoint.facts, torch.device(checkpoint.facts.device)
    candidates = auto_dtypes(device)
    remembered = remembered_choice(candidates, facts.weights_hash, device.type)
    if remembered:
        return remembered, None
    load = partial(_load_weights, checkpoint)
    choice, network = choose_dtype(candidates, load, device, facts.bos_id, facts.context_length, checkpoint.token_ids)
    if len(candidates) > 1:
        remember_choice(choice, candidates, facts.weights_hash, device.type)
    return choice, network


def _load_weights(checkpoint: Checkpoint, dtype: str) -> CausalNetwork:
    return checkpoint.load(DTYPES[dtype], placement(checkpoint.facts.device, checkpoint_bytes(checkpoint.folder)))


def _load_own(
    folder: Path, config: StripedHyenaConfig, dtype: torch.dtype, device_map: DeviceMap
) -> StripedHyenaNetwork:
    headers = check_checkpoint(folder, config)
    network = load_weights(family_of(config).network, config, headers, dtype, device_map)
    return network.eval().requires_grad_(False)


# Names --------------------------------------------------------------------------------------------------------------


def folder_of(name: str | Path, revision: str | None, card: ModelCard | None) -> tuple[Path, list[str]]:
    """The folder of a model, and what there is to say of how it came about."""
    if folder := local_folder(name, revision):
        return folder, []
    hub_id = str(name)
    if card and card.architecture:
        return converted_folder(card, fetch_from_hub(hub_id, revision, PUBLISHED_FILES))
    return fetch_from_hub(hub_id, revision, _FILES), []


# Loading ------------------------------------------------------------------------------------------------------------


def _input_device(network: CausalNetwork, device: str) -> torch.device:
    weight = network.get_input_embeddings().weight
    return torch.device(device) if weight.device.type == "meta" else weight.device
