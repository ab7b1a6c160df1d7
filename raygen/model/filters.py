"""The causal filters of Evo 1 and Evo 2, each with state in and state out: short (a few taps), medium (128 taps), long (poles).

The choice a reader would question is the long filter. h_t = Re Σ_n R_n p_n^t is as long as the sequence, and the usual
way is an FFT of twice that length. Here the sequence is cut into blocks of 64 tokens. Inside a block the filter is a 64
× 64 Toeplitz product; between blocks its N states per channel are carried on (``long_filter`` has the formulas).
Measured on two CPU cores at width 384, batch 4, 2,048 tokens: 8 ms a layer against 43 to 110 ms by FFT. Memory grows
with the length only by one state a block, nothing of size (channels × states × length) or even (channels × length) is
kept, and the state after the last token costs one more small product. ``recurrent_filter`` is the definition, one token
at a time; tests hold the two together. Poles are complex in Evo 1 and real in Evo 2.

The medium filter is plain convolution on a CPU. On a GPU, where a convolution of each channel with 128 taps of its own leaves
the matrix units idle, it is a product of the same kind: windows of 128 + 127 inputs with a banded Toeplitz matrix, one for each
group of channels that share their taps, so that the channels of a group are rows of one product. On one CPU core, 2,048
tokens: 2.9 ms (width 384) and 82 ms (4,096) by convolution, 5.3 and 125 in windows, 6.3 and 232 by FFT; not measured on a GPU.

All is float32.

Shapes:  B rows   T tokens   D channels   N states (poles) a channel   J taps, or inputs from before   C channels of any kind
         K blocks   L tokens a block   M = B·K   S what N states are as real numbers: 2 N (real and imaginary part side by
         side) where poles are complex, else N   G groups of channels with the same taps   W = L + J inputs of a window
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from raygen.model.sizes import BLOCK_TOKENS
from raygen.model.state import Marks

WINDOW_TOKENS = 128  # outputs of a medium filter's window

Made = TypeVar("Made")


# Short filter -------------------------------------------------------------------------------------------------------


def short_filter(z_CBT: Tensor, weight_CJ: Tensor, bias_C: Tensor | None, before_BCJ: Tensor) -> Tensor:
    """Causal filter of a few taps, one a channel: y_t = b + Σ_j w_j z_{t−taps+1+j}. ``before``: the inputs before t = 0.

    On a CPU tap by tap over all rows: at 1,152 channels and three taps 1.9 ms for 16 rows of 127 tokens and 2.4 ms for 136 of 15, against
    8.0 and 5.5 ms by a convolution, which on a GPU reads and writes everything once.
    """
    if z_CBT.device.type == "cpu":
        return _short_filter_by_taps(z_CBT, weight_CJ, bias_C, before_BCJ)
    return _short_filter_by_convolution(z_CBT, weight_CJ, bias_C, before_BCJ)


def _short_filter_by_taps(z_CBT: Tensor, weight_CJ: Tensor, bias_C: Tensor | None, before_BCJ: Tensor) -> Tensor:
    weight_JC11, num_tokens = weight_CJ.T[..., None, None], z_CBT.shape[-1]
    on_itself_C11 = weight_JC11[-1]
    y_CBT = z_CBT * on_itself_C11 if bias_C is None else torch.addcmul(bias_C[:, None, None], z_CBT, on_itself_C11)
    for lag in range(1, weight_CJ.shape[1]):
        weight_C11, reached = weight_JC11[-1 - lag], min(lag, num_tokens)
        y_CBT[..., lag:].addcmul_(z_CBT[..., : num_tokens - reached], weight_C11)
        earlier_BCJ = before_BCJ[..., before_BCJ.shape[-1] - lag :][..., :reached]
        y_CBT[..., :reached].addcmul_(earlier_BCJ.transpose(0, 1), weight_C11)
    return y_CBT


def _short_filter_by_convolution(z_CBT: Tensor, weight_CJ: Tensor, bias_C: Tensor | None, before_BCJ: Tensor) -> Tensor:
    """All rows go through one convolution end to end; the first taps − 1 outputs of a row, which there see the row before, are
    then replaced.
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


def inputs_before_marks(before_BCJ: Tensor, z_CBT: Tensor, marks: Marks) -> Tensor:
    """The last J of all inputs up to each mark, (R, C, J), copied, so that a state does not keep a whole sequence in memory."""
    num_kept = before_BCJ.shape[-1]
    rows_R, after_R = marks.on(z_CBT.device)
    time_RJ = after_R[:, None] - num_kept + torch.arange(num_kept, device=z_CBT.device)
    inputs_RCJ = z_CBT[:, rows_R[:, None], time_RJ.clamp(min=0)].transpose(0, 1)
    if len(marks) == 0 or marks.after[0] >= num_kept:
        return inputs_RCJ.contiguous()
    earlier_RCJ = (time_RJ + num_kept).clamp(max=num_kept - 1)[:, None].expand_as(inputs_RCJ)
    return torch.where(time_RJ[:, None] < 0, before_BCJ[rows_R].gather(-1, earlier_RCJ), inputs_RCJ)


