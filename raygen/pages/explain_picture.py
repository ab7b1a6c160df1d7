"""A variant looked into, as a picture: SVG or PNG, drawn by Vega-Lite without a browser or a network.

Three kinds of panels: the difference along the window, the bases around the variant with their letters, and every change
at the site. Red is less likely, blue is more, as in the picture of ``raygen saturate``. Text and axes look as on the pages, in
their light colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from raygen.errors import SettingsError
from raygen.pages.chart_style import VEGALITE, axis_style
from raygen.pages.palette import light
from raygen.tables.place import put_in_place, refuse_unwritable
from raygen.trials.explain import Explanation, StrandExplanation
from raygen.trials.explain_text import LESS, MORE, class_of, headline

WIDTH = 820
FORMATS = (".svg", ".png")
_COLUMNS = 410
_AROUND = 20
_AFTER = 40


def refuse_picture(path: str) -> None:
    """Look before the work whether a picture can go there.

    Raises:
        SettingsError: another ending than .svg or .png, or a file cannot be put there.
        StoppedError: the disk is full.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise SettingsError(f"--out {path}: write a name that ends in .svg or .png.")
    refuse_unwritable(path)


def write_picture(explanation: Explanation, cuts: Sequence[float] | None, about: str, path: str) -> None:
    """Draw an explanation into a file, SVG or PNG by its name's end; ``about`` is the line under the title.

    Raises:
        SettingsError, StoppedError: the file cannot be written, see ``put_in_place``.
    """
    spec = picture(explanation, cuts, about)
    is_png = Path(path).suffix.lower() == ".png"
    with put_in_place(path) as partial:
        if is_png:
            partial.write_bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGALITE, scale=2))
        else:
            partial.write_text(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE), encoding="utf-8")


def picture(explanation: Explanation, cuts: Sequence[float] | None, about: str) -> dict[str, Any]:
    """The picture of an explanation as a Vega-Lite specification."""
    panels: list[Any] = []
    for strand in explanation.strands:
        panels += [_along(strand), _around(strand)]
    panels.append(_alleles(explanation, cuts))
    title = alt.TitleParams(
        headline(explanation, cuts),
        subtitle=about,
        anchor="start",
        fontSize=17,
        subtitleFontSize=12,
        subtitleColor=light("muted"),
        offset=16,
    )
    chart = alt.vconcat(*panels, spacing=26).resolve_scale(color="independent", x="independent", y="independent")
    return (
        chart.properties(title=title, background=light("card"), padding=20)
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(**axis_style(light("muted"), light("line")))
        .configure_title(color=light("ink"))
        .to_dict()
    )


