"""Causal attention with rotary positions, of tokens read now to themselves and to prefixes that were read before.

What is read on from a prefix attends to two sets of keys: those of the prefix, all of them, which rows share and which stay where they
are, and its own, causally. Each set gives its softmax and the logarithm of its sum of exponents; joined by these the two are, in
float32, the softmax over both. So no row copies a prefix and nothing is masked but each token's own future.

``attend`` calls the kernels of torch that return that logarithm. They are the ones that ``scaled_dot_product_attention`` chooses among, which
does not return it; where none fits, ``attend_plainly`` is the definition. The tests hold the two together.

Shapes:  B rows   H heads   T tokens read now   J keys   E channels a head
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from raygen.model.products import by_onednn, linear
from raygen.model.state import AttentionState, KeysAndValues, Marks, SharedPrefix


def inverse_frequencies(base: float, head_size: int, device: torch.device | None = None) -> Tensor:
    """base^(−2 e / E) for e < E/2: (E/2,) float32."""
    exponents = torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size
    return 1.0 / (base**exponents)


def rotary_tables(frequencies_E: Tensor, scaling: float, positions: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, (..., E/2) float32, for positions (...), which are divided by ``scaling``.

    In float32 throughout, as the published models were trained and run: in wider arithmetic the fastest frequencies
    differ by up to 0.008 rad at position 131,072.
    """
    angles = (positions.float() / scaling)[..., None] * frequencies_E
    return angles.cos(), angles.sin()


def positions_read(state: AttentionState | None, num_tokens: int, device: torch.device) -> Tensor:
    """Where the tokens read now stand: (T,), or (B, 1, T) where rows have read unequally many before."""
    time = torch.arange(num_tokens, device=device)
    if state is None:
        return time
    first = int(state.lengths[0])
    if (state.lengths == first).all():
        return time + first
    return torch.from_numpy(state.lengths).to(device)[:, None, None] + time


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Turns channel pairs (e, e + E/2) by their position's angle, in float32; the dtype comes back as it was."""
    low, high = x_BHTE.float().chunk(2, dim=-1)
    return torch.cat([low * cos_TE - high * sin_TE, high * cos_TE + low * sin_TE], dim=-1).to(x_BHTE.dtype)


def causal_attention(q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, state: AttentionState | None = None) -> Tensor:
    """Softmax attention of each token to those up to itself, and to the prefix that its row goes on from."""
    if state is None:
        return F.scaled_dot_product_attention(q_BHTE, k_BHTE, v_BHTE, is_causal=True)
    out_BHTE, log_sum_BHT = attend(q_BHTE, k_BHTE, v_BHTE, is_causal=True)
    rows = [_joined_with_prefix(q_BHTE, out_BHTE, log_sum_BHT, run, state.prefixes) for run in state.runs]
    if len(rows) == 1 and rows[0].shape == out_BHTE.shape:
        return rows[0]
    for run, joined in zip(state.runs, rows, strict=True):
        out_BHTE[run.start : run.end] = joined
    return out_BHTE


def _joined_with_prefix(
    q_BHTE: Tensor, own_BHTE: Tensor, own_log_sum_BHT: Tensor, run: SharedPrefix, prefixes: KeysAndValues
) -> Tensor:
    """Attention of a run of rows to their prefix and to themselves: (rows, H, T, E)."""
    rows, of_prefixes = slice(run.start, run.end), slice(run.first, run.first + run.num_prefixes)
    keys, values = (tensor[of_prefixes, :, : run.num_tokens] for tensor in (prefixes.keys_PHJE, prefixes.values_PHJE))
    # Rows of one prefix are queries side by side: (P n, H, T, E) to (P, H, n T, E).
    q = q_BHTE[rows].unflatten(0, (run.num_prefixes, -1)).transpose(1, 2).flatten(2, 3)
    out, log_sum = attend(q, keys, values, is_causal=False)
    num_tokens = q_BHTE.shape[2]
    before_BHTE = out.unflatten(2, (-1, num_tokens)).transpose(1, 2).flatten(0, 1)
    before_BHT = log_sum.unflatten(2, (-1, num_tokens)).transpose(1, 2).flatten(0, 1)
    # Of the two sums of exponents, the share that the prefix has.
    share_BHT1 = torch.sigmoid(before_BHT - own_log_sum_BHT[rows])[..., None]
    return torch.lerp(own_BHTE[rows].float(), before_BHTE.float(), share_BHT1).to(q_BHTE.dtype)


