"""Does a published checkpoint give the number its publishers say? Asked before it scores, once for each kind of machine.

For Evo 2 the number is the loss, nats a base, over four sequences of 6 to 8 thousand bases that come with the public package
(evo2 0.6.0, Apache-2.0; they are in ``evo2_test_sequences.fa``). A wrong file, a wrong order of weights or broken arithmetic
give losses that are tenths away (a model that knows nothing has 1.39).

The tolerance is wider than the 0.001 of the public test, which compares the reference with itself: its loss is computed from
bfloat16 logits in bfloat16, in steps of 0.002, with the projections of its machine in FP8.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from raygen.cache import cache_folder
from raygen.errors import SettingsError, StoppedError
from raygen.scoring.likelihood import ResidentModel

TOLERANCE = 0.01
"""Nats a base."""

_VERSION = 1  # raised when the sequences or the tolerance change


def check_published(model: ResidentModel, machine: str) -> None:
    """Compare with the published number, where the model's card has one.

    A model that needs FP8 is not compared: its user knows that its numbers are others. What passed is remembered in the cache.

    Args:
        machine: what numbers can depend on, in words.

    Raises:
        StoppedError: the loss is another.
    """
    card = model.loaded.card
    if card is None or card.published_loss is None or model.loaded.unvalidated:
        return
    passed = _passed_file(model, machine)
    if passed is not None and passed.exists():
        return
    loss = published_test_loss(model)
    if not abs(loss - card.published_loss) <= TOLERANCE:
        raise StoppedError(
            f"{model.name} has a loss of {loss:.4f} nats a base on its publishers' test sequences ({machine}, "
            f"{model.loaded.dtype}), but {card.published_loss:.4f} is published and {TOLERANCE:g} is allowed. Its weights are not those "
            f"of {card.name}, or this machine computes something else. If it is a fine-tuned model convert it with --like."
        )
    if passed is not None:
        passed.write_text(json.dumps({"loss": loss, "published": card.published_loss, "machine": machine}))


def published_test_loss(model: ResidentModel) -> float:
    """The mean over the sequences of the mean over their bases of −ln P, the first base not counted."""
    sequences = _sequences()
    counted = np.array([len(sequence) - model.num_uncounted for sequence in sequences])
    return float((-model.log_likelihoods(sequences) / counted).mean())


def _sequences() -> list[str]:
    text = files("raygen.scoring").joinpath("evo2_test_sequences.fa").read_text()
    return ["".join(record.splitlines()[1:]) for record in text.split(">")[1:]]


def _passed_file(model: ResidentModel, machine: str) -> Path | None:
    depends_on = [_VERSION, model.loaded.weights_hash, str(model.loaded.dtype), machine, model.loaded.bos_id]
    try:
        folder = cache_folder("published-tests")
    except SettingsError:
        return None
    return folder / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]}.json"