def _along(strand: StrandExplanation) -> alt.Chart:
    """The difference from the variant to the window's end, by distance: before the variant there is none. Where it is long,
    a bar is the sum of several bases. Distances, not positions: a window may wrap around the origin of a circle."""
    after = strand.difference[strand.first :]
    size = -(-len(after) // _COLUMNS)
    starts = range(0, len(after), size)
    towards = 1 if strand.strand == "forward" else -1
    bars = pl.DataFrame(
        {
            "from": [towards * start for start in starts],
            "to": [towards * (start + size) for start in starts],
            "difference": [round(float(after[start : start + size].sum()), 4) for start in starts],
        }
    )
    ends = sorted((towards * len(after), -towards * len(after) * 0.03))
    drawn = (
        alt.Chart(bars)
        .mark_bar(strokeWidth=0)
        .encode(
            x=alt.X(
                "from:Q",
                title="bases from the variant, along the genome",
                scale=alt.Scale(domain=ends, nice=False),
                axis=alt.Axis(format=",d", tickCount=8),
            ),
            x2="to:Q",
            y=alt.Y("difference:Q", title="nats"),
            y2=alt.datum(0),
            color=alt.condition("datum.difference < 0", alt.value(LESS), alt.value(MORE)),
        )
    )
    bases = f"a bar is {size} bases" if size > 1 else "a bar is a base"
    reads = "left to right" if towards == 1 else "right to left"
    title = f"{strand.strand} strand, read {reads}: where along the window {strand.delta:+.2f} nats come from ({bases})"
    return drawn.properties(width=WIDTH, height=130, title=_panel_title(title))


def _around(strand: StrandExplanation) -> alt.LayerChart | alt.FacetChart:
    """The bases around the variant, one by one: their letters in WT and in MUT, and the difference."""
    shown = range(max(strand.first - _AROUND, 0), min(strand.first + _AFTER, len(strand.difference)))
    frame = pl.DataFrame(
        {
            "order": list(shown),
            "wt": [strand.wt[index] or "-" for index in shown],
            "mut": [strand.mut[index] or "-" for index in shown],
            "difference": [round(float(strand.difference[index]), 4) for index in shown],
            "differs": [strand.wt[index] != strand.mut[index] for index in shown],
        }
    )
    base = alt.Chart(frame).encode(x=alt.X("order:O", axis=None, scale=alt.Scale(paddingInner=0.1)))
    bars = base.mark_bar().encode(
        y=alt.Y("difference:Q", title="nats"),
        color=alt.condition("datum.difference < 0", alt.value(LESS), alt.value(MORE)),
    )
    colour = alt.condition("datum.differs", alt.value(light("ink")), alt.value(light("vus")))
    letters = [
        base.mark_text(fontSize=11, baseline="top", dy=dy, fontWeight="bold" if bold else "normal").encode(
            y=alt.value(height), text=f"{name}:N", color=colour
        )
        for name, dy, bold, height in (("wt", 6, False, 130), ("mut", 21, True, 130))
    ]
    first, last = strand.position[shown[0]], strand.position[shown[-1]]
    title = f"around the variant, {first:,} to {last:,} as it is read: reference above, variant below"
    return alt.layer(bars, *letters).properties(width=WIDTH, height=130, title=_panel_title(title))


def _alleles(explanation: Explanation, cuts: Sequence[float] | None) -> alt.LayerChart | alt.FacetChart:
    rows = explanation.alleles.to_pylist()
    frame = pl.DataFrame(
        {
            "allele": [
                _short(row["variant_id"]) + ("  (this one)" if row["variant_id"] == explanation.variant_id else "")
                for row in rows
            ],
            "delta": [round(row["delta_llr"], 4) for row in rows],
            "said": [
                f"{row['delta_llr']:+.2f}  {class_of(explanation, row['variant_id'], row['delta_llr'], cuts)}"
                for row in rows
            ],
        }
    )
    low, high = min(0.0, *frame["delta"].to_list()), max(0.0, *frame["delta"].to_list())
    room = 0.35 * max(high - low, 0.1)  # for the words beside the bars
    base = alt.Chart(frame).encode(
        y=alt.Y("allele:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, ticks=False, domain=False)),
        x=alt.X(
            "delta:Q",
            title="delta_llr, nats",
            scale=alt.Scale(domain=[low - room, high + room], nice=False),
            axis=alt.Axis(tickCount=8),
        ),
    )
    bars = base.mark_bar(height=14).encode(color=alt.condition("datum.delta < 0", alt.value(LESS), alt.value(MORE)))
    less = (
        base.transform_filter("datum.delta < 0")
        .mark_text(align="right", dx=-5, color=light("ink"))
        .encode(text="said:N")
    )
    more = (
        base.transform_filter("datum.delta >= 0")
        .mark_text(align="left", dx=5, color=light("ink"))
        .encode(text="said:N")
    )
    title = f"every change at {explanation.chrom}:{explanation.site:,}"
    return alt.layer(bars, less, more).properties(width=WIDTH - 160, height=26 * len(rows), title=_panel_title(title))


def _panel_title(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", fontSize=13, fontWeight=600, frame="group")


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:26]}…"
