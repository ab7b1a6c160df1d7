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

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError
from raygen.model.checkpoint import check_checkpoint, checkpoint_bytes, expected_shapes, read_config, weights_hash
from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint

DEMO = "demo"
DEMO_SEED = 20240501
BOS_ID = 0  # Evo 1 reads it before the first base; the reference's tokenizer calls it end of document
PAD_ID = 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ROOM_FOR_ACTIVATIONS = 1.2  # a model is spread over devices when this many times its size does not fit on one


@dataclass(frozen=True)
class LoadedNetwork:
    """A network in memory, in evaluation mode, and what a fingerprint or a manifest says of it.

    Attributes:
        name: as it was asked for. revision: of the hub, None for a folder.
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
    """What ``load_network`` would load here, in plain values: nothing is left on ``auto``."""

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


def load_network(
    name: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> LoadedNetwork:
    """Load a network for scoring.

    Args:
        name: a folder, a hub id such as ``togethercomputer/evo-1-8k-base``, or ``demo`` (small and random).
        revision: branch, tag or commit on the hub.
        device: ``auto`` (a GPU where there is one), ``cuda``, ``cuda:1``, ``cpu``. A model that does not fit the GPU is spread
            over all GPUs and host memory by accelerate, unless one GPU is named by number.
        dtype: ``auto`` (float32 on a CPU; on a GPU bfloat16 where the card has it, else float16) or one of ``DTYPES``.

    Raises:
        SettingsError: no such name, device or dtype.
        InputError: the checkpoint is broken, not an Evo 1 model, or cannot be fetched.
    """
    folder, config, described = _resolve(name, revision, device, dtype)
    torch_dtype = DTYPES[described.dtype]
    with _quiet_transformers():
        network, report = Evo1ForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch_dtype,
            device_map=_placement(described.device, checkpoint_bytes(folder)),
            local_files_only=True,
            output_loading_info=True,
        )
    left_over = {fault: names for fault, names in report.items() if names}
    assert not left_over, f"the checkpoint was checked, but transformers reports {left_over}"
    network.eval().requires_grad_(False)
    return LoadedNetwork(
        network=network,
        name=described.name,
        revision=described.revision,
        weights_hash=described.weights_hash,
        dtype=torch_dtype,
        device=_input_device(network, described.device),
        context_length=described.context_length,
        bos_id=described.bos_id,
        pad_id=described.pad_id,
        vocab_size=described.vocab_size,
    )


def describe_network(
    name: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> NetworkDescription:
    """What ``load_network`` with the same arguments would load on this machine. Checks everything, loads no weights.

    Raises:
        SettingsError, InputError: as ``load_network``.
    """
    return _resolve(name, revision, device, dtype)[2]


def _resolve(
    name: str | Path, revision: str | None, device: str, dtype: str
) -> tuple[Path, Evo1Config, NetworkDescription]:
    device, dtype = _device_named(device), _dtype_named(dtype)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    dtype = _auto_dtype(device) if dtype == "auto" else dtype
    folder = _folder_of(name, revision)
    config = read_config(folder)
    check_checkpoint(folder, config)
    return (
        folder,
        config,
        NetworkDescription(
            name=str(name),
            revision=revision,
            weights_hash=weights_hash(folder, config),
            dtype=dtype,
            device=device,
            context_length=config.max_seqlen,
            bos_id=BOS_ID,
            pad_id=PAD_ID,
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_parameters=sum(math.prod(shape) for shape in expected_shapes(config).values()),
            filter_storage=Evo1ForCausalLM.filter_storage,
        ),
    )


# Names --------------------------------------------------------------------------------------------------------------


def _folder_of(name: str | Path, revision: str | None) -> Path:
    if Path(name).is_dir():
        if revision is not None:
            raise SettingsError(f"model.revision is {revision!r}, but {name} is a folder, which has no revisions.")
        return Path(name)
    if name == DEMO:
        return _demo_folder()
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return _download(name, revision)
    raise SettingsError(
        f"model.name is {str(name)!r}, and there is no such folder. A model is a folder with config.json and safetensors, "
        f"a hub id such as togethercomputer/evo-1-8k-base, or {DEMO}."
    )


def _demo_folder() -> Path:
    folder = cache_folder("models") / f"demo-random-{DEMO_SEED}"
    if not folder.is_dir():
        write_random_checkpoint(folder, demo_config(), DEMO_SEED)
    return folder


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
    if device in ("auto", "cpu"):
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


def _auto_dtype(device: str) -> str:
    if device == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


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
