"""What the report's charts share: their colours, how counted deltas become quantiles, and the look of axes.

Colours are the page's CSS variables (``var(--pathogenic)``): Vega's SVG takes them as they are, so a chart follows the page
from light to dark. What a user's table holds (contigs, consequences, ids) goes into a chart as data and never into an
expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from raygen.classes.classify import CLASSES
from raygen.classes.words import all_class_words
from raygen.pages.tally import BIN

COLOURS = alt.Scale(domain=list(CLASSES), range=[f"var(--{name.replace('_', '-')})" for name in CLASSES])
TITLES = {words.name: words.title for words in all_class_words()}
PLACES = {name: at for at, name in enumerate(CLASSES)}


@dataclass(frozen=True)
class Figure:
    """A chart and what it shows in words, for those who do not see it. ``css`` is a class of the page's style."""

    title: str
    spec: dict[str, Any]
    words: str
    css: str = ""


def quantile(counts: pl.DataFrame, share: float, width: float = BIN) -> float:
    """A quantile of counted deltas: the middle of the bin that holds it."""
    summed = counts.group_by("bin").agg(pl.col("rows").sum()).sort("bin").with_columns(pl.col("rows").cum_sum())
    if summed.is_empty():
        return 0.0
    at = int(summed["rows"].search_sorted(max(share * summed["rows"][-1], 1)))
    return float(summed["bin"][min(at, len(summed) - 1)] * width + width / 2)


def spreads(counts: pl.DataFrame, keys: list[str], width: float) -> pl.DataFrame:
    """Rows, and the quantiles 5, 25, 50, 75 and 95 of 100 (the middles of their bins), for each group."""
    summed = counts.group_by(*keys, "bin").agg(pl.col("rows").sum()).sort(*keys, "bin")
    upto = summed.with_columns(
        pl.col("rows").cum_sum().over(keys).alias("upto"), pl.col("rows").sum().over(keys).alias("all")
    )
    at = lambda percent: (  # noqa: E731
        (pl.col("bin").filter(pl.col("upto") >= percent / 100 * pl.col("all")).first() * width + width / 2)
        .round(3)
        .alias(f"p{percent:02d}")
    )
    return upto.group_by(keys).agg(pl.col("rows").sum(), *(at(percent) for percent in (5, 25, 50, 75, 95)))


def zero_line(axis: str = "y") -> alt.Chart:
    line = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(color="var(--line)", strokeWidth=1)
    return line.encode(**{axis: "zero:Q"})


def name_axis() -> alt.Axis:
    return alt.Axis(labelLimit=170, labelPadding=8, ticks=False, domain=False)


def tip(field: str, title: str, number_format: str | None, kind: str = "Q") -> alt.Tooltip:
    """A line of what is shown under the pointer."""
    shown = alt.Tooltip(f"{field}:{kind}", title=title)
    return shown if number_format is None else shown.format(number_format)


def vega(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int, words: str) -> dict[str, Any]:
    """As Vega-Lite, as wide as its place on the page."""
    sized = chart.properties(
        width="container",
        height=height,
        description=words,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    axis = dict(  # noqa: C408
        labelColor="var(--muted)",
        titleColor="var(--muted)",
        gridColor="var(--line)",
        domainColor="var(--line)",
        tickColor="var(--line)",
        labelFontSize=11,
        titleFontSize=11,
        titleFontWeight="normal",
        gridOpacity=0.6,
    )
    return (
        sized.configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(**axis)
        .configure_view(stroke=None)
        .to_dict()
    )
