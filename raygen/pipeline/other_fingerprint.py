"""Why a run's fingerprint is another one than that of the scores in its folder: which of the parts differ, in words.

In: this run's job and model, and the manifest of a run that wrote the scores. The parts are those that ``raygen.scoring.fingerprint``
hashes; of all but the version of the arithmetic a manifest says what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from raygen.model.loading import NetworkDescription
from raygen.pipeline.job import Job

PARTS = "another model, precision, window, strand or input.circular"
"""What to say where no manifest tells more."""


def what_differs(manifest: Mapping[str, Any], job: Job, model: NetworkDescription) -> str:
    """``window.left is 48 there and 2,048 here; ...``; ``PARTS`` where the manifest does not say."""
    return differences(manifest, job.as_plain(), asdict(model))


def differences(manifest: Mapping[str, Any], resolved: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """The same from plain values: ``resolved`` and ``model`` as this run's manifest would say them."""
    if not manifest.get("resolved") or not manifest.get("model"):
        return PARTS
    there, here = _parts(manifest["resolved"], manifest["model"]), _parts(resolved, model)
    if there["weights"] != here["weights"] and there["model"] == here["model"]:
        return f"the weights of {here['model']} are not those of then"
    named = [name for name in here if name != "weights" and there[name] != here[name]]
    said = [f"{name} is {_in_words(there[name])} there and {_in_words(here[name])} here" for name in named]
    return "; ".join(said) or "the same settings, scored by a version of raygen that computes otherwise"


def _parts(resolved: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    window = resolved.get("window") or dict.fromkeys(("left", "right", "anchor", "stride"))
    return {
        "weights": model.get("weights_hash"),
        "model": model.get("name"),
        "model.dtype": model.get("dtype"),
        "the token before the first base": model.get("bos_id"),
        **{f"window.{name}": value for name, value in window.items()},
        "window.strand": resolved.get("strand"),
        "input.circular": sorted(resolved.get("circular") or ()),
    }


def _in_words(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(value) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else str(value)
