"""Causal attention with rotary positions, of the last T of J tokens.

Shapes:  B rows   H heads   T tokens read now   J tokens read in all   E channels a head
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_MASK_ELEMENTS = 1 << 24  # attention with a prefix masks this many (query, key) pairs at a time: 16 MiB


def inverse_frequencies(base: float, head_size: int, device: torch.device | None = None) -> Tensor:
    """base^(−2 e / E) for e < E/2: (E/2,) float32."""
    exponents = torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size
    return 1.0 / (base**exponents)


def rotary_tables(frequencies_E: Tensor, scaling: float, start: int, num_tokens: int) -> tuple[Tensor, Tensor]:
    """cos and sin, (T, E/2) float32, for positions from ``start`` on, which are divided by ``scaling``.

    In float32 throughout, as the published models were trained and run: in wider arithmetic the fastest frequencies
    differ by up to 0.008 rad at position 131,072.
    """
    positions = torch.arange(start, start + num_tokens, device=frequencies_E.device, dtype=torch.float32)
    angles = torch.outer(positions / scaling, frequencies_E)
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
