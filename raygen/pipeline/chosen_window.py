"""The window that a run with these settings takes, known without Ray, a model's weights or a cluster."""

from __future__ import annotations

from raygen.errors import SettingsError
from raygen.sequence.window_choices import fit_window
from raygen.sequence.windows import Window
from raygen.settings import Settings


def choose_window(settings: Settings, context_length: int) -> Window:
    """The window of a run: half of the context on each side where nothing else is said, less a grid's stride.

    Of a context of more than 8,192 bases only so much is taken (``usual_length``).

    Raises:
        SettingsError: it does not fit the model, or it is shorter than what ``embed.pool`` averages.
    """
    asked = settings.window
    window = fit_window(
        asked.left,
        asked.right,
        asked.anchor,
        asked.stride,
        context_length,
        settings.model.name,
    )
    _refuse_longer_pools(settings, window)
    return window


def _refuse_longer_pools(settings: Settings, window: Window) -> None:
    """SettingsError where a pool of ``embed.pool`` has more bases than the window has from the variant on."""
    embed = settings.embed.request
    for pool in embed.plan.pools if embed else ():
        if pool.num_positions and pool.num_positions > window.right:
            raise SettingsError(
                f"embed.pool {pool.name} averages {pool.num_positions:,} bases from the variant on, and window.right is "
                f"{window.right:,}. Use right:{window.right} or a larger window.right."
            )
