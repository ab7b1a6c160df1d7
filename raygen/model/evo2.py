"""Evo 2 (StripedHyena 2), whole: configuration, layers, model. Read downwards.

In: token ids (B, T) and, for a continuation, the ``PrefixState`` that an earlier call returned.
Out: the residual stream (B, T, D) in float32, logits (B, T, V) in float32, and the state after the last token.

Four kinds of layers: attention, and Hyena with a short (7 taps, HCS), a medium (128 taps, HCM) or a long filter (real poles
and residues, HCL) behind the gate. What differs from Evo 1 beside that: projections are interleaved channel by channel,
channels of a group share the taps of short and medium filters, the gated MLP has an activation in the first layer only, and
the rotary frequencies are read from the checkpoint, because the published 7B checkpoints hold them rounded to bfloat16 and
were trained and measured so. The operators are in ``filters``, ``attention`` and ``layers``, what is carried from a prefix in
``state``.

Precision: matrix products in the dtype of their weights. Residual stream, norms, filters, states and logits float32. FP8,
which some published numbers need, is not done here (``raygen.model.cards``).

Formulas and parameter names are those of the public reference (vtx 1.1.0 on PyPI, Apache-2.0) and its checkpoints, after
their attention weights are put in the order of ``raygen.model.convert``; tests compare with it.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   N states (poles) a channel   G groups of channels
         H heads   E channels a head   C = 3 D channels x2, x1, v interleaved   J taps, or tokens read before
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from raygen.errors import InputError
from raygen.model.attention import causal_attention, inverse_frequencies, rotary_tables, rotate
from raygen.model.config_rules import (
    ACTIVATION,
    COUNT,
    FLAG,
    LAYERS,
    POSITIVE,
    Rule,
    key_faults,
    layer_faults,
    only,
)
from raygen.model.filters import (
    BLOCK_TOKENS,
    FilterBlock,
    KeptUntilChanged,
    build_filter_block,
    build_window_toeplitz,
    last_inputs,
    long_filter,
    medium_filter,
    medium_filter_in_windows,
    short_filter,
)
from raygen.model.layers import GatedMLP, RMSNorm, TokenEmbedding, read_in_pieces
from raygen.model.network import check_rows, refuse_left_padding
from raygen.model.products import Linear, LinearFromChannelsFirst, LinearToChannelsFirst
from raygen.model.state import AttentionState, HyenaState, PrefixState

# Configuration ------------------------------------------------------------------------------------------------------


class Evo2Config(PreTrainedConfig):
    """The keys of the published configurations. A missing key without a default is an InputError that names it.

    Keys that change nothing here (how the reference runs: kernels, inference mode, ...) are ignored.
    """

    model_type = "stripedhyena2"
    attribute_map = {"num_hidden_layers": "num_layers", "max_position_embeddings": "max_seqlen"}  # noqa: RUF012

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

    def __init__(self, **settings: Any) -> None:
        settings.pop("auto_map", None)
        faults = _config_faults(settings)
        if faults:
            raise InputError(f"config.json does not describe an Evo 2 model that can be run: {'; '.join(faults)}.")
        for name, default in _DEFAULTS.items():  # as in the reference, where they are absent
            settings.setdefault(name, default)
        if not settings["use_interpolated_rotary_pos_emb"]:
            settings["rotary_emb_scaling_factor"] = 1.0
        for name in ("eps", "rotary_emb_base", "rotary_emb_scaling_factor"):  # 10000 and 10000.0 are one architecture
            settings[name] = float(settings[name])
        own_names = Evo2Config.__annotations__.keys()
        super().__init__(**{name: value for name, value in settings.items() if name not in own_names})
        for name in own_names:
            setattr(self, name, settings[name])

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def activation(self, layer: int) -> str | None:
        """Of a layer's MLP; None for none."""
        return None if self.evo2_style_activations and layer else self.mlp_activation

    def architecture(self) -> dict[str, Any]:
        """The values that the model's numbers depend on beside its weights, for a hash. JSON."""
        names = Evo2Config.__annotations__.keys() - {"max_seqlen", "use_fp8_input_projections", "card"}
        return {name: getattr(self, name) for name in sorted(names)}


