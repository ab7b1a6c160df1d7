"""A device that is not the CPU, on a machine that has none: tensors that say they lie on ``accel:0`` and are computed on the CPU.

What would fail on a GPU because a tensor was left on the CPU fails here too: an operation on tensors of both devices raises,
and so does numpy on a tensor that was not brought back. All that depends on the device being a CPU takes the other way. What
it cannot show is speed, memory and the numbers of a GPU's own kernels.

It is PyTorch's backend for others (PrivateUse1) with a wrapper of tensors in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "accel"
_MAY_CROSS = ("aten::copy_", "aten::_to_copy")


class AccelTensor(torch.Tensor):
    """Says it is on the device; ``values`` are on the CPU."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> AccelTensor:
        values = values.resolve_conj().resolve_neg()
        with torch.inference_mode(False):
            own = torch.Tensor._make_wrapper_subclass(
                cls, values.size(), values.stride(), values.storage_offset(), dtype=values.dtype, device=f"{NAME}:0"
            )
        own.values = values
        return own

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(function, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Tensors that are made on the device, or brought there."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(function, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Within it ``accel:0`` can be used."""
    _register()
    with _Factories():
        yield torch.device(NAME, 0)


def _compute(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = function._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = any(isinstance(tensor, AccelTensor) for tensor in tensors)
    elsewhere = any(not isinstance(tensor, AccelTensor) and tensor.ndim for tensor in tensors)
    if here and elsewhere and name not in _MAY_CROSS:
        raise RuntimeError(f"{name}: tensors on {NAME}:0 and on the CPU")
    device = kwargs.get("device")
    if device is not None:
        here = torch.device(device).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu") if here else device}
    out = function(*_plain(args), **_plain(kwargs))
    if name.endswith("_") or "out" in kwargs:
        return args[0]
    return tree_map(_on_device, out) if here else out


def _plain(values: Any) -> Any:
    return tree_map(lambda value: value.values if isinstance(value, AccelTensor) else value, values)


def _on_device(value: Any) -> Any:
    return AccelTensor(value) if isinstance(value, torch.Tensor) and not isinstance(value, AccelTensor) else value


@cache
def _register() -> torch.library.Library:
    """Once in a process; what torch itself calls below the wrapper."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    made: dict[str, Callable[..., Any]] = {"empty_strided": torch.empty_strided, "empty.memory_format": torch.empty}
    for name, make in made.items():
        library.impl(
            name, lambda *sizes, make=make, dtype=None, **_: AccelTensor(make(*sizes, dtype=dtype)), "PrivateUse1"
        )

    def copy(source: Any, target: Any, non_blocking: bool = False) -> Any:
        _plain(target).copy_(_plain(source))
        return target

    library.impl("_copy_from", copy, "PrivateUse1")
    return library
