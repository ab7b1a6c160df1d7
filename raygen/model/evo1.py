"""Evo 1 (StripedHyena), whole: configuration, layers, model. Read downwards.

In: token ids (B, T) and, for a continuation, the ``PrefixState`` that an earlier call returned.
Out: the residual stream (B, T, D) in float32, logits (B, T, V) in float32, and the state after the last token.

The operators that Evo 2 uses too are in ``filters``, ``attention`` and ``layers``, what is carried from a prefix in ``state``.

Precision: matrix products in the dtype of their weights. Residual stream, norms, filters, states and logits float32.

Formulas and parameter names are those of the public reference (stripedhyena 0.2.2 on PyPI, Apache-2.0) and its
checkpoints; tests compare with it.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   N states (poles) a channel
         H heads   E channels a head   C = 3 D channels x2, x1, v   J tokens read before
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from raygen.errors import InputError
from raygen.model.attention import causal_attention, inverse_frequencies, rotary_tables, rotate
from raygen.model.config_rules import ACTIVATION, COUNT, FLAG, LAYERS, POSITIVE, key_faults, layer_faults, only
from raygen.model.filters import (
    BLOCK_TOKENS,
    FilterBlock,
    KeptUntilChanged,
    build_filter_block,
    last_inputs,
    long_filter,
    short_filter,
)
from raygen.model.layers import GatedMLP, RMSNorm, TokenEmbedding, read_in_pieces
from raygen.model.network import check_rows, refuse_left_padding
from raygen.model.products import Linear, LinearFromChannelsFirst, LinearToChannelsFirst
from raygen.model.state import AttentionState, HyenaState, PrefixState

# Configuration ------------------------------------------------------------------------------------------------------


class Evo1Config(PreTrainedConfig):
    """The keys of a published ``config.json``. There are no defaults: a missing key is an InputError that names it.

    Keys that change nothing here (how the reference runs: flash kernels, inference mode, ...) are ignored, ``auto_map``
    (code from the hub) too.
    """

    model_type = "stripedhyena"
    attribute_map = {"num_hidden_layers": "num_layers", "max_position_embeddings": "max_seqlen"}  # noqa: RUF012

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

    def __init__(self, **settings: Any) -> None:
        settings.pop("auto_map", None)
        faults = _config_faults(settings)
        if faults:
            raise InputError(f"config.json does not describe an Evo 1 model that can be run: {'; '.join(faults)}.")
        # The one key with a default: the reference, too, takes true where it is absent.
        settings.setdefault("column_split_hyena", True)
        settings.setdefault("inner_mlp_size", None)
        settings.setdefault("inner_size_multiple_of", None)
        if not settings["use_interpolated_rotary_pos_emb"]:
            settings["rotary_emb_scaling_factor"] = 1.0
        for name in ("eps", "rotary_emb_base", "rotary_emb_scaling_factor"):  # 10000 and 10000.0 are one architecture
            settings[name] = float(settings[name])
        own_names = Evo1Config.__annotations__.keys()
        super().__init__(**{name: value for name, value in settings.items() if name not in own_names})
        for name in own_names:
            setattr(self, name, settings[name])

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def architecture(self) -> dict[str, Any]:
        """The values that the model's numbers depend on beside its weights, for a hash. JSON."""
        names = Evo1Config.__annotations__.keys() - {"max_seqlen", "inner_mlp_size", "inner_size_multiple_of"}
        return {name: getattr(self, name) for name in sorted(names)} | {"mlp_width": self.mlp_width}

    @property
    def mlp_width(self) -> int:
        """``inner_mlp_size``, or 8/3 of the hidden size rounded up to a multiple of ``inner_size_multiple_of``."""
        if self.inner_mlp_size is not None:
            return self.inner_mlp_size
        assert self.inner_size_multiple_of is not None
        width = int(2 * self.hidden_size * 4 / 3)
        return -(-width // self.inner_size_multiple_of) * self.inner_size_multiple_of


_REQUIRED = {
    "vocab_size": COUNT,
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
_RULES = _REQUIRED | {
    "inner_mlp_size": COUNT,
    "inner_size_multiple_of": COUNT,
    "rotary_emb_scaling_factor": POSITIVE,
    "column_split_hyena": FLAG,
    "smeared_gqa": only(False),
}


def _config_faults(settings: dict[str, Any]) -> list[str]:
    """All that is wrong with the keys of a config.json, in words."""
    faults = key_faults(settings, _needed_keys(settings), _RULES)
    return faults or layer_faults(settings, ("attn_layer_idxs", "hyena_layer_idxs"))


def _needed_keys(settings: dict[str, Any]) -> list[str]:
    names = list(_REQUIRED)
    if settings.get("inner_mlp_size") is None:
        names.append("inner_size_multiple_of")
    if settings.get("use_interpolated_rotary_pos_emb"):
        names.append("rotary_emb_scaling_factor")
    return names


# Layers -------------------------------------------------------------------------------------------------------------
# Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.


class HyenaFilter(nn.Module):
    """(x2, x1, v) → short filter on each → x2 · (long filter(x1 · v) + D · x1 · v), all in float32."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        width, taps = config.hidden_size, config.short_filter_length
        self.split = (
            "(h three e) b t -> three h e b t" if config.column_split_hyena else "(three h e) b t -> three h e b t"
        )
        self.num_heads = config.num_attention_heads
        self.short_filter_weight = nn.Parameter(torch.randn(3 * width, 1, taps) * taps**-0.5)
        self.short_filter_bias = nn.Parameter(torch.zeros(3 * width)) if config.short_filter_bias else None
        self.poles = nn.Parameter(torch.rand(width, config.state_size, 1, 2) - 0.5)
        self.residues = nn.Parameter(torch.randn(width, config.state_size, 1, 2) / config.state_size)
        self.D = nn.Parameter(torch.zeros(width))
        self._kept: KeptUntilChanged[FilterBlock] = KeptUntilChanged()

    def forward(self, z_CBT: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        z_CBT = z_CBT.float()
        taps = self.short_filter_weight.shape[-1]
        before_BCJ = state.short_BCJ if state else z_CBT.new_zeros(z_CBT.shape[1], z_CBT.shape[0], taps - 1)
        bias_C = None if self.short_filter_bias is None else self.short_filter_bias.float()
        y_CBT = short_filter(z_CBT, self.short_filter_weight[:, 0].float(), bias_C, before_BCJ)
        x2_HEBT, x1_HEBT, v_HEBT = rearrange(y_CBT, self.split, three=3, h=self.num_heads)
        x_DBT = (x1_HEBT * v_HEBT).flatten(0, 1)
        long_DBT, filter_BDN = long_filter(x_DBT, self.block(), state.filter_BDN if state else None, return_state)
        mixed_DBT = torch.addcmul(long_DBT, x_DBT, self.D.float()[:, None, None])
        gated_DBT = (mixed_DBT.unflatten(0, x2_HEBT.shape[:2]) * x2_HEBT).flatten(0, 1)
        if filter_BDN is None:
            return gated_DBT, None
        return gated_DBT, HyenaState(last_inputs(before_BCJ, z_CBT), filter_BDN)

    def block(self) -> FilterBlock:
        """The filter over one block of tokens, kept until poles or residues change; made anew while they are trained."""
        return self._kept.get(self._build_block, self.poles, self.residues)

    def _build_block(self) -> FilterBlock:
        poles_DN1 = torch.view_as_complex(self.poles.float().contiguous())
        residues_DN1 = torch.view_as_complex(self.residues.float().contiguous())
        return build_filter_block(poles_DN1.squeeze(-1), residues_DN1.squeeze(-1))


class HyenaBlock(nn.Module):
    """x + out(filter(projections(norm x))), then x + mlp(norm x)."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = RMSNorm(config.hidden_size, config.eps), RMSNorm(config.hidden_size, config.eps)
        self.filter = HyenaFilter(config)
        self.projections = LinearToChannelsFirst(config.hidden_size, 3 * config.hidden_size)
        self.out_filter_dense = LinearFromChannelsFirst(config.hidden_size, config.hidden_size)
        self.mlp = GatedMLP(config.hidden_size, config.mlp_width, config.mlp_activation)

    def forward(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        return read_in_pieces(self._read, x_BTD, state, return_state)

    def _read(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        mixed_DBT, state = self.filter(self.projections(self.pre_norm(x_BTD)), state, return_state)
        x_BTD = x_BTD + self.out_filter_dense(mixed_DBT)
        return x_BTD + self.mlp(self.post_norm(x_BTD)), state


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions counted from the window's start."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.config = config
        self.Wqkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_proj_bias)
        self.out_proj = Linear(config.hidden_size, config.hidden_size, bias=config.mha_out_proj_bias)

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, return_state: bool
    ) -> tuple[Tensor, AttentionState | None]:
        qkv_BTC = self.Wqkv(x_BTD.to(self.Wqkv.weight.dtype))
        q, k, v = rearrange(qkv_BTC, "b t (three h e) -> three b h t e", three=3, h=self.config.num_attention_heads)
        start = state.keys_BHJE.shape[2] if state else 0
        # rotary_emb.inv_freq on disk holds these frequencies, in some checkpoints rounded to bfloat16; it is never read.
        frequencies_E = inverse_frequencies(self.config.rotary_emb_base, self.config.head_size, x_BTD.device)
        cos_TE, sin_TE = rotary_tables(frequencies_E, self.config.rotary_emb_scaling_factor, start, x_BTD.shape[1])
        q, k = rotate(q, cos_TE, sin_TE), rotate(k, cos_TE, sin_TE)
        if state:
            k, v = torch.cat([state.keys_BHJE, k], dim=2), torch.cat([state.values_BHJE, v], dim=2)
        mixed_BTD = rearrange(causal_attention(q, k, v), "b h t e -> b t (h e)")
        return self.out_proj(mixed_BTD), AttentionState(k, v.contiguous()) if return_state else None


class AttentionBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = RMSNorm(config.hidden_size, config.eps), RMSNorm(config.hidden_size, config.eps)
        self.inner_mha_cls = Attention(config)
        self.mlp = GatedMLP(config.hidden_size, config.mlp_width, config.mlp_activation)

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, return_state: bool
    ) -> tuple[Tensor, AttentionState | None]:
        mixed_BTD, state = self.inner_mha_cls(self.pre_norm(x_BTD), state, return_state)
        x_BTD = x_BTD + mixed_BTD
        return x_BTD + self.mlp(self.post_norm(x_BTD)), state


# Model --------------------------------------------------------------------------------------------------------------


class Evo1Backbone(nn.Module):
    """Embedding, blocks, final norm and (where not tied) unembedding: everything a checkpoint names ``backbone``."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.embedding_layer = TokenEmbedding(config.vocab_size, config.hidden_size)
        self.norm = RMSNorm(config.hidden_size, config.eps)
        self.unembed = None if config.tie_embeddings else TokenEmbedding(config.vocab_size, config.hidden_size)
        attention_layers = set(config.attn_layer_idxs)
        self.blocks = nn.ModuleList(
            AttentionBlock(config) if index in attention_layers else HyenaBlock(config)
            for index in range(config.num_layers)
        )

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


class Evo1ForCausalLM(PreTrainedModel):
    """Evo 1 as transformers loads it. For scoring, ``hidden_states`` and ``unembed`` are the way in."""

    config_class = Evo1Config
    base_model_prefix = "backbone"
    fork_refusal: str | None = None
    filter_storage = f"blocks of {BLOCK_TOKENS} tokens"  # for a manifest: no filter is kept at full length
    _supports_sdpa = True
    _no_split_modules = ("HyenaBlock", "AttentionBlock")
    _keep_in_fp32_modules_strict = ("poles", "residues", "D", "short_filter_weight", "short_filter_bias", "scale")

    def __init__(self, config: Evo1Config) -> None:
        super().__init__(config)
        self.backbone = Evo1Backbone(config)
        # The rotary frequencies are computed. A tied unembedding in a file is the embedding again
        # (checked by raygen.model.checkpoint).
        ignored = [r"rotary_emb\.inv_freq$", *([r"unembed\.weight$"] if config.tie_embeddings else [])]
        self._keys_to_ignore_on_load_unexpected = ignored
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
        tails = 4 * 3 * config.hidden_size * (config.short_filter_length - 1)
        hyena = 8 * config.hidden_size * config.state_size + tails
        attention = 2 * weight.element_size() * config.hidden_size * num_tokens
        return hyena * len(config.hyena_layer_idxs) + attention * len(config.attn_layer_idxs)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Final norm and unembedding: (..., D) to logits (..., V), float32. Select rows and positions first."""
        return self.backbone.logits(hidden)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> CausalLMOutput:
        """Logits for all tokens, for the transformers interface. Padding must come last, where it changes nothing before."""
        refuse_left_padding(attention_mask)
        return CausalLMOutput(logits=self.unembed(self.hidden_states(input_ids)[0]))


AutoConfig.register(Evo1Config.model_type, Evo1Config, exist_ok=True)
AutoModelForCausalLM.register(Evo1Config, Evo1ForCausalLM, exist_ok=True)
