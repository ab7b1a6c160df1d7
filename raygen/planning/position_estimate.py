"""What `raygen tabulate` would cost, before it is run: no weights, no scores, and of the reference only how long its contigs are.

Windows on a grid are counted as the scorer reads them. Of windows that reach beyond the base that is changed, the branches are counted, too: three
a base, each from the cheapest stop before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raygen.model.on_paper import model_on_paper
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.position_shards import merged_intervals, tile_length
from raygen.pipeline.tabulate import Parts, refuse_other_settings, regions_of, with_positions_window
from raygen.planning.estimate import Estimate, WindowTokens, dtype_on_paper, size_on_paper
from raygen.planning.hours import Price, cost_on_devices
from raygen.remote import stage
from raygen.scoring.passes import STOP_TOKENS
from raygen.scoring.plan import strands_read
from raygen.scoring.prefix_plan import cheapest_stops
from raygen.sequence.reference import staged_reference
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.position_table import ALTS

_STRETCH = 4096  # bases over which stops are tried

Intervals = Sequence[tuple[int, int]]
"""[start, end) of bases, 0-based, ascending."""


def estimate_positions(settings: Settings, parts: Parts, price: Price | None = None) -> Estimate:
    """Plan a run over every base.

    Args:
        price: what a device costs an hour, in place of the table's.

    Raises:
        SettingsError, InputError: as ``run_tabulate`` before it scores.
    """
    refuse_other_settings(settings, is_plan=True)
    reference = staged_reference(str(settings.input.reference))
    named = settings.model
    model = model_on_paper(stage(named.name), named.revision, named.device, named.allow_unvalidated)
    settings = with_positions_window(settings, model.context_length)
    window = choose_window(settings, model.context_length)
    regions, remarks = regions_of(parts, reference)
    intervals = merged_intervals(regions)
    num_strands = len(strands_read(settings.window.strand))
    num_bases = sum(end - start for of_contig in intervals.values() for start, end in of_contig)
    path = path_tokens(intervals, reference.lengths, window, num_strands)
    fork = path + round(num_strands * num_bases * _branch_tokens_a_base(window, STOP_TOKENS[model.device]))
    mean_length = window.left + window.right + (window.stride or 0) // 2
    pair = num_strands * 2 * ALTS * num_bases * mean_length
    size = size_on_paper(model, dtype_on_paper(settings, model))
    state_bytes = size.prefix(window.longest) if size else None
    read = fork if settings.scoring.method == "fork" else pair
    return Estimate(
        num_variants=ALTS * num_bases,
        num_planned=ALTS * num_bases,
        counted="the lengths of the contigs",
        strand=settings.window.strand,
        method=settings.scoring.method,
        tokens=WindowTokens(window, pair, fork),
        alternatives=(),
        model=model,
        weights_bytes=model.num_parameters * 2,
        state_bytes=state_bytes,
        branch_bytes=size.branch(window.longest) if size else None,
        costs=tuple(cost_on_devices(read, model, settings.scoring.method, state_bytes or 0, price)),
        warnings=tuple(remarks),
    )


def path_tokens(
    intervals: Mapping[str, Intervals], lengths: Mapping[str, int], window: Window, num_strands: int
) -> int:
    """Tokens of the windows that are read to score every base of some intervals, as if each were an A, C, G or T.

    On the reverse strand, windows do not end where the tiles of a run do: there each tile reads the beginning of one more.
    """
    forward = sum(_of_interval(start, end, window) for of_contig in intervals.values() for start, end in of_contig)
    tile = tile_length(sum(lengths.values()), window)
    edges = sum(max(end - start - 1, 0) // tile for of_contig in intervals.values() for start, end in of_contig)
    again = edges * (window.left + (window.stride or 0) // 2) if window.stride and num_strands > 1 else 0
    return num_strands * forward + again


def _of_interval(start: int, end: int, window: Window) -> int:
    """Tokens of the windows of the bases [start, end) of a contig, each to the base that is changed, on one strand."""
    if window.stride is None:
        return (end - start) * (window.left + 1)
    left, stride = window.left, window.stride

    def window_start(base: int) -> int:
        return max((base - left) // stride * stride, 0)

    first, last = window_start(start), window_start(end - 1)
    if first == last:
        return end - first
    whole = max((last - first) // stride - 1, 0)  # windows between the first and the last
    return (left + stride) * (1 + whole) + end - last


def _branch_tokens_a_base(window: Window, stop_tokens: float) -> float:
    """Tokens of the branches of a base, of its own and read again from their stop on."""
    own = window.right - 1
    if not own:
        return 0.0
    stops = cheapest_stops([(depth, ALTS) for depth in range(_STRETCH)], stop_tokens)
    ends = [*stops[1:], _STRETCH]
    again = sum((end - stop) * (end - stop - 1) // 2 for stop, end in zip(stops, ends, strict=True)) / _STRETCH
    return ALTS * (own + again)
