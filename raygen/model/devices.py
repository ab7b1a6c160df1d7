"""Where a network goes and in which precision, what was asked for to what there is on this machine; and what it then holds."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from raygen.errors import SettingsError
from raygen.model.network import DeviceMap
from raygen.model.precision import DTYPES

_ROOM_FOR_ACTIVATIONS = 1.2  # a model is spread over devices when this many times its size does not fit on one


def device_named(device: str | torch.device) -> str:
    """The device of this machine that was asked for: ``cpu``, ``cuda`` or ``cuda:N``; for ``auto`` a GPU where there is
    one.

    Raises:
        SettingsError: there is no such device.
    """
    device = str(device)
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


def dtype_named(dtype: str | torch.dtype) -> str:
    """The name of a dtype that was asked for: ``auto`` or one of ``DTYPES``.

    Raises:
        SettingsError: it is neither.
    """
    dtype = str(dtype).removeprefix("torch.")
    if dtype != "auto" and dtype not in DTYPES:
        raise SettingsError(f"model.dtype is {dtype!r}; it can be auto, {', '.join(DTYPES)}.")
    return dtype


def auto_dtypes(device: torch.device) -> tuple[str, ...]:
    """What ``dtype: auto`` tries on a device, in this order; the last one needs no trial."""
    if device.type == "cpu":
        return ("float32",)
    return ("float16", "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")


def placement(device: str, num_bytes: int) -> DeviceMap:
    """The device map of a model of so many bytes: all on one device where it fits, else spread by accelerate."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return "auto" if num_bytes * _ROOM_FOR_ACTIVATIONS > free else {"": "cuda:0"}
    return {"": device}


def peak_host_memory() -> int:
    """Bytes that were in memory for this process at most; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()  # not ru_maxrss, which starts with the peak of the parent
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def peak_gpu_memory() -> int:
    """Bytes that this process's GPU held at most; 0 without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