_REQUIRED = {
    "vocab_size": COUNT,
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
_DEFAULTS: dict[str, Any] = {
    "use_interpolated_rotary_pos_emb": False,
    "use_fp8_input_projections": False,
    "card": None,
}
_RULES = _REQUIRED | {
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
_LAYER_KINDS = ("attn_layer_idxs", "hcs_layer_idxs", "hcm_layer_idxs", "hcl_layer_idxs")


def _config_faults(settings: dict[str, Any]) -> list[str]:
    """All that is wrong with the keys of a configuration, in words."""
    needed = list(_REQUIRED)
    if settings.get("use_interpolated_rotary_pos_emb"):
        needed.append("rotary_emb_scaling_factor")
    faults = key_faults(settings, needed, _RULES)
    return faults or [*layer_faults(settings, _LAYER_KINDS), *_width_faults(settings)]


def _width_faults(settings: dict[str, Any]) -> list[str]:
    width = settings["hidden_size"]
    faults = [
        f"hidden_size {width} is not divisible into {settings[name]} groups ({name})"
        for name in ("hcs_filter_groups", "hcm_filter_groups")
        if width % settings[name]
    ]
    each = [name for name in ("num_filters", "hcl_filter_groups") if settings.get(name, width) != width]
    return faults + [f"{name} is {settings[name]}, only hidden_size ({width}) is supported" for name in each]


# Layers -------------------------------------------------------------------------------------------------------------
# Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.


class HyenaFilter(nn.Module, ABC):
    """(x2, x1, v), interleaved → short filter on each → x2 · inner(x1 · v), all in float32.

    The kinds differ in ``inner``: x (D, B, T) and the state before to y (D, B, T) and, if asked for, the state after.
    """

    def __init__(self, config: Evo2Config) -> None:
        super().__init__()
        channels, taps = 3 * config.hidden_size, config.short_filter_length
        self.short_filter_weight = nn.Parameter(torch.randn(channels, 1, taps) * taps**-0.5)
        self.short_filter_bias = nn.Parameter(torch.zeros(channels)) if config.short_filter_bias else None

    def forward(self, z_CBT: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        z_CBT = z_CBT.float()
        taps = self.short_filter_weight.shape[-1]
        before_BCJ = state.short_BCJ if state else z_CBT.new_zeros(z_CBT.shape[1], z_CBT.shape[0], taps - 1)
        bias_C = None if self.short_filter_bias is None else self.short_filter_bias.float()
        y_CBT = short_filter(z_CBT, self.short_filter_weight[:, 0].float(), bias_C, before_BCJ)
        x2_DBT, x1_DBT, v_DBT = y_CBT.unflatten(0, (-1, 3)).unbind(1)
        mixed_DBT, after_BDN = self.inner(x1_DBT * v_DBT, state.filter_BDN if state else None, return_state)
        gated_DBT = mixed_DBT * x2_DBT
        if after_BDN is None:
            return gated_DBT, None
        return gated_DBT, HyenaState(last_inputs(before_BCJ, z_CBT), after_BDN)

    @abstractmethod
    def inner(self, x_DBT: Tensor, before: Tensor | None, return_state: bool) -> tuple[Tensor, Tensor | None]:
        """The filter of this kind, and its state after the last token when asked for."""


class ShortHyena(HyenaFilter):
    """HCS: y_t = Σ_j h_j x_{t−J+1+j}, channels of a group with the same taps."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        taps = config.hcs_filter_length
        self.h = nn.Parameter(torch.randn(config.hcs_filter_groups, 1, taps) * taps**-0.5)

    def inner(self, x_DBT: Tensor, before: Tensor | None, return_state: bool) -> tuple[Tensor, Tensor | None]:
        taps_GJ = self.h[:, 0].float()
        taps_DJ = taps_GJ.repeat_interleave(x_DBT.shape[0] // taps_GJ.shape[0], dim=0)
        before_BDJ = _inputs_before(x_DBT, before, taps_GJ.shape[1])
        y_DBT = short_filter(x_DBT, taps_DJ, None, before_BDJ)
        return y_DBT, last_inputs(before_BDJ, x_DBT) if return_state else None


class MediumHyena(HyenaFilter):
    """HCM: y_t = Σ_j h_j x_{t−j} + D · x_t, channels of a group with the same taps."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        taps = config.hcm_filter_length
        self.h = nn.Parameter(torch.randn(config.hcm_filter_groups, 1, taps) * taps**-0.5)
        self.D = nn.Parameter(torch.zeros(config.hidden_size))
        self._kept: KeptUntilChanged[Tensor] = KeptUntilChanged()

    def inner(self, x_DBT: Tensor, before: Tensor | None, return_state: bool) -> tuple[Tensor, Tensor | None]:
        before_BDJ = _inputs_before(x_DBT, before, self.h.shape[-1])
        filtered_DBT = self._filter(x_DBT, before_BDJ)
        y_DBT = torch.addcmul(filtered_DBT, x_DBT, self.D.float()[:, None, None])
        return y_DBT, last_inputs(before_BDJ, x_DBT) if return_state else None

    def _filter(self, x_DBT: Tensor, before_BDJ: Tensor) -> Tensor:
        taps_GJ = self.h[:, 0].float()
        if x_DBT.device.type == "cpu":
            return medium_filter(x_DBT, taps_GJ, before_BDJ)
        toeplitz_GWL = self._kept.get(lambda: build_window_toeplitz(taps_GJ), self.h)
        return medium_filter_in_windows(x_DBT, toeplitz_GWL, before_BDJ)


class LongHyena(HyenaFilter):
    """HCL: y = (h * x) + D · x with h_t = Σ_n R_n exp(t · log_pole_n), all real."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        width, states = config.hidden_size, config.state_size
        self.log_poles = nn.Parameter(-torch.rand(width, states, 1))
        self.residues = nn.Parameter(torch.randn(width, states) / states)
        self.D = nn.Parameter(torch.zeros(width))
        self._kept: KeptUntilChanged[FilterBlock] = KeptUntilChanged()

    def inner(self, x_DBT: Tensor, before: Tensor | None, return_state: bool) -> tuple[Tensor, Tensor | None]:
        block = self._kept.get(self._build_block, self.log_poles, self.residues)
        y_DBT, after_BDN = long_filter(x_DBT, block, before, return_state)
        return torch.addcmul(y_DBT, x_DBT, self.D.float()[:, None, None]), after_BDN

    def _build_block(self) -> FilterBlock:
        return build_filter_block(self.log_poles[..., 0].double().exp(), self.residues)


def _inputs_before(x_DBT: Tensor, before_BDJ: Tensor | None, taps: int) -> Tensor:
    return x_DBT.new_zeros(x_DBT.shape[1], x_DBT.shape[0], taps - 1) if before_BDJ is None else before_BDJ


class HyenaBlock(nn.Module):
    """x + out(filter(projections(norm x))), then x + mlp(norm x)."""

    def __init__(self, config: Evo2Config, layer: int, kind: type[HyenaFilter]) -> None:
        super().__init__()
        width = config.hidden_size
        self.pre_norm, self.post_norm = RMSNorm(width, config.eps), RMSNorm(width, config.eps)
        self.filter = kind(config)
        self.projections = LinearToChannelsFirst(width, 3 * width, bias=config.qkv_proj_bias)
        self.out_filter_dense = LinearFromChannelsFirst(width, width, bias=config.hyena_out_proj_bias)
        self.mlp = GatedMLP(width, config.inner_mlp_size, config.activation(layer))

    def forward(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        return read_in_pieces(self._read, x_BTD, state, return_state)

    def _read(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        mixed_DBT, state = self.filter(self.projections(self.pre_norm(x_BTD)), state, return_state)
        x_BTD = x_BTD + self.out_filter_dense(mixed_DBT)
        return x_BTD + self.mlp(self.post_norm(x_BTD)), state


class RotaryFrequencies(nn.Module):
    """The angle that each pair of channels turns by from one position to the next, read from the checkpoint."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__()
        self.inv_freq: Tensor
        self.register_buffer("inv_freq", inverse_frequencies(config.rotary_emb_base, config.head_size))
        self.scaling = config.rotary_emb_scaling_factor

    def forward(self, start: int, num_tokens: int) -> tuple[Tensor, Tensor]:
        return rotary_tables(self.inv_freq.float(), self.scaling, start, num_tokens)


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions counted from the window's start."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.Wqkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_proj_bias)
        self.out_proj = Linear(config.hidden_size, config.hidden_size, bias=config.mha_out_proj_bias)
        self.rotary_emb = RotaryFrequencies(config)

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, return_state: bool
    ) -> tuple[Tensor, AttentionState | None]:
        qkv_BTC = self.Wqkv(x_BTD.to(self.Wqkv.weight.dtype))
        q, k, v = rearrange(qkv_BTC, "b t (three h e) -> three b h t e", three=3, h=self.num_heads)
        start = state.keys_BHJE.shape[2] if state else 0
        cos_TE, sin_TE = self.rotary_emb(start, x_BTD.shape[1])
        q, k = rotate(q, cos_TE, sin_TE), rotate(k, cos_TE, sin_TE)
        if state:
            k, v = torch.cat([state.keys_BHJE, k], dim=2), torch.cat([state.values_BHJE, v], dim=2)
        mixed_BTD = rearrange(causal_attention(q, k, v), "b h t e -> b t (h e)")
        return self.out_proj(mixed_BTD), AttentionState(k, v.contiguous()) if return_state else None


class AttentionBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, config: Evo2Config, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.pre_norm, self.post_norm = RMSNorm(width, config.eps), RMSNorm(width, config.eps)
        self.inner_mha_cls = Attention(config)
        self.mlp = GatedMLP(width, config.inner_mlp_size, config.activation(layer))

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, return_state: bool
    ) -> tuple[Tensor, AttentionState | None]:
        mixed_BTD, state = self.inner_mha_cls(self.pre_norm(x_BTD), state, return_state)
        x_BTD = x_BTD + mixed_BTD
        return x_BTD + self.mlp(self.post_norm(x_BTD)), state


# Model --------------------------------------------------------------------------------------------------------------


class Evo2Backbone(nn.Module):
    """Embedding, blocks, final norm and (where not tied) unembedding: all tensors of a checkpoint."""

    def __init__(self, config: Evo2Config) -> None:
        super().__init__()
        self.embedding_layer = TokenEmbedding(config.vocab_size, config.hidden_size)
        self.norm = RMSNorm(config.hidden_size, config.eps)
        self.unembed = None if config.tie_embeddings else TokenEmbedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(_make_block(config, layer) for layer in range(config.num_layers))

    def forward(
        self, tokens_BT: Tensor, state: PrefixState | None, return_state: bool
    ) -> tuple[Tensor, PrefixState | None]:
        x_BTD = self.embedding_layer(tokens_BT).float()
        states_before = state.layers if state else (None,) * len(self.blocks)
        states_after: list[HyenaState | AttentionState] = []
        for block, before in zip(self.blocks, states_before, strict=True):
            x_BTD, after = block(x_BTD, before, return_state)
            states_after.append(after)
        if not return_state:
            return x_BTD, None
        num_before = state.num_tokens if state else 0
        return x_BTD, PrefixState(tuple(states_after), num_before + tokens_BT.shape[1])

    def logits(self, hidden: Tensor) -> Tensor:
        unembedding = self.embedding_layer if self.unembed is None else self.unembed
        return unembedding(self.norm(hidden), unembed=True)


def _make_block(config: Evo2Config, layer: int) -> nn.Module:
    if layer in config.attn_layer_idxs:
        return AttentionBlock(config, layer)
    if layer in config.hcs_layer_idxs:
        return HyenaBlock(config, layer, ShortHyena)
    return HyenaBlock(config, layer, MediumHyena if layer in config.hcm_layer_idxs else LongHyena)


class Evo2ForCausalLM(PreTrainedModel):
    """Evo 2 as transformers loads it. For scoring, ``hidden_states`` and ``unembed`` are the way in."""

    config_class = Evo2Config
    base_model_prefix = "backbone"
    fork_refusal: str | None = None
    filter_storage = f"blocks of {BLOCK_TOKENS} tokens"  # for a manifest: no filter is kept at full length
    _supports_sdpa = True
    _no_split_modules = ("HyenaBlock", "AttentionBlock")
    _keep_in_fp32_modules_strict = (  # transformers looks for these anywhere in a name: "h" would be in nearly every one
        "log_poles",
        "residues",
        "filter.D",
        "filter.h",
        "short_filter_weight",
        "short_filter_bias",
        "scale",
        "inv_freq",
    )

    def __init__(self, config: Evo2Config) -> None:
        super().__init__(config)
        self.backbone = Evo2Backbone(config)
        # A tied unembedding in a file is the embedding again (checked by raygen.model.checkpoint).
        self._keys_to_ignore_on_load_unexpected = [r"unembed\.weight$"] if config.tie_embeddings else []
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: each layer draws its own weights when it is made, and a checkpoint replaces all of them."""

    def get_input_embeddings(self) -> TokenEmbedding:
        return self.backbone.embedding_layer

    def hidden_states(
        self, tokens_BT: Tensor, state: PrefixState | None = None, return_state: bool = False
    ) -> tuple[Tensor, PrefixState | None]:
        """The residual stream before the final norm, (B, T, D) float32, and the state after the last token if asked for.

        ``state`` continues from what an earlier call with the same number of rows returned (see ``PrefixState.fork``
        for more rows): reading a sequence in pieces gives the same numbers as reading it at once, to rounding.
        """
        check_rows(tokens_BT, state)
        return self.backbone(tokens_BT, state, return_state)

    def state_bytes(self, num_tokens: int) -> int:
        """Bytes of one row's ``PrefixState`` after ``num_tokens`` tokens."""
        config, weight = self.config, self.get_input_embeddings().weight
        kept = {
            "hcs_layer_idxs": config.hcs_filter_length - 1,
            "hcm_layer_idxs": config.hcm_filter_length - 1,
            "hcl_layer_idxs": config.state_size,
        }
        tails = 3 * (config.short_filter_length - 1)
        hyena = sum(len(getattr(config, kind)) * (tails + inner) for kind, inner in kept.items())
        attention = 2 * weight.element_size() * num_tokens * len(config.attn_layer_idxs)
        return config.hidden_size * (4 * hyena + attention)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Final norm and unembedding: (..., D) to logits (..., V), float32. Select rows and positions first."""
        return self.backbone.logits(hidden)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> CausalLMOutput:
        """Logits for all tokens, for the transformers interface. Padding must come last, where it changes nothing before."""
        refuse_left_padding(attention_mask)
        return CausalLMOutput(logits=self.unembed(self.hidden_states(input_ids)[0]))


def stays_in_float32(name: str) -> bool:
    """Whether a tensor is float32 in every precision."""
    return name.endswith(tuple(f".{kept}" for kept in Evo2ForCausalLM._keep_in_fp32_modules_strict))


AutoConfig.register(Evo2Config.model_type, Evo2Config, exist_ok=True)
AutoModelForCausalLM.register(Evo2Config, Evo2ForCausalLM, exist_ok=True)
