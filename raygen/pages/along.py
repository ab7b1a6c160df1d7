"""Scores along each contig, one chart a contig with the same limits: every variant where there are few, else the spread of
each stretch of positions.
"""

from __future__ import annotations

import altair as alt
import polars as pl

from raygen.pages.chart_style import COLOURS, Figure, quantile, spreads, tip, vega, zero_line
from raygen.pages.tally import ALONG_BIN, COLUMNS, Tally
from raygen.pages.words import number

_ROWS_A_COLUMN = 30  # on average, so that quantiles say something


def along_contigs(tally: Tally) -> list[Figure]:
    """For each contig the scores along it: every variant where there are few, else the spread at each place."""
    figures = []
    dots = tally.dots
    low, high = (quantile(tally.deltas, share) for share in (0.0005, 0.9995))
    limits = (low * 1.1 - 0.5, high * 1.1 + 0.5)
    for chrom in sorted(tally.spans, key=contig_order):
        if dots is not None:
            own = dots.filter(pl.col("chrom") == chrom)
            if len(own):
                figures.append(_dots(chrom, own, limits))
        else:
            figures.append(_band(tally, chrom, limits))
    return figures


def _dots(chrom: str, own: pl.DataFrame, limits: tuple[float, float]) -> Figure:
    positions, deltas = own["pos"].to_list(), own["delta_llr"].to_list()
    shown = own.with_columns(
        pl.concat_str(["chrom", "pos", "ref", "alt"], separator="-").alias("variant"),
        pl.col("delta_llr").clip(*limits).round(3),
    ).select("pos", "delta_llr", "classification", "variant")
    chart = (
        alt.Chart(shown)
        .mark_circle(size=16, opacity=0.65)
        .encode(
            x=_position(max(positions)),
            y=_nats("delta_llr", limits),
            color=alt.Color("classification:N", scale=COLOURS, legend=None),
            tooltip=[tip("variant", "variant", None, "N"), tip("delta_llr", "delta_llr", ",.2f")],
        )
    )
    words = (
        f"{chrom}: each of {len(own):,} variants at its position, {min(positions):,} to {max(positions):,}; delta_llr from "
        f"{number(min(deltas))} to {number(max(deltas))} nats, coloured by class."
    )
    return Figure(chrom, vega(alt.layer(zero_line(), chart), 220, words), words)


def _band(tally: Tally, chrom: str, limits: tuple[float, float]) -> Figure:
    first, width = tally.spans[chrom]
    own = tally.along.filter(pl.col("chrom") == chrom)
    rows, last = int(own["rows"].sum()), first + width * COLUMNS
    joined = -(-_ROWS_A_COLUMN * COLUMNS // max(rows, 1))
    width *= joined  # where rows are few, a stretch is wider
    own = own.with_columns(pl.col("column") // joined)
    spread = spreads(own, ["column"], ALONG_BIN).with_columns((pl.col("column") * width + first).alias("pos"))
    lowest = (
        own.group_by("column")
        .agg(pl.col("lowest").min().round(2))
        .with_columns((pl.col("column") * width + first).alias("pos"))
    )
    base = alt.Chart(spread.drop("column").sort("pos")).encode(x=_position(last))
    tips = [
        tip("pos", "from position", ","),
        tip("p50", "median", ",.2f"),
        tip("p05", "5% lie below", ",.2f"),
        tip("p95", "5% lie above", ",.2f"),
        tip("rows", "variants", ","),
    ]
    outer = base.mark_area(color="var(--accent)", opacity=0.16).encode(y=_nats("p05", limits), y2="p95:Q")
    inner = base.mark_area(color="var(--accent)", opacity=0.28).encode(y="p25:Q", y2="p75:Q")
    median = base.mark_line(color="var(--accent)", strokeWidth=1.25).encode(y="p50:Q", tooltip=tips)
    points = alt.Chart(lowest.select("pos", "lowest")).mark_circle(size=7, color="var(--pathogenic)", opacity=0.8)
    points = points.encode(
        x=_position(last),
        y="lowest:Q",
        tooltip=[tip("pos", "from position", ","), tip("lowest", "lowest", ",.2f")],
    )
    words = (
        f"{chrom}: {rows:,} variants in {len(spread)} stretches of {width:,} bases; the median of each (line), its middle half and middle 90% "
        f"(bands), and its lowest delta_llr (dots; the lowest of all is {number(min(own['lowest'].to_list()))} nats)."
    )
    return Figure(chrom, vega(alt.layer(zero_line(), outer, inner, median, points), 120, words), words)


def _position(last: int) -> alt.X:
    number_format = "~s" if last >= 1_000_000 else ",d"
    return alt.X(
        "pos:Q", title=None, axis=alt.Axis(format=number_format, tickCount=6), scale=alt.Scale(zero=False, nice=False)
    )


def _nats(field: str, limits: tuple[float, float]) -> alt.Y:
    """The same limits for every contig, so that they can be compared; what lies beyond is drawn at the edge."""
    scale = alt.Scale(domain=[round(limit, 2) for limit in limits], nice=False, clamp=True)
    return alt.Y(f"{field}:Q", title="nats", scale=scale, axis=alt.Axis(tickCount=4))


def contig_order(chrom: str) -> tuple[int, int, str]:
    """1 to 22, then X, Y, M, then the others by name, with or without ``chr``."""
    bare = chrom.removeprefix("chr")
    if bare.isdecimal():
        return 0, int(bare), chrom
    known = ("X", "Y", "M", "MT")
    return (1, known.index(bare), chrom) if bare in known else (2, 0, chrom)
