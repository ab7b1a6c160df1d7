"""A name to a network that is ready to score: a folder, a model on the Hugging Face hub, or the demonstration model.

The checkpoint is checked before it is loaded, so that a broken one is named in our words; transformers then loads it shard
by shard, straight onto its device, so the host holds no more than the model and one shard. Weights from the hub are
downloaded as files first (the user's token, cache and HF_HUB_OFFLINE hold as they do everywhere) and then are a folder like
any other. Code from the hub is never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from raygen.model.causal_lm import other_facts
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
from raygen.model.hub import fetch_from_hub
from raygen.model.network import CausalNetwork, CheckpointFacts, DeviceMap
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
    """A network in memory, in evaluation mode, and what a fingerprint or a manifest says of it.

    Attributes:
        name: as it was asked for. revision: of the hub (the model card's where none was asked for), None for a folder.
        weights_hash: see ``raygen.model.checkpoint.weights_hash``.
        dtype: of the matrix products; norms, filters, states and logits are float32.
        device: where tokens go in.
        context_length: tokens the model was trained to read at once.
        bos_id: read before the first base; None for a model without.
        token_ids: (256,) int64, the model's token for each byte of a sequence; None where bytes are the tokens, as in Evo.
        card: of the checkpoint, where it has one.
        unvalidated: its published numbers need what is not done here; every score is flagged.
    """

    network: CausalNetwork
    name: str
    revision: str | None
    weights_hash: str
    dtype: torch.dtype
    device: torch.device
    context_length: int
    bos_id: int | None
    pad_id: int
    vocab_size: int
    token_ids: np.ndarray | None = None
    card: ModelCard | None = None
    unvalidated: bool = False


@dataclass(frozen=True)
class NetworkDescription:
    """What ``load_network`` would load here, in plain values: nothing is left on ``auto``.

    Attributes:
        dtype_because: why this dtype.
        domains: what the model was trained on, by its card; None where it has none.
        remarks: sentences to show to who runs it.
        fork_refusal: why the method ``fork`` cannot be used, as far as it can be told without the weights; None where it can.
        unvalidated: as in ``LoadedNetwork``.
    """

    name: str
    revision: str | None
    weights_hash: str
    dtype: str
    device: str
    context_length: int
    bos_id: int | None
    pad_id: int
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_parameters: int
    filter_storage: str
    dtype_because: str
    domains: tuple[str, ...] | None
    remarks: tuple[str, ...]
    fork_refusal: str | None
    unvalidated: bool


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
    found = _find(name, revision, device, allow_unvalidated)
    choice, network = _settle_dtype(found, dtype)
    network = network or _load_weights(found, choice.dtype)
    return LoadedNetwork(
        network=network,
        name=found.name,
        revision=found.revision,
        weights_hash=found.weights_hash,
        dtype=DTYPES[choice.dtype],
        device=_input_device(network, found.device),
        context_length=found.context_length,
        bos_id=found.bos_id,
        pad_id=found.facts.pad_id,
        vocab_size=found.facts.vocab_size,
        token_ids=found.facts.token_ids,
        card=found.card,
        unvalidated=found.unvalidated,
    )


def describe_network(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    allow_unvalidated: bool = False,
) -> NetworkDescription:
    """What ``load_network`` with the same arguments would load on this machine.

    Checks everything and loads no weights, but for the first ``dtype="auto"`` of a checkpoint on a GPU: the choice needs
    the network once and is then remembered.

    Raises:
        SettingsError, InputError: as ``load_network``.
    """
    found = _find(name, revision, device, allow_unvalidated)
    choice = _settle_dtype(found, dtype)[0]
    release_memory(torch.device(found.device))
    return NetworkDescription(
        name=found.name,
        revision=found.revision,
        weights_hash=found.weights_hash,
        dtype=choice.dtype,
        device=found.device,
        context_length=found.context_length,
        bos_id=found.bos_id,
        pad_id=found.facts.pad_id,
        vocab_size=found.facts.vocab_size,
        hidden_size=found.facts.hidden_size,
        num_layers=found.facts.num_layers,
        num_parameters=found.facts.num_parameters,
        filter_storage=found.facts.filter_storage,
        dtype_because=choice.because,
        domains=found.card.domains if found.card else None,
        remarks=found.remarks,
        fork_refusal=found.facts.fork_refusal,
        unvalidated=found.unvalidated,
    )


# Steps --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A checkpoint that was found and checked, and the device it is meant for."""

    name: str
    revision: str | None
    device: str
    folder: Path
    facts: CheckpointFacts
    card: ModelCard | None
    unvalidated: bool
    remarks: tuple[str, ...]

    @property
    def context_length(self) -> int:
        return self.card.context_length if self.card else self.facts.context_length

    @property
    def bos_id(self) -> int | None:
        return self.card.bos_id if self.card else self.facts.bos_id

    @property
    def weights_hash(self) -> str:
        return self.facts.weights_hash


def _find(name: str | Path, revision: str | None, device: str | torch.device, allow_unvalidated: bool) -> _Found:
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
            config, said = _by_card(config, card)
            remarks += said
        elif is_folder:
            remarks += _unlike_its_card(folder, config)
        facts = _own_facts(folder, config)
    else:
        facts, unvalidated = other_facts(folder), False
    if unvalidated:
        remarks.append(
            f"The published numbers of {name} need FP8, which is not done here: scores may be far from them, and every row "
            f"has the flag {UNVALIDATED}."
        )
    return _Found(str(name), revision, device, folder, facts, card, unvalidated, tuple(remarks))


def _own_facts(folder: Path, config: StripedHyenaConfig) -> CheckpointFacts:
    """Of an Evo checkpoint. Bytes are its tokens.

    Raises:
        InputError: it does not fit its configuration.
    """
    check_checkpoint(folder, config)
    family = family_of(config)
    return CheckpointFacts(
        weights_hash=weights_hash(folder, config),
        bos_id=family.bos_id,
        pad_id=PAD_ID,
        token_ids=None,
        context_length=config.max_seqlen,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_parameters=count_parameters(config),
        filter_storage=family.network.filter_storage,
        fork_refusal=None,
        load=lambda dtype, device_map: _load_own(folder, config, dtype, device_map),
    )


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


def _settle_dtype(found: _Found, dtype: str | torch.dtype) -> tuple[DtypeChoice, CausalNetwork | None]:
    """The dtype by its name, and the network where it had to be loaded to choose."""
    dtype = dtype_named(dtype)
    if dtype != "auto":
        return DtypeChoice(dtype, "as model.dtype says"), None
    device = torch.device(found.device)
    candidates = auto_dtypes(device)
    remembered = remembered_choice(candidates, found.weights_hash, device.type)
    if remembered:
        return remembered, None
    load = partial(_load_weights, found)
    choice, network = choose_dtype(candidates, load, device, found.bos_id, found.context_length, found.facts.token_ids)
    if len(candidates) > 1:
        remember_choice(choice, candidates, found.weights_hash, device.type)
    return choice, network


def _load_weights(found: _Found, dtype: str) -> CausalNetwork:
    with _quiet_transformers():
        return found.facts.load(DTYPES[dtype], placement(found.device, checkpoint_bytes(found.folder)))


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
