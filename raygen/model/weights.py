"""The weights of an Evo checkpoint into its network: file after file, each tensor straight onto its device.

In: a configuration, where the tensors of its checkpoint lie (checked by ``checkpoint``), a dtype, and a device map. Out: the network.

It is made on torch's device ``meta``, without memory, and gets the tensors as they are read. So a network on a CPU in the dtype of its
files is these files, mapped; in another dtype, or on a GPU, the host holds no more than the model and one shard, and the shard is pages of
a mapped file, which the kernel takes back when it wants to.

A model that is spread over devices is placed and run by accelerate, which is imported for such alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from raygen.model.checkpoint_files import TensorHeader
from raygen.model.network import DeviceMap
from raygen.model.striped_hyena import AttentionBlock, HyenaBlock, StripedHyenaConfig, StripedHyenaNetwork

UNSPLIT = tuple(block.__name__ for block in (HyenaBlock, AttentionBlock))
"""Modules that are on one device whole: the residual stream goes around their parts."""

_DISK = "disk"
_READERS = 4  # tensors that are read at once, as transformers does: pages of a mapped file come one by one
_HOST_SHARE = 0.9  # of the host's free memory that weights may take, as transformers does


def load_weights(
    network_class: type[StripedHyenaNetwork],
    config: StripedHyenaConfig,
    headers: Mapping[str, TensorHeader],
    dtype: torch.dtype,
    device_map: DeviceMap,
) -> StripedHyenaNetwork:
    """A network with the weights of a checkpoint, where the device map places them.

    Args:
        headers: by canonical name, of all that the network has; what it does not have is not read.
        dtype: of all parameters but those that stay in float32.
        device_map: of modules by name, to devices or ``disk``; ``auto`` spreads the network over GPUs, host and disk.
    """
    with torch.device("meta"):
        network = network_class(config)
    network.cast_weights(dtype)
    modules = _spread(network) if isinstance(device_map, str) else device_map
    placed = {
        name: _Placed(headers[name], _place_of(name, modules), tensor.dtype)
        for name, tensor in network.state_dict().items()
    }
    on_disk = {name: placed[name] for name, _ in network.named_parameters() if placed[name].place == _DISK}
    in_memory = {name: tensor for name, tensor in placed.items() if name not in on_disk}  # buffers always are
    for file in sorted({tensor.header.file for tensor in in_memory.values()}):
        of_file = {name: tensor for name, tensor in in_memory.items() if tensor.header.file == file}
        network.load_state_dict(_read(file, of_file), strict=False, assign=True)
    if on_disk or len(set(modules.values())) > 1:
        _run_spread(network, modules, on_disk)
    return network


@dataclass(frozen=True)
class _Placed:
    """Where a tensor lies, where it goes, a device or ``disk``, and in which dtype it is there."""

    header: TensorHeader
    place: Any
    dtype: torch.dtype


def _place_of(name: str, modules: Mapping[str, Any]) -> Any:
    """The device of a tensor, or ``disk``: that of the innermost of its modules that the device map names."""
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
    return next(modules[prefix] for prefix in prefixes if prefix in modules)


def _read(file: Path, placed: Mapping[str, _Placed]) -> dict[str, Tensor]:
    """Tensors of a file by name, on their devices in their dtypes."""
    with safe_open(file, framework="pt") as stored, ThreadPoolExecutor(_READERS) as readers:

        def tensor(of: _Placed) -> Tensor:
            return stored.get_tensor(of.header.stored_name).to("cpu" if of.place == _DISK else of.place, of.dtype)

        return dict(zip(placed, readers.map(tensor, placed.values()), strict=True))


# Over several devices -----------------------------------------------------------------------------------------------


def _spread(network: StripedHyenaNetwork) -> dict[str, Any]:
    """Modules to GPUs, host and disk, so that GPUs hold equal shares and blocks stay whole."""
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    memory = get_balanced_memory(network, no_split_module_classes=list(UNSPLIT))
    memory["cpu"] *= _HOST_SHARE
    return infer_auto_device_map(network, memory, no_split_module_classes=list(UNSPLIT))


def _run_spread(network: StripedHyenaNetwork, modules: dict[str, Any], on_disk: Mapping[str, _Placed]) -> None:
    """Have accelerate bring weights and outputs to where a module runs; what is on disk comes from the checkpoint's files."""
    from accelerate import dispatch_model

    index = {
        name: {
            "safetensors_file": str(tensor.header.file),
            "weight_name": tensor.header.stored_name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
        }
        for name, tensor in on_disk.items()
    }
    dispatch_model(network, modules, offload_index=index or None)
