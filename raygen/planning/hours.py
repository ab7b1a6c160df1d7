"""Tokens to hours and money: pure, from a small table of devices (``devices.yaml``) and from what was measured.

What a device makes of a model is not known before it is tried, so arithmetic stands in for it: what a published shape of the same family
would reach if each kernel ran at the device's rate or at the bandwidth of its memory (``roofline.yaml``, which
``jobs/benchmarks/roofline.py --speeds`` writes). Such numbers are marked as estimated; a measured speed of the same model and method takes
their place. Loading the model and starting a cluster are not in it: minutes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict

from raygen.model.cards import find_card
from raygen.model.facts import ModelFacts
from raygen.planning.speeds import MeasuredSpeed, known_speeds

NUM_DEVICES = (1, 8, 64)
SMALLEST_GUESSED = 100_000_000
"""Parameters: a smaller model waits for memory and launches, not for operations, so its speed is not guessed at all."""
EVO1_SHAPE, EVO2_SHAPE = "evo-1-8k-base", "evo2_7b_base"
"""Which shape of ``roofline.yaml`` stands for a model of Evo 2, and which for every other one."""
_ROOM = 1.2  # memory beside weights and one state

Price = float
"""US dollars for a device and hour."""


class Device(BaseModel):
    """A line of ``devices.yaml``, which has the units; ``match`` is a word of torch's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    match: str
    products: float
    float32: float
    bandwidth: float
    memory: float
    dollars: float


@dataclass(frozen=True)
class DeviceCost:
    """What a run costs on one kind of device.

    Attributes:
        hours, dollars: by the number of devices; dollars None where the price is not known.
        speed: tokens a second of one device, and whether it was measured (then the window is named, else it is None).
        too_small: the model with one state does not fit its memory.
    """

    device: str
    hours: Mapping[int, float]
    dollars: float | None
    speed: float
    measured_at: str | None
    too_small: bool


def cost_on_devices(
    num_tokens: int, model: ModelFacts, method: str, state_bytes: int, price: Price | None = None
) -> Iterator[DeviceCost]:
    """Every device of the table whose speed is known or can be guessed, and every other one that was measured."""
    measured = known_speeds(model.key, method)
    needed = (model.num_parameters * 2 + state_bytes) * _ROOM
    for device in known_devices():
        measurement = _of_device(device, measured)
        if measurement is None and model.num_parameters < SMALLEST_GUESSED:
            continue
        speed = measurement.tokens_per_second if measurement else guessed_speed(device, model)
        too_small = needed > device.memory * 2**30 and measurement is None
        dollars = device.dollars if price is None else price
        yield _cost(device.name, num_tokens, speed, measurement, dollars, too_small)
    for measurement in measured:
        if not any(device.match in measurement.device.split() for device in known_devices()):
            yield _cost(measurement.device, num_tokens, measurement.tokens_per_second, measurement, price, False)


@cache
def known_devices() -> Sequence[Device]:
    """The devices of ``devices.yaml``."""
    text = files("raygen.planning").joinpath("devices.yaml").read_text()
    return [Device.model_validate(line) for line in yaml.safe_load(text)]


def guessed_speed(device: Device, model: ModelFacts) -> float:
    """Tokens a second of one device, by arithmetic: those of the published shape, in inverse proportion to the parameters."""
    card = find_card(model.name)
    shape = roofline()[EVO2_SHAPE if card and card.architecture else EVO1_SHAPE]
    return shape.tokens_per_second[device.name] * shape.num_parameters / model.num_parameters


class RooflineShape(BaseModel):
    """A published shape in ``roofline.yaml``: its parameters, and tokens a second by device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_parameters: int
    tokens_per_second: Mapping[str, float]


@cache
def roofline() -> Mapping[str, RooflineShape]:
    """The shapes of ``roofline.yaml``."""
    text = files("raygen.planning").joinpath("roofline.yaml").read_text()
    return {name: RooflineShape.model_validate(shape) for name, shape in yaml.safe_load(text).items()}


def _of_device(device: Device, measured: Sequence[MeasuredSpeed]) -> MeasuredSpeed | None:
    return next((measurement for measurement in measured if device.match in measurement.device.split()), None)


def _cost(
    name: str, num_tokens: int, speed: float, measured: MeasuredSpeed | None, price: float | None, too_small: bool
) -> DeviceCost:
    alone = num_tokens / speed / 3600
    hours = {number: alone / number for number in NUM_DEVICES}
    dollars = None if price is None else alone * price
    return DeviceCost(name, hours, dollars, speed, measured.window if measured else None, too_small)
