"""What scoring needs of a network: the protocol that Evo 1, Evo 2 and the adapter for other causal models keep.

Who adds a model needs three things. Tokens go in as ids (B, T), padded on the right; ``hidden_states`` gives something
of shape (B, T, ·) from which ``unembed`` makes logits over the whole vocabulary, so that logits are made only where they are
wanted; and at marks it gives what the model knows there, from which a later call goes on. Reading a sequence in pieces must give
the numbers of reading it at once; the tests of ``tests/model/test_other_models.py`` and the table of
``tests/scoring/test_fork.py`` hold any network to it. A model that has no such state says why in ``fork_refusal`` and
is scored by two passes (``scoring.method: pair``). One whose layers are to be had names them, and hands their states to ``taps``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from raygen.errors import InputError
from raygen.model.cards import ModelCard
from raygen.model.facts import ModelFacts
from raygen.model.sizes import StateSize
from raygen.model.state import Marks, PrefixState
from raygen.model.taps import Taps


class CausalNetwork(Protocol):
    """A causal language model, in evaluation mode, on its devices.

    Attributes:
        config: has ``hidden_size``, from which the size of a batch is estimated.
        fork_refusal: why its state cannot be carried on, in words; None where it can.
        filter_storage: how much a long filter takes, for a manifest.
    """

    config: Any
    fork_refusal: str | None
    filter_storage: str

    def hidden_states(
        self,
        tokens_BT: Tensor,
        state: PrefixState | None = None,
        return_state: bool = False,
        marks: Marks | None = None,
        taps: Taps | None = None,
    ) -> tuple[Tensor, PrefixState | None]:
        """Outputs (B, T, ·) for each token, and states: at marks, or after the last token of every row if asked for.

        Where ``state_size`` does not say ``in_place``, marks are at the last token only. States of layers go to ``taps`` on the way.
        """
        ...

    def layer_names(self) -> tuple[str, ...]:
        """The layers that can be tapped."""
        ...

    def unembed(self, hidden: Tensor) -> Tensor:
        """Outputs (..., ·) to logits (..., V), float32."""
        ...

    def state_size(self) -> StateSize:
        """Bytes of one row's state."""
        ...

    def get_input_embeddings(self) -> Any:
        """The embedding, whose ``weight`` is where tokens go in."""
        ...


DeviceMap = dict[str, str] | str
"""Devices, or ``disk``, of modules by name; ``auto`` where accelerate shall choose."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files were checked and whose weights are not loaded.

    Attributes:
        facts: of its files alone, and of its card and the device it is meant for once ``raygen.model.loading`` has added them.
        load: the network with weights of a dtype, placed.
        token_ids: (256,) int64, the model's token for each byte of a sequence; None where bytes are the tokens, as in Evo.
        card: None where it has none.
        layers: names of what can be tapped.
        half_precision_remark: what to say where it is loaded in half precision.
    """

    folder: Path
    facts: ModelFacts
    load: Callable[[torch.dtype, DeviceMap], CausalNetwork]
    token_ids: np.ndarray | None = None
    card: ModelCard | None = None
    half_precision_remark: str | None = None
    layers: tuple[str, ...] = ()


def refuse_misfit(name: object, report: Mapping[str, Collection[Any]]) -> None:
    """What transformers says of tensors that were missing, left over or of another shape when it loaded a model.

    Raises:
        InputError: there are some.
    """
    faults = {fault.replace("_", " "): sorted(map(str, names)) for fault, names in report.items() if names}
    if faults:
        listed = "; ".join(f"{len(names)} {fault}: {', '.join(names[:5])}" for fault, names in faults.items())
        raise InputError(f"{name} does not fit its config.json. {listed}.")


def check_rows(tokens_BT: Tensor, state: PrefixState | None) -> None:
    """Tokens have a shape that can be read on from a state; else it is our own mistake."""
    if tokens_BT.ndim != 2 or tokens_BT.shape[1] == 0:
        raise ValueError(f"tokens must have the shape (rows, at least one token), not {tuple(tokens_BT.shape)}")
    if state is not None and state.num_rows != tokens_BT.shape[0]:
        raise ValueError(f"the state holds {state.num_rows} rows, the tokens {tokens_BT.shape[0]}")
