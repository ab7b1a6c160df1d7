"""The report's charts of all scores together, as Vega-Lite specifications made with Altair: a ``Tally`` in, figures out.

Scores along each contig, one chart a contig with the same limits: every variant where there are few, else the spread of
each stretch of positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from raygen.classes.class_rule import is_on_context
from raygen.classes.classify import CLASSES
from raygen.number_of import rate
from raygen.pages.chart_style import (
    COLOURS,
    PLACES,
    TITLES,
    Figure,
    name_axis,
    quantile,
    spreads,
    tip,
    vega,
    zero_line,
)
from raygen.pages.rank_tally import PHRED_BIN
from raygen.pages.tally import ALONG_BIN, BIN, COLUMNS, Tally
from raygen.pages.variant_words import number
from raygen.tables.manifest import Point
from raygen.variants.contig_names import contig_order

_MAX_BARS = 90
_STEPS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SHOWN_CONSEQUENCES = 16
_CLOCK = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
DELTA = "delta_llr, nats"


def distribution(tally: Tally, cuts: Sequence[float], on: str | None = None) -> Figure:
    """How many variants have which delta, coloured by class; the outermost bars hold what lies beyond them.

    Classes that are cut on ``delta_context`` meet at no one delta: no lines are drawn.
    """
    lines = [] if is_on_context(on) else list(cuts)
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
            pl.col("classification").replace_strict(TITLES, default=None).alias("class"),
            pl.col("classification").replace_strict(PLACES, default=None).alias("at"),
        )
    )
    rules = pl.DataFrame(
        {"cut": [float(cut) for cut in lines if first * step <= cut <= (last + 1) * step]}, {"cut": pl.Float64}
    )
    histogram = (
        alt.Chart(bars)
        .mark_bar(binSpacing=0.5, strokeWidth=0)
        .encode(
            x=alt.X("from:Q", title=DELTA, axis=alt.Axis(tickCount=9), scale=alt.Scale(nice=False, zero=False)),
            x2="to:Q",
            y=alt.Y("sum(rows):Q", title="variants", stack="zero"),
            color=alt.Color("classification:N", scale=COLOURS, legend=None, sort=list(CLASSES)),
            order=alt.Order("at:Q"),
            tooltip=[
                tip("from", "from", ",.2f"),
                tip("to", "to", ",.2f"),
                tip("class", "class", None, "N"),
                tip("rows", "variants", ","),
            ],
        )
    )
    cut_lines = alt.Chart(rules).mark_rule(strokeDash=[3, 3], color="var(--muted)", strokeWidth=1).encode(x="cut:Q")
    words = (
        f"Histogram of delta_llr of {tally.rows:,} variants. The median is {number(middle)} nats; 99.6% lie between "
        f"{number(low)} and {number(high)}. The outermost bars hold what lies beyond. "
        + (
            "Dashed lines are the cut points of the classes."
            if lines
            else "The classes are cut on delta_context, so they overlap here."
        )
    )
    return Figure("Distribution by class", vega(alt.layer(histogram, cut_lines), 260, words), words)


def ranks(counts: pl.DataFrame) -> Figure:
    """Which share of the variants has at least which PHRED, beside the share that the background has by its making.

    Args:
        counts: ``bin``, of ``PHRED_BIN``, and ``rows``.
    """
    total = int(counts["rows"].sum())
    from_here = pl.col("rows").cum_sum(reverse=True) / total
    steps = counts.sort("bin").select((pl.col("bin") * PHRED_BIN).alias("phred"), from_here.alias("share"))
    highest = float(steps["phred"][-1]) + PHRED_BIN
    steps = pl.concat([steps, pl.DataFrame({"phred": [highest], "share": [steps["share"][-1]]})])
    line = pl.DataFrame({"phred": [0.0, highest], "share": [1.0, 10 ** (-highest / 10)]})
    low = min(float(steps["share"].min()), float(line["share"][1]))  # type: ignore[arg-type]
    axis_x = alt.X("phred:Q", title="PHRED", axis=alt.Axis(tickCount=9), scale=alt.Scale(nice=False, zero=True))
    axis_y = alt.Y(
        "share:Q",
        title="share at this PHRED or above",
        scale=alt.Scale(type="log", domain=[low, 1], nice=False),
        axis=alt.Axis(format="~p", values=[10.0**-power for power in range(12)]),
    )
    tips = [tip("phred", "PHRED from", ",.2f"), tip("share", "share", ".3~p")]
    observed = (
        alt.Chart(steps)
        .mark_line(interpolate="step-before", color="var(--accent)", strokeWidth=2)
        .encode(x=axis_x, y=axis_y, tooltip=tips)
    )
    background = alt.Chart(line).mark_line(strokeDash=[3, 3], strokeWidth=1, color="var(--muted)")
    severe = [(level, int(counts.filter(pl.col("bin") >= level / PHRED_BIN)["rows"].sum())) for level in (10, 20, 30)]
    shares = ", ".join(f"{rows / total:.2%} at {level}" for level, rows in severe)
    words = (
        f"Share of {total:,} variants at each PHRED or above: {shares}; of the background it is 10%, 1% and 0.1%, the dashed line. "
        "Above that line, harmful variants are more frequent here than there."
    )
    return Figure("Ranks", vega(alt.layer(background.encode(x=axis_x, y=axis_y), observed), 260, words), words)


def by_consequence(tally: Tally) -> list[Figure]:
    """Spread of the delta and share of each class for the most frequent consequences; empty where there are none."""
    counts = tally.consequences
    if counts.is_empty():
        return []
    sizes = (
        counts.group_by("consequence").agg(pl.col("rows").sum()).sort("rows", "consequence", descending=[True, False])
    )
    shown = sizes.head(_SHOWN_CONSEQUENCES)["consequence"].to_list()
    spread = spreads(counts.filter(pl.col("consequence").is_in(shown)), ["consequence"], BIN).sort("p50")
    order = spread["consequence"].to_list()
    lowest = spread.row(0, named=True)
    left_out = f" The {len(sizes) - len(shown):,} rarer ones are left out." if len(sizes) > len(shown) else ""
    words = (
        f"For each of {len(shown)} consequences the middle 90% (thin line), the middle half (thick line) and the median (dot) of "
        f"delta_llr. The lowest median is that of {lowest['consequence']}: {number(lowest['p50'])} nats over {lowest['rows']:,} "
        f"variants.{left_out}"
    )
    mix = (
        counts.filter(pl.col("consequence").is_in(shown))
        .group_by("consequence", "classification")
        .agg(pl.col("rows").sum())
        .sort("consequence", "classification")  # the same run makes the same page
    )
    return [
        Figure(
            "Spread by consequence",
            vega(_intervals(spread, "consequence", order), _bars_height(len(order)), words),
            words,
        ),
        _mix_figure("Classes by consequence", mix, "consequence", order),
    ]


def classes_by_contig(tally: Tally) -> Figure | None:
    """The share of each class on each contig; None where no row has a contig."""
    counts = tally.classes.filter(pl.col("chrom").is_in(list(tally.spans)))
    if counts.is_empty():
        return None
    order = sorted(set(counts["chrom"]), key=contig_order)
    return _mix_figure("Classes by chromosome", counts, "chrom", order)


def strands(tally: Tally) -> Figure | None:
    """How often which deltas of the two strands go together; None where no row has both."""
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
            x=alt.X("forward:Q", title="forward strand, nats", scale=scale, axis=alt.Axis(tickCount=6)),
            x2="forward_to:Q",
            y=alt.Y("reverse:Q", title="reverse strand, nats", scale=scale, axis=alt.Axis(tickCount=6)),
            y2="reverse_to:Q",
            opacity=alt.Opacity("weight:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.08, 1])),
            tooltip=[
                tip("forward", "forward from", ",.2f"),
                tip("reverse", "reverse from", ",.2f"),
                tip("rows", "variants", ","),
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
    return Figure(
        "Strand agreement", vega(alt.layer(heat, line.encode(x="at:Q", y="at:Q")), 400, words), words, "square"
    )


def throughput(points: Sequence[Point]) -> Figure | None:
    """Variants a second over the time of the run, from the pace in its manifest; None for fewer than three points."""
    if len(points) < 3 or points[-1][0] <= 0:
        return None
    seconds, unit = next((size, name) for size, name in _CLOCK if points[-1][0] >= 3 * size or size == 1)
    steps = _rates(points).with_columns((pl.col("seconds") / seconds).round(3).alias("time"))
    slowest, fastest = min(steps["rate"].to_list()), max(steps["rate"].to_list())
    words = (
        f"Variants a second over {points[-1][0] / seconds:,.1f} {unit} of scoring, from {rate(slowest)} to {rate(fastest)}. "
        f"The first shard was finished after {points[0][0]:,.1f} seconds, the start of the models included."
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
            x=alt.X(
                "time:Q", title=f"{unit} since scoring began", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8)
            ),
            y=alt.Y("rate:Q", title="variants a second"),
            tooltip=[
                tip("time", unit, ",.1f"),
                tip("rate", "variants/s", ",.3r"),
                tip("tokens", "tokens/s", ",.0f"),
            ],
        )
    )
    return Figure("Throughput", vega(chart, 200, words), words)


def _intervals(spread: pl.DataFrame, key: str, order: list[str]) -> alt.LayerChart | alt.FacetChart:
    base = alt.Chart(spread).encode(y=alt.Y(f"{key}:N", sort=order, title=None, axis=name_axis()))
    tips = [
        tip(key, key, None, "N"),
        tip("rows", "variants", ","),
        tip("p50", "median", ",.2f"),
        tip("p05", "5% lie below", ",.2f"),
        tip("p95", "5% lie above", ",.2f"),
    ]
    thin = base.mark_rule(color="var(--accent)", strokeWidth=1).encode(
        x=alt.X("p05:Q", title=DELTA, axis=alt.Axis(tickCount=7), scale=alt.Scale(zero=False)), x2="p95:Q"
    )
    thick = base.mark_rule(color="var(--accent)", strokeWidth=6, opacity=0.35).encode(
        x="p25:Q", x2="p75:Q", tooltip=tips
    )
    dot = base.mark_circle(color="var(--accent)", size=48, opacity=1).encode(x="p50:Q", tooltip=tips)
    return alt.layer(zero_line("x"), thin, thick, dot)


def _mix_figure(title: str, rows: pl.DataFrame, key: str, order: list[str]) -> Figure:
    """A chart of horizontal bars of one length, cut by the share of each class."""
    total = pl.col("rows").sum().over(key)
    shares = rows.select(
        key,
        "classification",
        "rows",
        (pl.col("rows") / total).round(5).alias("share"),
        pl.col("classification").replace_strict(TITLES, default=None).alias("class"),
        pl.col("classification").replace_strict(PLACES, default=None).alias("at"),
    )
    chart = (
        alt.Chart(shares)
        .mark_bar(height={"band": 0.72})
        .encode(
            y=alt.Y(f"{key}:N", sort=order, title=None, axis=name_axis()),
            x=alt.X(
                "sum(share):Q",
                stack="zero",
                title="share of the variants",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color("classification:N", scale=COLOURS, legend=None),
            order=alt.Order("at:Q"),
            tooltip=[
                tip(key, key, None, "N"),
                tip("class", "class", None, "N"),
                tip("rows", "variants", ","),
                tip("share", "share", ".1%"),
            ],
        )
    )
    lowest = shares.filter(pl.col("classification") == CLASSES[0]).sort("share", descending=True)
    words = f"Share of each class in {order[0] if len(order) == 1 else f'each of {len(order)}'}."
    if len(lowest) and len(order) > 1:
        words += f" {CLASSES[0].capitalize()} is most frequent in {lowest[key][0]}: {lowest['share'][0]:.1%}."
    return Figure(title, vega(chart, _bars_height(len(order)), words), words)


def _rates(points: Sequence[Point]) -> pl.DataFrame:
    """Variants and tokens a second in at most about 100 stretches of time: shards are finished in bursts."""
    stretch = points[-1][0] / min(100, max(len(points) // 3, 1))
    rows, before = [], (0.0, 0, 0)
    for point in points:
        left = points[-1][0] - point[0]  # a short stretch at the end would show the last burst as a rate
        if (point[0] - before[0] >= stretch and left >= stretch / 2) or (point is points[-1] and point[0] > before[0]):
            seconds = point[0] - before[0]
            rows.append((point[0], (point[1] - before[1]) / seconds, (point[2] - before[2]) / seconds))
            before = tuple(point)  # type: ignore[assignment]
    frame = pl.DataFrame([(0.0, rows[0][1], rows[0][2]), *rows], schema=["seconds", "rate", "tokens"], orient="row")
    return frame.with_columns(pl.all().round(3))


def _step(span: float) -> float:
    return next((step for step in _STEPS if span / step <= _MAX_BARS), _STEPS[-1])


def _floor(value: float, step: float) -> int:
    return int(value // step)


def _bars_height(count: int) -> int:
    return 24 * count + 12


_ROWS_A_COLUMN = 30  # on average, so that quantiles say something


def along_contigs(tally: Tally) -> list[Figure]:
    """For each contig the scores along it: every variant where there are few, else the spread at each place."""
    figures = []
    dots = tally.dots
    low, high = (quantile(tally.deltas, share) for share in (0.0005, 0.9995))
    limits = (low * 1.1 - 0.5, high * 1.1 + 0.5)
    for chrom in sorted(tally.spans, key=contig_order):
        if dots is not None:
            dots_of_contig = dots.filter(pl.col("chrom") == chrom)
            if len(dots_of_contig):
                figures.append(_dots(chrom, dots_of_contig, limits))
        else:
            figures.append(_band(tally, chrom, limits))
    return figures


def _dots(chrom: str, dots: pl.DataFrame, limits: tuple[float, float]) -> Figure:
    positions, deltas = dots["pos"].to_list(), dots["delta_llr"].to_list()
    shown = dots.with_columns(
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
        f"{chrom}: each of {len(dots):,} variants at its position, {min(positions):,} to {max(positions):,}; delta_llr from "
        f"{number(min(deltas))} to {number(max(deltas))} nats, coloured by class."
    )
    return Figure(chrom, vega(alt.layer(zero_line(), chart), 220, words), words)


def _band(tally: Tally, chrom: str, limits: tuple[float, float]) -> Figure:
    first, width = tally.spans[chrom]
    bins = tally.along.filter(pl.col("chrom") == chrom)
    rows, last = int(bins["rows"].sum()), first + width * COLUMNS
    joined = -(-_ROWS_A_COLUMN * COLUMNS // max(rows, 1))
    width *= joined  # where rows are few, a stretch is wider
    bins = bins.with_columns(pl.col("column") // joined)
    spread = spreads(bins, ["column"], ALONG_BIN).with_columns((pl.col("column") * width + first).alias("pos"))
    lowest = (
        bins.group_by("column", maintain_order=True)
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
        f"(bands), and its lowest delta_llr (dots; the lowest of all is {number(min(bins['lowest'].to_list()))} nats)."
    )
    return Figure(chrom, vega(alt.layer(zero_line(), outer, inner, median, points), 120, words), words)


def _position(last: int) -> alt.X:
    number_format = "~s" if last >= 1_000_000 else ",d"
    return alt.X(
        "pos:Q", title=None, axis=alt.Axis(format=number_format, tickCount=6), scale=alt.Scale(zero=False, nice=False)
    )


def _nats(field: str, limits: tuple[float, float]) -> alt.Y:
    """The axis of deltas, the same for every contig so that they can be compared; what lies beyond is drawn at the edge."""
    scale = alt.Scale(domain=[round(limit, 2) for limit in limits], nice=False, clamp=True)
    return alt.Y(f"{field}:Q", title="nats", scale=scale, axis=alt.Axis(tickCount=4))
