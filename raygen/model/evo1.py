"""Evo 1 (StripedHyena), whole: configuration, operators, layers, model. Read downwards.

In: token ids (B, T) and, for a continuation, the ``PrefixState`` that an earlier call returned.
Out: the residual stream (B, T, D) in float32, logits (B, T, V) in float32, and the state after the last token.

The choice a reader would question is the long filter. h_t = Re Σ_n R_n p_n^t is as long as the sequence, and the usual
way is an FFT of twice that length. Here the sequence is cut into blocks of 64 tokens. Inside a block the filter is a
64 × 64 Toeplitz product; between blocks its N complex states per channel are carried on (``long_filter``, formulas of
design section 9). Measured on two CPU cores at width 384, batch 4, 2,048 tokens: 8 ms a layer against 43 to 110 ms by
FFT. Memory grows with the length only by one state a block, nothing of size (channels × states × length) or even
(channels × length) is kept, and the state after the last token costs one more small product. ``recurrent_filter`` is
the definition, one token at a time; tests hold the two together.

Precision: matrix products in the dtype of their weights. Residual stream, norms, filters, states and logits float32.

Formulas and parameter names are those of the public reference (stripedhyena 0.2.2 on PyPI, Apache-2.0) and its
checkpoints; tests compare with it.

Shapes:  B rows   T tokens   D channels (hidden_size)   V vocabulary   N states (poles) a channel
         H heads   E channels a head   C = 3 D channels x2, x1, v   J tokens read before
         K blocks of the long filter   L tokens a block   M = B·K   S = 2 N (real and imaginary part side by side)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from raygen.errors import InputError

BLOCK_TOKENS = 64  # of 32, 64, 128 and 256 the fastest on the CPU (11, 8, 13 and 93 ms a layer at width 384)
# Rows × tokens that go through a Hyena block at a time. On a GPU a bound of memory; on a CPU smaller, because allocations
# of tens of MB cost page faults: 4 × 2,048 tokens at width 384 ran at 5,500 tokens/s in pieces of 2,048, whole at 4,750.
GPU_PIECE_TOKENS = 16_384
CPU_PIECE_TOKENS = 2_048
MIN_PIECE_TOKENS = 256  # of a row
MAX_MASK_ELEMENTS = 1 << 24  # attention with a prefix masks this many (query, key) pairs at a time: 16 MiB

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}


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


@dataclass(frozen=True)
class _Rule:
    ok: Callable[[Any], bool]
    wanted: str


_COUNT = _Rule(lambda value: type(value) is int and value > 0, "not a positive whole number")
_POSITIVE = _Rule(lambda value: type(value) in (int, float) and value > 0, "not a positive number")
_FLAG = _Rule(lambda value: type(value) is bool, "neither true nor false")
_LAYERS = _Rule(
    lambda value: isinstance(value, list | tuple) and all(type(item) is int for item in value),
    "not a list of layer numbers",
)

_REQUIRED = {
    "vocab_size": _COUNT,
    "hidden_size": _COUNT,
    "num_layers": _COUNT,
    "attn_layer_idxs": _LAYERS,
    "hyena_layer_idxs": _LAYERS,
    "num_attention_heads": _COUNT,
    "state_size": _COUNT,
    "short_filter_length": _COUNT,
    "short_filter_bias": _FLAG,
    "eps": _POSITIVE,
    "tie_embeddings": _FLAG,
    "qkv_proj_bias": _FLAG,
    "mha_out_proj_bias": _FLAG,
    "rotary_emb_base": _POSITIVE,
    "use_interpolated_rotary_pos_emb": _FLAG,
    "mlp_activation": _Rule(lambda value: value in ACTIVATIONS, f"not one of {', '.join(ACTIVATIONS)}"),
    "max_seqlen": _COUNT,
    "proj_groups": _Rule(lambda value: value == 1, "only 1 (no grouped queries) is supported"),
    "hyena_filter_groups": _Rule(lambda value: value == 1, "only 1 (a filter for each channel) is supported"),
    "final_norm": _Rule(lambda value: value is True, "only true is supported"),
}
_RULES = _REQUIRED | {
    "inner_mlp_size": _COUNT,
    "inner_size_multiple_of": _COUNT,
    "rotary_emb_scaling_factor": _POSITIVE,
    "column_split_hyena": _FLAG,
    "smeared_gqa": _Rule(lambda value: value is False, "only false is supported"),
}


def _config_faults(settings: dict[str, Any]) -> list[str]:
    """All that is wrong with the keys of a config.json, in words: what is missing first, then what has a bad value."""
    missing = [name for name in _needed_keys(settings) if settings.get(name) is None]
    faults = [f"missing {', '.join(missing)}"] if missing else []
    present = {name: value for name, value in settings.items() if value is not None}
    faults += [f"{name} is {value!r}, {wanted}" for name, value, wanted in _bad_values(present)]
    return faults or _layer_faults(present)


def _needed_keys(settings: dict[str, Any]) -> list[str]:
    names = list(_REQUIRED)
    if settings.get("inner_mlp_size") is None:
        names.append("inner_size_multiple_of")
    if settings.get("use_interpolated_rotary_pos_emb"):
        names.append("rotary_emb_scaling_factor")
    return names


def _bad_values(present: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """(key, value, what it should have been) for each key that has a value which cannot be used."""
    return [
        (name, value, rule.wanted)
        for name, value in present.items()
        if (rule := _RULES.get(name)) and not rule.ok(value)
    ]


def _layer_faults(present: dict[str, Any]) -> list[str]:
    """Faults between keys that are fine one by one; called when all needed keys are there."""
    faults = []
    layers = sorted([*present["attn_layer_idxs"], *present["hyena_layer_idxs"]])
    if layers != list(range(present["num_layers"])):
        faults.append(
            f"attn_layer_idxs and hyena_layer_idxs name the layers {layers}, "
            f"not each of 0 to {present['num_layers'] - 1} once"
        )
    if present["hidden_size"] % (2 * present["num_attention_heads"]):
        faults.append(
            f"hidden_size {present['hidden_size']} is not divisible into "
            f"{present['num_attention_heads']} heads of an even size"
        )
    return faults


# State --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HyenaState:
    """short_BCJ: the last taps − 1 inputs of the short filter, float32. filter_BDN: the long filter's state, complex64."""

    short_BCJ: Tensor
    filter_BDN: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> HyenaState:
        return HyenaState(function(self.short_BCJ), function(self.filter_BDN))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.short_BCJ, self.filter_BDN)


