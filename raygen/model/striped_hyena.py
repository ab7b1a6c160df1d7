"""What Evo 1 and Evo 2 have in common as networks: their configuration, blocks around an operator, the stack of blocks.

In: token ids (B, T) and, for a continuation, the ``PrefixState`` that an earlier call returned.
Out: the residual stream (B, T, D) in float32, logits (B, T, V) in float32, and the state after the last token.

A family brings its configuration, its Hyena filters and its rotary frequencies (``evo1``, ``evo2``). The operators are in
``filters``, ``attention`` and ``layers``, what is carried from a prefix in ``state``. Parameter names are those of the published
checkpoints. Matrix products are in the dtype of their weights, all else in float32. No transformers here, whose import takes
seconds; ``auto_classes`` shows it these networks.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   H heads   E channels a head   C = 3 D channels
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from raygen.model.attention import causal_attention, kept, positions_read, rotate
from raygen.model.config_rules import FAMILY_RULES, completed
from raygen.model.evo_facts import FILTER_STORAGE
from raygen.model.filters import inputs_before_marks, short_filter
from raygen.model.layer_names import NORM, block_name, evo_layers, mlp_name
from raygen.model.layers import GatedMLP, RMSNorm, TokenEmbedding, drawn_around_zero, read_in_pieces
from raygen.model.network import check_rows
from raygen.model.products import Linear, LinearFromChannelsFirst, LinearToChannelsFirst, multiplied
from raygen.model.sizes import StateSize
from raygen.model.state import AttentionState, HyenaState, Marks, PrefixState
from raygen.model.taps import Pieces, Taps


class StripedHyenaConfig(ABC):
    """A ``config.json`` whose keys are checked; a subclass names them, each with its type, and says what is wrong with them.

    Keys that it does not name are ignored: they change how other programs load a model, and nothing of the model.
    """

    model_type: ClassVar[str]
    family: ClassVar[str]
    published_class: ClassVar[str]  # what ``architectures`` says
    defaults: ClassVar[Mapping[str, Any]]  # of keys that may be absent, as in the public reference

    def __init__(self, **settings: Any) -> None:
        FAMILY_RULES[self.model_type].refuse_faults(self.faults(settings))
        settings = completed({**self.defaults, **settings})
        for name in type(self).__annotations__:
            setattr(self, name, settings[name])

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the keys, which a subclass names

    @staticmethod
    @abstractmethod
    def faults(settings: Mapping[str, Any]) -> list[str]:
        """All that is wrong with the keys, in words."""

    def keys(self) -> dict[str, Any]:
        """The keys of the family with their values."""
        return {name: getattr(self, name) for name in type(self).__annotations__}

    def as_published(self) -> dict[str, Any]:
        """What a ``config.json`` in the published layout holds."""
        return {"architectures": [self.published_class], "model_type": self.model_type, **self.keys()}

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions counted from the window's start.

    ``rotary_emb`` gives the cosines and sines (..., E/2) of positions (...).
    """

    def __init__(self, config: StripedHyenaConfig, rotary_emb: nn.Module) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.Wqkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_proj_bias)
        self.out_proj = Linear(config.hidden_size, config.hidden_size, bias=config.mha_out_proj_bias)
        self.rotary_emb = rotary_emb

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, marks: Marks | None
    ) -> tuple[Tensor, AttentionState | None]:
        qkv_BTC = self.Wqkv(x_BTD.to(self.Wqkv.weight.dtype))
        q, k, v = rearrange(qkv_BTC, "b t (three h e) -> three b h t e", three=3, h=self.num_heads)
        cos, sin = self.rotary_emb(positions_read(state, x_BTD.shape[1], x_BTD.device))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed_BTD = rearrange(causal_attention(q, k, v, state), "b h t e -> b t (h e)")
        return self.out_proj(mixed_BTD), kept(state, k, v, marks) if marks else None


class AttentionBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, config: StripedHyenaConfig, rotary_emb: nn.Module, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.pre_norm, self.post_norm = RMSNorm(width, config.eps), RMSNorm(width, config.eps)
        self.inner_mha_cls = Attention(config, rotary_emb)
        self.mlp = GatedMLP(width, config.mlp_width, config.activation(layer))

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, marks: Marks | None, mlp_outputs: Pieces | None = None
    ) -> tuple[Tensor, AttentionState | None]:
        mixed_BTD, state = self.inner_mha_cls(self.pre_norm(x_BTD, self.inner_mha_cls.Wqkv.weight.dtype), state, marks)
        return _add_mlp(self, x_BTD + mixed_BTD, mlp_outputs), state


