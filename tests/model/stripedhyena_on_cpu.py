"""The public reference implementation (stripedhyena 0.2.2) on a CPU in float32, as the oracle of the parity tests.

Its attention comes from flash-attn, which needs CUDA. Here stands a small module with the same interface, parameter names
and formulas: rotary positions on halves of a head (not interleaved), causal softmax attention.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raygen.model.evo1 import Evo1Config, Evo1Network


class RotaryEmbedding(nn.Module):
    def __init__(
        self, dim: int, base: float, interleaved: bool, scale_base: None, pos_idx_in_fp32: bool, device: Any
    ) -> None:
        super().__init__()
        self.dim, self.base, self.interleaved = dim, base, interleaved
        self.scale_base, self.pos_idx_in_fp32, self.scale = scale_base, pos_idx_in_fp32, None
        inv_freq = 1.0 / (base ** (torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim))
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self._seq_len_cached, self._cos_cached, self._sin_cached = 0, None, None

    def _update_cos_sin_cache(self, seqlen: int, device: Any = None, dtype: Any = None) -> None:
        angles = torch.outer(torch.arange(seqlen, dtype=torch.float32), self.inv_freq)
        self._cos_cached, self._sin_cached = angles.cos().to(dtype), angles.sin().to(dtype)

    def turn(self, x_BTHE: Tensor) -> Tensor:
        self._update_cos_sin_cache(x_BTHE.shape[1], device=x_BTHE.device, dtype=x_BTHE.dtype)
        cos, sin = self._cos_cached[: x_BTHE.shape[1], None], self._sin_cached[: x_BTHE.shape[1], None]
        first, second = x_BTHE.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class MHA(nn.Module):
    def __init__(
        self, embed_dim: int, num_heads: int, num_heads_kv: int, rotary_emb_dim: int, qkv_proj_bias: bool,
        rotary_emb_base: float, causal: bool, layer_idx: int, out_proj_bias: bool, use_flash_attn: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        assert causal and num_heads_kv == num_heads
        self.num_heads, self.cross_attn = num_heads, False
        self.rotary_emb = RotaryEmbedding(rotary_emb_dim, rotary_emb_base, False, None, True, None)
        self.Wqkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_proj_bias)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=out_proj_bias)

    def forward(self, x_BTD: Tensor, inference_params: None = None) -> Tensor:
        q, k, v = self.Wqkv(x_BTD).unflatten(-1, (3, self.num_heads, -1)).unbind(2)
        q, k = self.rotary_emb.turn(q), self.rotary_emb.turn(k)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def install_stand_in() -> None:
    """Puts the stand-in where ``import flash_attn`` finds it; a real flash-attn is left out of the comparison.

    What was imported without it (by a test that only wants a configuration) is imported again.
    """
    if "flash_attn.modules.mha" in sys.modules and sys.modules["flash_attn.modules.mha"].MHA is MHA:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] in ("stripedhyena", "evo")]:
        del sys.modules[name]
    for name, contents in {
        "flash_attn": {},
        "flash_attn.layers": {},
        "flash_attn.layers.rotary": {"RotaryEmbedding": RotaryEmbedding},
        "flash_attn.modules": {},
        "flash_attn.modules.mha": {"MHA": MHA},
    }.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(contents)


def reference_of(model: Evo1Network, filter_tokens: int | None = None) -> nn.Module:
    """A ``stripedhyena.model.StripedHyena`` with the configuration and the weights of a model of ours.

    ``filter_tokens``: long filters of this many tokens are computed beforehand, by the reference's own formula but in
    float64. It takes exp(t · log p) in float32, where the angle's error grows with t: at 257 tokens its logits are
    1e-4, at 4,097 tokens 1e-3 off, against a float64 recurrence from which ours differ by 5e-6.
    """
    install_stand_in()
    from stripedhyena.model import StripedHyena
    from stripedhyena.utils import dotdict

    config: Evo1Config = model.config
    settings = {name: value for name, value in config.keys().items() if value is not None}
    float32 = dict.fromkeys(("attn_block_dtype", "mlp_dtype", "hyena_block_dtype", "params_dtype"), torch.float32)
    fixed = {
        "num_filters": config.hidden_size,
        "model_parallel_size": 1,
        "use_flashfft": False,
        "use_flash_attn": False,
    }
    reference = StripedHyena(dotdict({**settings, **fixed, **float32}))
    weights = {name.removeprefix("backbone."): tensor for name, tensor in model.state_dict().items()}
    if config.tie_embeddings:
        weights["unembed.weight"] = weights["embedding_layer.weight"]
    missing, unexpected = reference.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("rotary_emb.inv_freq") for name in missing), (missing, unexpected)
    for block in reference.blocks:
        if filter_tokens and hasattr(block, "filter"):
            block.filter.update_time(filter_tokens, "cpu")
            log_poles = torch.view_as_complex(block.filter.poles.double()).log()
            residues = torch.view_as_complex(block.filter.residues.double())
            block.filter.h = (residues * (log_poles * block.filter.t).exp()).real.sum(1)[None].float().detach()
    return reference.eval()
