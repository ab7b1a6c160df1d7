"""How a published Evo 2 checkpoint is built, as its card says it, to the keys of a configuration. Light: no torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

_KINDS = {"S": "hcs_layer_idxs", "M": "hcm_layer_idxs", "L": "hcl_layer_idxs", "A": "attn_layer_idxs"}


class Evo2Architecture(BaseModel):
    """What differs between the published sizes. Context and rotary scaling are the card's own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: str = Field(description="one letter a layer: Short, Medium, Long, Attention; blanks are for the eye")
    hidden_size: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    filter_groups: int = Field(gt=0, description="of short and medium filters")
    inner_mlp_size: int = Field(gt=0)
    rotary_emb_base: float = Field(gt=0)

    @field_validator("layers")
    @classmethod
    def _known_letters(cls, layers: str) -> str:
        letters = layers.replace(" ", "")
        if not letters or set(letters) - _KINDS.keys():
            raise ValueError(f"one of {', '.join(_KINDS)} for each layer")
        return letters

    def config_settings(self, context_length: int, rotary_scaling: float) -> dict[str, Any]:
        """Keyword arguments of ``Evo2Config``; FP8 is not among them."""
        indices = {
            key: [layer for layer, letter in enumerate(self.layers) if letter == kind] for kind, key in _KINDS.items()
        }
        return {
            "vocab_size": 512,
            "hidden_size": self.hidden_size,
            "num_layers": len(self.layers),
            **indices,
            "num_attention_heads": self.num_attention_heads,
            "state_size": 16,
            "short_filter_length": 3,
            "short_filter_bias": False,
            "hcs_filter_length": 7,
            "hcs_filter_groups": self.filter_groups,
            "hcm_filter_length": 128,
            "hcm_filter_groups": self.filter_groups,
            "inner_mlp_size": self.inner_mlp_size,
            "mlp_activation": "gelu",
            "evo2_style_activations": True,
            "eps": 1e-6,
            "tie_embeddings": True,
            "qkv_proj_bias": False,
            "mha_out_proj_bias": True,
            "hyena_out_proj_bias": True,
            "rotary_emb_base": self.rotary_emb_base,
            "use_interpolated_rotary_pos_emb": rotary_scaling != 1,
            "rotary_emb_scaling_factor": rotary_scaling,
            "max_seqlen": context_length,
        }
