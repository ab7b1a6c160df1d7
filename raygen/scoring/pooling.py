"""Sums of states over places of rows, added up while passes go by, and pooled states from them.

Each pass adds up its share on its device, and only these sums leave it: states of whole sequences are kept nowhere. Sums are float64,
so that the difference of two means of nearly equal states holds what the states hold.

Shapes:  B rows   T tokens   D channels   N places
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raygen.model.taps import Taps
from raygen.scoring.embedding_plan import PooledStates
from raygen.scoring.pooled_states import PooledPlaces

Place = tuple[Hashable, int, int]
"""A row, and the depths of it from which and before which states are added up."""


class StateSums:
    """Sums of the states of layers at the places that are wanted."""

    def __init__(self, layers: Sequence[str], stops: bool) -> None:
        self.layers, self.stops = layers, stops
        self._places: dict[Hashable, dict[Place, None]] = {}
        self._sums: dict[tuple[str, Place], np.ndarray] = {}
        self._of_pass: list[tuple[str, list[Place], torch.Tensor]] = []

    def want(self, place: Place) -> None:
        """Add up a place of a row that is read later."""
        if place[1] < place[2]:
            self._places.setdefault(place[0], {})[place] = None

    def taps(self, rows: Sequence[Hashable], depths: Sequence[int], num_tokens: int) -> Taps:
        """What a pass over rows from their depths on is to hand over."""
        shares: list[tuple[int, int, int]] = []
        places: list[Place] = []
        for number, (row, depth) in enumerate(zip(rows, depths, strict=True)):
            for place in self._places.get(row, ()):
                start, end = max(place[1] - depth, 0), min(place[2] - depth, num_tokens)
                if start < end:
                    shares.append((number, start, end))
                    places.append(place)

        def take(layer: str, x_BTD: torch.Tensor) -> None:
            if shares:
                sums = [x_BTD[row, start:end].sum(dim=0, dtype=torch.float64) for row, start, end in shares]
                self._of_pass.append((layer, places, torch.stack(sums)))

        return Taps(self.layers, take, self.stops)

    def end_pass(self) -> None:
        """Take what the pass added up."""
        for layer, places, sums_ND in self._of_pass:
            for place, of_place in zip(places, sums_ND.cpu().numpy(), strict=True):
                before = self._sums.get((layer, place))
                self._sums[layer, place] = of_place if before is None else before + of_place
        self._of_pass.clear()

    def of(self, layer: str, places: Sequence[Place]) -> np.ndarray:
        """The sum over some places that are not all empty, (D,) float64."""
        parts = [self._sums[layer, place] for place in places if place[1] < place[2]]
        return parts[0] if len(parts) == 1 else np.add.reduce(parts)


@dataclass(frozen=True)
class WatchedRows:
    """Rows that are read, and the depth that each is read from."""

    sums: StateSums
    rows: Sequence[Hashable]
    depths: Sequence[int]

    def taps(self, start: int, num_tokens: int) -> Taps:
        """Of a pass over tokens from ``start`` on, counted from where the rows are read from."""
        return self.sums.taps(self.rows, [depth + start for depth in self.depths], num_tokens)


@dataclass(frozen=True)
class PairPlaces:
    """Where the states of a pool lie: WT's, and MUT's in one or two rows."""

    pair: int
    pool: str
    count: int
    wt: Place
    mut: tuple[Place, ...]

    def want(self, sums: StateSums) -> None:
        for place in (self.wt, *self.mut):
            sums.want(place)

    def fill(self, pooled: PooledStates, sums: StateSums) -> None:
        """Put the means into the pair's row. What is not finite stays so, for the caller to see."""
        pooled.num_pooled[self.pool][self.pair] = self.count
        for layer in sums.layers if self.count else ():
            wt, mut = sums.of(layer, [self.wt]), sums.of(layer, self.mut)
            with np.errstate(invalid="ignore", over="ignore"):
                pooled.ref[layer, self.pool][self.pair] = wt / self.count
                pooled.delta[layer, self.pool][self.pair] = (mut - wt) / self.count


def pair_places(
    pair: int, pool: str, places: PooledPlaces, wt_row: Hashable, mut_rows: Sequence[tuple[Hashable, int]], bos: int
) -> PairPlaces:
    """The places of a pair.

    Args:
        mut_rows: rows that MUT's states lie in, each with the depth from which they do.
        bos: tokens that are read before the first base.
    """
    wt, mut = places.wt + bos, places.mut + bos
    ends = [*(depth for _, depth in mut_rows[1:]), mut + places.count]
    of_mut = tuple(
        (row, max(mut, depth), min(mut + places.count, end)) for (row, depth), end in zip(mut_rows, ends, strict=True)
    )
    return PairPlaces(pair, pool, places.count, (wt_row, wt, wt + places.count), of_mut)
