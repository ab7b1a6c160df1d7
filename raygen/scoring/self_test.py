"""Two tests before an actor scores: does this machine compute what the first one did, and what the model's publishers say?

Of the machine: a fixed pair of sequences is scored. The first actor of a run's folder writes down what it got; every
later one, of this run and of all that resume it, compares. So a node whose GPU, driver or libraries compute something
else stops the run and does not mix other numbers into it. The value belongs to the weights, the dtype and the kind of
device.

Its tolerances: float32 scores are to be the same to 1e-4 nats whatever their batch, order or restart; a machine may
differ by ten times that over the 256 bases of a sequence before it is taken for another one. In half precision two good
machines may round differently, by up to about what rounding costs at all: measured on the demo's model over 100 pairs
like this one, against float32, the log-likelihood is off by 0.04 nats RMS (at most 0.10) in float16 and 0.32 (0.85) in
bfloat16. The tolerances are about six times the RMS.

Of a published checkpoint: does it give the number its publishers say? Asked once for each kind of machine. For Evo 2
the number is the loss, nats a base, over four sequences of 6 to 8 thousand bases that come with the public package
(evo2 0.6.0, Apache-2.0; they are in ``evo2_test_sequences.fa``). A wrong file, a wrong order of weights or broken
arithmetic give losses that are tenths away (a model that knows nothing has 1.39).

That tolerance is wider than the 0.001 of the public test, which compares the reference with itself: its loss is
computed from bfloat16 logits in bfloat16, in steps of 0.002, with the projections of its machine in FP8.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError, StoppedError
from raygen.scoring.likelihood import ResidentModel
from raygen.tables.layout import RunFolder
from raygen.tables.place import keep_json

MACHINE_TOLERANCES = {"float32": 1e-3, "float16": 0.25, "bfloat16": 2.0}
"""Nats by dtype: how far the self-test of a machine may be from that of the first one."""

_MACHINE_VERSION = 1  # raised when the sequences change
_NUM_BASES = 256
_SEED = 256


@dataclass(frozen=True)
class SelfTest:
    """What a machine got: ln P of WT and the delta of MUT, in nats, and the facts that could explain it."""

    log_likelihood: float
    delta: float
    machine: str


def check_machine(model: ResidentModel, folder: RunFolder) -> SelfTest:
    """Score the fixed pair and compare with what the first actor of this folder got, or be that actor.

    A published checkpoint is first asked for the number its publishers say (``check_published``).

    Raises:
        StoppedError: this machine gets something else than the first one.
        InputError: the first one gets nothing finite.
    """
    check_published(model, machine_facts(model.loaded.device))
    name, tolerance = self_test_file(model), MACHINE_TOLERANCES[model.loaded.facts.dtype]
    measured = run_self_test(model)
    if not np.isfinite([measured.log_likelihood, measured.delta]).all():
        problem = (
            f"The self-test gives {measured.log_likelihood} on {platform.node()} ({measured.machine}), "
            "which is no number"
        )
        if folder.read_file(name) is not None:
            raise StoppedError(f"{problem}; other machines got one. Take this one out.")
        raise InputError(
            f"{problem}. Either {model.name} holds values that are not finite or grow without end, or the machine is broken: "
            "`raygen doctor --model` on another one tells."
        )
    stored = _read(folder.write_first(name, json.dumps(asdict(measured)).encode()), f"{folder.path}/{name}")
    for quantity in ("log_likelihood", "delta"):
        value, stored_value = getattr(measured, quantity), getattr(stored, quantity)
        if not abs(value - stored_value) <= tolerance:
            raise StoppedError(
                f"The self-test's {quantity} is {value:.6f} nats on {platform.node()} ({measured.machine}), but {stored_value:.6f} on the "
                f"machine that scored here first ({stored.machine}), and {model.loaded.facts.dtype} may differ by {tolerance:g}. One of "
                f"them computes something else: take it out, or, if it was the first, start again in another folder "
                f"(the stored value is {folder.path}/{name})."
            )
    return stored


def run_self_test(model: ResidentModel) -> SelfTest:
    """Score the fixed pair: random bases, and the same with one base changed at a quarter of their length."""
    wt = "".join(np.random.default_rng(_SEED).choice(list("ACGT"), min(_NUM_BASES, model.context_length)))
    position = len(wt) // 4
    mut = wt[:position] + "ACGT"["CGTA".index(wt[position])] + wt[position + 1 :]
    ll_wt, ll_mut = model.log_likelihoods([wt, mut])
    return SelfTest(float(ll_wt), float(ll_mut - ll_wt), machine_facts(model.loaded.device))


def self_test_file(model: ResidentModel) -> str:
    """Where a self-test is kept in a run's folder: one file for these weights, this dtype and this kind of device."""
    facts = model.loaded.facts
    depends_on = [_MACHINE_VERSION, facts.weights_hash, facts.dtype, model.loaded.device.type, facts.bos_id]
    return f"runs/self_test-{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]}.json"


