"""The layers of a model whose states can be had, by name. Light: no torch.

Names are those of the modules in the published implementations, because users copy them from there: ``blocks.28.mlp.l3`` is what the
MLP of block 28 adds to the residual stream, ``blocks.28`` the stream behind that block, ``norm`` the stream behind the final norm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from raygen.errors import SettingsError

NORM = "norm"
_MLP = ".mlp.l3"
_BLOCK = re.compile(r"blocks\.(\d+)")


def block_name(layer: int) -> str:
    """The residual stream behind a block."""
    return f"blocks.{layer}"


def mlp_name(layer: int) -> str:
    """What a block's MLP adds to the residual stream."""
    return block_name(layer) + _MLP


def block_of(name: str) -> int:
    """The number of the block that a layer is, or is in."""
    number = _BLOCK.match(name)
    assert number, f"{name} is in no block"
    return int(number[1])


def evo_layers(num_blocks: int) -> tuple[str, ...]:
    """All layers of an Evo 1 or Evo 2."""
    blocks = range(num_blocks)
    return (*map(block_name, blocks), *map(mlp_name, blocks), NORM)


def refuse_layers(model_name: str, wanted: Sequence[str], layers: Sequence[str]) -> None:
    """The layers that are asked for are a model's.

    Raises:
        SettingsError: one is not.
    """
    for name in wanted:
        if name not in layers:
            raise SettingsError(f"{model_name} has no layer {name!r} (embed.layers). It has {_in_words(layers)}.")


def _in_words(layers: Sequence[str]) -> str:
    """``blocks.0 to blocks.31, blocks.0.mlp.l3 to blocks.31.mlp.l3, norm``."""
    kinds: dict[str, list[str]] = {}
    for name in layers:
        kinds.setdefault(_BLOCK.sub("", name), []).append(name)
    return ", ".join(f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0] for names in kinds.values())
