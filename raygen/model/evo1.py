"""Evo 1 (StripedHyena): what is its own, configuration, long filter and rotary frequencies. The rest is in ``striped_hyena``.

Precision: matrix products in the dtype of their weights. Residual stream, norms, filters, states and logits float32.

Formulas and parameter names are those of the public reference (stripedhyena 0.2.2 on PyPI, Apache-2.0) and its
checkpoints; tests compare with it.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   N states (poles) a channel
         H heads   E channels a head   C = 3 D channels x2, x1, v
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from raygen.model.attention import inverse_frequencies, rotary_tables
from raygen.model.config_rules import EVO1_DEFAULTS, evo1_architecture, evo1_faults, evo1_mlp_width
from raygen.model.filters import (
    FilterBlock,
    KeptUntilChanged,
    build_filter_block,
    long_filter,
)
from raygen.model.layers import drawn, drawn_around_zero
from raygen.model.state import Marks
from raygen.model.striped_hyena import (
    AttentionBlock,
    HyenaBlock,
    HyenaFilter,
    StripedHyenaConfig,
    StripedHyenaNetwork,
)

# Configuration ------------------------------------------------------------------------------------------------------


class Evo1Config(StripedHyenaConfig):
    """The keys of a published ``config.json``. No number has a default: a missing key is an InputError that names it.

    Keys that change nothing here (how the reference runs: flash kernels, inference mode, ...) are ignored, ``auto_map``
    (code from the hub) too.
    """

    model_type = "stripedhyena"
    family = "Evo 1"
    published_class = "StripedHyenaModelForCausalLM"
    defaults = EVO1_DEFAULTS

    vocab_size: int  # V: 512, bytes and a few special tokens
    hidden_size: int  # D: width of the residual stream
    num_layers: int
    attn_layer_idxs: list[int]  # layers that are attention; the others are Hyena
    hyena_layer_idxs: list[int]
    num_attention_heads: int  # H; also how the Hyena projections are interleaved, see column_split_hyena
    state_size: int  # N: poles a channel
    short_filter_length: int  # taps of the causal filter on x2, x1 and v
    short_filter_bias: bool
    inner_mlp_size: int | None  # width of the gated MLP; None: 8/3 of hidden_size rounded up, see mlp_width
    inner_size_multiple_of: int | None  # only read where inner_mlp_size is None
    eps: float  # of RMSNorm, added to the root, not under it
    column_split_hyena: bool  # True: x2, x1, v lie side by side within each head; False: one after the other
    tie_embeddings: bool  # True: the unembedding is the embedding's transpose
    qkv_proj_bias: bool
    mha_out_proj_bias: bool
    rotary_emb_base: float
    use_interpolated_rotary_pos_emb: bool  # True: positions are divided by rotary_emb_scaling_factor
    rotary_emb_scaling_factor: float  # only read where use_interpolated_rotary_pos_emb is true
    mlp_activation: str  # of l1: gelu (exact) or silu
    max_seqlen: int  # tokens the model was trained to read at once: 8,192 or 131,072
    proj_groups: int  # 1: as many key and value heads as query heads
    hyena_filter_groups: int  # 1: each channel has its own filter
    final_norm: bool

    hyena_proj_bias = hyena_out_proj_bias = True  # not keys: every published checkpoint has them

    @staticmethod
    def faults(settings: Mapping[str, Any]) -> list[str]:
        """All that is wrong with the keys of a config.json, in words."""
        return evo1_faults(settings)

    def activation(self, layer: int) -> str:
        """The activation of a layer's MLP: the same in all layers."""
        return self.mlp_activation

    def architecture(self) -> dict[str, Any]:
        """The values that the model's numbers depend on beside its weights, for a hash. JSON."""
        return evo1_architecture(self.keys())

    @property
    def mlp_width(self) -> int:
        """``inner_mlp_size``, or 8/3 of the hidden size rounded up to a multiple of ``inner_size_multiple_of``."""
        return evo1_mlp_width(self.keys())


# Layers -------------------------------------------------------------------------------------------------------------
# Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.


class LongHyena(HyenaFilter):
    """y = (h * x) + D · x with h_t = Re Σ_n R_n pole_n^t."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.order = (
            "(h three e) b t -> three h e b t" if config.column_split_hyena else "(three h e) b t -> three h e b t"
        )
        self.num_heads = config.num_attention_heads
        self.poles = drawn((width, config.state_size, 1, 2), -0.5, 0.5)
        self.residues = drawn_around_zero((width, config.state_size, 1, 2), 1 / config.state_size)
        self.D = nn.Parameter(torch.zeros(width))
        self._kept: KeptUntilChanged[FilterBlock] = KeptUntilChanged()

    def split(self, y_CBT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x2_HEBT, x1_HEBT, v_HEBT = rearrange(y_CBT, self.order, three=3, h=self.num_heads)
        return x2_HEBT, x1_HEBT, v_HEBT

    def inner(self, x_DBT: Tensor, before: Tensor | None, marks: Marks | None) -> tuple[Tensor, Tensor | None]:
        return long_filter(x_DBT, self.block(), before, marks)

    def block(self) -> FilterBlock:
        """The filter over one block of tokens, kept until poles, residues or D change; made anew while they are trained."""
        return self._kept.get(self._build_block, self.poles, self.residues, self.D)

    def _build_block(self) -> FilterBlock:
        poles_DN1 = torch.view_as_complex(self.poles.float().contiguous())
        residues_DN1 = torch.view_as_complex(self.residues.float().contiguous())
        return build_filter_block(poles_DN1.squeeze(-1), residues_DN1.squeeze(-1), self.D)


class RotaryFrequencies(nn.Module):
    """The angle that each pair of channels turns by from one position to the next, computed.

    ``rotary_emb.inv_freq`` on disk holds it too, in some checkpoints rounded to bfloat16; it is never read.
    """

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.base, self.head_size = config.rotary_emb_base, config.head_size
        self.scaling = config.rotary_emb_scaling_factor

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        frequencies_E = inverse_frequencies(self.base, self.head_size, positions.device)
        return rotary_tables(frequencies_E, self.scaling, positions)


# Model --------------------------------------------------------------------------------------------------------------


class Evo1Network(StripedHyenaNetwork):
    """Evo 1: ``hidden_states`` and ``unembed`` are the way in."""

    float32_parameters = ("poles", "residues", "D", "short_filter_weight", "short_filter_bias", "scale")

    @staticmethod
    def make_block(config: Evo1Config, layer: int) -> nn.Module:
        if layer in config.attn_layer_idxs:
            return AttentionBlock(config, RotaryFrequencies(config), layer)
        return HyenaBlock(config, LongHyena(config), layer)

    def hyena_state_bytes(self) -> int:
        """Bytes of one row's state in all Hyena layers: complex filter states, and inputs of the short filter."""
        config = self.config
        tails = 4 * 3 * config.hidden_size * (config.short_filter_length - 1)
        return len(config.hyena_layer_idxs) * (8 * config.hidden_size * config.state_size + tails)
