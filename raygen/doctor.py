"""Is this machine ready? Each finding is ok, or says what to do."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from raygen.errors import InputError, RaygenError, SettingsError


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's. ``exit_code`` is what a run would end with: 2 where what was asked for is wrong, else 3."""

    good: bool
    what: str
    says: str
    exit_code: int = 0


def examine(model: str, device: str, allow_unvalidated: bool = False) -> list[Finding]:
    """Look at versions, cache, devices and memory, then load a model and score one pair."""
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "cache": _cache,
        "memory": _memory,
        "devices": _devices,
        "ray": _ray,
        "model": lambda: try_model(model, device, allow_unvalidated),
    }
    return [_finding(what, check) for what, check in checks.items()]


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(True, what, check())
    except (RaygenError, ImportError, OSError, RuntimeError) as error:
        exit_code = SettingsError.exit_code if isinstance(error, SettingsError) else InputError.exit_code
        return Finding(False, what, " ".join(str(error).split()) or type(error).__name__, exit_code)


def _versions() -> str:
    from raygen.tables.manifest import versions

    return ", ".join(f"{name} {number}" for name, number in versions().items())


def _cache() -> str:
    from raygen.cache import cache_folder

    return f"{cache_folder()} can be written"


def _memory() -> str:
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * size
    return f"{pages * size / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB, {os.cpu_count()} CPUs"


def _devices() -> str:
    import torch

    if not torch.cuda.is_available():
        return "no GPU that torch can use: models run on the CPU, in float32"
    names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{one.name} ({one.total_memory / 2**30:.0f} GiB)" for one in names)


def _ray() -> str:
    from raygen.pipeline.cluster import resources, session

    with session(None):
        there = resources()
        return f"started, sees {there.cpus} CPUs, {there.gpus:g} GPUs and {there.memory / 2**30:.1f} GiB of memory"


def try_model(name: str, device: str, allow_unvalidated: bool = False) -> str:
    """Load a model and score one pair; says what came of it.

    Raises:
        RaygenError, RuntimeError: it cannot be used.
    """
    from raygen.scoring.likelihood import load_model
    from raygen.scoring.self_test import run_self_test

    model = load_model(name, device=device, allow_unvalidated=allow_unvalidated)
    found = run_self_test(model)
    if not math.isfinite(found.log_likelihood + found.delta):
        raise InputError(f"{name} loads, but its scores are not finite: its weights, or this machine, are broken")
    return (
        f"{name} loads ({model.loaded.facts.dtype} on {model.loaded.device}) "
        f"and scores a pair: delta_llr {found.delta:+.4f} nats"
    )
