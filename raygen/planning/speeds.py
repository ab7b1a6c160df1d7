"""How fast a model runs on a device that is here: measured once by ``raygen plan --measure``, kept in the cache.

A speed is of one model, method and device. Fork reads short pieces where pair reads whole windows, so each has its own; the
window it was measured at is kept beside it.
"""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, ValidationError

from raygen.cache import cache_folder
from raygen.errors import InputError
from raygen.tables.place import write_text

CPU_CORE = "one CPU core"


class MeasuredSpeed(BaseModel):
    """Tokens a second of one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    tokens_per_second: float
    num_tokens: int
    seconds: float
    model: str
    dtype: str
    method: str
    window: str
    measured: str


def known_speeds(model_key: str, method: str) -> list[MeasuredSpeed]:
    """Speeds of this model (``ModelFacts.key``) and method that were measured on machines that share this cache."""
    speeds = []
    for path in sorted(cache_folder("speeds").glob("*.json")):
        try:
            speed = MeasuredSpeed.model_validate_json(path.read_text())
        except ValidationError as error:
            raise InputError(f"{path} cannot be read as a measured speed; remove it and measure again.") from error
        if (speed.model, speed.method) == (model_key, method):
            speeds.append(speed)
    return speeds


def keep_speed(speed: MeasuredSpeed) -> None:
    """Keep a speed for later estimates, in place of an earlier one of the same device, model and method."""
    key = hashlib.sha256(f"{speed.device} {speed.model} {speed.method}".encode()).hexdigest()[:16]
    write_text(cache_folder("speeds") / f"{key}.json", speed.model_dump_json(indent=2) + "\n")