# Long filter --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilterBlock:
    """A long filter over one block of L tokens, all that ``long_filter`` needs of poles and residues.

    taps_DL: h_0 .. h_{L−1}, float32, the skip in h_0. powers_DNL: p^0 .. p^L, complex64 (here and below: float32 for real poles).
    readout_DSL: R p^1 .. R p^L, as it is multiplied with states that are written as real numbers.
    block_power_DN: p^L in complex128 (float64), to be squared on without loss.
    toeplitz_DLL: the taps as a matrix, inputs in rows; kept on a CPU only, where the short passes of forking would
    make it anew again and again (on a GPU it would be 2 GB of a 7-billion-parameter model).
    reach_DLS: p^{L−1} .. p^0, by which inputs reach the state at the block's end.
    """

    taps_DL: Tensor
    powers_DNL: Tensor
    readout_DSL: Tensor
    block_power_DN: Tensor
    reach_DLS: Tensor
    toeplitz_DLL: Tensor | None


def build_filter_block(
    poles_DN: Tensor, residues_DN: Tensor, skip_D: Tensor | None = None, num_tokens: int = BLOCK_TOKENS
) -> FilterBlock:
    """The block of a filter with complex or real poles and residues; with ``skip``, y_t has skip · x_t added, which is no work: it is
    part of the first tap.

    Computed in complex128 or float64, because an error of an angle or a decay grows with t.
    """
    wide, narrow = (torch.complex128, torch.complex64) if poles_DN.is_complex() else (torch.float64, torch.float32)
    poles_DN, residues_DN = poles_DN.to(wide), residues_DN.to(wide)
    powers_DNL = _powers(poles_DN, num_tokens + 1)
    weighted_DNL = residues_DN[..., None] * powers_DNL
    taps_DL = weighted_DNL[..., :-1].real.sum(1)
    if skip_D is not None:
        taps_DL = torch.cat([taps_DL[:, :1] + skip_D[:, None], taps_DL[:, 1:]], dim=1)
    taps_DL = taps_DL.float()
    reach_DLN = powers_DNL[..., :-1].to(narrow).flip(-1).transpose(1, 2)
    readout_DLN = weighted_DNL[..., 1:].to(narrow).transpose(1, 2).conj()  # Re(a s) = Re a Re s − Im a Im s
    return FilterBlock(
        taps_DL=taps_DL,
        powers_DNL=powers_DNL.to(narrow),
        readout_DSL=_as_real(readout_DLN).transpose(1, 2).contiguous(),
        block_power_DN=powers_DNL[..., -1].clone(),
        reach_DLS=_as_real(reach_DLN).contiguous(),
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
    x_DBT: Tensor, block: FilterBlock, state_BDN: Tensor | None, marks: Marks | None = None
) -> tuple[Tensor, Tensor | None]:
    """y_t = Re Σ_n R_n s_{n,t} with s_{n,t} = p_n s_{n,t−1} + x_t, from ``state`` (zero when None), all t at once.

    Float32 in and out; the states at the marks, (R, D, N) complex64 (float32), are returned where there are marks.
    Unrolled from a state S over the L tokens of a block, with the taps h_t = Re Σ_n R_n p_n^t, the recurrence is

        y_t  = Σ_{j≤t} h_{t−j} x_j + Re Σ_n R_n p_n^{t+1} S_n      the block's inputs, and what came before it
        S'_n = p_n^L S_n + Σ_j p_n^{L−1−j} x_j                    the state at the block's end
    """
    num_channels, num_rows, num_tokens = x_DBT.shape
    length = min(block.taps_DL.shape[1], num_tokens)
    num_blocks = -(-num_tokens // length)
    x_DML = _padded(x_DBT, num_blocks * length - num_tokens).reshape(num_channels, -1, length)
    toeplitz_DLL = _toeplitz(block.taps_DL[:, :length]) if block.toeplitz_DLL is None else block.toeplitz_DLL
    y_DML = torch.bmm(x_DML, toeplitz_DLL[:, :length, :length])
    if num_blocks == 1 and state_BDN is None:
        starts_DBKN = block.powers_DNL.new_zeros(num_channels, num_rows, 1, block.powers_DNL.shape[1])
    else:
        starts_DBKN = _block_starts(x_DML, block, state_BDN, num_rows)
        starts_DMS = _as_real(starts_DBKN).flatten(1, 2)
        y_DML.baddbmm_(starts_DMS, block.readout_DSL[..., :length])
    y_DBT = y_DML.reshape(num_channels, num_rows, -1)[..., :num_tokens]
    if marks is None:
        return y_DBT, None
    return y_DBT, _states_at(marks, x_DML.unflatten(1, (num_rows, -1)), block, starts_DBKN)


def _padded(x_DBT: Tensor, num_tokens: int) -> Tensor:
    """Zeros behind the last token; ``F.pad`` copies even where there are none to add."""
    return F.pad(x_DBT, (0, num_tokens)) if num_tokens else x_DBT


def _toeplitz(taps_DL: Tensor) -> Tensor:
    """(D, L, L) with [d, j, t] = h_{t−j}, zero where t < j: inputs j in rows, outputs t in columns."""
    length = taps_DL.shape[1]
    time = torch.arange(length, device=taps_DL.device)
    index = time[None, :] - time[:, None] + length - 1
    return F.pad(taps_DL, (length - 1, 0)).index_select(1, index.flatten()).unflatten(1, (length, length))


def _block_sums(x_DML: Tensor, reach_DLS: Tensor) -> Tensor:
    """(D, M, S): what each block adds to the state at its end, Σ_j p^{L−1−j} x_j, as real numbers."""
    return torch.bmm(x_DML, reach_DLS[:, reach_DLS.shape[1] - x_DML.shape[-1] :])


def _block_starts(x_DML: Tensor, block: FilterBlock, state_BDN: Tensor | None, num_rows: int) -> Tensor:
    """(D, B, K, N): the state at the start of each of a row's K blocks.

    S_k = p^L S_{k−1} + U_{k−1}, see ``_carried``.
    """
    first_DBN = None if state_BDN is None else state_BDN.transpose(0, 1)
    if x_DML.shape[1] == num_rows and first_DBN is not None:
        return first_DBN[:, :, None]
    sums_DMN = _as_states(_block_sums(x_DML, block.reach_DLS), block)
    sums_DBKN = sums_DMN.unflatten(1, (num_rows, -1))
    if first_DBN is None:
        first_DBN = torch.zeros_like(sums_DBKN[:, :, 0])
    starts_DBKN = torch.cat([first_DBN[:, :, None], sums_DBKN[:, :, :-1]], dim=2)
    return _carried(starts_DBKN, block.block_power_DN)


def _carried(sums_DBKN: Tensor, power_DN: Tensor) -> Tensor:
    """s_k = p s_{k−1} + u_k from s_0 = u_0 on, for all K at once.

    Neighbours are put together, half as many are carried on with p², and what lies between follows from them: few kernels, each number is
    read and written some ten times whatever K is, and rounding errors grow with log K where those of a loop would with K.
    """
    if sums_DBKN.shape[2] == 1:
        return sums_DBKN
    power_D11N = power_DN.to(sums_DBKN.dtype)[:, None, None]
    even_DBKN, odd_DBKN = sums_DBKN[:, :, ::2], sums_DBKN[:, :, 1::2]
    pairs_DBKN = torch.addcmul(odd_DBKN, power_D11N, even_DBKN[:, :, : odd_DBKN.shape[2]])
    carried_DBKN = torch.empty_like(sums_DBKN)
    carried_DBKN[:, :, 1::2] = after_pairs_DBKN = _carried(pairs_DBKN, power_DN * power_DN)
    carried_DBKN[:, :, :1] = even_DBKN[:, :, :1]
    before_DBKN = after_pairs_DBKN[:, :, : even_DBKN.shape[2] - 1]
    carried_DBKN[:, :, 2::2] = torch.addcmul(even_DBKN[:, :, 1:], power_D11N, before_DBKN)
    return carried_DBKN


def _states_at(marks: Marks, x_DBKL: Tensor, block: FilterBlock, starts_DBKN: Tensor) -> Tensor:
    """(R, D, N): the state after a mark's i-th token of its block, p^i S + Σ_j p^{i−1−j} x_j."""
    length = x_DBKL.shape[-1]
    rows_R, after_R = marks.on(x_DBKL.device)
    block_R = (after_R - 1) // length
    read_R = after_R - block_R * length  # of the mark's block, at least one
    # The block's inputs up to the mark, ending where the block would: what is before them counts as zero.
    time_RL = read_R[:, None] - length + torch.arange(length, device=x_DBKL.device)
    inputs_DRL = x_DBKL[:, rows_R[:, None], block_R[:, None], time_RL.clamp(min=0)] * (time_RL >= 0)
    sums_DRN = _as_states(_block_sums(inputs_DRL, block.reach_DLS), block)
    powers_DNR = block.powers_DNL.index_select(-1, read_R)
    states_DRN = powers_DNR.transpose(1, 2) * starts_DBKN[:, rows_R, block_R] + sums_DRN
    return states_DRN.transpose(0, 1).contiguous()


def _as_real(states: Tensor) -> Tensor:
    """(…, N) to (…, S): complex numbers as pairs of real ones, real ones as they are."""
    return torch.view_as_real(states.resolve_conj()).flatten(-2) if states.is_complex() else states


def _as_states(numbers: Tensor, block: FilterBlock) -> Tensor:
    """(…, S) to (…, N): real numbers as states, the inverse of ``_as_real``."""
    return torch.view_as_complex(numbers.unflatten(-1, (-1, 2))) if block.powers_DNL.is_complex() else numbers


def recurrent_filter(x_DBT: Tensor, poles_DN: Tensor, residues_DN: Tensor, state_BDN: Tensor) -> tuple[Tensor, Tensor]:
    """The definition that ``long_filter`` is held to: one token at a time, in the precision of its arguments."""
    outputs, state_DBN = [], state_BDN.transpose(0, 1)
    for x_DB in x_DBT.unbind(-1):
        state_DBN = poles_DN[:, None] * state_DBN + x_DB[..., None]
        outputs.append((residues_DN[:, None] * state_DBN).real.sum(-1))
    return torch.stack(outputs, dim=-1), state_DBN.transpose(0, 1)


# Medium filter ------------------------------------------------------------------------------------------------------


def medium_filter(x_DBT: Tensor, taps_GJ: Tensor, before_BDJ: Tensor) -> Tensor:
    """y_t = Σ_j h_j x_{t−j}, channels of a group next to each other. ``before``: the inputs before t = 0."""
    flipped_DJ = taps_GJ.flip(-1).repeat_interleave(x_DBT.shape[0] // taps_GJ.shape[0], dim=0)
    seen_BDT = torch.cat([before_BDJ, x_DBT.transpose(0, 1)], dim=-1)
    return F.conv1d(seen_BDT, flipped_DJ[:, None], groups=len(flipped_DJ)).transpose(0, 1)


def build_window_toeplitz(taps_GJ: Tensor, num_tokens: int = WINDOW_TOKENS) -> Tensor:
    """(G, W, L) with [g, i, t] = h_{t + J − i}, zero outside the taps: J = taps − 1 earlier inputs and L own in rows."""
    before = taps_GJ.shape[1] - 1
    time, inputs = torch.arange(num_tokens), torch.arange(before + num_tokens)
    lag_WL = (time[None, :] + before - inputs[:, None]).to(taps_GJ.device)
    inside_WL = (lag_WL >= 0) & (lag_WL <= before)
    return taps_GJ[:, lag_WL.clamp(0, before)] * inside_WL


def medium_filter_in_windows(x_DBT: Tensor, toeplitz_GWL: Tensor, before_BDJ: Tensor) -> Tensor:
    """``medium_filter`` by products: their rows are the windows of all channels of a group, W / L times the input in all."""
    num_tokens, before = x_DBT.shape[-1], before_BDJ.shape[-1]
    length = min(toeplitz_GWL.shape[-1], num_tokens)
    padded_DBT = _padded(x_DBT, -num_tokens % length)
    seen_DBT = torch.cat([before_BDJ.transpose(0, 1), padded_DBT], dim=-1)
    windows_DBKW = seen_DBT.unfold(-1, length + before, length)
    windows_GMW = windows_DBKW.reshape(toeplitz_GWL.shape[0], -1, length + before)
    y_GML = torch.bmm(windows_GMW, toeplitz_GWL[:, : length + before, :length])
    return y_GML.reshape(*x_DBT.shape[:2], -1)[..., :num_tokens]


# What is made of parameters ------------------------------------------------------------------------------------------


class KeptUntilChanged(Generic[Made]):
    """What is made of parameters, kept until one of them changes; made anew each time while they are trained.

    A write through ``parameter.data`` or under ``torch.inference_mode`` leaves no trace and is not seen: write under
    ``torch.no_grad``, or put a new parameter in its place.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], Made] | None = None

    def get(self, make: Callable[[], Made], *parameters: Tensor) -> Made:
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return make()
        key = tuple(fact for parameter in parameters for fact in _identity(parameter))
        if self._kept is None or self._kept[0] != key:
            with (
                torch.inference_mode(False),
                torch.no_grad(),
            ):  # an inference tensor could not be used in training later
                self._kept = (key, make())
        return self._kept[1]


def _identity(parameter: Tensor) -> tuple[Any, ...]:
    """Changes whenever the parameter is replaced, moved or written to."""
    version = 0 if parameter.is_inference() else parameter._version
    return parameter.data_ptr(), version, parameter.device, parameter.dtype
