"""What a model of transformers knows after some tokens: its cache, as a state that is never changed.

In: a cache that the library filled. Out: a ``PrefixState`` of its layers, and from that a cache to read on from. Layers hold keys
and values (which the library joins into new tensors when it reads on), or the states of convolutions and recurrences (which it
overwrites, so these are copied before a model may have them), or both. A kind of layer that is not known here is refused by name.

A recurrent state after padding on the right is a state after the padding: as with Evo's, rows that ended may not be read on from,
and ``scoring/fork.py`` drops them.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import (
    CacheLayerMixin,
    DummyLayer,
    DynamicIndexedLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)

from raygen.model.state import PrefixState

_CACHE_ARGUMENTS = (
    "cache",
    "past_key_values",
    "cache_params",
)  # the first from transformers 5.24 on, the others before
_GROW = ("keys", "values", "indexer_keys")
_OVERWRITTEN = ("conv_states", "recurrent_states")  # by number, in a dictionary
_KNOWN = (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    DynamicIndexedLayer,
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    DummyLayer,
)
_OF_KEYS_ALONE = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)


@dataclass(frozen=True)
class CachedLayer:
    """A layer of the library's cache that no model has any more."""

    layer: Any

    def tensors(self) -> tuple[Tensor, ...]:
        grown = [getattr(self.layer, name, None) for name in _GROW]
        overwritten = [state for name in _OVERWRITTEN for state in getattr(self.layer, name, {}).values()]
        return tuple(tensor for tensor in (*grown, *overwritten) if tensor is not None)

    def select(self, rows: np.ndarray) -> CachedLayer:
        chosen = torch.from_numpy(rows)

        def pick(tensor: Tensor) -> Tensor:
            return tensor.index_select(0, chosen.to(tensor.device))

        return self._mapped(pick, pick)

    def to_read_on(self) -> Any:
        """A layer for a model, which may overwrite it."""
        return self._mapped(
            lambda tensor: tensor, lambda state: state.clone(memory_format=torch.contiguous_format)
        ).layer

    def _mapped(self, of_grown: Callable[[Tensor], Tensor], of_overwritten: Callable[[Tensor], Tensor]) -> CachedLayer:
        layer = copy.copy(self.layer)
        for name, value in vars(self.layer).items():
            if isinstance(value, dict):  # of states, and of what is known of them
                states = {
                    key: of_overwritten(state) if isinstance(state, Tensor) else state for key, state in value.items()
                }
                setattr(layer, name, states)
            elif name in _GROW and value is not None:
                setattr(layer, name, of_grown(value))
        return CachedLayer(layer)


def cache_argument(network: type) -> str | None:
    """By which argument, and attribute of what it returns, a class of models takes and gives a cache."""
    parameters = inspect.signature(network.forward).parameters  # type: ignore[attr-defined]
    return next(
        (name for name in _CACHE_ARGUMENTS if name in parameters and not _is_dictionary(parameters[name])), None
    )


def _is_dictionary(parameter: inspect.Parameter) -> bool:
    """Whether an argument wants a dictionary, as XLM's ``cache`` does, which is no cache of the library's."""
    return str(parameter.annotation).startswith("dict")


def new_cache(config: Any) -> DynamicCache:
    """An empty cache: of every key and value, or, where other states are needed too, of the layers that ``config`` names."""
    try:
        layered = DynamicCache(config=config)
    except (KeyError, AttributeError, TypeError):  # kinds of layers that the library keeps no cache for
        return DynamicCache()
    return DynamicCache() if all(type(layer) in _OF_KEYS_ALONE for layer in layered.layers) else layered


def cache_of(state: PrefixState) -> DynamicCache:
    """A cache to read on from, as often as one wishes."""
    cache = DynamicCache()
    cache.layers = [layer.to_read_on() for layer in state.layers]  # type: ignore[attr-defined]
    return cache


def state_of(cache: Any, num_rows: int, num_tokens: int) -> PrefixState:
    """The state that a cache holds after ``num_tokens`` tokens of each row; whoever filled it lets go of it.

    Raises:
        TypeError, ValueError: its layers are of an unknown kind, or do not hold every token.
    """
    unknown = {type(layer).__name__ for layer in cache.layers if not _is_known(layer)}
    if unknown:
        raise TypeError(f"its cache holds {', '.join(sorted(unknown))}")
    if any(layer.get_seq_length() != num_tokens for layer in cache.layers if _holds_tokens(layer)):
        raise ValueError("its cache does not hold every token")
    if not any(CachedLayer(layer).tensors() for layer in cache.layers):
        raise ValueError("its cache is empty")
    return PrefixState(tuple(CachedLayer(layer) for layer in cache.layers), np.full(num_rows, num_tokens))


def has_own_states(state: PrefixState) -> bool:
    """Whether layers keep more than keys and values: what convolutions and recurrences carry on."""
    layers = (layer.layer for layer in state.layers if isinstance(layer, CachedLayer))
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)


def _is_known(layer: Any) -> bool:
    rows_elsewhere = getattr(layer, "indexer_position_ids", None) is not None
    return type(layer) in _KNOWN and not rows_elsewhere


def _holds_tokens(layer: Any) -> bool:
    return isinstance(layer, CacheLayerMixin) and not isinstance(layer, DummyLayer) and layer.is_initialized
