"""Evo 2 (StripedHyena 2): what is its own, configuration, filters and rotary frequencies. The rest is in ``striped_hyena``.

Four kinds of layers: attention, and Hyena with a short (7 taps, HCS), a medium (128 taps, HCM) or a long filter (real poles
and residues, HCL) behind the gate. What differs from Evo 1 beside that: projections are interleaved channel by channel,
channels of a group share the taps of short and medium filters, the gated MLP has an activation in the first layer only, and
the rotary frequencies are read from the checkpoint, because the published 7B checkpoints hold them rounded to bfloat16 and
were trained and measured so.

Precision: matrix products in the dtype of their weights. Residual stream, norms, filters, states and logits float32. FP8,
which some published numbers need, is not done here (``raygen.model.cards``).

Formulas and parameter names are those of the public reference (vtx 1.1.0 on PyPI, Apache-2.0) and its checkpoints, after
their attention weights are put in the order of ``raygen.model.convert``; tests compare with it.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   N states (poles) a channel   G groups of channels
         H heads   E channels a head   C = 3 D channels x2, x1, v interleaved   J taps, or tokens read before
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raygen.model.attention import inverse_frequencies, rotary_tables
from raygen.model.config_rules import EVO2_DEFAULTS, evo2_architecture, evo2_faults
from raygen.model.filters import (
    FilterBlock,
    KeptUntilChanged,
    build_filter_block,
    build_window_toeplitz,
    inputs_before_marks,
    long_filter,
    medium_filter,
    medium_filter_in_windows,
    short_filter,
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


class Evo2Config(StripedHyenaConfig):
    """The keys of the published configurations. A missing key without a default is an InputError that names it.

    Keys that change nothing here (how the reference runs: kernels, inference mode, ...) are ignored.
    """

    model_type = "stripedhyena2"
    family = "Evo 2"
    published_class = "Evo2ForCausalLM"
    defaults = EVO2_DEFAULTS

    vocab_size: int  # V: 512, bytes and a few special tokens
    hidden_size: int  # D: width of the residual stream
    num_layers: int
    attn_layer_idxs: list[int]  # layers that are attention
    hcs_layer_idxs: list[int]  # Hyena with a short filter
    hcm_layer_idxs: list[int]  # Hyena with a medium filter
    hcl_layer_idxs: list[int]  # Hyena with a long filter
    num_attention_heads: int  # H
    state_size: int  # N: poles a channel of the long filters
    short_filter_length: int  # taps of the causal filter on the projections
    short_filter_bias: bool
    hcs_filter_length: int  # taps of a short filter behind the gate; the last tap is on the token itself
    hcs_filter_groups: int  # channels of a group share their taps
    hcm_filter_length: int  # taps of a medium filter; the first tap is on the token itself
    hcm_filter_groups: int
    inner_mlp_size: int  # width of the gated MLP
    mlp_activation: str  # gelu (exact) or silu
    evo2_style_activations: bool  # True: the activation is in the first layer only; False: in every layer
    eps: float  # of RMSNorm, added to the root, not under it
    tie_embeddings: bool  # True: the unembedding is the embedding's transpose
    qkv_proj_bias: bool  # of the Hyena projections, too
    mha_out_proj_bias: bool
    hyena_out_proj_bias: bool
    rotary_emb_base: float
    use_interpolated_rotary_pos_emb: bool  # True: positions are divided by rotary_emb_scaling_factor; default False
    rotary_emb_scaling_factor: float  # only read where use_interpolated_rotary_pos_emb is true
    max_seqlen: int  # tokens the model was trained to read at once
    use_fp8_input_projections: bool  # how the reference runs the Hyena projections; here it says what cannot be had
    card: str | None  # the model card of the checkpoint that this is, written by raygen convert

    @staticmethod
    def faults(settings: Mapping[str, Any]) -> list[str]:
        """All that is wrong with the keys of a configuration, in words."""
        return evo2_faults(settings)

    @property
    def mlp_width(self) -> int:
        return self.inner_mlp_size

    @property
    def hyena_proj_bias(self) -> bool:
        return self.qkv_proj_bias

    def activation(self, layer: int) -> str | None:
        """The activation of a layer's MLP; None for none."""
        return None if self.evo2_style_activations and layer else self.mlp_activation

    def architecture(self) -> dict[str, Any]:
        """The values that the model's numbers depend on beside its weights, for a hash. JSON."""
        return evo2_architecture(self.keys())


# Layers -------------------------------------------------------------------------------------------------------------
# Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.


