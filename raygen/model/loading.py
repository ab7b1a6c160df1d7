"""A name to a network that is ready to score: a folder, a model on the Hugging Face hub, or the demonstration model.

The checkpoint is checked before it is loaded, so that a broken one is named in our words; transformers then loads it shard
by shard, straight onto its device, so the host holds no more than the model and one shard. Weights from the hub are
downloaded as files first (the user's token, cache and HF_HUB_OFFLINE hold as they do everywhere) and then are a folder like
any other. Code from the hub is never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from raygen.model.cards import (
    DEMO,
    NO_CARD,
    UNVALIDATED,
    ModelCard,
    find_card,
    local_folder,
    needs_fp8,
    refuse_unvalidated,
)
from raygen.model.causal_lm import other_checkpoint
from raygen.model.checkpoint import (
    FAMILIES,
    check_checkpoint,
    count_parameters,
    family_of,
    read_config,
    weights_hash,
)
from raygen.model.checkpoint_files import (
    INDEX_FILE,
    SINGLE_FILE,
    checkpoint_bytes,
    model_type_of,
    read_settings,
)
from raygen.model.convert import PUBLISHED_FILES, converted_folder
from raygen.model.devices import auto_dtypes, device_named, dtype_named, placement
from raygen.model.facts import ModelFacts
from raygen.model.hub import fetch_from_hub
from raygen.model.network import CausalNetwork, Checkpoint, DeviceMap
from raygen.model.precision import (
    DTYPES,
    DtypeChoice,
    choose_dtype,
    release_memory,
    remember_choice,
    remembered_choice,
)
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaForCausalLM

PAD_ID = 1  # of Evo

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


# Steps --------------------------------------------------------------------------------------------------------------


def _find(name: str | Path, revision: str | None, device: str | torch.device, allow_unvalidated: bool) -> Checkpoint:
    device = device_named(device)
    card = find_card(name)
    refuse_unvalidated(card, allow_unvalidated)  # before gigabytes are fetched
    is_folder = name != DEMO and Path(name).is_dir()
    revision = card.revision if card and revision is None and not is_folder else revision
    folder, remarks = folder_of(name, revision, card)
    if not card:
        remarks.append(NO_CARD)
    if (folder / SINGLE_FILE).is_file() and (folder / INDEX_FILE).is_file():
        remarks.append(f"{folder} holds {SINGLE_FILE}, which is read, and {INDEX_FILE} with its shards, which are not.")
    if model_type_of(folder) in FAMILIES:
        config = read_config(folder)
        unvalidated = card.needs_fp8 if card else needs_fp8(name, config.keys(), allow_unvalidated)
        if card:
            config, changes = _by_card(config, card)
            remarks += changes
        elif is_folder:
            remarks += _unlike_its_card(folder, config)
        checkpoint = _own_checkpoint(folder, config)
    else:
        checkpoint, unvalidated = other_checkpoint(folder), False
        remarks += checkpoint.facts.remarks
    if unvalidated:
        remarks.append(
            f"The published numbers of {name} need FP8, which is not done here: scores may be far from them, and every row "
            f"has the flag {UNVALIDATED}."
        )
    facts = replace(
        _by_its_card(checkpoint.facts, card),
        name=str(name),
        revision=revision,
        device=device,
        remarks=tuple(remarks),
        unvalidated=unvalidated,
    )
    return replace(checkpoint, facts=facts, card=card)


def _by_its_card(facts: ModelFacts, card: ModelCard | None) -> ModelFacts:
    """The facts with what a model card knows better than the files."""
    if card is None:
        return facts
    return replace(facts, context_length=card.context_length, bos_id=card.bos_id, domains=card.domains)


def _in_dtype(checkpoint: Checkpoint, choice: DtypeChoice) -> ModelFacts:
    facts, remark = checkpoint.facts, checkpoint.half_precision_remark
    remarks = (*facts.remarks, *([remark] if remark and choice.dtype != "float32" else []))
    return replace(facts, dtype=choice.dtype, dtype_because=choice.because, remarks=remarks)


def _own_checkpoint(folder: Path, config: StripedHyenaConfig) -> Checkpoint:
    """An Evo checkpoint, checked. Bytes are its tokens.

    Raises:
        InputError: it does not fit its configuration.
    """
    check_checkpoint(folder, config)
    family = family_of(config)
    facts = ModelFacts(
        name=str(folder),
        weights_hash=weights_hash(folder, config),
        context_length=config.max_seqlen,
        bos_id=family.bos_id,
        pad_id=PAD_ID,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_parameters=count_parameters(config),
        filter_storage=family.network.filter_storage,
    )
    return Checkpoint(folder, facts, load=lambda dtype, device_map: _load_own(folder, config, dtype, device_map))


def _by_card(config: StripedHyenaConfig, card: ModelCard) -> tuple[StripedHyenaConfig, list[str]]:
    """The configuration with what the card knows better, and what was changed in words."""
    remarks: list[str] = []
    changed: dict[str, Any] = {}
    if config.max_seqlen != card.context_length:
        remarks.append(f"max_seqlen is {config.max_seqlen:,}, the card's {card.context_length:,} holds")
        changed["max_seqlen"] = card.context_length
    scaling = config.rotary_emb_scaling_factor
    if scaling != card.rotary_scaling:
        remarks.append(f"positions are divided by {scaling:g}, the card's {card.rotary_scaling:g} holds")
        changed |= {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": card.rotary_scaling}
    if changed:
        config = type(config)(**{**config.to_dict(), **changed})
    return config, [f"config.json of {card.name}: {remark}." for remark in remarks]


def _unlike_its_card(folder: Path, config: StripedHyenaConfig) -> list[str]:
    """What to say where a folder says that it came from a published checkpoint whose card knows its config.json to be wrong."""
    settings = read_settings(folder)
    code = settings.get("auto_map")
    origins = [settings.get("_name_or_path"), *(code.values() if isinstance(code, dict) else ())]
    cards = (
        find_card(str(origin).partition("--")[0]) for origin in origins if origin and not Path(str(origin)).is_dir()
    )
    card = next((card for card in cards if card and card.hub_id), None)
    wrong = _by_card(config, card)[1] if card else []
    if not card or not wrong:
        return []
    return [
        f"{folder} comes from {card.hub_id} by its config.json, which holds for a folder, but is not what the model was trained "
        f"with: max_seqlen should be {card.context_length:,} and rotary_emb_scaling_factor {card.rotary_scaling:g}."
    ]


def _settle_dtype(checkpoint: Checkpoint, dtype: str | torch.dtype) -> tuple[DtypeChoice, CausalNetwork | None]:
    """The dtype by its name, and the network where it had to be loaded to choose."""
    dtype = dtype_named(dtype)
    if dtype != "auto":
        return DtypeChoice(dtype, "as model.dtype says"), None
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
    with _quiet_transformers():
        return checkpoint.load(DTYPES[dtype], placement(checkpoint.facts.device, checkpoint_bytes(checkpoint.folder)))


def _load_own(
    folder: Path, config: StripedHyenaConfig, dtype: torch.dtype, device_map: DeviceMap
) -> StripedHyenaForCausalLM:
    network = family_of(config).network.from_pretrained(
        folder, config=config, dtype=dtype, device_map=device_map, local_files_only=True
    )
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


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    verbosity, progress = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress:
            transformers_logging.enable_progress_bar()
