"""The public reference implementation of Evo 2 (vtx 1.1.0) on a CPU, as the oracle of the parity tests.

Two things it imports need a GPU and get a stand-in: the rotary turn, which is a Triton kernel (the same formula: positions
on halves of a head, not interleaved), and ``torch.cuda.device``, which it opens around a matrix product. FP8 is off.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from raygen.model.evo2 import Evo2Config, Evo2Network


def apply_rotary(x_BTHE: Tensor, cos_TE: Tensor, sin_TE: Tensor, inplace: bool = False, **_: Any) -> Tensor:
    first, second = x_BTHE.chunk(2, dim=-1)
    cos, sin = cos_TE[: x_BTHE.shape[1], None], sin_TE[: x_BTHE.shape[1], None]
    turned = torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return x_BTHE.copy_(turned) if inplace else turned


@contextlib.contextmanager
def _without_a_gpu() -> Iterator[None]:
    """The rotary kernel's module has a stand-in, and ``torch.cuda.device`` does nothing."""
    module = ModuleType("vortex.ops.embedding.rotary")
    module.apply_rotary = apply_rotary  # type: ignore[attr-defined]
    sys.modules.setdefault(module.__name__, module)
    device = torch.cuda.device
    torch.cuda.device = lambda *_: contextlib.nullcontext()  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        torch.cuda.device = device  # type: ignore[misc]


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Without the configuration and each layer in the log."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def reference_config(config: Evo2Config, dtype: torch.dtype = torch.float32) -> Any:
    """The reference's own configuration object."""
    with _without_a_gpu():
        from vortex.model.utils import dotdict
    settings = config.keys()
    fixed = {
        "num_filters": config.hidden_size,
        "hcl_filter_groups": config.hidden_size,
        "model_parallel_size": 1,
        "use_flash_attn": False,
        "use_flashfft": False,
        "interleave": True,
        "column_split": True,
        "column_split_hyena": False,
        "proj_groups": 1,
        "hyena_filter_groups": 1,
        "final_norm": True,
        "use_fp8_input_projections": False,
    }
    dtypes = dict.fromkeys(("attn_block_dtype", "mlp_dtype", "hyena_block_dtype", "params_dtype"), dtype)
    return dotdict({**settings, **fixed, **dtypes})


def reference_of(model: Evo2Network, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A ``vortex.model.model.StripedHyena`` with the configuration and the weights of a model of ours.

    Its filters stay float32 in bfloat16 too, as ours and as those of published checkpoints.
    """
    with _without_a_gpu(), _in_silence():
        import vortex.model.model as vortex

        vortex.tqdm = lambda layers: layers  # it draws a bar over its layers
        reference = vortex.StripedHyena(reference_config(model.config, dtype)).to(dtype)
    weights = {name.removeprefix("backbone."): tensor for name, tensor in model.state_dict().items()}
    for name, buffer in reference.named_buffers():
        if name.endswith("inv_freq"):
            buffer.data = buffer.data.float()
    for name, parameter in reference.named_parameters():
        if name.rsplit(".", 1)[-1] in ("log_poles", "residues"):
            parameter.data = parameter.data.float()
    reference.load_state_dict(weights, strict=True)
    return reference.eval()


def reference_logits(reference: nn.Module, tokens_BT: Tensor) -> Tensor:
    with _without_a_gpu(), torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CUDA is not available")  # it opens an autocast for CUDA
        return reference(tokens_BT)[0]
