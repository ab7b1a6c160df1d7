"""The matrix product of every linear layer: x Wᵀ + b, in the dtype of the weight.

On a CPU, in float32 and without gradients, it is oneDNN's product rather than that of torch's default BLAS (MKL), which
takes a slower path on processors of other makers: on one core of an AMD EPYC (Zen 5), 2,048 × 384 by 384 × 1,024, 262
against 115 GFLOP/s. Both are float32 throughout; they differ in the order of their sums. ``torch.ops.mkldnn`` is what
torch's own compiler calls; where this build of torch lacks it, and for everything else, it is ``F.linear``.

Shapes:  M rows   D inputs   C outputs
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight_CD: Tensor, bias_C: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: (..., D) to (..., C)."""
    if by_onednn(x, weight_CD):
        return torch.ops.mkldnn._linear_pointwise(x, weight_CD, bias_C, "none", [], "")
    return F.linear(x, weight_CD, bias_C)


def linear_channels_first(x_MD: Tensor, weight_CD: Tensor, bias_C: Tensor | None) -> Tensor:
    """(M, D) to (C, M): W xᵀ + b, which is the product of W, as rows, with x in the place of the weight; float32 where there is a bias."""
    if by_onednn(x_MD, weight_CD):
        y_CM = torch.ops.mkldnn._linear_pointwise(weight_CD, x_MD, None, "none", [], "")
        return y_CM if bias_C is None else y_CM.add_(bias_C[:, None])
    y_CM = weight_CD @ x_MD.T
    # Not addmm, which first copies such a bias to every column; and the sum is float32, which is what reads it.
    return y_CM if bias_C is None else y_CM + bias_C.float()[:, None]


def multiplied(x: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """x · factor, computed in float32 and rounded to a dtype: the numbers of a product and a cast, in one pass over memory where no
    gradient is wanted. ``factor`` is broadcast to the shape of x.
    """
    if dtype == x.dtype or torch.is_grad_enabled():
        return (x * factor).to(dtype)
    return torch.mul(x, factor, out=torch.empty(x.shape, dtype=dtype, device=x.device))


def by_onednn(*factors: Tensor) -> bool:
    """Whether a product of these is oneDNN's."""
    return _HAS_ONEDNN and all(
        factor.device.type == "cpu"
        and factor.dtype == torch.float32
        and factor.numel() > 0
        and not (torch.is_grad_enabled() and factor.requires_grad)
        for factor in factors
    )


class Linear(nn.Linear):
    """``nn.Linear`` by ``linear``."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class LinearToChannelsFirst(nn.Linear):
    """A linear layer whose output has the channels first, (C, B, T), so that filters run along contiguous memory."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_MD = x_BTD.flatten(0, 1).to(self.weight.dtype)
        return linear_channels_first(x_MD, self.weight, self.bias).unflatten(1, x_BTD.shape[:2])


class LinearFromChannelsFirst(nn.Linear):
    """A linear layer whose input has the channels first: (D, B, T) in, (B, T, C) out."""

    def forward(self, x_DBT: Tensor) -> Tensor:
        x_DM = x_DBT.flatten(1).to(self.weight.dtype)
        return linear(x_DM.T, self.weight, self.bias).unflatten(0, x_DBT.shape[1:])
