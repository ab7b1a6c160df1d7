"""The colours of pages and pictures, each for light and for dark.

In: nothing. Out: ``css_variables``, which a page's stylesheet and its charts name (``var(--muted)``), so that both follow the
reader from light to dark; and ``light``, for a picture that leaves the page, where a variable would mean nothing. Series are
Okabe and Ito's colours ("Color universal design", 2008), which the common colour blindnesses tell apart; on dark their lighter
ones. Classes have the colours of ``raygen.classes.words``.
"""

from __future__ import annotations

from collections.abc import Mapping

from raygen.classes.words import all_class_words

_LIGHT_AND_DARK: Mapping[str, tuple[str, str]] = {
    "page": ("#fbfaf8", "#14161a"),
    "card": ("#ffffff", "#1b1e24"),
    "ink": ("#1d1f23", "#e7e6e3"),
    "muted": ("#5d626c", "#a2a7b1"),
    "line": ("#e3e0da", "#31353d"),
    "accent": ("#2b5c8a", "#7fb2e5"),
    "notice": ("#fdf3dc", "#2c2412"),
    "notice-ink": ("#5f4300", "#f2d692"),
    "notice-line": ("#e0b04a", "#8f6c1d"),
    "pick": ("#eef3f8", "#222a34"),
    "series-1": ("#0072b2", "#56b4e9"),
    "series-2": ("#d55e00", "#e69f00"),
    "series-3": ("#009e73", "#2fc79a"),
    **{words.name.replace("_", "-"): (words.light, words.dark) for words in all_class_words()},
}
_DOTTED = ("series-1", "series-2", "series-3", *(words.name.replace("_", "-") for words in all_class_words()))


def css_class(class_name: str) -> str:
    """The name of a class of variants as a class of CSS, which is that of its variable, too."""
    return class_name.replace("_", "-")


def light(name: str) -> str:
    """The colour ``#rrggbb`` of a name of the palette on a light ground."""
    return _LIGHT_AND_DARK[name][0]


def css_variables() -> str:
    """The palette as CSS: all colours as variables, light and dark, and for classes and series a background in each."""
    light_mode, dark_mode = (
        "".join(f"--{name}: {pair[mode]}; " for name, pair in _LIGHT_AND_DARK.items()) for mode in (0, 1)
    )
    backgrounds = "".join(f"i.{name} {{ background: var(--{name}); }}\n" for name in _DOTTED)
    return f":root {{ {light_mode}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark_mode}}} }}\n{backgrounds}"
