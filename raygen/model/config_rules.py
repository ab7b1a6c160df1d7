"""What the keys of a ``config.json`` of Evo 1 and Evo 2 may hold, their defaults, and the faults of one in words. Light: no torch.

What each key means stands beside its name in ``evo1.Evo1Config`` and ``evo2.Evo2Config``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raygen.errors import InputError

ACTIVATIONS = ("gelu", "silu")
"""Names of what ``layers`` can do."""


@dataclass(frozen=True)
class Rule:
    """``fault`` completes the sentence "KEY is VALUE, ..."."""

    ok: Callable[[Any], bool]
    fault: str


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
    """The rule of a key of which one value is supported."""
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
            faults.append(f"{name} is {value!r}, {rule.fault}")
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


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with their defaults, as a network takes them: no scaling where none is asked for, and numbers that are equal
    written in one way (10000 and 10000.0 are one architecture).
    """
    scaling = settings["rotary_emb_scaling_factor"] if settings["use_interpolated_rotary_pos_emb"] else 1.0
    numbers = {name: float(settings[name]) for name in ("eps", "rotary_emb_base")}
    return {**settings, **numbers, "rotary_emb_scaling_factor": float(scaling)}


def _without(settings: Mapping[str, Any], keys: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    return {name: settings[name] for name in sorted(keys) if name not in left_out}


# Evo 1 --------------------------------------------------------------------------------------------------------------

EVO1_DEFAULTS = {"column_split_hyena": True, "inner_mlp_size": None, "inner_size_multiple_of": None}
"""Values of the keys that a config.json of Evo 1 may leave out."""

_EVO1_REQUIRED = {
    "vocab_size": VOCABULARY,
    "hidden_size": COUNT,
    "num_layers": COUNT,
    "attn_layer_idxs": LAYERS,
    "hyena_layer_idxs": LAYERS,
    "num_attention_heads": COUNT,
    "state_size": COUNT,
    "short_filter_length": COUNT,
    "short_filter_bias": FLAG,
    "eps": POSITIVE,
    "tie_embeddings": FLAG,
    "qkv_proj_bias": FLAG,
    "mha_out_proj_bias": FLAG,
    "rotary_emb_base": POSITIVE,
    "use_interpolated_rotary_pos_emb": FLAG,
    "mlp_activation": ACTIVATION,
    "max_seqlen": COUNT,
    "proj_groups": only(1, "no grouped queries"),
    "hyena_filter_groups": only(1, "a filter for each channel"),
    "final_norm": only(True),
}
_EVO1_KEYS = (*_EVO1_REQUIRED, *EVO1_DEFAULTS, "rotary_emb_scaling_factor")
_EVO1_RULES = _EVO1_REQUIRED | {
    "inner_mlp_size": COUNT,
    "inner_size_multiple_of": COUNT,
    "rotary_emb_scaling_factor": POSITIVE,
    "column_split_hyena": FLAG,
    "smeared_gqa": only(False),
}


def evo1_faults(settings: Mapping[str, Any]) -> list[str]:
    """All that is wrong with the keys of a config.json of Evo 1, in words."""
    faults = key_faults(settings, _evo1_needed_keys(settings), _EVO1_RULES)
    return faults or layer_faults(settings, ("attn_layer_idxs", "hyena_layer_idxs"))


def evo1_architecture(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the model's numbers depend on beside its weights, for a hash, of keys that are completed. JSON."""
    read = _without(settings, _EVO1_KEYS, ("max_seqlen", "inner_mlp_size", "inner_size_multiple_of"))
    return read | {"mlp_width": evo1_mlp_width(settings)}


def evo1_mlp_width(settings: Mapping[str, Any]) -> int:
    """``inner_mlp_size``, or 8/3 of the hidden size rounded up to a multiple of ``inner_size_multiple_of``."""
    if settings["inner_mlp_size"] is not None:
        return int(settings["inner_mlp_size"])
    width, multiple = int(2 * settings["hidden_size"] * 4 / 3), int(settings["inner_size_multiple_of"])
    return -(-width // multiple) * multiple


def _evo1_needed_keys(settings: Mapping[str, Any]) -> list[str]:
    names = list(_EVO1_REQUIRED)
    if settings.get("inner_mlp_size") is None:
        names.append("inner_size_multiple_of")
    if settings.get("use_interpolated_rotary_pos_emb"):
        names.append("rotary_emb_scaling_factor")
    return names


# Evo 2 --------------------------------------------------------------------------------------------------------------

EVO2_DEFAULTS = {"use_interpolated_rotary_pos_emb": False, "use_fp8_input_projections": False, "card": None}
"""Values of the keys that a config.json of Evo 2 may leave out."""

_EVO2_REQUIRED = {
    "vocab_size": VOCABULARY,
    "hidden_size": COUNT,
    "num_layers": COUNT,
    "attn_layer_idxs": LAYERS,
    "hcs_layer_idxs": LAYERS,
    "hcm_layer_idxs": LAYERS,
    "hcl_layer_idxs": LAYERS,
    "num_attention_heads": COUNT,
    "state_size": COUNT,
    "short_filter_length": COUNT,
    "short_filter_bias": FLAG,
    # The reference writes the taps of filters shorter than 128 from the oldest input on, those of others from the newest.
    "hcs_filter_length": Rule(lambda value: type(value) is int and 0 < value < 128, "not a whole number from 1 to 127"),
    "hcs_filter_groups": COUNT,
    "hcm_filter_length": Rule(lambda value: type(value) is int and value >= 128, "not a whole number of at least 128"),
    "hcm_filter_groups": COUNT,
    "inner_mlp_size": COUNT,
    "mlp_activation": ACTIVATION,
    "evo2_style_activations": FLAG,
    "eps": POSITIVE,
    "tie_embeddings": FLAG,
    "qkv_proj_bias": FLAG,
    "mha_out_proj_bias": FLAG,
    "hyena_out_proj_bias": FLAG,
    "rotary_emb_base": POSITIVE,
    "max_seqlen": COUNT,
}
_EVO2_KEYS = (*_EVO2_REQUIRED, *EVO2_DEFAULTS, "rotary_emb_scaling_factor")
_EVO2_RULES = _EVO2_REQUIRED | {
    "use_interpolated_rotary_pos_emb": FLAG,
    "rotary_emb_scaling_factor": POSITIVE,
    "use_fp8_input_projections": FLAG,
    "card": Rule(lambda value: isinstance(value, str), "not a name"),
    "proj_groups": only(1, "no grouped queries"),
    "hyena_filter_groups": only(1),
    "final_norm": only(True),
    "interleave": only(True),
    "column_split_hyena": only(False),
    "hyena_flip_x1x2": only(False),
    "smeared_gqa": only(False),
}
_EVO2_LAYER_KINDS = ("attn_layer_idxs", "hcs_layer_idxs", "hcm_layer_idxs", "hcl_layer_idxs")


def evo2_architecture(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As ``evo1_architecture``."""
    return _without(settings, _EVO2_KEYS, ("max_seqlen", "use_fp8_input_projections", "card"))


def evo2_faults(settings: Mapping[str, Any]) -> list[str]:
    """All that is wrong with the keys of a configuration of Evo 2, in words."""
    needed = list(_EVO2_REQUIRED)
    if settings.get("use_interpolated_rotary_pos_emb"):
        needed.append("rotary_emb_scaling_factor")
    faults = key_faults(settings, needed, _EVO2_RULES)
    return faults or [*layer_faults(settings, _EVO2_LAYER_KINDS), *_evo2_width_faults(settings)]


def _evo2_width_faults(settings: Mapping[str, Any]) -> list[str]:
    width = settings["hidden_size"]
    faults = [
        f"hidden_size {width} is not divisible into {settings[name]} groups ({name})"
        for name in ("hcs_filter_groups", "hcm_filter_groups")
        if width % settings[name]
    ]
    each = [name for name in ("num_filters", "hcl_filter_groups") if settings.get(name, width) != width]
    return faults + [f"{name} is {settings[name]}, only hidden_size ({width}) is supported" for name in each]


# Families -----------------------------------------------------------------------------------------------------------

EVO1, EVO2 = "stripedhyena", "stripedhyena2"
"""``model_type`` of a config.json."""


@dataclass(frozen=True)
class FamilyRules:
    """What the config.json of a family may say.

    Attributes:
        faults: of keys, in words. defaults: of keys that may be absent.
        architecture: what the numbers depend on beside the weights, of keys that are ``completed``.
        bos_id: token that is read before the first base where no card says so; None for none.
    """

    name: str
    faults: Callable[[Mapping[str, Any]], list[str]]
    architecture: Callable[[Mapping[str, Any]], dict[str, Any]]
    defaults: Mapping[str, Any]
    bos_id: int | None

    def refuse_faults(self, faults: Sequence[str]) -> None:
        """Raises InputError where there are faults."""
        if faults:
            raise InputError(
                f"config.json does not describe an {self.name} model that can be run: {'; '.join(faults)}."
            )


def rules_of(model_type: object, file: Path) -> FamilyRules:
    """The rules of a family.

    Raises:
        InputError: it is none that is written out here.
    """
    if rules := FAMILY_RULES.get(str(model_type)):
        return rules
    supported = " and ".join(f"an {rules.name} checkpoint says '{kind}'" for kind, rules in FAMILY_RULES.items())
    raise InputError(f"{file}: model_type is {model_type!r}; {supported}.")


FAMILY_RULES = {
    # Evo 1 reads token 0 before the first base; the reference's tokenizer calls it end of document.
    EVO1: FamilyRules("Evo 1", evo1_faults, evo1_architecture, EVO1_DEFAULTS, 0),
    EVO2: FamilyRules("Evo 2", evo2_faults, evo2_architecture, EVO2_DEFAULTS, None),
}