class InterleavedHyena(HyenaFilter):
    """x2, x1 and v of a channel lie side by side. The kinds differ in ``inner``."""

    def split(self, y_CBT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x2_DBT, x1_DBT, v_DBT = y_CBT.unflatten(0, (-1, 3)).unbind(1)
        return x2_DBT, x1_DBT, v_DBT


class ShortHyena(InterleavedHyena):
    """HCS: y_t = Σ_j h_j x_{t−J+1+j}, channels of a group with the same taps."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        taps = config.hcs_filter_length
        self.h = drawn_around_zero((config.hcs_filter_groups, 1, taps), taps**-0.5)

    def inner(self, x_DBT: Tensor, before: Tensor | None, marks: Marks | None) -> tuple[Tensor, Tensor | None]:
        taps_GJ = self.h[:, 0].float()
        taps_DJ = taps_GJ.repeat_interleave(x_DBT.shape[0] // taps_GJ.shape[0], dim=0)
        before_BDJ = _inputs_before(x_DBT, before, taps_GJ.shape[1])
        y_DBT = short_filter(x_DBT, taps_DJ, None, before_BDJ)
        return y_DBT, inputs_before_marks(before_BDJ, x_DBT, marks) if marks else None


class MediumHyena(InterleavedHyena):
    """HCM: y_t = Σ_j h_j x_{t−j} + D · x_t, channels of a group with the same taps."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        taps = config.hcm_filter_length
        self.h = drawn_around_zero((config.hcm_filter_groups, 1, taps), taps**-0.5)
        self.D = nn.Parameter(torch.zeros(config.hidden_size))
        self._kept: KeptUntilChanged[Tensor] = KeptUntilChanged()

    def inner(self, x_DBT: Tensor, before: Tensor | None, marks: Marks | None) -> tuple[Tensor, Tensor | None]:
        before_BDJ = _inputs_before(x_DBT, before, self.h.shape[-1])
        filtered_DBT = self._filter(x_DBT, before_BDJ)
        y_DBT = torch.addcmul(filtered_DBT, x_DBT, self.D.float()[:, None, None])
        return y_DBT, inputs_before_marks(before_BDJ, x_DBT, marks) if marks else None

    def _filter(self, x_DBT: Tensor, before_BDJ: Tensor) -> Tensor:
        taps_GJ = self.h[:, 0].float()
        if x_DBT.device.type == "cpu":
            return medium_filter(x_DBT, taps_GJ, before_BDJ)
        toeplitz_GWL = self._kept.get(lambda: build_window_toeplitz(taps_GJ), self.h)
        return medium_filter_in_windows(x_DBT, toeplitz_GWL, before_BDJ)


class LongHyena(InterleavedHyena):
    """HCL: y = (h * x) + D · x with h_t = Σ_n R_n exp(t · log_pole_n), all real."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        width, states = config.hidden_size, config.state_size
        self.log_poles = drawn((width, states, 1), -1, 0)
        self.residues = drawn_around_zero((width, states), 1 / states)
        self.D = nn.Parameter(torch.zeros(width))
        self._kept: KeptUntilChanged[FilterBlock] = KeptUntilChanged()

    def inner(self, x_DBT: Tensor, before: Tensor | None, marks: Marks | None) -> tuple[Tensor, Tensor | None]:
        block = self._kept.get(self._build_block, self.log_poles, self.residues, self.D)
        return long_filter(x_DBT, block, before, marks)

    def _build_block(self) -> FilterBlock:
        return build_filter_block(self.log_poles[..., 0].double().exp(), self.residues, self.D)


def _inputs_before(x_DBT: Tensor, before_BDJ: Tensor | None, taps: int) -> Tensor:
    return x_DBT.new_zeros(x_DBT.shape[1], x_DBT.shape[0], taps - 1) if before_BDJ is None else before_BDJ


class RotaryFrequencies(nn.Module):
    """The angle that each pair of channels turns by from one position to the next, read from the checkpoint."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__()
        self.inv_freq: Tensor
        # Computed on the CPU wherever the network is made, see ``layers.drawn``.
        frequencies_E = inverse_frequencies(config.rotary_emb_base, config.head_size, torch.device("cpu"))
        self.register_buffer("inv_freq", frequencies_E.to(torch.get_default_device()))
        self.scaling = config.rotary_emb_scaling_factor

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_tables(self.inv_freq.float(), self.scaling, positions)


# Model --------------------------------------------------------------------------------------------------------------


class Evo2Network(StripedHyenaNetwork):
    """Evo 2: ``hidden_states`` and ``unembed`` are the way in."""

    float32_parameters = (  # auto_classes gives these to transformers, for which "h" alone would be in nearly every name
        "log_poles",
        "residues",
        "filter.D",
        "filter.h",
        "short_filter_weight",
        "short_filter_bias",
        "scale",
        "inv_freq",
    )

    @staticmethod
    def make_block(config: Evo2Config, layer: int) -> nn.Module:
        if layer in config.attn_layer_idxs:
            return AttentionBlock(config, RotaryFrequencies(config), layer)
        if layer in config.hcs_layer_idxs:
            return HyenaBlock(config, ShortHyena(config), layer)
        return HyenaBlock(config, (MediumHyena if layer in config.hcm_layer_idxs else LongHyena)(config), layer)

    def hyena_state_bytes(self) -> int:
        """Bytes of one row's state in all Hyena layers: real filter states or inputs, and inputs of the short filter."""
        config = self.config
        inner_sizes = {
            "hcs_layer_idxs": config.hcs_filter_length - 1,
            "hcm_layer_idxs": config.hcm_filter_length - 1,
            "hcl_layer_idxs": config.state_size,
        }
        tails = 3 * (config.short_filter_length - 1)
        hyena = sum(len(getattr(config, kind)) * (tails + inner) for kind, inner in inner_sizes.items())
        return 4 * config.hidden_size * hyena
