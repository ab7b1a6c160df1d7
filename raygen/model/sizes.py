"""How large an Evo model is, by the keys of its config.json alone: its tensors, its parameters, its state. Light: no torch.

In: keys as ``keys_of`` gives them. What is true are the networks (``evo1``, ``evo2``); ``tests/model/test_sizes.py`` holds these
formulas to them. Written out a second time because building a network without weights takes torch, a second of
imports, and a plan or a laptop needs a few sums only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raygen.errors import InputError
from raygen.model.checkpoint_files import EMBEDDING, PREFIX, UNEMBEDDING, Shapes, read_settings
from raygen.model.config_rules import EVO1, FAMILY_RULES, evo1_mlp_width, rules_of

Keys = Mapping[str, Any]
"""Keys of a config.json with ``model_type``, checked, with their defaults."""

BLOCK_TOKENS = 64  # of 32, 64, 128 and 256 the fastest on the CPU (11, 8, 13 and 93 ms a layer at width 384)
"""Tokens of a block of a long filter."""

_FLOAT32 = 4
_COMPLEX64 = 8


def read_keys(folder: Path) -> Keys:
    """The keys of a folder's config.json of Evo 1 or Evo 2.

    Raises:
        InputError: there is no config.json, it is not JSON, it is of another family, or keys are missing or unusable.
    """
    settings = read_settings(folder)
    rules_of(settings.get("model_type"), folder / "config.json")
    try:
        return keys_of(settings)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def keys_of(settings: Mapping[str, Any]) -> Keys:
    """Settings with ``model_type``, checked and completed.

    Raises:
        InputError: keys are missing or unusable.
    """
    rules = FAMILY_RULES[settings["model_type"]]
    rules.refuse_faults(rules.faults(settings))
    return {**rules.defaults, **settings}


def tensor_shapes(keys: Keys) -> Shapes:
    """Canonical name and shape of every tensor that a checkpoint must hold."""
    width = keys["hidden_size"]
    shapes: Shapes = {EMBEDDING: (keys["vocab_size"], width), f"{PREFIX}norm.scale": (width,)}
    if not keys["tie_embeddings"]:
        shapes[UNEMBEDDING] = (keys["vocab_size"], width)
    for layer in range(keys["num_layers"]):
        mixer = _attention(keys) if layer in keys["attn_layer_idxs"] else _hyena(keys, layer)
        block = {"pre_norm.scale": (width,), "post_norm.scale": (width,), **_mlp(keys), **mixer}
        shapes |= {f"{PREFIX}blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def unread_shapes(keys: Keys) -> Shapes:
    """Tensors that a checkpoint may hold and that are never read: computed frequencies, and a tied unembedding."""
    shapes: Shapes = {}
    if keys["model_type"] == EVO1:
        frequencies = f"{PREFIX}blocks.{{}}.inner_mha_cls.{_FREQUENCIES}"
        shapes = {frequencies.format(layer): (_num_frequencies(keys),) for layer in keys["attn_layer_idxs"]}
    if keys["tie_embeddings"]:
        shapes[UNEMBEDDING] = (keys["vocab_size"], keys["hidden_size"])
    return shapes


def count_parameters(keys: Keys) -> int:
    """Parameters of a model; rotary frequencies are none."""
    return sum(math.prod(shape) for name, shape in tensor_shapes(keys).items() if not name.endswith(_FREQUENCIES))


@dataclass(frozen=True)
class StateSize:
    """Bytes of what a model keeps of a row that it read.

    Attributes:
        fixed: whatever the number of tokens: of filters, convolutions and recurrences.
        per_token: of keys and values.
        in_place: states kept along a row, and all that goes on from them, attend to the row's own keys and values where these are;
            else each has a copy.
    """

    fixed: int
    per_token: int
    in_place: bool

    def prefix(self, num_tokens: int) -> int:
        """Of a row after so many tokens."""
        return self.fixed + self.per_token * num_tokens

    def branch(self, num_tokens: int) -> int:
        """Of what leaves a row after so many tokens, beside the row's own state."""
        return self.fixed if self.in_place else self.prefix(num_tokens)


