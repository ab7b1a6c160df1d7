"""The still charts of an evaluation: two curves, the distribution of the score, risk against coverage, and areas by group.

In: numbers of an ``Evaluation``. Out: figures. Each series has a colour of its own and a name in the legend; what the others
are compared with is dashed. The values of bars and intervals are shown under the pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from sklearn.metrics import precision_recall_curve, roc_curve

from raygen.evaluation.beside import Beside
from raygen.evaluation.discrimination import Discrimination
from raygen.evaluation.evaluate import Evaluation
from raygen.evaluation.paired_areas import PairedArea
from raygen.evaluation.risk_coverage import CoveragePoint, RiskCoverage
from raygen.pages.chart_style import StillFigure, still_svg

_MOST_POINTS = 400
_BINS = 40
_HEIGHT = 270
_ROW_HEIGHT = 24
_SERIES = ("series-1", "series-2", "series-3")


@dataclass(frozen=True)
class _Line:
    """A named line through (x, y) points, in order; ``is_reference`` for a line that others are compared with."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_reference: bool = False


@dataclass(frozen=True)
class _Axes:
    """Titles of the two axes of a chart and their ranges, low to high."""

    x_title: str
    y_title: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, field: str) -> alt.X:
        """The channel of the axis across, for a field of the data."""
        scale = alt.Scale(domain=list(self.x_range), nice=False)
        return alt.X(f"{field}:Q", title=self.x_title, scale=scale, axis=alt.Axis(tickCount=5))

    def y(self, field: str) -> alt.Y:
        """The channel of the axis upwards, for a field of the data."""
        scale = alt.Scale(domain=list(self.y_range), nice=False)
        return alt.Y(f"{field}:Q", title=self.y_title, scale=scale, axis=alt.Axis(tickCount=5))


def overall_figures(evaluation: Evaluation) -> list[StillFigure]:
    """The four charts of all labelled variants together."""
    return [_roc(evaluation), _precision_recall(evaluation), _distribution(evaluation), _risk(evaluation.risk_coverage)]


def groups_figure(evaluation: Evaluation, name: str, shown: Sequence[tuple[str, Discrimination]]) -> StillFigure | None:
    """The AUROC of each group with its interval, beside the overall one; None where no group has both."""
    return areas_figure(f"AUROC by {name}", dict(shown), evaluation.overall.auroc, evaluation.is_worse)


def beside_figure(beside: Beside) -> StillFigure | None:
    """The AUROC of the score and of what stands beside it; None where there is nothing beside it, or no intervals."""
    if len(beside.areas) < 2:
        return None
    score = next(iter(beside.areas.values()))
    return areas_figure("AUROC on the same rows", beside.areas, score.auroc, reference_name="the score's")


