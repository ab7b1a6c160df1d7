"""The window that a run with these settings takes, known without Ray, a model's weights or a cluster."""

from __future__ import annotations

from raygen.sequence.window_choices import fit_window
from raygen.sequence.windows import Window
from raygen.settings import Settings


def choose_window(settings: Settings, context_length: int) -> Window:
    """The window of a run: half of the context on each side where nothing else is said, less a grid's stride.

    Of a context of more than 8,192 bases only so much is taken (``usual_length``).

    Raises:
        SettingsError: it does not fit the model.
    """
    window = settings.window
    return fit_window(
        window.left,
        window.right,
        window.anchor,
        window.stride,
        context_length,
        settings.model.name,
    )