@dataclass(frozen=True)
class AttentionState:
    """Keys (after the rotary turn) and values of the J tokens read so far, in the dtype of the weights."""

    keys_BHJE: Tensor
    values_BHJE: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> AttentionState:
        return AttentionState(function(self.keys_BHJE), function(self.values_BHJE))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.keys_BHJE, self.values_BHJE)


@dataclass(frozen=True)
class PrefixState:
    """What the model knows after reading ``num_tokens`` tokens of each row: one entry a layer, rows first in all tensors.

    A state is never changed: reading on from it returns a new one, so one state can be continued in many ways.
    """

    layers: tuple[HyenaState | AttentionState, ...]
    num_tokens: int

    @property
    def num_rows(self) -> int:
        return self.layers[0].tensors()[0].shape[0]

    @property
    def num_bytes(self) -> int:
        """Bytes held. Rows that still share memory after ``fork`` of a single row count once."""
        return sum(_held_bytes(tensor) for layer in self.layers for tensor in layer.tensors())

    def fork(self, copies: int) -> PrefixState:
        """``copies`` of each row, a row's copies next to each other. Forking a single row takes no memory."""
        return self._map(lambda tensor: _fork_rows(tensor, copies))

    def select(self, rows: Sequence[int] | Tensor) -> PrefixState:
        """The named rows, in the order given; a row may be named more than once."""

        def pick(tensor: Tensor) -> Tensor:
            return tensor.index_select(0, torch.as_tensor(rows, dtype=torch.long, device=tensor.device))

        return self._map(pick)

    def _map(self, function: Callable[[Tensor], Tensor]) -> PrefixState:
        return PrefixState(tuple(layer.map(function) for layer in self.layers), self.num_tokens)


