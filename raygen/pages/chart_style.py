"""What the charts of all pages share: how counted deltas become quantiles, the look of axes, and how a chart is drawn.

In: Altair charts. Out: a ``Figure`` for the report, whose script draws it (a chart of thousands of variants with values under
the pointer); or a ``StillFigure``, drawn here as SVG. Pages of a few curves are still: the script that draws is 900 KB, and a
page without any script can forbid all of them. The values of a still chart's marks are tooltips, too, as SVG has them.

Colours are the page's CSS variables (``var(--pathogenic)``): Vega's SVG takes them as they are, so a chart follows the page
from light to dark. What a user's table holds (contigs, consequences, ids) goes into a chart as data and never into an
expression.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert
from markupsafe import Markup

from raygen.cache import cache_folder
from raygen.classes.classify import CLASSES
from raygen.classes.words import all_class_words
from raygen.errors import RaygenError
from raygen.pages.palette import css_class
from raygen.pages.tally import BIN
from raygen.tables.place import keep_json, kept_text

VEGALITE = "6.4"
COLOURS = alt.Scale(domain=list(CLASSES), range=[f"var(--{css_class(name)})" for name in CLASSES])
TITLES = {words.name: words.title for words in all_class_words()}
PLACES = {name: index for index, name in enumerate(CLASSES)}
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_FONT = "system-ui, sans-serif"
_STILL_WIDTH = 400  # of a phone with its margins: text keeps its size there, and is a little larger where there is room
_FONT_SLACK = 20  # the reader's font may be wider than the one that text was measured with
_SVG = "http://www.w3.org/2000/svg"
_MARKS = ("bar", "circle", "point")
_DROPPED = ("role", "class", "pointer-events", "font-family")
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "fill-opacity": "1"}
_LONG_NUMBER = re.compile(r"\d+\.\d{2,}")
ElementTree.register_namespace("", _SVG)


@dataclass(frozen=True)
class Figure:
    """A chart and what it shows in words, for those who do not see it. ``css`` is a class of the page's style."""

    title: str
    spec: dict[str, Any]
    words: str
    css: str = ""


@dataclass(frozen=True)
class StillFigure:
    """A chart as SVG and what it shows in words. ``legend`` has for each entry the class of CSS of its sign, and its name."""

    title: str
    svg: Markup
    words: str
    legend: Sequence[tuple[str, str]] = ()


def quantile(counts: pl.DataFrame, share: float, width: float = BIN) -> float:
    """A quantile, in nats, of deltas counted in bins of ``width`` nats: the middle of the bin that holds it."""
    summed = counts.group_by("bin").agg(pl.col("rows").sum()).sort("bin").with_columns(pl.col("rows").cum_sum())
    if summed.is_empty():
        return 0.0
    row = int(summed["rows"].search_sorted(max(share * summed["rows"][-1], 1)))
    return float(summed["bin"][min(row, len(summed) - 1)] * width + width / 2)


def spreads(counts: pl.DataFrame, keys: list[str], width: float) -> pl.DataFrame:
    """Rows and the quantiles p05, p25, p50, p75 and p95, nats (the middles of their bins), of each group of deltas."""
    summed = counts.group_by(*keys, "bin").agg(pl.col("rows").sum()).sort(*keys, "bin")
    upto = summed.with_columns(
        pl.col("rows").cum_sum().over(keys).alias("upto"), pl.col("rows").sum().over(keys).alias("all")
    )
    percentile = lambda percent: (  # noqa: E731
        (pl.col("bin").filter(pl.col("upto") >= percent / 100 * pl.col("all")).first() * width + width / 2)
        .round(3)
        .alias(f"p{percent:02d}")
    )
    quantiles = (percentile(percent) for percent in (5, 25, 50, 75, 95))
    return upto.group_by(keys).agg(pl.col("rows").sum(), *quantiles).sort(keys)


def zero_line(axis: str = "y") -> alt.Chart:
    line = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(color="var(--line)", strokeWidth=1)
    return line.encode(**{axis: "zero:Q"})


def name_axis() -> alt.Axis:
    return alt.Axis(labelLimit=170, labelPadding=8, ticks=False, domain=False)


def tip(field: str, title: str, number_format: str | None, kind: str = "Q") -> alt.Tooltip:
    """One line of the tooltip under the pointer: a field of the chart's data with its title and number format."""
    shown = alt.Tooltip(f"{field}:{kind}", title=title)
    return shown if number_format is None else shown.format(number_format)


def vega(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int, words: str) -> dict[str, Any]:
    """A chart as a Vega-Lite specification, as wide as its place on the page and ``height`` pixels high."""
    sized = chart.properties(
        width="container",
        height=height,
        description=words,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    return (
        sized.configure(background="transparent", font=_FONT)
        .configure_axis(**axis_style("var(--muted)", "var(--line)"))
        .configure_view(stroke=None)
        .to_dict()
    )


def still_svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int) -> Markup:
    """A chart as SVG that its page scales to the width there is; a mark's ``description`` is shown under the pointer."""
    spec = (
        chart.properties(
            width=_STILL_WIDTH,
            height=height,
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
            padding={"left": _FONT_SLACK, "right": 5, "top": 5, "bottom": 5},
        )
        .configure(background="transparent", font=_FONT)
        .configure_axis(**axis_style("var(--muted)", "var(--line)"))
        .configure_axisY(minExtent=_FONT_SLACK + 16)
        .configure_view(stroke=None)
        .to_dict()
    )
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE))
    _tidy(root)
    root.set("font-family", _FONT)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # ElementTree has escaped every text in it


def axis_style(text: str, line: str) -> dict[str, Any]:
    """The look of axes, for Altair's ``configure_axis``, with text and lines in these colours."""
    return {
        "labelColor": text,
        "titleColor": text,
        "gridColor": line,
        "domainColor": line,
        "tickColor": line,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "gridOpacity": 0.6,
    }


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that makes ``window.vegaEmbed``.

    Always the same for a version of vl-convert, and more than a second of work: kept in the cache.
    """
    kept = _kept_script()
    if script := kept_text(kept, "script"):
        return script
    script = vl_convert.javascript_bundle(_SNIPPET, vl_version=VEGALITE).replace("</script", "<\\/script")
    if kept:
        keep_json(kept, {"script": script})
    return script


def _kept_script() -> Path | None:
    """Where the script is kept; None where nothing can be."""
    depends_on = repr([version("vl-convert-python"), VEGALITE, _SNIPPET])
    try:
        return cache_folder("scripts") / f"{hashlib.sha256(depends_on.encode()).hexdigest()[:32]}.json"
    except RaygenError:
        return None


def _tidy(element: ElementTree.Element) -> None:
    """Drop from an SVG what draws nothing, and make the labels of marks tooltips: it is one image to a screen reader."""
    for child in list(element):
        if child.get("display") == "none" or (child.get("class") == "background" and child.get("stroke") is None):
            element.remove(child)
            continue
        if child.get("aria-roledescription") in _MARKS:
            ElementTree.SubElement(child, f"{{{_SVG}}}title").text = child.get("aria-label")
        for name, value in list(child.items()):
            if name in _DROPPED or name.startswith("aria-") or _DEFAULTS.get(name) == value:
                del child.attrib[name]
            elif name in ("d", "transform"):
                child.set(name, _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.1f}", value))
        _tidy(child)
