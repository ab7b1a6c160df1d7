"""The still charts of a position table: the distribution of its deltas, and what a genome browser shows of constraint, by contig.

In: a ``PositionTally``. Out: figures. A contig has two charts one above the other: the mean of a base's three changes and the entropy, each
with the same limits on all contigs, so that contigs can be compared; what lies beyond is drawn at the edge.
"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl
from markupsafe import Markup

from raygen.number_of import number_of
from raygen.pages.chart_style import StillFigure, still_svg, zero_line
from raygen.pages.position_tally import STEP, Along, PositionTally, quantile, round_width, steps_and_counts
from raygen.pages.variant_words import number

COLOURS = {"mean": "series-1", "entropy": "series-2"}
"""The two numbers that are drawn along a contig, the upper one first, and the classes of CSS of their colours. Positions are below the lowest."""
_TITLES = {"mean": "mean delta_llr", "entropy": "entropy"}
_HEIGHTS = {"mean": 110, "entropy": 60}
_MOST_BARS = 60
_HEIGHT = 270
_BEYOND = 0.002  # of the columns on each side


def distribution(tally: PositionTally) -> StillFigure:
    """How many single-base changes have which delta; the outermost bars hold what lies beyond them."""
    counts = tally.changes.sum(axis=(0, 1))
    low, middle, high = (quantile(counts, share) for share in (0.002, 0.5, 0.998))
    width = round_width((high - low) / STEP / _MOST_BARS)  # in steps
    steps, rows = steps_and_counts(counts)
    bars = np.clip(steps // width, round(low / STEP) // width, round(high / STEP) // width)
    first = int(bars.min())
    rows_of_bar = np.bincount(bars - first, rows)
    share = rows_of_bar / rows_of_bar.sum()
    edges = (first + np.arange(len(rows_of_bar) + 1)) * width * STEP
    frame = pl.DataFrame(
        {
            "from": edges[:-1].round(2),
            "to": edges[1:].round(2),
            "share": share,
            "words": [
                f"{number(start)} to {number(end)}: {int(count):,}, {part:.2%}"
                for start, end, count, part in zip(edges[:-1], edges[1:], rows_of_bar, share, strict=True)
            ],
        }
    ).filter(pl.col("share") > 0)
    across = alt.X(
        "from:Q", title="delta_llr, nats", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=7)
    )
    upwards = alt.Y("share:Q", title="share of the changes", stack=None, axis=alt.Axis(tickCount=5, format="~%"))
    bars_drawn = alt.Chart(frame).mark_bar(color="var(--series-1)", binSpacing=0.5)
    chart = bars_drawn.encode(x=across, x2="to:Q", y=upwards, y2=alt.datum(0), description="words:N")
    words = (
        f"Histogram of delta_llr of {number_of(int(counts.sum()), 'single-base change')}. The median is {number(middle)} nats; 99.6% lie "
        f"between {number(low)} and {number(high)}. The outermost bars hold what lies beyond."
    )
    return StillFigure("Distribution of delta_llr", still_svg(chart, _HEIGHT), words)


def along_contigs(tally: PositionTally) -> list[StillFigure]:
    """For each contig the mean of the three changes along it, and the entropy below."""
    limits = {name: _limits(np.concatenate([getattr(along, name) for along in tally.along])) for name in COLOURS}
    return [_along(along, limits) for along in tally.along]


def _along(along: Along, limits: Mapping[str, tuple[float, float]]) -> StillFigure:
    lowest = int(np.nanargmin(along.mean))
    words = (
        f"{along.chrom}: the mean delta_llr of the three changes and the entropy of {number_of(int(along.num_bases.sum()), 'base')}, in steps "
        f"of {number_of(along.width, 'base')}. The lowest mean, {number(float(along.mean[lowest]))} nats, is that of the step that begins at "
        f"{along.start + lowest * along.width:,}."
    )
    charts = [still_svg(_line(along, name, limits[name]), _HEIGHTS[name]) for name in COLOURS]
    return StillFigure(along.chrom, Markup().join(charts), words)


def _line(along: Along, name: str, limits: tuple[float, float]) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """A number along a contig, flat over each column; where a column has no bases there is no line."""
    values: np.ndarray = getattr(along, name)
    last, is_lowest = along.start + len(values) * along.width - 1, name == [*COLOURS][-1]
    across = alt.X(
        "pos:Q",
        title=None,
        scale=alt.Scale(domain=[along.start, last], nice=False, zero=False),
        axis=alt.Axis(format="~s" if last >= 1_000_000 else ",d", tickCount=5, labels=is_lowest, ticks=is_lowest),
    )
    scale = alt.Scale(domain=list(limits), nice=False, zero=False, clamp=True)
    upwards = alt.Y("value:Q", title=_TITLES[name], scale=scale, axis=alt.Axis(tickCount=_HEIGHTS[name] // 25))
    line = (
        alt.Chart(pl.DataFrame(_corners(along, values), schema=["pos", "value"], orient="row"))
        .mark_line(color=f"var(--{COLOURS[name]})", strokeWidth=1.25, interpolate="step-after", aria=False)
        .encode(x=across, y=upwards, order="pos:Q")
    )
    return alt.layer(zero_line(), line) if limits[0] <= 0 <= limits[1] else line


def _corners(along: Along, values: np.ndarray) -> list[tuple[int, float | None]]:
    """Where each column of the line begins, and where the last one before a gap ends."""
    has_value = np.isfinite(values)
    ends = has_value & ~np.append(has_value[1:], False)
    corners: list[tuple[int, float | None]] = []
    for column in np.flatnonzero(has_value).tolist():
        start, value = along.start + column * along.width, float(values[column])
        corners.append((start, value))
        if ends[column]:
            corners += [(start + along.width, value), (start + along.width, None)]
    return corners


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The limits of an axis that shows these columns but for the outermost few."""
    low, high = np.nanquantile(values, [_BEYOND, 1 - _BEYOND]).tolist()
    room = max(0.05 * (high - low), 0.05)
    return round(low - room, 3), round(high + room, 3)
