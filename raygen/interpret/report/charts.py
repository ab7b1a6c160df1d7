"""The report's charts, as Vega-Lite specifications made with Altair: a ``Tally`` in, a list of ``Figure`` out.

Colours are the page's CSS variables (``var(--pathogenic)``): Vega's SVG takes them as they are, so a chart follows the page
from light to dark. What a user's table holds (contigs, consequences, ids) goes into a chart as data and never into an
expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from raygen.interpret.class_words import all_class_words, class_words
from raygen.interpret.classify import CLASSES
from raygen.interpret.report.tally import ALONG_BIN, BIN, COLUMNS, Tally
from raygen.tables.pace import Point

_MAX_BARS = 72
_STEPS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SHOWN_CONSEQUENCES = 16
_ROWS_A_COLUMN = 30  # on average, so that quantiles say something
_COLOURS = alt.Scale(domain=list(CLASSES), range=[f"var(--{name.replace('_', '-')})" for name in CLASSES])
_TITLES = {words.name: words.title for words in all_class_words()}
DELTA = "delta_llr, nats"


@dataclass(frozen=True)
class Figure:
    """A chart and what it shows in words, for those who do not see it."""

    title: str
    spec: dict[str, Any]
    words: str


def distribution(tally: Tally, cuts: Sequence[float]) -> Figure:
    """How many variants have which delta, coloured by class; the outermost bars hold what lies beyond them."""
    deltas = tally.deltas
    low, middle, high = (quantile(deltas, share) for share in (0.002, 0.5, 0.998))
    step = _step(high - low)
    first, last = _floor(low, step), _floor(high, step)
    bars = (
        deltas.with_columns(
            ((pl.col("bin") * BIN + BIN / 2) / step).floor().cast(pl.Int64).clip(first, last).alias("bar")
        )
        .group_by("bar", "classification")
        .agg(pl.col("rows").sum())
        .sort("bar", "classification")
        .select(
            (pl.col("bar") * step).round(6).alias("from"),
            ((pl.col("bar") + 1) * step).round(6).alias("to"),
            pl.col("classification"),
            pl.col("rows"),
            pl.col("classification").replace_strict(_TITLES, default=None).alias("class"),
        )
    )
    rules = pl.DataFrame(
        {"cut": [float(cut) for cut in cuts if first * step <= cut <= (last + 1) * step]}, {"cut": pl.Float64}
    )
    histogram = (
        alt.Chart(bars)
        .mark_bar(binSpacing=0.5, strokeWidth=0)
        .encode(
            x=alt.X("from:Q", title=DELTA, axis=alt.Axis(tickCount=9), scale=alt.Scale(nice=False, zero=False)),
            x2="to:Q",
            y=alt.Y("sum(rows):Q", title="variants", stack="zero"),
            color=alt.Color("classification:N", scale=_COLOURS, legend=None, sort=list(CLASSES)),
            order=alt.Order("classification:N"),
            tooltip=[
                _tip("from", "from", ",.2f"),
                _tip("to", "to", ",.2f"),
                _tip("class", "class", None, "N"),
                _tip("rows", "variants", ","),
            ],
        )
    )
    cut_lines = alt.Chart(rules).mark_rule(strokeDash=[3, 3], color="var(--muted)", strokeWidth=1).encode(x="cut:Q")
    words = (
        f"Histogram of delta_llr of {tally.rows:,} variants. The median is {middle:.2f} nats; 99.6% lie between "
        f"{low:.2f} and {high:.2f}. The outermost bars hold what lies beyond. Dashed lines are the cut points of the classes."
    )
    return Figure("Distribution by class", _spec(alt.layer(histogram, cut_lines), 260, words), words)


def by_consequence(tally: Tally) -> list[Figure]:
    """Spread of the delta and share of each class for the most frequent consequences."""
    named = tally.consequences
    if named.is_empty():
        return []
    sizes = (
        named.group_by("consequence").agg(pl.col("rows").sum()).sort("rows", "consequence", descending=[True, False])
    )
    shown = sizes.head(_SHOWN_CONSEQUENCES)["consequence"].to_list()
    spread = _spreads(named.filter(pl.col("consequence").is_in(shown)), ["consequence"], BIN).sort("p50")
    order = spread["consequence"].to_list()
    lowest = spread.row(0, named=True)
    left_out = f" The {len(sizes) - len(shown):,} rarer ones are left out." if len(sizes) > len(shown) else ""
    words = (
        f"For each of {len(shown)} consequences the middle 90% (thin line), the middle half (thick line) and the median (dot) of "
        f"delta_llr. The lowest median is that of {lowest['consequence']}: {lowest['p50']:.2f} nats over {lowest['rows']:,} "
        f"variants.{left_out}"
    )
    mix = (
        named.filter(pl.col("consequence").is_in(shown))
        .group_by("consequence", "classification")
        .agg(pl.col("rows").sum())
    )
    return [
        Figure(
            "Spread by consequence",
            _spec(_intervals(spread, "consequence", order), _bars_height(len(order)), words),
            words,
        ),
        _mix_figure("Classes by consequence", mix, "consequence", order),
    ]


def along_contigs(tally: Tally) -> list[Figure]:
    """For each contig the scores along it: every variant where there are few, else the spread at each place."""
    figures = []
    dots = tally.dots
    low, high = (quantile(tally.deltas, share) for share in (0.001, 0.999))
    for chrom in sorted(tally.spans, key=contig_order):
        if dots is not None:
            own = dots.filter(pl.col("chrom") == chrom)
            if len(own):
                figures.append(_dots(chrom, own, (low, high)))
        else:
            figures.append(_band(tally, chrom))
    return figures


def classes_by_contig(tally: Tally) -> Figure | None:
    """The share of each class on each contig."""
    named = tally.classes.filter(pl.col("chrom").is_in(list(tally.spans)))
    if named.is_empty():
        return None
    order = sorted(set(named["chrom"]), key=contig_order)
    return _mix_figure("Classes by chromosome", named, "chrom", order)


def strands(tally: Tally) -> Figure | None:
    """How often the delta of one strand goes with which delta of the other."""
    pairs = tally.strands
    if pairs.is_empty():
        return None
    edges = [
        quantile(pairs.rename({name: "bin"}), share, ALONG_BIN)
        for name in ("forward", "reverse")
        for share in (0.002, 0.998)
    ]
    low, high = min(edges), max(edges)
    step = next(step for step in _STEPS if step >= ALONG_BIN and (high - low) / step <= 56)
    first, last = _floor(low, step), _floor(high, step)
    cell = lambda name: ((pl.col(name) * ALONG_BIN + ALONG_BIN / 2) / step).floor().cast(pl.Int64).clip(first, last)  # noqa: E731
    cells = (
        pairs.select(cell("forward"), cell("reverse"), "rows").group_by("forward", "reverse").agg(pl.col("rows").sum())
    )
    cells = cells.sort("forward", "reverse").select(
        *((pl.col(name) * step).round(6) for name in ("forward", "reverse")),
        *(((pl.col(name) + 1) * step).round(6).alias(f"{name}_to") for name in ("forward", "reverse")),
        "rows",
        (pl.col("rows").log1p() / pl.col("rows").max().log1p()).round(3).alias("weight"),
    )
    ends = [first * step, (last + 1) * step]
    scale = alt.Scale(domain=ends, nice=False)
    heat = (
        alt.Chart(cells)
        .mark_rect(color="var(--accent)", strokeWidth=0)
        .encode(
            x=alt.X("forward:Q", title="forward strand, nats", scale=scale),
            x2="forward_to:Q",
            y=alt.Y("reverse:Q", title="reverse strand, nats", scale=scale),
            y2="reverse_to:Q",
            opacity=alt.Opacity("weight:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.08, 1])),
            tooltip=[
                _tip("forward", "forward from", ",.2f"),
                _tip("reverse", "reverse from", ",.2f"),
                _tip("rows", "variants", ","),
            ],
        )
    )
    line = alt.Chart(pl.DataFrame({"at": [float(end) for end in ends]})).mark_line(
        strokeDash=[3, 3], strokeWidth=1, color="var(--muted)"
    )
    agreement = tally.agreement
    words = (
        f"{agreement.rows:,} variants were scored on both strands. {agreement.same_class / agreement.rows:.1%} fall in the same class on "
        f"both, {agreement.one_step_apart / agreement.rows:.1%} one class apart"
        + (
            f"; the correlation of the two deltas is {agreement.correlation:.3f}"
            if agreement.correlation is not None
            else ""
        )
        + ". Each square is darker the more variants it holds; on the dashed line the strands agree."
    )
    return Figure("Strand agreement", _spec(alt.layer(heat, line.encode(x="at:Q", y="at:Q")), 380, words), words)


def throughput(points: Sequence[Point]) -> Figure | None:
    """Variants a second over the time of the run."""
    if len(points) < 3:
        return None
    steps = _rates(points)
    words = (
        f"Variants a second over {points[-1][0]:,.0f} seconds of scoring, from {steps['rate'].min():,.1f} to {steps['rate'].max():,.1f}. "
        f"The first shard was finished after {points[0][0]:,.1f} s, the start of the models included."
    )
    chart = (
        alt.Chart(steps)
        .mark_area(
            interpolate="step-before",
            color="var(--accent)",
            fillOpacity=0.18,
            line={"color": "var(--accent)", "strokeWidth": 1.5},
        )
        .encode(
            x=alt.X("seconds:Q", title="seconds since scoring began", scale=alt.Scale(nice=False)),
            y=alt.Y("rate:Q", title="variants a second"),
            tooltip=[
                _tip("seconds", "seconds", ",.0f"),
                _tip("rate", "variants/s", ",.1f"),
                _tip("tokens", "tokens/s", ",.0f"),
            ],
        )
    )
    return Figure("Throughput", _spec(chart, 200, words), words)


def quantile(counts: pl.DataFrame, share: float, width: float = BIN) -> float:
    """A quantile of counted deltas: the middle of the bin that holds it."""
    summed = counts.group_by("bin").agg(pl.col("rows").sum()).sort("bin").with_columns(pl.col("rows").cum_sum())
    if summed.is_empty():
        return 0.0
    at = int(summed["rows"].search_sorted(max(share * summed["rows"][-1], 1)))
    return float(summed["bin"][min(at, len(summed) - 1)] * width + width / 2)


def _dots(chrom: str, own: pl.DataFrame, limits: tuple[float, float]) -> Figure:
    shown = own.with_columns(
        pl.concat_str(["chrom", "pos", "ref", "alt"], separator="-").alias("variant"),
        pl.col("delta_llr").clip(limits[0] * 1.15 - 1, limits[1] * 1.15 + 1).round(3),
    ).select("pos", "delta_llr", "classification", "variant")
    chart = (
        alt.Chart(shown)
        .mark_circle(size=16, opacity=0.65)
        .encode(
            x=_position(),
            y=alt.Y("delta_llr:Q", title="nats"),
            color=alt.Color("classification:N", scale=_COLOURS, legend=None),
            tooltip=[_tip("variant", "variant", None, "N"), _tip("delta_llr", "delta_llr", ",.2f")],
        )
    )
    words = (
        f"{chrom}: each of {len(own):,} variants at its position, {own['pos'].min():,} to {own['pos'].max():,}; delta_llr from "
        f"{own['delta_llr'].min():.2f} to {own['delta_llr'].max():.2f} nats, coloured by class."
    )
    return Figure(chrom, _spec(alt.layer(_zero(), chart), 220, words), words)


def _band(tally: Tally, chrom: str) -> Figure:
    first, width = tally.spans[chrom]
    own = tally.along.filter(pl.col("chrom") == chrom)
    rows = int(own["rows"].sum())
    joined = -(-_ROWS_A_COLUMN * COLUMNS // max(rows, 1))
    width *= joined
    own = own.with_columns(pl.col("column") // joined)
    spread = _spreads(own, ["column"], ALONG_BIN).with_columns((pl.col("column") * width + first).alias("pos"))
    lowest = (
        own.group_by("column")
        .agg(pl.col("lowest").min().round(2))
        .with_columns((pl.col("column") * width + first).alias("pos"))
    )
    base = alt.Chart(spread.drop("column").sort("pos")).encode(x=_position())
    tips = [
        _tip("pos", "from position", ","),
        _tip("p50", "median", ",.2f"),
        _tip("p05", "5% lie below", ",.2f"),
        _tip("p95", "5% lie above", ",.2f"),
        _tip("rows", "variants", ","),
    ]
    outer = base.mark_area(color="var(--accent)", opacity=0.16).encode(y=alt.Y("p05:Q", title="nats"), y2="p95:Q")
    inner = base.mark_area(color="var(--accent)", opacity=0.28).encode(y="p25:Q", y2="p75:Q")
    median = base.mark_line(color="var(--accent)", strokeWidth=1.25).encode(y="p50:Q", tooltip=tips)
    points = alt.Chart(lowest.select("pos", "lowest")).mark_circle(size=7, color="var(--pathogenic)", opacity=0.8)
    points = points.encode(
        x=_position(), y="lowest:Q", tooltip=[_tip("pos", "from position", ","), _tip("lowest", "lowest", ",.2f")]
    )
    words = (
        f"{chrom}: {rows:,} variants in {len(spread)} stretches of {width:,} bases; the median of each (line), its middle half and middle 90% "
        f"(bands), and its lowest delta_llr (dots; the lowest of all is {own['lowest'].min():.2f} nats)."
    )
    return Figure(chrom, _spec(alt.layer(_zero(), outer, inner, median, points), 120, words), words)


def _intervals(spread: pl.DataFrame, key: str, order: list[str]) -> alt.LayerChart:
    base = alt.Chart(spread).encode(y=alt.Y(f"{key}:N", sort=order, title=None, axis=_name_axis()))
    tips = [
        _tip(key, key, None, "N"),
        _tip("rows", "variants", ","),
        _tip("p50", "median", ",.2f"),
        _tip("p05", "5% lie below", ",.2f"),
        _tip("p95", "5% lie above", ",.2f"),
    ]
    thin = base.mark_rule(color="var(--accent)", strokeWidth=1).encode(
        x=alt.X("p05:Q", title=DELTA, scale=alt.Scale(zero=False)), x2="p95:Q"
    )
    thick = base.mark_rule(color="var(--accent)", strokeWidth=6, opacity=0.35).encode(
        x="p25:Q", x2="p75:Q", tooltip=tips
    )
    dot = base.mark_circle(color="var(--accent)", size=48, opacity=1).encode(x="p50:Q", tooltip=tips)
    return alt.layer(_zero("x"), thin, thick, dot)


def _mix_figure(title: str, rows: pl.DataFrame, key: str, order: list[str]) -> Figure:
    """Horizontal bars that all have one length, cut by the share of each class."""
    total = pl.col("rows").sum().over(key)
    shares = rows.select(
        key,
        "classification",
        "rows",
        (pl.col("rows") / total).round(5).alias("share"),
        pl.col("classification").replace_strict(_TITLES, default=None).alias("class"),
        pl.col("classification")
        .replace_strict({name: at for at, name in enumerate(CLASSES)}, default=None)
        .alias("at"),
    )
    chart = (
        alt.Chart(shares)
        .mark_bar(height={"band": 0.72})
        .encode(
            y=alt.Y(f"{key}:N", sort=order, title=None, axis=_name_axis()),
            x=alt.X(
                "sum(share):Q",
                stack="zero",
                title="share of the variants",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color("classification:N", scale=_COLOURS, legend=None),
            order=alt.Order("at:Q"),
            tooltip=[
                _tip(key, key, None, "N"),
                _tip("class", "class", None, "N"),
                _tip("rows", "variants", ","),
                _tip("share", "share", ".1%"),
            ],
        )
    )
    lowest = shares.filter(pl.col("classification") == CLASSES[0]).sort("share", descending=True)
    words = f"Share of each class for {len(order)} values." + (
        f" {class_words(CLASSES[0]).title.capitalize()} is most frequent in {lowest[key][0]}: {lowest['share'][0]:.1%}."
        if len(lowest)
        else ""
    )
    return Figure(title, _spec(chart, _bars_height(len(order)), words), words)


def _spreads(counts: pl.DataFrame, keys: list[str], width: float) -> pl.DataFrame:
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


def _rates(points: Sequence[Point]) -> pl.DataFrame:
    """Rates between points, joined to at most about 100 stretches of time: shards are finished in bursts."""
    stretch = points[-1][0] / min(100, max(len(points) // 3, 1))
    rows, before = [], (0.0, 0, 0)
    for point in points:
        if point[0] - before[0] >= stretch or (point is points[-1] and point[0] > before[0]):
            seconds = point[0] - before[0]
            rows.append((point[0], (point[1] - before[1]) / seconds, (point[2] - before[2]) / seconds))
            before = tuple(point)  # type: ignore[assignment]
    frame = pl.DataFrame([(0.0, rows[0][1], rows[0][2]), *rows], schema=["seconds", "rate", "tokens"], orient="row")
    return frame.with_columns(pl.all().round(3))


def _position() -> alt.X:
    return alt.X("pos:Q", title=None, axis=alt.Axis(format="~s", tickCount=6), scale=alt.Scale(zero=False, nice=False))


def _name_axis() -> alt.Axis:
    return alt.Axis(labelLimit=150, ticks=False, domain=False)


def _zero(axis: str = "y") -> alt.Chart:
    line = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(color="var(--line)", strokeWidth=1)
    return line.encode(**{axis: "zero:Q"})


def _tip(field: str, title: str, number_format: str | None, kind: str = "Q") -> alt.Tooltip:
    return alt.Tooltip(f"{field}:{kind}", title=title, **({"format": number_format} if number_format else {}))


def _spec(chart: alt.Chart | alt.LayerChart, height: int, words: str) -> dict[str, Any]:
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


def _step(span: float) -> float:
    return next((step for step in _STEPS if span / step <= _MAX_BARS), _STEPS[-1])


def _floor(value: float, step: float) -> int:
    return int(value // step)


def _bars_height(count: int) -> int:
    return 24 * count + 12


def contig_order(chrom: str) -> tuple[int, int, str]:
    """1 to 22, then X, Y, M, then the others by name, with or without ``chr``."""
    bare = chrom.removeprefix("chr")
    if bare.isdecimal():
        return 0, int(bare), chrom
    known = ("X", "Y", "M", "MT")
    return (1, known.index(bare), chrom) if bare in known else (2, 0, chrom)