class HyenaFilter(nn.Module, ABC):
    """x2, x1, v → short filter on each → x2 · inner(x1 · v), all in float32, the result in the dtype that is asked for.

    A kind says how the channels of the three lie (``split``) and what stands behind the gate (``inner``).
    """

    def __init__(self, config: StripedHyenaConfig) -> None:
        super().__init__()
        channels, taps = 3 * config.hidden_size, config.short_filter_length
        self.short_filter_weight = drawn_around_zero((channels, 1, taps), taps**-0.5)
        self.short_filter_bias = nn.Parameter(torch.zeros(channels)) if config.short_filter_bias else None

    def forward(
        self, z_CBT: Tensor, state: HyenaState | None, marks: Marks | None, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, HyenaState | None]:
        z_CBT = z_CBT.float()
        taps = self.short_filter_weight.shape[-1]
        before_BCJ, filter_before = state.taken() if state else (None, None)
        if before_BCJ is None:
            before_BCJ = z_CBT.new_zeros(z_CBT.shape[1], z_CBT.shape[0], taps - 1)
        bias_C = None if self.short_filter_bias is None else self.short_filter_bias.float()
        x2, x1, v = self.split(short_filter(z_CBT, self.short_filter_weight[:, 0].float(), bias_C, before_BCJ))
        mixed_DBT, kept_RDN = self.inner((x1 * v).flatten(0, -3), filter_before, marks)
        gated_DBT = multiplied(mixed_DBT.unflatten(0, x2.shape[:-2]), x2, dtype).flatten(0, -3)
        if marks is None or kept_RDN is None:
            return gated_DBT, None
        return gated_DBT, HyenaState(inputs_before_marks(before_BCJ, z_CBT, marks), kept_RDN)

    @abstractmethod
    def split(self, y_CBT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x2, x1 and v of the shape (D, B, T), or (..., B, T) where D is made of several dimensions: views."""

    @abstractmethod
    def inner(self, x_DBT: Tensor, before: Tensor | None, marks: Marks | None) -> tuple[Tensor, Tensor | None]:
        """The filter of this kind, and its states at the marks."""


class HyenaBlock(nn.Module):
    """x + out(filter(projections(norm x))), then x + mlp(norm x)."""

    def __init__(self, config: StripedHyenaConfig, filter: HyenaFilter, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.pre_norm, self.post_norm = RMSNorm(width, config.eps), RMSNorm(width, config.eps)
        self.filter = filter
        self.projections = LinearToChannelsFirst(width, 3 * width, bias=config.hyena_proj_bias)
        self.out_filter_dense = LinearFromChannelsFirst(width, width, bias=config.hyena_out_proj_bias)
        self.mlp = GatedMLP(width, config.mlp_width, config.activation(layer))

    def forward(
        self, x_BTD: Tensor, state: HyenaState | None, marks: Marks | None, mlp_outputs: Pieces | None = None
    ) -> tuple[Tensor, HyenaState | None]:
        return read_in_pieces(partial(self._read, mlp_outputs), x_BTD, state, marks)

    def _read(
        self, mlp_outputs: Pieces | None, x_BTD: Tensor, state: HyenaState | None, marks: Marks | None
    ) -> tuple[Tensor, HyenaState | None]:
        dtype = self.projections.weight.dtype
        mixed_DBT, state = self.filter(self.projections(self.pre_norm(x_BTD, dtype)), state, marks, dtype)
        return _add_mlp(self, x_BTD + self.out_filter_dense(mixed_DBT), mlp_outputs), state


def _add_mlp(block: AttentionBlock | HyenaBlock, x_BTD: Tensor, mlp_outputs: Pieces | None) -> Tensor:
    added_BTD = block.mlp(block.post_norm(x_BTD, block.mlp.l1.weight.dtype))
    if mlp_outputs is not None:
        mlp_outputs.add(added_BTD)
    return x_BTD + added_BTD


class Backbone(nn.Module):
    """Embedding, blocks, final norm and (where not tied) unembedding: everything a checkpoint names ``backbone``."""

    def __init__(self, config: StripedHyenaConfig, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.embedding_layer = TokenEmbedding(config.vocab_size, config.hidden_size)
        self.norm = RMSNorm(config.hidden_size, config.eps)
        self.unembed = None if config.tie_embeddings else TokenEmbedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, tokens_BT: Tensor, state: PrefixState | None, marks: Marks | None, taps: Taps | None = None
    ) -> tuple[Tensor, PrefixState | None]:
        x_BTD = self.embedding_layer(tokens_BT).float()
        blocks = self.blocks if taps is None else self.blocks[: taps.num_blocks(len(self.blocks))]
        states_before = state.layers if state else (None,) * len(blocks)
        at_all_marks: list[HyenaState | AttentionState] = []
        for layer, (block, before) in enumerate(zip(blocks, states_before, strict=True)):
            if taps is None:
                x_BTD, at_marks = block(x_BTD, before, marks)
            else:
                x_BTD, at_marks = _tapped(block, layer, taps, x_BTD, before, marks)
            at_all_marks.append(at_marks)
        if taps is not None and NORM in taps.layers:
            taps.take(NORM, self.norm(x_BTD))
        if marks is None:
            return x_BTD, None
        lengths = marks.after if state is None else state.lengths[marks.rows] + marks.after
        return x_BTD, PrefixState(tuple(at_all_marks), lengths)

    def logits(self, hidden: Tensor) -> Tensor:
        unembedding = self.embedding_layer if self.unembed is None else self.unembed
        return unembedding(self.norm(hidden), unembed=True)


def _tapped(
    block: nn.Module,
    layer: int,
    taps: Taps,
    x_BTD: Tensor,
    before: Any,
    marks: Marks | None,
) -> tuple[Tensor, Any]:
    """A block, and what of it is wanted handed over."""
    mlp_outputs = Pieces() if mlp_name(layer) in taps.layers else None
    x_BTD, at_marks = block(x_BTD, before, marks, mlp_outputs)
    if mlp_outputs is not None:
        taps.offer(mlp_name(layer), mlp_outputs.joined())
    taps.offer(block_name(layer), x_BTD)
    return x_BTD, at_marks


class StripedHyenaNetwork(nn.Module, ABC):
    """A StripedHyena as scoring runs it, a ``CausalNetwork``. Each layer draws random weights when it is made; a checkpoint
    replaces all of them (``raygen.model.weights``).
    """

    fork_refusal: str | None = None
    filter_storage = FILTER_STORAGE
    float32_parameters: ClassVar[tuple[str, ...]]  # ends of the names of what is float32 in every precision

    def __init__(self, config: StripedHyenaConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config, (self.make_block(config, layer) for layer in range(config.num_layers)))

    @classmethod
    def stays_in_float32(cls, name: str) -> bool:
        """Whether a parameter is float32 in every precision."""
        return name.endswith(tuple(f".{parameter}" for parameter in cls.float32_parameters))

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Give the parameters a dtype, those that stay in float32 that one."""
        for name, parameter in self.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if self.stays_in_float32(name) else dtype)

    @staticmethod
    @abstractmethod
    def make_block(config: Any, layer: int) -> nn.Module:
        """The attention or Hyena block of a layer."""

    def get_input_embeddings(self) -> TokenEmbedding:
        return self.backbone.embedding_layer

    def hidden_states(
        self,
        tokens_BT: Tensor,
        state: PrefixState | None = None,
        return_state: bool = False,
        marks: Marks | None = None,
        taps: Taps | None = None,
    ) -> tuple[Tensor, PrefixState | None]:
        """The residual stream before the final norm, (B, T, D) float32, and the states at the marks, a row for each.

        ``return_state`` stands for marks after the last token of every row. ``state`` continues from what an earlier call
        returned (see ``PrefixState.select`` for other rows): reading a sequence in pieces gives the same numbers as reading it at
        once, to rounding. Taps that stop keep states of the blocks that are read, from which only such taps go on.
        """
        check_rows(tokens_BT, state)
        if return_state and marks is None:
            marks = Marks.ends(*tokens_BT.shape)
        return self.backbone(tokens_BT, state, marks, taps)

    def layer_names(self) -> tuple[str, ...]:
        """The layers that can be tapped."""
        return evo_layers(len(self.backbone.blocks))

    @abstractmethod
    def hyena_state_bytes(self) -> int:
        """Bytes of one row's state in all Hyena layers."""

    def state_size(self) -> StateSize:
        """Bytes of one row's state: of its Hyena layers, and of the keys and values of each token."""
        config, weight = self.config, self.get_input_embeddings().weight
        a_token = 2 * weight.element_size() * config.hidden_size * len(config.attn_layer_idxs)
        return StateSize(self.hyena_state_bytes(), a_token, in_place=True)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Final norm and unembedding: (..., D) to logits (..., V), float32. Select rows and positions first."""
        return self.backbone.logits(hidden)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V), float32, for all tokens of rows that are padded on the right."""
        return self.unembed(self.hidden_states(tokens_BT)[0])