def areas_figure(
    title: str,
    areas: Mapping[str, Discrimination | PairedArea],
    reference_area: float | None,
    is_worse: Callable[[Any], bool] | None = None,
    reference_name: str = "overall",
) -> StillFigure | None:
    """AUROCs with their intervals, one a line, beside one area; None where none has both.

    Args:
        is_worse: which of them to mark; None where that is no question.
    """
    rows = [
        (value, *area.auroc_interval, area.auroc, bool(is_worse and is_worse(area)))
        for value, area in areas.items()
        if area.auroc is not None and area.auroc_interval
    ]
    if not rows:
        return None
    frame = pl.DataFrame(rows, schema=["group", "low", "high", "auroc", "is_worse"], orient="row").with_columns(
        pl.format(
            "{}: {} ({} to {})", "group", *(pl.col(column).round(3) for column in ("auroc", "low", "high"))
        ).alias("words")
    )
    colour = alt.condition("datum.is_worse", alt.value("var(--series-2)"), alt.value("var(--series-1)"))
    base = alt.Chart(frame).encode(
        y=alt.Y("group:N", sort=frame["group"].to_list(), title=None, axis=alt.Axis(labelLimit=150, ticks=False)),
        color=colour,
        description="words:N",
    )
    across = alt.X(
        "low:Q",
        title="AUROC",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f"),
    )
    intervals = base.mark_bar(height=2).encode(x=across, x2="high:Q")
    middles = base.mark_circle(size=56, opacity=1).encode(x="auroc:Q")
    overall = reference_area or 0.5
    reference = alt.Chart(pl.DataFrame({"overall": [overall]})).mark_rule(
        color="var(--muted)", strokeDash=[4, 3], aria=False
    )
    worse = sum(row[-1] for row in rows)
    words = f"{title}: {len(rows):,} with intervals; the dashed line is {reference_name}, {overall:.3f}."
    if is_worse:
        words += f" {f'{worse:,}' if worse else 'None'} {'are' if worse > 1 else 'is'} below it."
    marked = [("dot series-2", "below overall")] * bool(worse)
    legend = [("dot series-1", "area"), *marked, ("dash", reference_name)]
    svg = still_svg(alt.layer(reference.encode(x="overall:Q"), intervals, middles), _ROW_HEIGHT * len(rows))
    return StillFigure(title, svg, words, legend)


def _roc(evaluation: Evaluation) -> StillFigure:
    false_rate, true_rate, _ = roc_curve(*_positive_and_risk(evaluation))
    lines = [
        _Line("score", *_thinned(false_rate, true_rate)),
        _Line("chance", (0.0, 1.0), (0.0, 1.0), is_reference=True),
    ]
    words = f"True positive rate against false positive rate; the area below is {_area(evaluation.overall.auroc)}."
    return _line_figure("ROC curve", lines, _Axes("false positive rate", "true positive rate"), words)


def _precision_recall(evaluation: Evaluation) -> StillFigure:
    precision, recall, _ = precision_recall_curve(*_positive_and_risk(evaluation), drop_intermediate=True)
    lines = [
        _Line("score", *_thinned(recall[:-1], precision[:-1])),  # the last point is no threshold
        _Line("share of positives", (0.0, 1.0), (evaluation.overall.prevalence,) * 2, is_reference=True),
    ]
    words = f"Precision against recall; the area below is {_area(evaluation.overall.auprc)}."
    return _line_figure("Precision-recall", lines, _Axes("recall", "precision"), words)


def _area(area: float | None) -> str:
    return "unknown" if area is None else f"{area:.3f}"


def _positive_and_risk(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    return evaluation.labelled.frame["positive"].to_numpy(), evaluation.labelled.risk.to_numpy()


def _distribution(evaluation: Evaluation) -> StillFigure:
    """The score's histograms of positives and negatives over the same bins, one over the other and see-through."""
    frame = evaluation.labelled.frame
    scores, positive = frame["score"].to_numpy(), frame["positive"].to_numpy()
    low, high = _not_empty(*np.percentile(scores, [1, 99]).tolist())
    edges = np.linspace(low, high, _BINS + 1)
    clipped = np.clip(scores, low, high)
    bars = pl.concat(
        [
            _bars(name, edges, clipped[chosen], css)
            for name, css, chosen in (("negative", "series-1", ~positive), ("positive", "series-2", positive))
        ]
    )
    column = evaluation.labelled.score_column
    axes = _Axes(column, "share of the kind", (low, high), (0.0, float(np.max(bars["share"].to_numpy())) * 1.05))
    chart = (
        alt.Chart(bars)
        .mark_bar(opacity=0.5, binSpacing=0.5)
        .encode(
            x=axes.x("from"),
            x2="to:Q",
            y=axes.y("share").stack(None),
            y2=alt.datum(0),
            color=alt.Color("colour:N", scale=None),
            description="words:N",
        )
    )
    return StillFigure(
        "Distribution of the score",
        still_svg(chart, _HEIGHT),
        f"Where the two kinds lie on {column}; the outermost 1% on each side are in the last bars.",
        [("dot series-1", "negative"), ("dot series-2", "positive")],
    )


def _bars(name: str, edges: np.ndarray, scores: np.ndarray, css: str) -> pl.DataFrame:
    shares = np.histogram(scores, edges)[0] / max(len(scores), 1)
    words = [
        f"{name}, {low:.3g} to {high:.3g}: {share:.1%}"
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True)
    ]
    bars = pl.DataFrame({"from": edges[:-1], "to": edges[1:], "share": shares, "words": words})
    return bars.with_columns(pl.lit(f"var(--{css})").alias("colour")).filter(pl.col("share") > 0)