def attend(q_BHTE: Tensor, k_BHJE: Tensor, v_BHJE: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
    """Softmax attention, and ln Σ exp of each query's scores: (B, H, T, E), and (B, H, T) float32.

    Args:
        is_causal: query t sees keys up to t; there are as many keys as queries then.
    """
    if not is_causal and by_onednn(q_BHTE, k_BHJE, v_BHJE):
        return _attend_by_products(q_BHTE, k_BHJE, v_BHJE)
    if q_BHTE.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q_BHTE, k_BHJE, v_BHJE, 0.0, is_causal)
    if q_BHTE.device.type == "cuda" and q_BHTE.dtype == torch.float32:
        out, log_sum, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            q_BHTE, k_BHJE, v_BHJE, None, True, 0.0, is_causal
        )
        return out, log_sum[..., : q_BHTE.shape[2]]  # padded to whole warps
    if q_BHTE.device.type == "cuda":
        out, log_sum, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q_BHTE, k_BHJE, v_BHJE, 0.0, is_causal)
        return out, log_sum
    return attend_plainly(q_BHTE, k_BHJE, v_BHJE, is_causal)


_QUERIES = 128  # of a product: their scores against thousands of keys stay near the processor


def _attend_by_products(q_BHTE: Tensor, k_BHJE: Tensor, v_BHJE: Tensor) -> tuple[Tensor, Tensor]:
    """``attend`` without a mask by products of some queries with all keys, on a CPU, where these are faster than torch's kernel.

    On one core of an AMD EPYC (Zen 5), 6 heads of 64, 4,000 keys: 381 queries 16 ms against 27, 45 queries 3.3 against 4.4.
    """
    out_BHTE, log_sum_BHT = torch.empty_like(q_BHTE), q_BHTE.new_empty(q_BHTE.shape[:3])
    scaled_BHTE = q_BHTE * q_BHTE.shape[-1] ** -0.5
    for row in range(q_BHTE.shape[0]):
        for head in range(q_BHTE.shape[1]):
            keys_JE, values_EJ = k_BHJE[row, head], v_BHJE[row, head].T
            for start in range(0, q_BHTE.shape[2], _QUERIES):
                queries = slice(start, start + _QUERIES)
                scores_TJ = linear(scaled_BHTE[row, head, queries], keys_JE)
                most_T1 = scores_TJ.amax(-1, keepdim=True)
                weights_TJ = scores_TJ.sub_(most_T1).exp_()
                sum_T1 = weights_TJ.sum(-1, keepdim=True)
                out_BHTE[row, head, queries] = linear(weights_TJ, values_EJ).div_(sum_T1)
                log_sum_BHT[row, head, queries] = (most_T1 + sum_T1.log())[:, 0]
    return out_BHTE, log_sum_BHT


def attend_plainly(q_BHTE: Tensor, k_BHJE: Tensor, v_BHJE: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
    """The definition of ``attend``, in float32, with every score in memory."""
    scores_BHTJ = q_BHTE.float() @ k_BHJE.float().transpose(-1, -2) * q_BHTE.shape[-1] ** -0.5
    if is_causal:
        future_TJ = torch.ones(scores_BHTJ.shape[-2:], dtype=torch.bool, device=q_BHTE.device).triu(1)
        scores_BHTJ = scores_BHTJ.masked_fill(future_TJ, -torch.inf)
    log_sum_BHT = scores_BHTJ.logsumexp(-1)
    weights_BHTJ = (scores_BHTJ - log_sum_BHT[..., None]).exp()
    return (weights_BHTJ @ v_BHJE.float()).to(q_BHTE.dtype), log_sum_BHT


def kept(state: AttentionState | None, k_BHTE: Tensor, v_BHTE: Tensor, marks: Marks) -> AttentionState:
    """The states at the marks of a pass that read these keys and values on from ``state``.

    They are written behind those of the prefixes where these end here and have room; else all go to a new place.
    """
    num_rows, num_tokens = k_BHTE.shape[0], k_BHTE.shape[2]
    if state is None:
        state = AttentionState(
            KeysAndValues.empty(num_rows, max(marks.room, num_tokens), k_BHTE),
            np.arange(num_rows),
            np.zeros(num_rows, np.int64),
        )
    elif not state.prefixes.can_grow(state.rows, state.lengths, num_tokens):
        state = _elsewhere(state, max(marks.room, int(state.lengths.max()) + num_tokens))
    if (state.lengths == state.lengths[0]).all():
        state.prefixes.write(state.rows, int(state.lengths[0]), k_BHTE, v_BHTE)
    else:
        for row, length in enumerate(state.lengths.tolist()):
            state.prefixes.write(state.rows[row : row + 1], length, k_BHTE[row : row + 1], v_BHTE[row : row + 1])
    return AttentionState(state.prefixes, state.rows[marks.rows], state.lengths[marks.rows] + marks.after)


def _elsewhere(state: AttentionState, room: int) -> AttentionState:
    """Each row with a prefix of its own, copied."""
    copied = KeysAndValues.empty(len(state.rows), room, state.prefixes.keys_PHJE)
    for row, (prefix, length) in enumerate(zip(state.rows.tolist(), state.lengths.tolist(), strict=True)):
        copied.keys_PHJE[row, :, :length] = state.prefixes.keys_PHJE[prefix, :, :length]
        copied.values_PHJE[row, :, :length] = state.prefixes.values_PHJE[prefix, :, :length]
    copied.filled[:] = state.lengths
    return AttentionState(copied, np.arange(len(state.rows)), state.lengths)
