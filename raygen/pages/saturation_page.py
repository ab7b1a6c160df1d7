"""The picture of a region's changes: position by change, in colours that diverge at 0, and a page around it without scripts.

The picture is SVG written by hand: a heat map is rectangles, and each has its numbers as a tooltip without a script; Vega's SVG
of as many marks is several times larger. A long region is cut into lines, as sequence is printed. Above ``MAX_COLUMNS``
positions a column stands for several and shows the most negative of them, so the file stays small. White is 0 on the scale, so
the picture stays on white where the page is dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from markupsafe import Markup

from raygen.classes.colours import tint
from raygen.pages.page import Page, render
from raygen.tables.place import write_text
from raygen.trials.saturation import CHANGES, Saturation, as_tsv

MAX_COLUMNS = 4000
_COLUMNS_A_LINE = 100
_CELL_WIDTH, _CELL_HEIGHT = 11, 15
_LEFT, _LETTERS, _TICKS, _GAP = 64, 16, 18, 14
_NO_SCORE = "#e9e9e9"
_FONT = "font-family='DejaVu Sans Mono, Menlo, Consolas, monospace'"


@dataclass(frozen=True)
class _Columns:
    """The columns of the heat map: ``delta`` (columns, changes) in nats, and of each its first position and its letter.

    A column stands for ``width`` positions; its letter is '' where they are several.
    """

    delta: np.ndarray
    first: list[int]
    letters: list[str]
    width: int


def as_svg(saturation: Saturation) -> str:
    """The heat map of a region's changes as SVG, without a page around it."""
    columns = _columns(saturation)
    changes = [change for change in range(len(CHANGES)) if change < 4 or np.isfinite(saturation.delta[:, change]).any()]
    line_height = _LETTERS + len(changes) * _CELL_HEIGHT + _TICKS + _GAP
    starts = range(0, len(columns.first), _COLUMNS_A_LINE)
    width = _LEFT + min(len(columns.first), _COLUMNS_A_LINE) * _CELL_WIDTH + 40
    width = max(width, _LEFT + 420)
    height = len(starts) * line_height + 60
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' {_FONT}>",
        f"<title>delta_llr of every change, {escape(_where(saturation))}</title>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
        *_legend(saturation.limit, columns.width),
    ]
    for line, start in enumerate(starts):
        parts += _line(saturation, columns, changes, start, 60 + line * line_height)
    return "\n".join([*parts, "</svg>"]) + "\n"


def as_page(saturation: Saturation, facts: Mapping[str, str]) -> str:
    """The page about a region's changes, as HTML. ``facts`` are shown as names and values, in order."""
    where = _where(saturation)
    page = Page(
        command="saturate",
        title=where,
        heading=f"Every change of one base, {where}",
        under=f"delta_llr in nats at each of {len(saturation.reference):,} positions, by what its base is changed to",
        sections=[("picture", "Picture"), ("positions", "Most negative positions"), ("run", "What was run")],
    )
    return render(
        "saturation.html.j2",
        page,
        picture=Markup(as_svg(saturation)),  # escaped where it is drawn
        picture_words=f"Heat map of delta_llr: {len(saturation.reference):,} positions of {where} by the base each is changed to.",
        heads=[("position", "n"), ("ref", "n"), *((change, "n") for change in CHANGES)],
        rows=list(_worst_rows(saturation)),
        facts=facts,
    )


def _where(saturation: Saturation) -> str:
    return f"{saturation.chrom}:{saturation.start:,}-{saturation.end:,}"


