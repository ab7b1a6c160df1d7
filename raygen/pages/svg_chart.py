"""Four plain charts as SVG in a page: lines, steps between points, bars of two kinds side by side, and intervals.

Written by hand, as the picture of a region is: a page with four static charts needs no charting library, and stays without
scripts. Colours are Okabe and Ito's (2008), which the common colour blindnesses tell apart; every line is named in a legend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
GREY = "#8a8a8a"
_WIDTH, _HEIGHT = 460, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 48
_ROW = 24
_TEXT = "font-size='12' fill='#333333'"


@dataclass(frozen=True)
class Line:
    """A named line through (x, y) points. ``dashed`` is for what the others are held against."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    is_points: bool = False


@dataclass(frozen=True)
class Axes:
    """Labels and ranges, low to high."""

    x_label: str
    y_label: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies on the picture."""
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def line_chart(lines: Sequence[Line], axes: Axes, title: str) -> str:
    """Lines, with a legend in the order given where there are several."""
    parts = [_opened(title, _HEIGHT + 18 * (len(lines) > 1) * len(lines)), *_frame(axes)]
    colours = iter(COLOURS)
    for number, line in enumerate(lines):
        colour = GREY if line.dashed else next(colours)
        parts += _drawn(line, axes, colour)
        if len(lines) > 1:
            parts += _named(line, colour, _HEIGHT + 10 + 18 * number)
    return "\n".join([*parts, "</svg>"])


def bar_chart(edges: Sequence[float], heights: Sequence[tuple[str, Sequence[float]]], axes: Axes, title: str) -> str:
    """Histograms over the same bins, one over the other and see-through."""
    parts = [_opened(title, _HEIGHT + 18 * len(heights)), *_frame(axes)]
    for number, (name, values) in enumerate(heights):
        colour = COLOURS[number]
        for low, high, value in zip(edges[:-1], edges[1:], values, strict=True):
            (x, y), (x2, bottom) = axes.place(low, value), axes.place(high, axes.y_range[0])
            said = escape(f"{name}, {low:.3g} to {high:.3g}: {value:.1%}")
            box = f"x='{x:.1f}' y='{y:.1f}' width='{max(x2 - x - 0.5, 0.5):.1f}' height='{bottom - y:.1f}'"
            parts.append(f"<rect {box} fill='{colour}' fill-opacity='0.5'><title>{said}</title></rect>")
        parts += _named(Line(name, (), ()), colour, _HEIGHT + 10 + 18 * number)
    return "\n".join([*parts, "</svg>"])


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]], label: str, title: str, reference: float, marked: Sequence[bool]
) -> str:
    """(name, low, middle, high) on a scale from 0 to 1, a row each; ``reference`` is drawn through all of them.

    ``marked`` rows have another colour.
    """
    left, height = 230, len(rows) * _ROW + 56
    across = lambda value: left + value * (_WIDTH + 160 - left - 30)  # noqa: E731
    parts = [_opened(title, height, _WIDTH + 160)]
    bottom = len(rows) * _ROW + 10
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = across(tick)
        parts.append(f"<line x1='{x:.1f}' y1='6' x2='{x:.1f}' y2='{bottom}' stroke='#e4e4e4'/>")
        parts.append(f"<text x='{x:.1f}' y='{bottom + 16}' {_TEXT} text-anchor='middle'>{tick:g}</text>")
    x = across(reference)
    parts.append(f"<line x1='{x:.1f}' y1='6' x2='{x:.1f}' y2='{bottom}' stroke='{GREY}' stroke-dasharray='4 3'/>")
    for row, (name, low, middle, high) in enumerate(rows):
        y, colour = 18 + row * _ROW, COLOURS[1] if marked[row] else COLOURS[0]
        shown = name if len(name) <= 32 else f"{name[:31]}…"
        said = escape(f"{name}: {middle:.3f} ({low:.3f} to {high:.3f})")
        parts.append(f"<text x='{left - 12}' y='{y + 4}' {_TEXT} text-anchor='end'>{escape(shown)}</text>")
        parts.append(
            f"<g stroke='{colour}' fill='{colour}'><title>{said}</title>"
            f"<line x1='{across(low):.1f}' y1='{y}' x2='{across(high):.1f}' y2='{y}' stroke-width='2'/>"
            f"<circle cx='{across(middle):.1f}' cy='{y}' r='4.5'/></g>"
        )
    parts.append(
        f"<text x='{across(0.5):.1f}' y='{bottom + 36}' {_TEXT} text-anchor='middle'>{escape(label)}</text></svg>"
    )
    return "\n".join(parts)


def padded(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _opened(title: str, height: int, width: int = _WIDTH) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' "
        f"style='width:100%;max-width:{width}px' font-family='system-ui, sans-serif'><title>{escape(title)}</title>"
    )


def _frame(axes: Axes) -> Iterator[str]:
    for value in _ticks(*axes.x_range):
        x, y = axes.place(value, axes.y_range[0])
        yield f"<line x1='{x:.1f}' y1='{y:.1f}' x2='{x:.1f}' y2='{_TOP}' stroke='#e4e4e4'/>"
        yield f"<text x='{x:.1f}' y='{y + 17:.1f}' {_TEXT} text-anchor='middle'>{value:g}</text>"
    for value in _ticks(*axes.y_range):
        x, y = axes.place(axes.x_range[0], value)
        yield f"<line x1='{x:.1f}' y1='{y:.1f}' x2='{_WIDTH - _RIGHT}' y2='{y:.1f}' stroke='#e4e4e4'/>"
        yield f"<text x='{x - 7:.1f}' y='{y + 4:.1f}' {_TEXT} text-anchor='end'>{value:g}</text>"
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    yield f"<text x='{middle}' y='{_HEIGHT - 10}' {_TEXT} text-anchor='middle'>{escape(axes.x_label)}</text>"
    centre = _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
    yield f"<text transform='translate(14,{centre}) rotate(-90)' {_TEXT} text-anchor='middle'>{escape(axes.y_label)}</text>"


def _drawn(line: Line, axes: Axes, colour: str) -> Iterator[str]:
    places = [axes.place(x, y) for x, y in zip(line.x, line.y, strict=True)]
    if line.is_points:
        for x, y in places:
            yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5' fill='{colour}'><title>{escape(line.name)}</title></circle>"
        return
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = " stroke-dasharray='4 3'" if line.dashed else ""
    yield f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'{dashes}/>"


def _named(line: Line, colour: str, y: int) -> Iterator[str]:
    dashes = " stroke-dasharray='4 3'" if line.dashed else ""
    yield f"<line x1='{_LEFT}' y1='{y - 4}' x2='{_LEFT + 22}' y2='{y - 4}' stroke='{colour}' stroke-width='3'{dashes}/>"
    yield f"<text x='{_LEFT + 30}' y='{y}' {_TEXT}>{escape(line.name)}</text>"


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(step - rough))
    first = np.ceil(low / step - 1e-9)
    return [round(float(k * step), 12) + 0.0 for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]
