"""What a pass gives beside its outputs: the states of named layers, each handed over as soon as it is there.

In: names of layers (``layer_names``). Out: calls of ``take``. A network keeps no state for its caller, so a pass holds as much more
memory as ``take`` keeps of it, and nothing where nobody asks.

Shapes:  B rows   T tokens   D channels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from raygen.model.layer_names import NORM, block_of


@dataclass(frozen=True)
class Taps:
    """The layers that are wanted of one pass.

    Attributes:
        layers: their names.
        take: called with a name and the (B, T, D) float32 states of all tokens of the pass.
        stops: nothing behind the deepest of them is computed, where the network can do so; what the pass returns as its outputs
            then predicts nothing.
    """

    layers: Sequence[str]
    take: Callable[[str, Tensor], None]
    stops: bool = False

    def offer(self, name: str, x_BTD: Tensor) -> None:
        """Hand a layer's states over if they are wanted."""
        if name in self.layers:
            self.take(name, x_BTD.float())

    def num_blocks(self, all_blocks: int) -> int:
        """How many blocks have to be read."""
        if not self.stops:
            return all_blocks
        return all_blocks if NORM in self.layers else 1 + max(block_of(name) for name in self.layers)


@dataclass
class Pieces:
    """An output inside a block that reads a long sequence piece by piece.

    An object and no list: accelerate copies the lists that are handed to a module on another device.
    """

    _parts: list[Tensor] = field(default_factory=list)

    def add(self, x_BTD: Tensor) -> None:
        """The next piece."""
        self._parts.append(x_BTD)

    def joined(self) -> Tensor:
        """All pieces."""
        return self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts, dim=1)
