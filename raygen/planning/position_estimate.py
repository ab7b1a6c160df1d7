"""What `raygen tabulate` would cost, before it is run: no weights, no scores.

Windows are placed by the code of the run, tile by tile, and what is read of them is counted: one pass over the bases of those that end with
the base that is changed; of all others the path and three branches a base, each from the cheapest stop before it. Only padding is left
out. Of a large reference some tiles are counted and stand for the others of their kind: a contig that is shorter than a window is
read whole for every change of it, one that is longer is not.

Shapes:  P bases
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from raygen.model.on_paper import model_on_paper
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.position_shards import PositionShard, plan_position_shards
from raygen.pipeline.tabulate import Parts, refuse_other_settings, regions_of, with_positions_window
from raygen.planning.estimate import (
    UNKNOWN_SIZE,
    Estimate,
    WindowTokens,
    dtype_on_paper,
    limits_on_paper,
    size_on_paper,
)
from raygen.planning.hours import Price, cost_on_devices
from raygen.remote import stage
from raygen.scoring.passes import stop_cost
from raygen.scoring.plan import place_on_strands
from raygen.scoring.prefix_plan import cheapest_stops
from raygen.sequence.reference import Reference, refuse_unknown_contigs, staged_reference
from raygen.sequence.windows import Window, mirror
from raygen.settings import Settings
from raygen.tables.position_table import ALTS

MOST_COUNTED = 1 << 24
"""Bases of a kind that are counted, two seconds of them: 64 of the 12,000 tiles of a human genome."""
_RUN = 512  # bases that follow each other over which stops are tried


def estimate_positions(settings: Settings, parts: Parts, price: Price | None = None) -> Estimate:
    """Plan a run over every base.

    Args:
        price: what a device costs an hour, in place of the table's.

    Raises:
        SettingsError, InputError: as ``run_tabulate`` before it scores.
    """
    refuse_other_settings(settings, is_plan=True)
    reference = staged_reference(str(settings.input.reference))
    refuse_unknown_contigs(settings.input.circular, reference, "input.circular", settings.input.reference)
    named = settings.model
    model = model_on_paper(stage(named.name), named.revision, named.device, named.allow_unvalidated)
    settings = with_positions_window(settings, model.context_length)
    window = choose_window(settings, model.context_length)
    regions, remarks = regions_of(parts, reference)
    shards = plan_position_shards(reference, regions, window, "", reference.path)
    num_bases = sum(shard.num_bases for shard in shards)
    size = size_on_paper(model, dtype_on_paper(settings, model))
    stop_tokens = stop_cost(limits_on_paper(settings, model), size or UNKNOWN_SIZE).tokens
    counter = TokenCounter(reference, window, settings.window.strand, settings.input.circular, stop_tokens)
    tokens, num_planned = counter.count(shards)
    state_bytes = size.prefix(window.longest) if size else None
    read = tokens.fork if settings.scoring.method == "fork" else tokens.pair
    return Estimate(
        num_variants=num_bases,
        num_planned=num_planned,
        counted="counted in the reference",
        strand=settings.window.strand,
        method=settings.scoring.method,
        tokens=tokens,
        alternatives=(),
        model=model,
        weights_bytes=model.num_parameters * 2,
        state_bytes=state_bytes,
        branch_bytes=size.branch(window.longest) if size else None,
        costs=tuple(cost_on_devices(read, model, settings.scoring.method, state_bytes or 0, price)),
        warnings=tuple(remarks),
        unit="base",
    )


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens that a run over every base would read."""

    reference: Reference
    window: Window
    strand: str
    circular: Sequence[str]
    stop_tokens: float

    def count(self, shards: Sequence[PositionShard]) -> tuple[WindowTokens, int]:
        """Tokens of all shards, and of how many bases they were counted."""
        pair = fork = num_counted = 0
        for kind in self._kinds(shards):
            num_bases = sum(shard.num_bases for shard in kind)
            step = -(-num_bases // MOST_COUNTED)
            counted = kind[min(step // 2, len(kind) - 1) :: step]
            num_of_kind = sum(shard.num_bases for shard in counted)
            by_method = np.sum([self._of_shard(shard) for shard in counted], axis=0) * (num_bases / num_of_kind)
            pair, fork = (total + round(tokens) for total, tokens in zip((pair, fork), by_method, strict=True))
            num_counted += num_of_kind
        return WindowTokens(self.window, pair, fork), num_counted

    def _kinds(self, shards: Sequence[PositionShard]) -> Iterator[Sequence[PositionShard]]:
        """Shards of contigs that are longer than a window, and of those that are not."""
        longest = self.window.longest
        for is_long in (True, False):
            if kind := [shard for shard in shards if (self.reference.lengths[shard.chrom] >= longest) == is_long]:
                yield kind

    def _of_shard(self, shard: PositionShard) -> tuple[int, int]:
        """Tokens that ``pair`` and ``fork`` would read for a shard."""
        first, ones = shard.first(self.reference.bases(shard.chrom)), np.ones(shard.num_bases, np.int64)
        length, circular = self.reference.lengths[shard.chrom], shard.chrom in self.circular
        placed = place_on_strands(first, ones, ones, length, self.window, self.strand, circular)
        firsts = {name: first if name == "forward" else mirror(first, ones, length) for name in placed}
        is_read_once = np.logical_and.reduce([placed[name].end == firsts[name] + 1 for name in placed])
        pair = 2 * ALTS * sum(int((placement.end - placement.start).sum()) for placement in placed.values())
        fork = 0
        for rows in (np.flatnonzero(is_read_once), np.flatnonzero(~is_read_once)):
            for name, placement in placed.items():
                fork += self._of_bases(firsts[name][rows], placement.start[rows], placement.end[rows])
        return pair, fork

    def _of_bases(self, first: np.ndarray, start: np.ndarray, end: np.ndarray) -> int:
        """Tokens of (P,) bases and their windows on one strand: windows that start alike are one path."""
        if not len(first):
            return 0
        order = np.lexsort((end, start))
        begins = np.flatnonzero(np.diff(start[order], prepend=start[order[0]] - 1))
        last = np.append(begins[1:], len(order)) - 1
        paths = int((end[order][last] - start[order][last]).sum())
        own = ALTS * int((end - first - 1).sum())
        if not own:
            return paths
        sizes, times = np.unique(last - begins + 1, return_counts=True)
        whole, rest = np.divmod(sizes, _RUN)
        of_rest = [_read_again(size, self.stop_tokens) for size in rest.tolist()]
        return paths + own + int(times @ of_rest) + int(times @ whole) * _read_again(_RUN, self.stop_tokens)


@lru_cache(maxsize=_RUN + 1)
def _read_again(num_bases: int, stop_tokens: float) -> int:
    """Tokens between the stops of a path and the branches that leave it, three at each of so many bases that follow each other."""
    stops = cheapest_stops([(depth, ALTS) for depth in range(num_bases)], stop_tokens)
    ends = [*stops[1:], num_bases]
    return ALTS * sum((end - stop) * (end - stop - 1) // 2 for stop, end in zip(stops, ends, strict=True))