def _held_bytes(tensor: Tensor) -> int:
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * int(torch.Size(size for size, stride in sizes if stride or not size).numel())


def _fork_rows(tensor: Tensor, copies: int) -> Tensor:
    if tensor.shape[0] == 1:
        return tensor.expand(copies, *tensor.shape[1:])
    return tensor.repeat_interleave(copies, dim=0)


# Operators ----------------------------------------------------------------------------------------------------------


def short_filter(z_CBT: Tensor, weight_CJ: Tensor, bias_C: Tensor | None, before_BCJ: Tensor) -> Tensor:
    """Causal filter of a few taps, one a channel: y_t = b + Σ_j w_j z_{t−taps+1+j}. ``before``: the inputs before t = 0.

    All rows go through one convolution end to end, the fastest layout on a CPU; the first taps − 1 outputs of a row,
    which there see the row before, are then replaced.
    """
    num_rows, taps = z_CBT.shape[1], weight_CJ.shape[1]
    z_1CM = z_CBT.flatten(1)[None]
    y_1CM = F.conv1d(z_1CM, weight_CJ[:, None], bias_C, padding=taps - 1, groups=z_CBT.shape[0])
    y_CBT = y_1CM[0, :, : z_1CM.shape[-1]].unflatten(-1, (num_rows, -1))
    if taps > 1:
        y_CBT[..., : taps - 1] = _first_outputs(z_CBT, weight_CJ, bias_C, before_BCJ)
    return y_CBT


def _first_outputs(z_CBT: Tensor, weight_CJ: Tensor, bias_C: Tensor | None, before_BCJ: Tensor) -> Tensor:
    """The short filter's outputs that see inputs from before t = 0."""
    seen_CBT = torch.cat([before_BCJ.transpose(0, 1), z_CBT[..., : before_BCJ.shape[-1]]], dim=-1)
    first_CBT = (seen_CBT.unfold(-1, weight_CJ.shape[1], 1) * weight_CJ[:, None, None]).sum(-1)
    return first_CBT if bias_C is None else first_CBT + bias_C[:, None, None]


@dataclass(frozen=True)
class FilterBlock:
    """A long filter over one block of L tokens, all that ``long_filter`` needs of poles and residues.

    taps_DL: h_0 .. h_{L−1}, float32. powers_DNL: p^0 .. p^{L−1}, complex64. readout_DNL: R p^1 .. R p^L, complex64.
    block_power_DN: p^L in complex128, to be squared on without loss.
    toeplitz_DLL: the taps as a matrix, inputs in rows; kept on a CPU only, where the short passes of forking would
    make it anew again and again (on a GPU it would be 2 GB of a 7-billion-parameter model).
    reach_DLS: p^{L−1} .. p^0, by which inputs reach the state at the block's end.
    """

    taps_DL: Tensor
    powers_DNL: Tensor
    readout_DNL: Tensor
    block_power_DN: Tensor
    reach_DLS: Tensor
    toeplitz_DLL: Tensor | None


def build_filter_block(poles_DN: Tensor, residues_DN: Tensor, num_tokens: int = BLOCK_TOKENS) -> FilterBlock:
    """The block of a filter with complex poles and residues. Computed in complex128, because an angle error grows with t."""
    poles_DN, residues_DN = poles_DN.to(torch.complex128), residues_DN.to(torch.complex128)
    powers_DNL = _powers(poles_DN, num_tokens + 1)
    weighted_DNL = residues_DN[..., None] * powers_DNL
    taps_DL = weighted_DNL[..., :-1].real.sum(1).float()
    reach_DNL = powers_DNL[..., :-1].to(torch.complex64).flip(-1)
    return FilterBlock(
        taps_DL=taps_DL,
        powers_DNL=powers_DNL[..., :-1].to(torch.complex64),
        readout_DNL=weighted_DNL[..., 1:].to(torch.complex64),
        block_power_DN=powers_DNL[..., -1].clone(),
        reach_DLS=rearrange(torch.view_as_real(reach_DNL), "d n l two -> d l (n two)").contiguous(),
        toeplitz_DLL=_toeplitz(taps_DL) if taps_DL.device.type == "cpu" else None,
    )


