"""Pooled states as columns of a table: in which type, and whole or projected on fewer dimensions. No torch.

In: ``PooledStates`` of each strand. Out: for each vector ``ref_<vector>`` and ``delta_<vector>``, FixedSizeList<float> or <halffloat>, and
``num_pooled_<pool>_<strand>``. A vector over no positions is NaN, not null: before pyarrow 26 no fixed-size list with nulls can be read
from Parquet.

A projection multiplies by a matrix of signs, drawn from a fixed seed and divided by sqrt(D'): dot products and distances keep their size on the
average (Johnson-Lindenstrauss), and nothing has to be fitted or kept. The signs are bits of PCG64, whose stream numpy promises never to
change; sums are of float64, so that who adds in another order gets the same float32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from raygen.errors import SettingsError
from raygen.scoring.effects import SUFFIX
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates, vector_name
from raygen.sequence.windows import Strand
from raygen.tables.embedding_files import COUNT

NOT_STORED = "none"
"""What ``embed.store`` is where vectors serve distances alone."""
PROJECTION_SEED = 20261125
_PROJECTION = re.compile(r"projection:([1-9][0-9]{0,5})")
_FLOAT16_MAX = float(np.finfo(np.float16).max)
DISTANCES = ("l2", "cosine")


@dataclass(frozen=True)
class Storage:
    """How vectors are kept. ``num_dimensions``: that they are projected on; None where they are kept whole."""

    name: str
    is_half: bool = False
    num_dimensions: int | None = None

    @property
    def in_words(self) -> str:
        """The storage with what decides its numbers, as an identity says it."""
        return f"{self.name} (signs, seed {PROJECTION_SEED})" if self.num_dimensions else self.name

    def bytes_of(self, hidden_size: int) -> int:
        """Bytes of one vector."""
        return (self.num_dimensions or hidden_size) * (2 if self.is_half else 4)


def parse_storage(name: str) -> Storage:
    """A storage by its name.

    Raises:
        SettingsError: there is none of this name.
    """
    if name in ("float32", "float16"):
        return Storage(name, is_half=name == "float16")
    if number := _PROJECTION.fullmatch(name):
        return Storage(name, num_dimensions=int(number[1]))
    raise SettingsError(
        f"There is no storage {name!r}: it can be float32, float16, projection:D (D dimensions, as in projection:256) or {NOT_STORED}."
    )


@dataclass(frozen=True)
class EmbeddingRequest:
    """What a run does with pooled states: which they are, how they are stored (None: not at all), and which distances it gives."""

    plan: EmbeddingPlan
    storage: Storage | None
    distances: tuple[str, ...] = ()

    def identity_text(self, strands: Sequence[str]) -> str:
        """What is stored, as a table's identity says it; empty for nothing."""
        return Stored(self.plan, tuple(strands), self.storage.in_words).as_text() if self.storage else ""

    def bytes_a_variant(self, hidden_size: int, strands: Sequence[str]) -> int:
        """Bytes of the vectors that a variant stores: WT's and the difference of each layer, pool and strand."""
        return 2 * len(self.plan.vectors(strands)) * self.storage.bytes_of(hidden_size) if self.storage else 0

    def distance_names(self, strands: Sequence[str]) -> list[str]:
        """The columns of distances: the mean of the strands, and where there are two each of them."""
        names = []
        for layer in self.plan.layers:
            for pool in self.plan.pool_names:
                for distance in self.distances:
                    name = f"{distance}_{layer}_{pool}"
                    names += [name, *(f"{name}_{SUFFIX[strand]}" for strand in strands if len(strands) > 1)]
        return names


@dataclass(frozen=True)
class Stored:
    """What a table's identity says of its embeddings."""

    plan: EmbeddingPlan
    strands: tuple[str, ...]
    storage: str

    def as_text(self) -> str:
        """The text of ``Identity.embeddings``."""
        parts = {"layers": self.plan.layers, "pools": self.plan.pool_names, "strands": self.strands}
        return "; ".join([*(f"{name} {', '.join(values)}" for name, values in parts.items()), f"store {self.storage}"])


def parse_stored(text: str) -> Stored:
    """Read back what ``Stored.as_text`` wrote."""
    parts = dict(part.split(" ", 1) for part in text.split("; "))
    layers, pools, strands = (tuple(parts[name].split(", ")) for name in ("layers", "pools", "strands"))
    return Stored(EmbeddingPlan(layers, pools), strands, parts["store"])


def column_names(plan: EmbeddingPlan, strands: Sequence[str]) -> list[str]:
    """The columns that ``embedding_columns`` gives, in order."""
    vectors = [f"{which}_{vector}" for vector in plan.vectors(strands) for which in ("ref", "delta")]
    return [*vectors, *(_num_pooled(pool, strand) for pool in plan.pool_names for strand in strands)]


def embedding_columns(
    by_strand: Mapping[Strand, PooledStates], plan: EmbeddingPlan, storage: Storage
) -> dict[str, pa.Array]:
    """The columns of P pooled pairs.

    Raises:
        SettingsError: a number is beyond the range of float16.
    """
    columns: dict[str, pa.Array] = {}
    for layer in plan.layers:
        for pool in plan.pool_names:
            for strand, pooled in by_strand.items():
                name = vector_name(layer, pool, strand)
                columns[f"ref_{name}"] = _vectors(pooled.ref[layer, pool], storage, layer)
                columns[f"delta_{name}"] = _vectors(pooled.delta[layer, pool], storage, layer)
    for pool in plan.pool_names:
        for strand, pooled in by_strand.items():
            columns[_num_pooled(pool, strand)] = pa.array(pooled.num_pooled[pool], pa.int64())
    return columns


def _num_pooled(pool: str, strand: str) -> str:
    return f"{COUNT}{pool}_{SUFFIX[strand]}"


def _vectors(states_PD: np.ndarray, storage: Storage, layer: str) -> pa.FixedSizeListArray:
    if storage.num_dimensions:
        states_PD = projected(states_PD, storage.num_dimensions)
    numbers = _as_half(states_PD, layer) if storage.is_half else np.asarray(states_PD, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(numbers).reshape(-1)), numbers.shape[1])


def _as_half(states_PD: np.ndarray, layer: str) -> np.ndarray:
    largest = float(np.nanmax(np.abs(states_PD), initial=0.0))
    if largest > _FLOAT16_MAX:
        raise SettingsError(
            f"embed.store float16: a state of {layer} is {largest:,.0f}, beyond the {_FLOAT16_MAX:,.0f} that float16 can hold. "
            "Use float32 or projection:D, into another output folder."
        )
    return states_PD.astype(np.float16)


def projected(states_PD: np.ndarray, num_dimensions: int) -> np.ndarray:
    """(P, D) vectors on ``num_dimensions`` dimensions, float32."""
    signs = _signs(states_PD.shape[1], num_dimensions)
    return np.asarray(states_PD.astype(np.float64) @ signs / np.sqrt(num_dimensions), np.float32)


@lru_cache(maxsize=2)
def _signs(num_from: int, num_to: int) -> np.ndarray:
    """(D, D') of -1 and 1: row after row of one stream of bits, the lowest bit of a number first."""
    num_words = -(-num_from * num_to // 64)
    words = np.random.PCG64(PROJECTION_SEED).random_raw(num_words).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little", count=num_from * num_to)
    return np.where(bits, 1.0, -1.0).reshape(num_from, num_to)
