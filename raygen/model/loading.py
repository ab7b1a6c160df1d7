"""A name to a network that is ready to score: a folder, a model on the Hugging Face hub, or the demonstration model.

The checkpoint is checked before it is loaded, so that a broken one is named in our words; transformers then loads it shard
by shard, straight onto its device, so the host holds no more than the model and one shard. Weights from the hub are
downloaded as files first (the user's token, cache and HF_HUB_OFFLINE hold as they do everywhere) and then are a folder like
any other. Code from the hub is never run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import logging as transformers_logging

from raygen.errors import InputError, SettingsError
from raygen.model.cards import NO_CARD, ModelCard, find_card
from raygen.model.checkpoint import check_checkpoint, checkpoint_bytes, expected_shapes, read_config, weights_hash
from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.precision import (
    DTYPES,
    DtypeChoice,
    choose_dtype,
    release_memory,
    remember_choice,
    remembered_choice,
)

DEMO = "demo"
DEMO_FOLDER = Path(__file__).with_name("demo")  # trained by jobs/train_demo_model.py
BOS_ID = 0  # Evo 1 reads it before the first base; the reference's tokenizer calls it end of document
PAD_ID = 1

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ROOM_FOR_ACTIVATIONS = 1.2  # a model is spread over devices when this many times its size does not fit on one


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
    """

    network: Evo1ForCausalLM
    name: str
    revision: str | None
    weights_hash: str
    dtype: torch.dtype
    device: torch.device
    context_length: int
    bos_id: int | None
    pad_id: int
    vocab_size: int


@dataclass(frozen=True)
class NetworkDescription:
    """What ``load_network`` would load here, in plain values: nothing is left on ``auto``.

    Attributes:
        dtype_because: why this dtype.
        domains: what the model was trained on, by its card; None where it has none.
        remarks: sentences to show to who runs it.
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


def load_network(
    name: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> LoadedNetwork:
    """Load a network for scoring.

    Args:
        name: a folder, a hub id such as ``togethercomputer/evo-1-8k-base``, or ``demo`` (small, ships with the package).
        revision: branch, tag or commit on the hub.
        device: ``auto`` (a GPU where there is one), ``cuda``, ``cuda:1``, ``cpu``. A model that does not fit the GPU is spread
            over all GPUs and host memory by accelerate, unless one GPU is named by number.
        dtype: one of ``DTYPES``, or ``auto``: float32 on a CPU; on a GPU float16 where calibration sequences fit it, else
            bfloat16 (see ``raygen.model.precision``).

    Raises:
        SettingsError: no such name, device or dtype.
        InputError: the checkpoint is broken, not an Evo 1 model, or cannot be fetched.
    """
    found = _find(name, revision, device)
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
        pad_id=PAD_ID,
        vocab_size=found.config.vocab_size,
    )


def describe_network(
    name: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> NetworkDescription:
    """What ``load_network`` with the same arguments would load on this machine.

    Checks everything and loads no weights, but for the first ``dtype="auto"`` of a checkpoint on a GPU: the choice needs
    the network once and is then remembered.

    Raises:
        SettingsError, InputError: as ``load_network``.
    """
    found = _find(name, revision, device)
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
        pad_id=PAD_ID,
        vocab_size=found.config.vocab_size,
        hidden_size=found.config.hidden_size,
        num_layers=found.config.num_layers,
        num_parameters=sum(math.prod(shape) for shape in expected_shapes(found.config).values()),
        filter_storage=Evo1ForCausalLM.filter_storage,
        dtype_because=choice.because,
        domains=found.card.domains if found.card else None,
        remarks=found.remarks,
    )


# Steps --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A checkpoint that was found and checked, and the device it is meant for."""

    name: str
    revision: str | None
    device: str
    folder: Path
    config: Evo1Config
    weights_hash: str
    card: ModelCard | None
    remarks: tuple[str, ...]

    @property
    def context_length(self) -> int:
        return self.card.context_length if self.card else self.config.max_seqlen

    @property
    def bos_id(self) -> int | None:
        return self.card.bos_id if self.card else BOS_ID


def _find(name: str | Path, revision: str | None, device: str) -> _Found:
    device = _device_named(device)
    card = find_card(name)
    revision = card.revision if card and revision is None else revision
    folder = _folder_of(name, revision)
    config = read_config(folder)
    remarks = [] if card else [NO_CARD]
    if card:
        config, remarks = _by_card(config, card)
    check_checkpoint(folder, config)
    found = weights_hash(folder, config)
    return _Found(str(name), revision, device, folder, config, found, card, tuple(remarks))