def _powers(poles_DN: Tensor, count: int) -> Tensor:
    """p^0 .. p^{count−1}, by doubling: no logarithm, so a pole at zero is nothing special."""
    powers_DNL, factor_DN = torch.ones_like(poles_DN)[..., None], poles_DN
    while powers_DNL.shape[-1] < count:
        powers_DNL = torch.cat([powers_DNL, powers_DNL * factor_DN[..., None]], dim=-1)
        factor_DN = factor_DN * factor_DN
    return powers_DNL[..., :count]


def long_filter(
    x_DBT: Tensor, block: FilterBlock, state_BDN: Tensor | None, return_state: bool = False
) -> tuple[Tensor, Tensor | None]:
    """y_t = Re Σ_n R_n s_{n,t} with s_{n,t} = p_n s_{n,t−1} + x_t, from ``state`` (zero when None), all t at once.

    Float32 in and out; the state after the last token, (B, D, N) complex64, is returned when asked for.
    Within a block y = (h * x) + Re Σ R p^{t+1} S, between blocks S' = p^L S + Σ p^{L−1−j} x_j (design section 9).
    """
    num_channels, num_rows, num_tokens = x_DBT.shape
    length = min(block.taps_DL.shape[1], num_tokens)
    num_blocks = -(-num_tokens // length)
    x_DML = F.pad(x_DBT, (0, num_blocks * length - num_tokens)).reshape(num_channels, -1, length)
    toeplitz_DLL = _toeplitz(block.taps_DL[:, :length]) if block.toeplitz_DLL is None else block.toeplitz_DLL
    y_DML = torch.bmm(x_DML, toeplitz_DLL[:, :length, :length])
    if num_blocks == 1 and state_BDN is None:
        starts_DBKN = x_DBT.new_zeros(num_channels, num_rows, 1, block.powers_DNL.shape[1], dtype=torch.complex64)
    else:
        starts_DBKN = _block_starts(x_DML, block, state_BDN, num_rows)
        starts_DMS = torch.view_as_real(starts_DBKN).flatten(3).flatten(1, 2)
        readout_DNL = block.readout_DNL[..., :length].conj().resolve_conj()  # Re(a s) = Re a Re s − Im a Im s
        y_DML = torch.baddbmm(y_DML, starts_DMS, rearrange(torch.view_as_real(readout_DNL), "d n l two -> d (n two) l"))
    y_DBT = y_DML.reshape(num_channels, num_rows, -1)[..., :num_tokens]
    if not return_state:
        return y_DBT, None
    last_DBL = x_DBT[..., (num_blocks - 1) * length :]
    return y_DBT, rearrange(_state_after(last_DBL, block, starts_DBKN[:, :, -1]), "d b n -> b d n")


def _toeplitz(taps_DL: Tensor) -> Tensor:
    """(D, L, L) with [d, j, t] = h_{t−j}, zero where t < j: inputs j in rows, outputs t in columns."""
    length = taps_DL.shape[1]
    time = torch.arange(length, device=taps_DL.device)
    index = time[None, :] - time[:, None] + length - 1
    return F.pad(taps_DL, (length - 1, 0)).index_select(1, index.flatten()).unflatten(1, (length, length))


def _block_sums(x_DML: Tensor, reach_DLS: Tensor) -> Tensor:
    """(D, M, N) complex: what each block adds to the state at its end, Σ_j p^{L−1−j} x_j."""
    last_DLS = reach_DLS[:, reach_DLS.shape[1] - x_DML.shape[-1] :]
    return torch.view_as_complex(torch.bmm(x_DML, last_DLS).unflatten(-1, (-1, 2)))


def _block_starts(x_DML: Tensor, block: FilterBlock, state_BDN: Tensor | None, num_rows: int) -> Tensor:
    """(D, B, K, N) complex: the state at the start of each block.

    S_k = p^L S_{k−1} + U_{k−1} is summed in log2(K) doubling steps: few kernels, and rounding errors that grow with
    log K where a loop over the blocks would let them grow with K.
    """
    sums_DBKN = _block_sums(x_DML, block.reach_DLS).unflatten(1, (num_rows, -1))
    first_DBN = torch.zeros_like(sums_DBKN[:, :, 0]) if state_BDN is None else state_BDN.transpose(0, 1)
    starts_DBKN = torch.cat([first_DBN[:, :, None], sums_DBKN[:, :, :-1]], dim=2)
    step, power_DN = 1, block.block_power_DN
    while step < starts_DBKN.shape[2]:
        carried_DBKN = power_DN.to(torch.complex64)[:, None, None] * starts_DBKN[:, :, :-step]
        starts_DBKN = torch.cat([starts_DBKN[:, :, :step], starts_DBKN[:, :, step:] + carried_DBKN], dim=2)
        step, power_DN = 2 * step, power_DN * power_DN
    return starts_DBKN


def _state_after(last_DBL: Tensor, block: FilterBlock, start_DBN: Tensor) -> Tensor:
    """The state after the last block, which may hold fewer tokens than the others."""
    length = last_DBL.shape[-1]
    full = length == block.powers_DNL.shape[-1]
    power_DN = block.block_power_DN.to(torch.complex64) if full else block.powers_DNL[..., length]
    return power_DN[:, None] * start_DBN + _block_sums(last_DBL, block.reach_DLS)


def recurrent_filter(x_DBT: Tensor, poles_DN: Tensor, residues_DN: Tensor, state_BDN: Tensor) -> tuple[Tensor, Tensor]:
    """The definition that ``long_filter`` is held to: one token at a time, in the precision of its arguments."""
    outputs, state_DBN = [], state_BDN.transpose(0, 1)
    for x_DB in x_DBT.unbind(-1):
        state_DBN = poles_DN[:, None] * state_DBN + x_DB[..., None]
        outputs.append((residues_DN[:, None] * state_DBN).real.sum(-1))
    return torch.stack(outputs, dim=-1), state_DBN.transpose(0, 1)


def rotary_tables(config: Evo1Config, start: int, num_tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin, (T, E/2) float32, for positions from ``start`` on.

    In float32 throughout, as the published models were trained and run: in wider arithmetic the fastest frequencies
    differ by up to 0.008 rad at position 131,072. ``rotary_emb.inv_freq`` on disk holds the same frequencies, in some
    checkpoints rounded to bfloat16; it is never read.
    """
    exponents = torch.arange(0, config.head_size, 2, device=device, dtype=torch.float32) / config.head_size
    inverse_frequencies = 1.0 / (config.rotary_emb_base**exponents)
    positions = torch.arange(start, start + num_tokens, device=device, dtype=torch.float32)
    angles = torch.outer(positions / config.rotary_emb_scaling_factor, inverse_frequencies)
    return angles.cos(), angles.sin()


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Turns channel pairs (e, e + E/2) by their position's angle, in float32; the dtype comes back as it was."""
    low, high = x_BHTE.float().chunk(2, dim=-1)
    return torch.cat([low * cos_TE - high * sin_TE, high * cos_TE + low * sin_TE], dim=-1).to(x_BHTE.dtype)


def causal_attention(q_BHTE: Tensor, k_BHJE: Tensor, v_BHJE: Tensor) -> Tensor:
    """Softmax attention of the last T of J tokens to all tokens up to themselves."""
    num_queries, num_keys = q_BHTE.shape[2], k_BHJE.shape[2]
    if num_queries == num_keys:
        return F.scaled_dot_product_attention(q_BHTE, k_BHJE, v_BHJE, is_causal=True)
    offset = num_keys - num_queries
    keys_at = torch.arange(num_keys, device=q_BHTE.device)
    pieces = []
    for piece_BHTE in q_BHTE.split(max(1, MAX_MASK_ELEMENTS // num_keys), dim=2):
        end = offset + piece_BHTE.shape[2]
        visible_TJ = keys_at[None, :end] <= keys_at[offset:end, None]
        pieces.append(
            F.scaled_dot_product_attention(piece_BHTE, k_BHJE[:, :, :end], v_BHJE[:, :, :end], attn_mask=visible_TJ)
        )
        offset = end
    return torch.cat(pieces, dim=2)


# Layers -------------------------------------------------------------------------------------------------------------
# Each uses only its own parameters inside its own forward: accelerate brings offloaded ones in just then.


class RMSNorm(nn.Module):
    """x / (rms(x) + eps) · scale, in float32; eps outside the root, as the checkpoints were trained."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.eps = config.eps
        self.scale = nn.Parameter(torch.ones(config.hidden_size))

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD.float()
        rms_BT1 = torch.linalg.vector_norm(x_BTD, dim=-1, keepdim=True) * x_BTD.shape[-1] ** -0.5
        return x_BTD / (rms_BT1 + self.eps) * self.scale.float()


class TokenEmbedding(nn.Embedding):
    """Token ids to vectors; with ``unembed`` hidden vectors to logits, in float32."""

    def forward(self, inputs: Tensor, unembed: bool = False) -> Tensor:
        if unembed:
            return F.linear(inputs.float(), self.weight.float())
        return F.embedding(inputs, self.weight)


class LinearToChannelsFirst(nn.Linear):
    """A linear layer whose output has the channels first, (C, B, T), so that filters run along contiguous memory."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_MD = x_BTD.flatten(0, 1).to(self.weight.dtype)
        y_CM = torch.addmm(self.bias[:, None], self.weight, x_MD.T)
        return y_CM.unflatten(1, x_BTD.shape[:2])


class LinearFromChannelsFirst(nn.Linear):
    """The way back: (D, B, T) in, (B, T, D) out."""

    def forward(self, x_DBT: Tensor) -> Tensor:
        x_DM = x_DBT.flatten(1).to(self.weight.dtype)
        return F.linear(x_DM.T, self.weight, self.bias).unflatten(0, x_DBT.shape[1:])


class GatedMLP(nn.Module):
    """l3(activation(l1 x) · l2 x)."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.mlp_activation]
        self.l1 = nn.Linear(config.hidden_size, config.mlp_width, bias=False)
        self.l2 = nn.Linear(config.hidden_size, config.mlp_width, bias=False)
        self.l3 = nn.Linear(config.mlp_width, config.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD.to(self.l1.weight.dtype)
        return self.l3(self.activation(self.l1(x_BTD)) * self.l2(x_BTD))


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
        self._cached: tuple[tuple[Any, ...], FilterBlock] | None = None

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
        return gated_DBT, HyenaState(_last_inputs(before_BCJ, z_CBT), filter_BDN)

    def block(self) -> FilterBlock:
        """The filter over one block of tokens, kept until poles or residues change; made anew while they are trained."""
        if torch.is_grad_enabled() and self.poles.requires_grad:
            return self._build_block()
        key = (*_identity(self.poles), *_identity(self.residues))
        if self._cached is None or self._cached[0] != key:
            with (
                torch.inference_mode(False),
                torch.no_grad(),
            ):  # an inference tensor could not be used in training later
                self._cached = (key, self._build_block())
        return self._cached[1]

    def _build_block(self) -> FilterBlock:
        poles_DN1 = torch.view_as_complex(self.poles.float().contiguous())
        residues_DN1 = torch.view_as_complex(self.residues.float().contiguous())
        return build_filter_block(poles_DN1.squeeze(-1), residues_DN1.squeeze(-1))


def _last_inputs(before_BCJ: Tensor, z_CBT: Tensor) -> Tensor:
    """The last J of all inputs so far, copied, so that a state does not keep a whole sequence in memory."""
    num_kept = before_BCJ.shape[-1]
    recent_BCJ = z_CBT[..., max(0, z_CBT.shape[-1] - num_kept) :].transpose(0, 1)
    joined_BCJ = torch.cat([before_BCJ, recent_BCJ], dim=-1)
    return joined_BCJ[..., joined_BCJ.shape[-1] - num_kept :].clone()


def _identity(parameter: Tensor) -> tuple[Any, ...]:
    """Changes whenever the parameter is replaced, moved or written to."""
    version = 0 if parameter.is_inference() else parameter._version
    return parameter.data_ptr(), version, parameter.device, parameter.dtype


class HyenaBlock(nn.Module):
    """x + out(filter(projections(norm x))), then x + mlp(norm x)."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = RMSNorm(config), RMSNorm(config)
        self.filter = HyenaFilter(config)
        self.projections = LinearToChannelsFirst(config.hidden_size, 3 * config.hidden_size)
        self.out_filter_dense = LinearFromChannelsFirst(config.hidden_size, config.hidden_size)
        self.mlp = GatedMLP(config)

    def forward(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        """A long sequence goes through in pieces, so that the wide intermediates are never whole in memory."""
        budget = CPU_PIECE_TOKENS if x_BTD.device.type == "cpu" else GPU_PIECE_TOKENS
        *first, last_BTD = x_BTD.split(max(MIN_PIECE_TOKENS, budget // x_BTD.shape[0]), dim=1)
        outputs = []
        for piece_BTD in first:
            out_BTD, state = self._read(piece_BTD, state, True)
            outputs.append(out_BTD)
        out_BTD, state = self._read(last_BTD, state, return_state)
        return torch.cat([*outputs, out_BTD], dim=1) if outputs else out_BTD, state

    def _read(self, x_BTD: Tensor, state: HyenaState | None, return_state: bool) -> tuple[Tensor, HyenaState | None]:
        mixed_DBT, state = self.filter(self.projections(self.pre_norm(x_BTD)), state, return_state)
        x_BTD = x_BTD + self.out_filter_dense(mixed_DBT)
        return x_BTD + self.mlp(self.post_norm(x_BTD)), state


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions counted from the window's start."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.config = config
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_proj_bias)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.mha_out_proj_bias)

    def forward(
        self, x_BTD: Tensor, state: AttentionState | None, return_state: bool
    ) -> tuple[Tensor, AttentionState | None]:
        qkv_BTC = self.Wqkv(x_BTD.to(self.Wqkv.weight.dtype))
        q, k, v = rearrange(qkv_BTC, "b t (three h e) -> three b h t e", three=3, h=self.config.num_attention_heads)
        start = state.keys_BHJE.shape[2] if state else 0
        cos_TE, sin_TE = rotary_tables(self.config, start, x_BTD.shape[1], x_BTD.device)
        q, k = rotate(q, cos_TE, sin_TE), rotate(k, cos_TE, sin_TE)
        if state:
            k, v = torch.cat([state.keys_BHJE, k], dim=2), torch.cat([state.values_BHJE, v], dim=2)
        mixed_BTD = rearrange(causal_attention(q, k, v), "b h t e -> b t (h e)")
        return self.out_proj(mixed_BTD), AttentionState(k, v.contiguous()) if return_state else None


class AttentionBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, config: Evo1Config) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = RMSNorm(config), RMSNorm(config)
        self.inner_mha_cls = Attention(config)
        self.mlp = GatedMLP(config)

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
        self.norm = RMSNorm(config)
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
        if tokens_BT.ndim != 2 or tokens_BT.shape[1] == 0:
            raise ValueError(f"tokens must have the shape (rows, at least one token), not {tuple(tokens_BT.shape)}")
        if state is not None and state.num_rows != tokens_BT.shape[0]:
            raise ValueError(f"the state holds {state.num_rows} rows, the tokens {tokens_BT.shape[0]}")
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
        if attention_mask is not None and bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
            raise ValueError("padding on the left would be read as sequence: pad on the right")
        return CausalLMOutput(logits=self.unembed(self.hidden_states(input_ids)[0]))


AutoConfig.register(Evo1Config.model_type, Evo1Config, exist_ok=True)
AutoModelForCausalLM.register(Evo1Config, Evo1ForCausalLM, exist_ok=True)
