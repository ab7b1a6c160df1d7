"""Which states of a model are kept beside a score: of which layers, over which positions, and the columns that they become. No torch.

    layer  blocks.N         the residual stream after block N, from 0
           blocks.N.mlp.l3  what block N's MLP adds to it
           norm             the residual stream after the final norm
    pool   variant          the state after the allele's last base
           right:K          mean of K states: that one and those of the K - 1 bases after it
           suffix           mean of the states of all bases after the allele, to the window's end

States before the variant are the same for both alleles, so no pool holds them. WT and MUT are compared at the same bases of the
genome: base by base behind the last base of REF and of ALT. On the reverse strand, what is after the variant there lies before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raygen.errors import SettingsError
from raygen.scoring.effects import SUFFIX

VARIANT, SUFFIX_POOL = "variant", "suffix"
_RIGHT = re.compile(r"right:([1-9][0-9]{0,6})")


@dataclass(frozen=True)
class Pool:
    """The positions that a vector is the mean of: ``num_positions`` from ``first`` on, counted from the allele's last base (0); None:
    to the window's end.
    """

    name: str
    first: int
    num_positions: int | None


def parse_pool(name: str) -> Pool:
    """A pool by its name.

    Raises:
        SettingsError: there is none of this name.
    """
    if name == VARIANT:
        return Pool(name, 0, 1)
    if name == SUFFIX_POOL:
        return Pool(name, 1, None)
    if number := _RIGHT.fullmatch(name):
        return Pool(name, 0, int(number[1]))
    raise SettingsError(
        f"There is no pool {name!r}: it can be {VARIANT}, right:K (K bases, as in right:64) or {SUFFIX_POOL}."
    )


@dataclass(frozen=True)
class EmbeddingPlan:
    """The vectors that are wanted of each variant and strand: one for each layer and pool."""

    layers: tuple[str, ...]
    pool_names: tuple[str, ...]

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The pools, in order."""
        return tuple(parse_pool(name) for name in self.pool_names)

    def vectors(self, strands: Sequence[str]) -> list[str]:
        """``<layer>_<pool>_<fwd or rev>`` of each vector; its columns are ``ref_`` and ``delta_`` with this name."""
        return [
            vector_name(layer, pool, strand) for layer in self.layers for pool in self.pool_names for strand in strands
        ]


def vector_name(layer: str, pool: str, strand: str) -> str:
    """The name of a vector, as columns have it behind ``ref_`` and ``delta_``."""
    return f"{layer}_{pool}_{SUFFIX[strand]}"


@dataclass(frozen=True)
class PooledStates:
    """Pooled states of P pairs on one strand.

    Attributes:
        ref, delta: (P, D) float32 by (layer, pool name): of WT, and MUT's less WT's. NaN where ``num_pooled`` is 0.
        num_pooled: (P,) int64 by pool name: how many positions of each sequence were averaged.
    """

    ref: dict[tuple[str, str], np.ndarray]
    delta: dict[tuple[str, str], np.ndarray]
    num_pooled: dict[str, np.ndarray]
