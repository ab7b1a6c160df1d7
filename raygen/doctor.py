"""Is this machine ready, and does the model suit the reference? Each finding is ok, a warning, or says what to do."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raygen.errors import InputError, RaygenError, SettingsError

HUMAN = "eukaryote"
"""The domain of life, of those that model cards name, that human chromosomes are of."""
_FAULTS = (RaygenError, ImportError, OSError, RuntimeError)


@dataclass(frozen=True)
class Finding:
    """The outcome of one ``check``, by its name, in a sentence. ``exit_code`` is what a run would end with: 2 where
    what was asked for is wrong, else 3. A ``warning`` is good: a run would go on, and its user should know.
    """

    good: bool
    check: str
    says: str
    exit_code: int = 0
    warning: bool = False


def examine(
    model: str, device: str, allow_unvalidated: bool = False, reference: str | None = None, domain: str | None = None
) -> list[Finding]:
    """Look at versions, cache, devices and memory, then load a model and score one pair.

    Args:
        reference: FASTA of the settings; with it, whether the model knows what lives there.
        domain: ``input.domain`` of the settings.
    """
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "cache": _cache,
        "memory": _memory,
        "devices": _devices,
        "ray": _ray,
        "model": lambda: try_model(model, device, allow_unvalidated),
    }
    findings = [_finding(name, check) for name, check in checks.items()]
    return [*findings, _reference(model, reference, domain)] if reference else findings


def _reference(model: str, reference: str, domain: str | None) -> Finding:
    """Whether a FASTA can be read, as a run reads it, and whether the model knows what lives there."""
    from raygen.remote import stage
    from raygen.sequence.reference import open_reference

    try:
        return suits(model, reference, open_reference(stage(reference)).lengths, domain)
    except _FAULTS as error:
        return _fault("reference", error)


def suits(model: str, reference: str, lengths: Mapping[str, int], domain: str | None = None) -> Finding:
    """Whether a model was trained on what a human reference holds, by its card.

    Args:
        lengths: of the reference's contigs, by name.
        domain: ``input.domain`` of the settings.
    """
    from raygen.model.cards import find_card
    from raygen.variants.human_assemblies import human_assembly

    assembly, card = human_assembly(lengths), find_card(model)
    if assembly is None:
        return Finding(True, "reference", f"{reference} has no chromosome of the lengths of a human assembly")
    if card is None or card.domains is None:
        message = f"{reference} is {assembly}; what {model} was trained on is not known: it has no model card"
        return Finding(True, "reference", message, warning=True)
    if HUMAN in card.domains:
        declare = "" if domain else f"; set input.domain to {HUMAN}, so that every score says what it is of"
        return Finding(True, "reference", f"{reference} is {assembly}, and {model} was trained on eukaryotes{declare}")
    message = (
        f"{reference} is {assembly}, but {model} was trained on {', '.join(card.domains)} and on no human chromosome: its "
        "scores mean nothing there. For human data take an Evo 2 model, such as arcinstitute/evo2_7b_base"
    )
    return Finding(True, "reference", message, warning=True)


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(True, name, check())
    except _FAULTS as error:
        return _fault(name, error)


def _fault(name: str, error: Exception) -> Finding:
    exit_code = SettingsError.exit_code if isinstance(error, SettingsError) else InputError.exit_code
    return Finding(False, name, " ".join(str(error).split()) or type(error).__name__, exit_code)


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
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)


def _ray() -> str:
    from raygen.pipeline.cluster import resources, session

    with session(None):
        cluster = resources()
        return (
            f"started, sees {cluster.cpus} CPUs, {cluster.gpus:g} GPUs and {cluster.memory / 2**30:.1f} GiB of memory"
        )


def try_model(name: str, device: str, allow_unvalidated: bool = False) -> str:
    """Load a model and score one pair; says what came of it.

    Raises:
        RaygenError, RuntimeError: it cannot be used.
    """
    from raygen.scoring.likelihood import load_model
    from raygen.scoring.self_test import run_self_test

    model = load_model(name, device=device, allow_unvalidated=allow_unvalidated)
    self_test = run_self_test(model)
    if not math.isfinite(self_test.log_likelihood + self_test.delta):
        raise InputError(f"{name} loads, but its scores are not finite: its weights, or this machine, are broken")
    return (
        f"{name} loads ({model.loaded.facts.dtype} on {model.loaded.device}) "
        f"and scores a pair: delta_llr {self_test.delta:+.4f} nats"
    )