def _by_card(config: Evo1Config, card: ModelCard) -> tuple[Evo1Config, list[str]]:
    """The configuration with what the card knows better, and what was changed in words."""
    remarks = []
    if config.max_seqlen != card.context_length:
        remarks.append(f"max_seqlen is {config.max_seqlen:,}, the card's {card.context_length:,} holds")
    scaling = config.rotary_emb_scaling_factor
    if scaling != card.rotary_scaling:
        remarks.append(f"positions are divided by {scaling:g}, the card's {card.rotary_scaling:g} holds")
        changed = {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": card.rotary_scaling}
        config = Evo1Config(**{**config.to_dict(), **changed})
    return config, [f"config.json of {card.name}: {remark}." for remark in remarks]


def _settle_dtype(found: _Found, dtype: str) -> tuple[DtypeChoice, Evo1ForCausalLM | None]:
    """The dtype by its name, and the network where it had to be loaded to choose."""
    if _dtype_named(dtype) != "auto":
        return DtypeChoice(dtype, "as model.dtype says"), None
    device = torch.device(found.device)
    candidates = auto_dtypes(device)
    remembered = remembered_choice(candidates, found.weights_hash, device.type)
    if remembered:
        return remembered, None
    load = partial(_load_weights, found)
    choice, network = choose_dtype(candidates, load, device, found.bos_id, found.context_length)
    if len(candidates) > 1:
        remember_choice(choice, candidates, found.weights_hash, device.type)
    return choice, network


def _load_weights(found: _Found, dtype: str) -> Evo1ForCausalLM:
    with _quiet_transformers():
        network, report = Evo1ForCausalLM.from_pretrained(
            found.folder,
            config=found.config,
            dtype=DTYPES[dtype],
            device_map=_placement(found.device, checkpoint_bytes(found.folder)),
            local_files_only=True,
            output_loading_info=True,
        )
    left_over = {fault: names for fault, names in report.items() if names}
    assert not left_over, f"the checkpoint was checked, but transformers reports {left_over}"
    return network.eval().requires_grad_(False)


# Names --------------------------------------------------------------------------------------------------------------


def _folder_of(name: str | Path, revision: str | None) -> Path:
    if name == DEMO:  # before a folder that happens to be called so: ./demo names that one
        return DEMO_FOLDER
    if Path(name).is_dir():
        if revision is not None:
            raise SettingsError(f"model.revision is {revision!r}, but {name} is a folder, which has no revisions.")
        return Path(name)
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return _download(name, revision)
    raise SettingsError(
        f"model.name is {str(name)!r}, and there is no such folder. A model is a folder with config.json and safetensors, "
        f"a hub id such as togethercomputer/evo-1-8k-base, or {DEMO}."
    )


def _download(hub_id: str, revision: str | None) -> Path:
    """The folder in the hub cache that holds configuration and safetensors, fetched if they are not there yet."""
    at = f"{hub_id} at revision {revision}" if revision else hub_id
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=["config.json", "model*.safetensors*"]))
    except GatedRepoError:
        raise InputError(
            f"{hub_id} is gated: accept its conditions on huggingface.co and log in with `hf auth login` or set HF_TOKEN."
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"The hub has no model {hub_id}, or it is private and needs a token (HF_TOKEN). There is no such folder either."
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{hub_id} has no revision {revision!r}.") from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"{at} is not in the local hub cache and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set). "
            "Fetch it where there is a network, or give a local folder; there is no folder of this name either."
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise InputError(f"{at} cannot be fetched from the hub: {str(error).splitlines()[0]}") from error


# Devices and precision ----------------------------------------------------------------------------------------------


def _device_named(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise SettingsError(f"model.device is {device!r}; it can be auto, cpu, cuda or cuda:N.")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= available:
        raise SettingsError(f"model.device is {device!r}, but torch sees {available} CUDA devices here.")
    return device


def _dtype_named(dtype: str) -> str:
    if dtype != "auto" and dtype not in DTYPES:
        raise SettingsError(f"model.dtype is {dtype!r}; it can be auto, {', '.join(DTYPES)}.")
    return dtype


def auto_dtypes(device: torch.device) -> tuple[str, ...]:
    """What ``dtype: auto`` tries on a device, in this order; the last one needs no trial."""
    if device.type == "cpu":
        return ("float32",)
    return ("float16", "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")


def _placement(device: str, num_bytes: int) -> dict[str, str] | str:
    """A device map for transformers: all on one device where it fits, else spread by accelerate."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return "auto" if num_bytes * _ROOM_FOR_ACTIVATIONS > free else {"": "cuda:0"}
    return {"": device}


def _input_device(network: Evo1ForCausalLM, device: str) -> torch.device:
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