def _columns(saturation: Saturation) -> _Columns:
    """The columns to draw: one a position, or the most negative of several where there are too many."""
    size = len(saturation.reference)
    width = -(-size // MAX_COLUMNS)
    if width == 1:
        return _Columns(
            saturation.delta, list(range(saturation.start, saturation.end + 1)), list(saturation.reference), 1
        )
    starts = range(0, size, width)
    filled = np.where(np.isfinite(saturation.delta), saturation.delta, np.inf)
    lowest = np.minimum.reduceat(filled, np.array(starts), axis=0)
    first = [saturation.start + offset for offset in starts]
    return _Columns(np.where(np.isfinite(lowest), lowest, np.nan), first, [""] * len(first), width)


def _legend(limit: float, width: int) -> Iterator[str]:
    steps, step_width = 60, 4
    yield f"<g transform='translate({_LEFT},12)'>"
    for step in range(steps):
        share = 2 * (step + 0.5) / steps - 1
        yield f"<rect x='{step * step_width}' y='0' width='{step_width + 0.5}' height='12' fill='{tint(share)}'/>"
    end = steps * step_width
    yield f"<rect x='0' y='0' width='{end}' height='12' fill='none' stroke='#888888' stroke-width='0.5'/>"
    for x, text in ((0, f"≤ {-limit:.2g}"), (end / 2, "0"), (end, f"≥ {limit:.2g}")):
        yield f"<text x='{x}' y='26' font-size='11' fill='#333333' text-anchor='middle'>{text}</text>"
    caption = "delta_llr, nats" + (f"; a column is the lowest of {width:,} positions" if width > 1 else "")
    yield f"<text x='{end + 28}' y='11' font-size='11' fill='#333333'>{caption}</text></g>"


def _line(saturation: Saturation, columns: _Columns, changes: list[int], start: int, top: int) -> Iterator[str]:
    """One line of the heat map as SVG: letters of the reference, a row of cells a change, positions below."""
    end = min(start + _COLUMNS_A_LINE, len(columns.first))
    yield f"<g transform='translate({_LEFT},{top})'>"
    for row, change in enumerate(changes):
        name = "del" if CHANGES[change] == "deletion" else CHANGES[change]
        y = _LETTERS + row * _CELL_HEIGHT + _CELL_HEIGHT - 4
        yield f"<text x='-8' y='{y}' font-size='11' fill='#333333' text-anchor='end'>{name}</text>"
    for column in range(start, end):
        x = (column - start) * _CELL_WIDTH
        if columns.letters[column]:
            middle = x + _CELL_WIDTH / 2
            letter = escape(columns.letters[column])
            yield f"<text x='{middle}' y='11' font-size='11' fill='#333333' text-anchor='middle'>{letter}</text>"
        for row, change in enumerate(changes):
            yield _cell(saturation, columns, column, change, x, _LETTERS + row * _CELL_HEIGHT)
        if column == start or (columns.first[column] % (10 * columns.width) == 0 and column - start >= 10):
            yield from _tick(columns.first[column], x, _LETTERS + len(changes) * _CELL_HEIGHT)
    yield "</g>"


def _cell(saturation: Saturation, columns: _Columns, column: int, change: int, x: int, y: int) -> str:
    delta, letter, pos = float(columns.delta[column, change]), columns.letters[column], columns.first[column]
    box = f"x='{x}' y='{y}' width='{_CELL_WIDTH - 1}' height='{_CELL_HEIGHT - 1}'"
    if letter == CHANGES[change]:
        dot = f"<circle cx='{x + (_CELL_WIDTH - 1) / 2}' cy='{y + (_CELL_HEIGHT - 1) / 2}' r='2' fill='#333333'/>"
        return f"<rect {box} fill='#ffffff' stroke='#dddddd' stroke-width='0.5'/>{dot}"
    if np.isnan(delta):
        return f"<rect {box} fill='{_NO_SCORE}'/>"
    change_words = "deleted" if CHANGES[change] == "deletion" else f"to {CHANGES[change]}"
    where = f"{pos} {letter}" if letter else f"{pos}-{min(pos + columns.width - 1, saturation.end)}, lowest"
    tooltip = f"{saturation.chrom}:{where} {change_words}: {delta:+.3f}"
    return f"<rect {box} fill='{tint(delta / saturation.limit)}'><title>{escape(tooltip)}</title></rect>"


def _tick(position: int, x: int, y: int) -> Iterator[str]:
    middle = x + _CELL_WIDTH / 2
    yield f"<line x1='{middle}' y1='{y + 1}' x2='{middle}' y2='{y + 5}' stroke='#666666' stroke-width='1'/>"
    yield f"<text x='{middle}' y='{y + 15}' font-size='10' fill='#555555' text-anchor='middle'>{position:,}</text>"


def _worst_rows(saturation: Saturation, count: int = 20) -> Iterator[tuple[str, ...]]:
    for row in saturation.most_negative(count):
        deltas = ["" if np.isnan(delta) else f"{delta:.2f}" for delta in saturation.delta[row].tolist()]
        yield f"{saturation.start + row:,}", saturation.reference[row], *deltas


def write_saturation(out: Path, saturation: Saturation, facts: Mapping[str, str]) -> Path:
    """Write ``saturation.html``, ``.svg`` and ``.tsv`` into a folder of scores; returns the path of the page.

    Raises:
        SettingsError, StoppedError: a file cannot be written, see ``put_in_place``.
    """
    page = out / "saturation.html"
    write_text(page, as_page(saturation, facts))
    write_text(out / "saturation.svg", as_svg(saturation))
    write_text(out / "saturation.tsv", as_tsv(saturation))
    return page
