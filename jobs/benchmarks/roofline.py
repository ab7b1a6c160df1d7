"""What a model of a published shape needs of a GPU, by arithmetic: kernels, FLOPs and bytes by part, and the least seconds they take.

    python jobs/benchmarks/roofline.py [--like evo-1-8k-base] [--like evo2_7b_base] [--device "NVIDIA H100"]
    python jobs/benchmarks/roofline.py --speeds      the file that raygen plan reads, raygen/planning/roofline.yaml

No GPU and no memory: the network runs on the ``meta`` device, whose tensors have a shape and no values, and takes the path of every device
that is no CPU. Each kernel that torch would start is counted. Its time is the longer of two: its FLOPs at the device's rate, and its bytes,
each operand read once and each result written once, at the bandwidth of the memory. No cache, no time to start a kernel, no overlap.
So it is a bound that says where time must go, not a forecast to a few percent.

Half-precision products run at 800 TFLOP/s on an H100, what is reached of a data sheet's 989; elementwise work counts one FLOP a number.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from raygen.errors import RaygenError
from raygen.model import attention
from raygen.model.checkpoint import family_of
from raygen.model.random_checkpoint import EVO1_8K, config_like
from raygen.model.state import Marks, PrefixState
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaNetwork
from raygen.planning.hours import Device, known_devices

SHAPES = (EVO1_8K, "evo2_7b_base")
SPEEDS_HEADER = (
    "# Tokens a second by arithmetic, none measured: the output of python jobs/benchmarks/roofline.py --speeds"
)
TOKENS = 8192
"""Of the WT pass, and of all branches of a pass together."""

# Innermost first: a kernel belongs to the first part of which a function is on the stack.
PARTS = {
    "norms": {"RMSNorm.forward"},
    "MLP": {"GatedMLP.forward"},
    "projections": {"LinearToChannelsFirst.forward", "LinearFromChannelsFirst.forward", "Linear.forward"},
    "states kept": {"inputs_before_marks", "_states_at", "kept", "HyenaState.taken"},
    "filter behind the gate": {"LongHyena.inner", "MediumHyena.inner", "ShortHyena.inner"},
    "short filter": {"short_filter"},
    "gates": {"HyenaFilter.forward"},
    "attention": {"Attention.forward"},
}
REST = "residual stream"


# What a kernel does -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """What a kernel does; ``is_half``: in half precision."""

    part: str
    flops: int
    num_bytes: int
    is_half: bool

    def seconds(self, device: Device) -> float:
        """The least that it takes: the longer of arithmetic and memory."""
        rate = device.products if self.is_half else device.float32
        return max(self.flops / rate, self.num_bytes / device.bandwidth) / 1e12


aten = torch.ops.aten
_NO_KERNEL = {
    aten.empty,
    aten.new_empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty_strided,
    aten._unsafe_view,
}
_CHOOSING = {aten.index, aten.index_select, aten.gather, aten.embedding}
"""Read as much of their first operand as they write."""
_WRITING = {aten.copy_, aten.fill_, aten.zero_, aten.new_zeros, aten.new_full, aten.zeros_like}
"""Do not read their first operand: they write to it, or make something like it."""
_ATTENTION = aten._scaled_dot_product_flash_attention


def flops_of(operation: Any, args: tuple[Any, ...], out: Tensor) -> int:
    """FLOPs of a kernel: two for a product and its sum, of attention half of them where it is causal, else one a number."""
    if operation in (aten.mm, aten.bmm):
        return 2 * out.numel() * int(args[0].shape[-1])
    if operation in (aten.addmm, aten.baddbmm, aten.baddbmm_):
        return 2 * out.numel() * int(args[1].shape[-1])
    if operation is aten.convolution:
        return 2 * out.numel() * math.prod(args[1].shape[1:])
    if operation is _ATTENTION:
        causal = len(args) > 4 and args[4]
        return 4 * out.numel() * int(args[1].shape[2]) // (2 if causal else 1)
    return out.numel()


def bytes_of(operation: Any, args: tuple[Any, ...], outs: list[Tensor]) -> int:
    """Bytes that a kernel reads and writes at least: what repeats itself (a stride of 0) once."""
    operands = list(_tensors(args))
    read = sum(map(_num_bytes, operands))
    written = sum(map(_num_bytes, outs))
    if operation in _CHOOSING:
        source = operands[0]
        return read - _num_bytes(source) + 2 * written
    if operation is aten.index_put_:
        return 2 * sum(map(_num_bytes, operands[1:]))
    if operation in (aten.addmm, aten.baddbmm) and args[0].ndim > 1:
        return read - _num_bytes(args[0]) + 2 * written
    if operation in _WRITING:
        return read - _num_bytes(operands[0]) + written
    return read + written


def bytes_before(operation: Any, args: tuple[Any, ...], out: Tensor) -> int:
    """Bytes of a kernel that runs before an operation's own, 0 where there is none: what is padded is filled first, and what a product
    is added to is copied to where its sum goes, but for the bias of each column, which the product's kernel adds.
    """
    if operation is aten.constant_pad_nd and any(args[1]):
        return _num_bytes(out)
    if operation in (aten.addmm, aten.baddbmm) and args[0].ndim > 1:
        return _num_bytes(args[0]) + _num_bytes(out)
    return 0


def _num_bytes(tensor: Tensor) -> int:
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sizes) * tensor.element_size()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


class KernelList(TorchDispatchMode):
    """Lists all kernels that run on no CPU while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outs = [tensor for tensor in _tensors(result) if tensor.device.type != "cpu"]
        if outs and _runs(func, args, outs):
            self._add(func.overloadpacket, args, outs, _part(sys._getframe(1)))
        return result

    def _add(self, operation: Any, args: tuple[Any, ...], outs: list[Tensor], part: str) -> None:
        is_half = outs[0].dtype in (torch.bfloat16, torch.float16)
        if first := bytes_before(operation, args, outs[0]):
            self.kernels.append(Kernel(part, 0, first, is_half))
        num_bytes = bytes_of(operation, args, outs)
        self.kernels.append(Kernel(part, flops_of(operation, args, outs[0]), num_bytes, is_half))


