"""The model families that are written out here, by the ``model_type`` of their config.json; others go through transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.evo2 import Evo2Config, Evo2ForCausalLM
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaForCausalLM

Shapes = dict[str, tuple[int, ...]]

PREFIX = "backbone."
EMBEDDING = f"{PREFIX}embedding_layer.weight"
UNEMBEDDING = f"{PREFIX}unembed.weight"


@dataclass(frozen=True)
class Family:
    """What differs between families outside their networks.

    Attributes:
        bos_id: token that is read before the first base where no card says so; None for none.
        extra_shapes: of a configuration, the tensors that a checkpoint may hold beyond those that are read.
    """

    config: type[StripedHyenaConfig]
    network: type[StripedHyenaForCausalLM]
    bos_id: int | None
    extra_shapes: Callable[[Any], Shapes]


def _computed_frequencies(config: Evo1Config) -> Shapes:
    name = f"{PREFIX}blocks.{{}}.inner_mha_cls.rotary_emb.inv_freq"
    return {name.format(layer): (config.head_size // 2,) for layer in config.attn_layer_idxs}


FAMILIES = {
    # Evo 1 reads token 0 before the first base; the reference's tokenizer calls it end of document.
    Evo1Config.model_type: Family(Evo1Config, Evo1ForCausalLM, 0, _computed_frequencies),
    Evo2Config.model_type: Family(Evo2Config, Evo2ForCausalLM, None, lambda config: {}),
}


def family_of(config: StripedHyenaConfig) -> Family:
    """The family of a configuration."""
    return FAMILIES[config.model_type]


def extra_shapes(config: StripedHyenaConfig) -> Shapes:
    """Tensors that a checkpoint may hold and that are never read: computed ones, and a tied unembedding."""
    shapes = family_of(config).extra_shapes(config)
    if config.tie_embeddings:
        shapes[UNEMBEDDING] = (config.vocab_size, config.hidden_size)
    return shapes
