"""What the keys of a ``config.json`` may hold, and the faults of one in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raygen.model.layers import ACTIVATIONS


@dataclass(frozen=True)
class Rule:
    """``wanted`` completes the sentence "KEY is VALUE, ..."."""

    ok: Callable[[Any], bool]
    wanted: str


COUNT = Rule(lambda value: type(value) is int and value > 0, "not a positive whole number")
VOCABULARY = Rule(
    lambda value: type(value) is int and value > ord("T"), f"too small for bytes as tokens: T is token {ord('T')}"
)
POSITIVE = Rule(lambda value: type(value) in (int, float) and value > 0, "not a positive number")
FLAG = Rule(lambda value: type(value) is bool, "neither true nor false")
LAYERS = Rule(
    lambda value: isinstance(value, list | tuple) and all(type(item) is int for item in value),
    "not a list of layer numbers",
)
ACTIVATION = Rule(lambda value: value in ACTIVATIONS, f"not one of {', '.join(ACTIVATIONS)}")


def only(supported: Any, note: str = "") -> Rule:
    """One value is supported."""
    return Rule(
        lambda value: type(value) is type(supported) and value == supported,
        f"only {json.dumps(supported)} {f'({note}) ' if note else ''}is supported",
    )


def key_faults(settings: Mapping[str, Any], needed: Sequence[str], rules: Mapping[str, Rule]) -> list[str]:
    """All that is wrong with single keys, in words: what is missing first, then what has a bad value."""
    missing = [name for name in needed if settings.get(name) is None]
    faults = [f"missing {', '.join(missing)}"] if missing else []
    for name, value in settings.items():
        rule = rules.get(name)
        if rule and value is not None and not rule.ok(value):
            faults.append(f"{name} is {value!r}, {rule.wanted}")
    return faults


def layer_faults(settings: Mapping[str, Any], kinds: Sequence[str]) -> list[str]:
    """Faults between keys that are fine one by one. ``kinds``: keys that name layers, each layer once in all of them."""
    faults = []
    layers = sorted(layer for kind in kinds for layer in settings[kind])
    if layers != list(range(settings["num_layers"])):
        faults.append(
            f"{', '.join(kinds[:-1])} and {kinds[-1]} name the layers {layers}, "
            f"not each of 0 to {settings['num_layers'] - 1} once"
        )
    if settings["hidden_size"] % (2 * settings["num_attention_heads"]):
        faults.append(
            f"hidden_size {settings['hidden_size']} is not divisible into "
            f"{settings['num_attention_heads']} heads of an even size"
        )
    return faults
