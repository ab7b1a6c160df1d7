"""Windows as a user writes them in one word, and the ones that are offered when nobody says.

    4096+4096        left + right, each variant in a window of its own
    4096+256@2048    the same on a grid: windows start at multiples of 2,048 bases

The offered grid keeps half of the model's context (of at most 8,192 bases) to the left, as a window without settings does, and starts a window
every quarter of it: what is read once for all variants of such a window is then one to two tokens a variant where every
base is mutated.
"""

from __future__ import annotations

import re
from typing import Literal

from raygen.errors import SettingsError
from raygen.sequence.windows import Window

_WRITTEN = re.compile(r"(\d+)\+(\d+)(?:@(\d+))?")
GRID_RIGHT = 256
"""Bases from the variant on that a grid has when nobody says; a pilot found its ranks close to those of longer windows."""
USUAL_WINDOW = 8192
"""Bases that a window has when nobody says and the model could read more: a million for each variant is for who asks."""
_COMPARED_RIGHTS = (1024, 256, 128, 64, 16, 4, 1)
_CHEAPER_RIGHTS = (1024, 512, 256, 128, 32)


def parse_window(text: str) -> Window:
    """A window from ``left+right`` or ``left+right@stride``.

    Raises:
        SettingsError: the text is written in another way, or is no window.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if not match:
        raise SettingsError(f"{text!r} is no window. Write left+right, or left+right@stride for a grid: 4096+256@2048.")
    left, right, stride = match.groups()
    if stride is None:
        return Window(int(left), int(right))
    return Window(int(left), int(right), "grid", int(stride))


def window_text(window: Window) -> str:
    """A window in one word, as ``parse_window`` reads it."""
    return f"{window.left}+{window.right}" + (f"@{window.stride}" if window.stride else "")


def window_in_words(window: Window) -> str:
    """A window as commands print it: ``window 48+48 bases on a grid of 32``."""
    grid = f" on a grid of {window.stride:,}" if window.stride else ""
    return f"window {window.left:,}+{window.right:,} bases{grid}"


def usual_length(context_length: int) -> int:
    """Bases of a window when nobody says: the model's context, at most ``USUAL_WINDOW``."""
    return min(context_length, USUAL_WINDOW)


def fit_window(
    left: int | None,
    right: int | None,
    anchor: Literal["variant", "grid"],
    stride: int | None,
    context_length: int,
    model: str,
) -> Window:
    """The window of these settings; a side that is None gets half of the usual length, less a grid's stride.

    Raises:
        SettingsError: the window does not fit the model.
    """
    usual = max((usual_length(context_length) - (stride or 0)) // 2, 1)
    window = Window(usual if left is None else left, usual if right is None else right, anchor, stride)
    settings = f"window.left + window.right{' + window.stride' if window.stride else ''}"
    refuse_longer_window(window, context_length, model, f"{settings} is")
    return window


def refuse_longer_window(window: Window, context_length: int, model: str, reads: str = "") -> None:
    """Refuse a window in which a variant can need more bases than the model reads at once.

    Args:
        reads: how the message begins, where the user wrote the window in another way than in one word.

    Raises:
        SettingsError: the window is longer than the model's context.
    """
    if window.longest > context_length:
        reads = reads or f"The window {window_text(window)} reads up to"
        raise SettingsError(
            f"{reads} {window.longest:,} bases, but {model} reads {context_length:,}. "
            "Use a smaller window or a model with a longer context."
        )


def full_window(context_length: int) -> Window:
    """A window with half of the usual length (``usual_length``, in bases) on each side."""
    length = usual_length(context_length)
    return Window(length // 2, length - length // 2)


def grid_window(
    context_length: int, left: int | None = None, right: int | None = None, stride: int | None = None
) -> Window:
    """A window on a grid that fits the model's context; a setting that is not None stays as it is."""
    left = usual_length(context_length) // 2 if left is None else left
    right = min(GRID_RIGHT, max(context_length // 4, 1)) if right is None else right
    if stride is None:
        stride = max(min(usual_length(context_length) // 4, context_length - left - right), 1)
    return Window(left, right, "grid", stride)


def windows_to_compare(context_length: int) -> list[Window]:
    """The full window, which is the baseline, and grids that read less and less to the right of the variant."""
    rights = [right for right in _COMPARED_RIGHTS if right <= context_length // 4]
    return [full_window(context_length), *(grid_window(context_length, right=right) for right in rights)]


def cheaper_windows(window: Window, context_length: int) -> list[Window]:
    """Grids that share more, or read less to the right of the variant, than a window does; not all must be cheaper."""
    left = min(window.left, context_length - max(context_length // 4, 1) - 1)
    grid = grid_window(context_length, left, min(window.right, max(context_length // 4, 1)))
    rights = [right for right in _CHEAPER_RIGHTS if right < grid.right]
    return [
        other
        for other in [grid, *(grid_window(context_length, left, right, grid.stride) for right in rights)]
        if other != window
    ]