def machine_facts(device: torch.device) -> str:
    """What numbers can depend on, without the machine's name: files of a run travel."""
    if device.type != "cuda":
        return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, torch {torch.__version__}"


def _read(content: bytes, path: str) -> SelfTest:
    try:
        return SelfTest(**json.loads(content))
    except (ValueError, TypeError):
        raise StoppedError(
            f"{path} does not hold a self-test. Delete it, and the next actor writes it again."
        ) from None


PUBLISHED_TOLERANCE = 0.01
"""Nats a base: how far a loss may be from the published one."""

_PUBLISHED_VERSION = 1  # raised when the sequences or the tolerance change


def check_published(model: ResidentModel, machine: str) -> None:
    """Compare a model's loss on its publishers' test sequences with the published one, where the model's card has one.

    A model that needs FP8 is not compared: its user knows that its numbers are others. What passed is remembered in the cache.

    Args:
        machine: what numbers can depend on, in words.

    Raises:
        StoppedError: the loss is more than ``PUBLISHED_TOLERANCE`` away.
    """
    card = model.loaded.card
    if card is None or card.published_loss is None or model.loaded.facts.unvalidated:
        return
    passed = _passed_file(model, machine)
    if passed is not None and passed.exists():
        return
    loss = published_test_loss(model)
    if not abs(loss - card.published_loss) <= PUBLISHED_TOLERANCE:
        raise StoppedError(
            f"{model.name} has a loss of {loss:.4f} nats a base on its publishers' test sequences ({machine}, "
            f"{model.loaded.dtype}), but {card.published_loss:.4f} is published and {PUBLISHED_TOLERANCE:g} is allowed. "
            f"Its weights are not those of {card.name}, or this machine computes something else. If it is a fine-tuned model convert it with --like."
        )
    if passed is not None:
        keep_json(passed, {"loss": loss, "published": card.published_loss, "machine": machine})


def published_test_loss(model: ResidentModel) -> float:
    """A model's loss, nats a base: the mean over the publishers' test sequences of their mean −ln P, without first
    bases.
    """
    sequences = _sequences()
    counted = np.array([len(sequence) - model.num_uncounted for sequence in sequences])
    return float((-model.log_likelihoods(sequences) / counted).mean())


def _sequences() -> list[str]:
    text = files("raygen.scoring").joinpath("evo2_test_sequences.fa").read_text()
    return ["".join(record.splitlines()[1:]) for record in text.split(">")[1:]]


def _passed_file(model: ResidentModel, machine: str) -> Path | None:
    facts = model.loaded.facts
    depends_on = [_PUBLISHED_VERSION, facts.weights_hash, str(model.loaded.dtype), machine, facts.bos_id]
    try:
        folder = cache_folder("published-tests")
    except SettingsError:
        return None
    return folder / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]}.json"
