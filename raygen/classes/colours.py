"""A colour for a number between -1 and 1: red below 0, white at 0, blue above; readable with the common colour blindnesses.

The colours are ColorBrewer's RdBu with eleven classes (Harrower and Brewer, 2003, Apache-2.0), and mixtures of neighbours.
"""

from __future__ import annotations

import numpy as np

_RDBU = ("67001f", "b2182b", "d6604d", "f4a582", "fddbc7", "ffffff", "d1e5f0", "92c5de", "4393c3", "2166ac", "053061")
_STOPS = np.linspace(-1, 1, len(_RDBU))
_CHANNELS = np.array([[int(colour[start : start + 2], 16) for start in (0, 2, 4)] for colour in _RDBU], dtype=float)


def tint(share: float) -> str:
    """The colour ``#rrggbb`` of a number between -1 and 1; beyond them it stays that of the end."""
    red, green, blue = (round(float(np.interp(share, _STOPS, _CHANNELS[:, channel]))) for channel in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"


def text_colour(background: str) -> str:
    """Black or white, whichever is easier to read on a ``#rrggbb``."""
    red, green, blue = (int(background[start : start + 2], 16) for start in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "#000000"
