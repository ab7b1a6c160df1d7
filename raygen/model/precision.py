"""Which half precision a network runs in: float16 where its activations fit, else bfloat16 (or what comes next).

In: a way to load the network in a given dtype. Out: the dtype, the reason in words, and the network that was tried last.

Float16 has eight times the resolution of bfloat16 but ends at 65,504. The error matters: a class is one to four nats
wide, and on a trained model of 1.3 million parameters (window 1,024) ``delta_llr`` was off from float32 by 0.025 nats
RMS in float16, by 0.18 in bfloat16, both with residual stream, norms and logits in float32, and by 0.34 all in
bfloat16. So the network reads calibration sequences, and what goes into and comes out of its matrix products is looked
at, beside the residual stream and the logits: a product may not come nearer to the end than a factor of ``HEADROOM``,
because the sequences of a run are others. A run is still guarded (``ResidentModel.token_log_probs``). Nothing here
depends on the device.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.network import CausalNetwork
from raygen.tables.place import keep_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HEADROOM = 2.0
CALIBRATION_VERSION = 1
"""Raised when the sequences or the test change, so that a remembered choice is made anew."""

_SEED = 8192
_MAX_TOKENS = 4096
_REPEATED = ("A", "C", "AT", "CG", "CAG", "TTAGGG", "N")


class DoesNotFit(InputError):
    """A network gives values that are not finite in the dtype that it was loaded in, so nothing can be said of it."""


@dataclass(frozen=True)
class DtypeChoice:
    """A dtype by its name, and why it was taken."""

    dtype: str
    because: str


def choose_dtype(
    candidates: Sequence[str],
    load: Callable[[str], CausalNetwork],
    device: torch.device,
    bos_id: int | None,
    context_length: int,
    token_ids: np.ndarray | None = None,
) -> tuple[DtypeChoice, CausalNetwork | None]:
    """The first of the candidates that holds the network's activations; the last one is taken without being tried.

    Returns:
        The choice, and the network in that dtype where it was loaded to be tried. At most one is in memory at a time.
    """
    faults = []
    for dtype in candidates[:-1]:
        try:
            network = load(dtype)
        except DoesNotFit:
            faults.append(f"{dtype}: values that are not finite when it is loaded")
            release_memory(device)
            continue
        fault = find_overflow(network, DTYPES[dtype], device, bos_id, context_length, token_ids)
        if fault is None:
            return DtypeChoice(dtype, f"calibration sequences fit {dtype}"), network
        faults.append(f"{dtype}: {fault}")
        del network
        release_memory(device)
    return DtypeChoice(candidates[-1], "; ".join(faults) or f"{device.type} runs in {candidates[-1]}"), None


@torch.inference_mode()
@exact_arithmetic()
def find_overflow(
    network: CausalNetwork,
    dtype: torch.dtype,
    device: torch.device,
    bos_id: int | None,
    context_length: int,
    token_ids: np.ndarray | None = None,
) -> str | None:
    """What does not fit ``dtype`` while the calibration sequences are read, in words; None where everything fits."""
    limit = torch.finfo(dtype).max / HEADROOM
    for name, sequence in calibration_sequences(min(context_length, _MAX_TOKENS) - 1).items():
        bases = list(sequence) if token_ids is None else token_ids[list(sequence)].tolist()
        tokens_1T = torch.tensor([[*([] if bos_id is None else [bos_id]), *bases]], device=device)
        with _largest_in_products(network) as largest:
            hidden_1TD, _ = network.hidden_states(tokens_1T)
            finite = bool(hidden_1TD.isfinite().all()) and bool(network.unembed(hidden_1TD).isfinite().all())
        if not finite:
            return f"values that are not finite on {name}"
        if not max(largest) <= limit:
            return f"a value of {max(largest):,.0f} in a matrix product on {name}, with {limit:,.0f} as the limit"
    return None


def calibration_sequences(num_bases: int) -> dict[str, bytes]:
    """Sequences by name: random bases, one letter or a few again and again, and copies of a random unit. Always the same."""
    generator = torch.Generator("cpu").manual_seed(_SEED)

    def drawn(count: int, letters: bytes = b"ACGT") -> bytes:
        return bytes(letters[index] for index in torch.randint(len(letters), (count,), generator=generator).tolist())

    sequences = {f"random bases {number}": drawn(num_bases) for number in (1, 2)}
    sequences["random A and T"] = drawn(num_bases, b"AT")
    sequences["copies of 171 random bases"] = (drawn(171) * num_bases)[:num_bases]
    sequences["a short random sequence"] = drawn(min(num_bases, 64))
    sequences |= {f"repeated {unit}": (unit.encode() * num_bases)[:num_bases] for unit in _REPEATED}
    return sequences


@contextmanager
def _largest_in_products(network: Any) -> Iterator[list[float]]:
    """The largest absolute value that goes into or comes out of each matrix product while this is open."""
    largest = [0.0]

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        largest.extend(float(tensor.abs().max()) for tensor in (*inputs, output))

    hooks = [module.register_forward_hook(look) for module in network.modules() if isinstance(module, nn.Linear)]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


def release_memory(device: torch.device) -> None:
    """Give back what a network that is no longer referred to held on a device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


# What was chosen before ---------------------------------------------------------------------------------------------


def remembered_choice(candidates: Sequence[str], weights_hash: str, device_type: str) -> DtypeChoice | None:
    """What an earlier call chose for these weights among these candidates; None where nobody did."""
    file = _choice_file(candidates, weights_hash, device_type)
    if file is None:
        return None
    try:
        choice = DtypeChoice(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return choice if choice.dtype in candidates else None


def remember_choice(choice: DtypeChoice, candidates: Sequence[str], weights_hash: str, device_type: str) -> None:
    """Keep a choice in the cache; where nothing can be kept it is made again the next time, and is the same."""
    if file := _choice_file(candidates, weights_hash, device_type):
        keep_json(file, asdict(choice))


def _choice_file(candidates: Sequence[str], weights_hash: str, device_type: str) -> Path | None:
    depends_on = [CALIBRATION_VERSION, HEADROOM, list(candidates), weights_hash, device_type]
    try:
        folder = cache_folder("dtypes")
    except SettingsError:
        return None
    return folder / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]}.json"