def _risk(risk: RiskCoverage) -> StillFigure:
    lines = [_Line("farthest from the cut first", *_columns(risk.by_margin))]
    if risk.by_strands:
        lines.append(_Line("strands that agree first", *_columns(risk.by_strands)))
    top, abstained = max(max(line.y) for line in lines), risk.abstained
    point = None
    if abstained and abstained.num_abstained and abstained.error is not None:
        point, top = (abstained.coverage, abstained.error), max(top, abstained.error)
    axes = _Axes("coverage", "share of wrong calls", (0.0, 1.0), (0.0, max(top * 1.1, 0.01)))
    words = "Share of wrong calls when the least certain variants are not called."
    return _line_figure("Risk and coverage", lines, axes, words, point)


def _line_figure(
    title: str, lines: Sequence[_Line], axes: _Axes, words: str, abstained: tuple[float, float] | None = None
) -> StillFigure:
    """A chart of lines in order; ``abstained`` is a point of its own, that of all variants but those abstained on."""
    layers: list[alt.Chart] = []
    legend = []
    colours = iter(_SERIES)
    for line in lines:
        css = "dash" if line.is_reference else f"dot {(series := next(colours))}"
        legend.append((css, line.name))
        layers.append(_drawn(line, axes, "muted" if line.is_reference else series))
    if abstained:
        series = next(colours)
        legend.append((f"dot {series}", "all but abstained"))
        layers.append(_point(*abstained, axes, series))
    return StillFigure(title, still_svg(alt.layer(*layers), _HEIGHT), words, legend)


def _drawn(line: _Line, axes: _Axes, colour: str) -> alt.Chart:
    points = pl.DataFrame({"x": list(line.x), "y": list(line.y), "order": range(len(line.x))})
    dash = [4, 3] if line.is_reference else alt.Undefined
    drawn = alt.Chart(points).mark_line(color=f"var(--{colour})", strokeWidth=2, aria=False, strokeDash=dash)
    return drawn.encode(x=axes.x("x"), y=axes.y("y"), order="order:Q")


def _point(coverage: float, error: float, axes: _Axes, colour: str) -> alt.Chart:
    words = f"all but abstained: coverage {coverage:.1%}, {error:.1%} wrong calls"
    point = pl.DataFrame({"x": [coverage], "y": [error], "words": [words]})
    drawn = alt.Chart(point).mark_circle(color=f"var(--{colour})", size=80, opacity=1)
    return drawn.encode(x=axes.x("x"), y=axes.y("y"), description="words:N")


def _columns(points: Sequence[CoveragePoint]) -> tuple[list[float], list[float]]:
    return [point.coverage for point in points], [point.error for point in points]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """A curve of (N,) x and (N,) y by at most about ``_MOST_POINTS`` points, evenly along it, both ends included."""
    if len(x) <= _MOST_POINTS:
        return x.tolist(), y.tolist()
    along = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
    indices = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _MOST_POINTS)))
    indices = np.unique(np.clip([0, *indices.tolist(), len(x) - 1], 0, len(x) - 1))
    return x[indices].tolist(), y[indices].tolist()


def _not_empty(low: float, high: float) -> tuple[float, float]:
    """A range that has a width, around the two values where they are the same."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)