def _runs(func: Any, args: tuple[Any, ...], outs: list[Tensor]) -> bool:
    """Whether a kernel runs: none does for views and for memory that is only taken."""
    if func.overloadpacket in _NO_KERNEL:
        return False
    storages = {tensor.untyped_storage()._cdata for tensor in _tensors(args)}
    return func._schema.is_mutable or outs[0].untyped_storage()._cdata not in storages


def _part(frame: FrameType | None) -> str:
    functions = set()
    while frame:
        functions.add(frame.f_code.co_qualname)
        frame = frame.f_back
    return next((part for part, names in PARTS.items() if names & functions), REST)


# Passes -------------------------------------------------------------------------------------------------------------


def network_without_values(config: StripedHyenaConfig) -> StripedHyenaNetwork:
    """The network with half-precision weights on the device ``meta``."""
    with torch.device("meta"):
        network = family_of(config).network(config).eval()
    network.cast_weights(torch.bfloat16)
    return network


@contextmanager
def gpu_attention() -> Iterator[None]:
    """Attention by the kernel that a GPU runs; torch would take the device ``meta`` for one without it."""

    def attend(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
        out, log_sum, *_ = _ATTENTION(q, k, v, 0.0, is_causal)
        return out, log_sum

    def without_sums(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
        return attend(q, k, v, is_causal)[0]

    with (
        mock.patch.object(attention, "attend", attend),
        mock.patch.object(F, "scaled_dot_product_attention", without_sums),
    ):
        yield


@dataclass(frozen=True)
class Reading:
    """A pass: so many rows of so many tokens, on from ``stops`` places of a path, or from nothing."""

    name: str
    rows: int
    tokens: int
    stops: int = 0


READINGS = (
    Reading("WT, 8,192 tokens", 1, TOKENS),
    Reading("512 branches of 16 tokens", TOKENS // 16, 16, stops=64),
    Reading("64 branches of 128 tokens", TOKENS // 128, 128, stops=8),
)
"""As many branches leave a stop as the costs of a GPU put together where all SNVs of a region are scored."""


@torch.no_grad()
def kernels_of(network: StripedHyenaNetwork, reading: Reading) -> list[Kernel]:
    """The kernels of a pass. What is made once (blocks of filters) is made before."""
    with gpu_attention():
        state = _state(network, reading.stops)
        before = None if state is None else state.fork(reading.rows // reading.stops)
        network.hidden_states(_tokens(1, 1))
        with KernelList() as listed:
            network.hidden_states(_tokens(reading.rows, reading.tokens), before)
    return listed.kernels


def _state(network: StripedHyenaNetwork, stops: int) -> PrefixState | None:
    """The states at stops three tokens apart, the last at the end of a path."""
    if not stops:
        return None
    after = TOKENS - 3 * np.arange(stops)[::-1]
    return network.hidden_states(_tokens(1, TOKENS), marks=Marks(np.zeros(stops, np.int64), after))[1]


def _tokens(rows: int, tokens: int) -> Tensor:
    return torch.zeros(rows, tokens, dtype=torch.int64, device="meta")


# What is printed ----------------------------------------------------------------------------------------------------


def table_of(name: str, device: Device) -> Table:
    """Milliseconds by part of each pass, with kernels, and of the WT pass FLOPs and bytes."""
    network = network_without_values(config_like(name))
    passes = [kernels_of(network, reading) for reading in READINGS]
    table = Table(title=f"{name}, {device.name}", box=box.MARKDOWN)
    table.add_column("part")
    for heading in ("TFLOP", "GB", *(f"ms: {reading.name}" for reading in READINGS), "kernels of these"):
        table.add_column(heading, justify="right")
    by_part = {part: [[k for k in kernels if k.part == part] for kernels in passes] for part in (*PARTS, REST)}
    for part in sorted(by_part, key=lambda part: -seconds_of(by_part[part][0], device)):
        table.add_row(part, *_cells(by_part[part], device))
    table.add_row("all", *_cells(passes, device))
    return table


def seconds_of(kernels: Sequence[Kernel], device: Device) -> float:
    """The least that kernels take one after the other."""
    return sum(kernel.seconds(device) for kernel in kernels)


def _cells(passes: Sequence[Sequence[Kernel]], device: Device) -> list[str]:
    flops, num_bytes = (sum(getattr(kernel, name) for kernel in passes[0]) for name in ("flops", "num_bytes"))
    milliseconds = [f"{seconds_of(kernels, device) * 1e3:,.1f}" for kernels in passes]
    starts = " / ".join(f"{len(kernels):,}" for kernels in passes)
    return [f"{flops / 1e12:,.2f}", f"{num_bytes / 1e9:,.1f}", *milliseconds, starts]


def speeds() -> dict[str, Any]:
    """By shape its parameters, and by device the tokens a second of the WT pass, as raygen plan reads them."""
    return {name: _speeds_of(network_without_values(config_like(name))) for name in SHAPES}


def _speeds_of(network: StripedHyenaNetwork) -> dict[str, Any]:
    kernels = kernels_of(network, READINGS[0])
    return {
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "tokens_per_second": {device.name: round(TOKENS / seconds_of(kernels, device)) for device in known_devices()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--like", action="append", help=f"a shape, again for another one; by default {', '.join(SHAPES)}"
    )
    parser.add_argument("--device", default="NVIDIA H100", choices=[device.name for device in known_devices()])
    parser.add_argument(
        "--speeds", action="store_true", help="tokens a second by shape and device, as raygen plan reads them"
    )
    args = parser.parse_args()
    try:
        if args.speeds:
            print(f"{SPEEDS_HEADER}\n{yaml.safe_dump(speeds(), sort_keys=False)}", end="")
            return 0
        device = next(device for device in known_devices() if device.name == args.device)
        for name in args.like or SHAPES:
            Console(width=160).print(table_of(name, device))
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