def state_size(keys: Keys, bytes_per_weight: int) -> StateSize:
    """Bytes of one row's state, with keys and values in the type of the weights."""
    a_token = 2 * bytes_per_weight * keys["hidden_size"] * len(keys["attn_layer_idxs"])
    return StateSize(keys["hidden_size"] * _hyena_bytes_per_channel(keys), a_token, in_place=True)


def _hyena_bytes_per_channel(keys: Keys) -> int:
    """Bytes of the states of all Hyena layers, and of what their short filters have read, by channels of the residual stream."""
    tail = _FLOAT32 * 3 * (keys["short_filter_length"] - 1)
    if keys["model_type"] == EVO1:
        return len(keys["hyena_layer_idxs"]) * (tail + _COMPLEX64 * keys["state_size"])
    numbers = {
        "hcs_layer_idxs": keys["hcs_filter_length"] - 1,
        "hcm_layer_idxs": keys["hcm_filter_length"] - 1,
        "hcl_layer_idxs": keys["state_size"],
    }
    return sum(len(keys[kind]) * (tail + _FLOAT32 * count) for kind, count in numbers.items())


_FREQUENCIES = "rotary_emb.inv_freq"


def _num_frequencies(keys: Keys) -> int:
    """Rotary frequencies of a head, one for each pair of its channels."""
    return int(keys["hidden_size"] // keys["num_attention_heads"] // 2)


def _mlp(keys: Keys) -> Shapes:
    width = keys["hidden_size"]
    inner = evo1_mlp_width(keys) if keys["model_type"] == EVO1 else keys["inner_mlp_size"]
    return {"mlp.l1.weight": (inner, width), "mlp.l2.weight": (inner, width), "mlp.l3.weight": (width, inner)}


def _attention(keys: Keys) -> Shapes:
    width = keys["hidden_size"]
    shapes = {
        **_linear("inner_mha_cls.Wqkv", 3 * width, width, keys["qkv_proj_bias"]),
        **_linear("inner_mha_cls.out_proj", width, width, keys["mha_out_proj_bias"]),
    }
    if keys["model_type"] != EVO1:
        shapes[f"inner_mha_cls.{_FREQUENCIES}"] = (_num_frequencies(keys),)
    return shapes


def _hyena(keys: Keys, layer: int) -> Shapes:
    width, is_evo1 = keys["hidden_size"], keys["model_type"] == EVO1
    shapes: Shapes = {"filter.short_filter_weight": (3 * width, 1, keys["short_filter_length"])}
    if keys["short_filter_bias"]:
        shapes["filter.short_filter_bias"] = (3 * width,)
    return {
        **shapes,
        **(_evo1_filter(keys) if is_evo1 else _evo2_filter(keys, layer)),
        **_linear("projections", 3 * width, width, is_evo1 or keys["qkv_proj_bias"]),
        **_linear("out_filter_dense", width, width, is_evo1 or keys["hyena_out_proj_bias"]),
    }


def _evo1_filter(keys: Keys) -> Shapes:
    poles = (keys["hidden_size"], keys["state_size"], 1, 2)
    return {"filter.poles": poles, "filter.residues": poles, "filter.D": (keys["hidden_size"],)}


def _evo2_filter(keys: Keys, layer: int) -> Shapes:
    width, num_states = keys["hidden_size"], keys["state_size"]
    if layer in keys["hcs_layer_idxs"]:
        return {"filter.h": (keys["hcs_filter_groups"], 1, keys["hcs_filter_length"])}
    if layer in keys["hcm_layer_idxs"]:
        return {"filter.h": (keys["hcm_filter_groups"], 1, keys["hcm_filter_length"]), "filter.D": (width,)}
    return {
        "filter.log_poles": (width, num_states, 1),
        "filter.residues": (width, num_states),
        "filter.D": (width,),
    }


def _linear(name: str, num_out: int, num_in: int, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (num_out, num_in)}
    return {**weight, f"{name}.bias": (num_out,)} if bias else weight
