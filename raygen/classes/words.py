"""The five classes for people: a colour each, what a class says, and what it does not.

The colours can be told apart with the common colour blindnesses: they differ in lightness as well as in hue (after Okabe and
Ito, "Color universal design", 2008), darker on a light page and lighter on a dark one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raygen.classes.classify import CLASSES

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class ClassWords:
    """A class for people: its title, its meaning, and its colours on a light and on a dark page."""

    name: str
    title: str
    light: str
    dark: str
    meaning: str


_WORDS = (
    ClassWords(
        "pathogenic",
        "pathogenic",
        "#a3190f",
        "#f0604d",
        "the model finds the sequence far less likely with the variant than without it, as it does where a change breaks "
        "something that evolution has kept.",
    ),
    ClassWords(
        "likely_pathogenic",
        "likely pathogenic",
        "#dc7f00",
        "#f5a83d",
        "the model finds the sequence clearly less likely with the variant, less so than in the class below it.",
    ),
    ClassWords(
        "vus",
        "uncertain (vus)",
        "#8b8f99",
        "#c3c7d0",
        "the model finds the sequence somewhat less likely with the variant: not enough to lean either way.",
    ),
    ClassWords(
        "benign",
        "benign",
        "#00755d",
        "#2fb894",
        "to the model the two sequences are about equally likely: it sees no sign that the variant matters. That is no sign "
        "that it does not.",
    ),
    ClassWords(
        "gain_of_function",
        "gain of function",
        "#5b3fc4",
        "#977df2",
        "the model finds the sequence more likely with the variant. The name is the preset's; a likelier sequence is no "
        "proof of a gained function, and a reference that holds a rare allele looks the same.",
    ),
)

CAVEAT = (
    "The class is a label of a scale of likelihoods, not a clinical finding: no one has shown that these cut points hold for "
    "this model, window and strand. It is not for the care of patients."
)
INDEL_CAVEAT = (
    "An insertion or deletion moves all that follows it against the window's end, so its delta spreads wider than that of a "
    "substitution; compare it with other indels."
)


def class_words(name: str) -> ClassWords:
    """The words of one class, by its name in the tables."""
    return _WORDS[CLASSES.index(name)]


def all_class_words() -> tuple[ClassWords, ...]:
    """The words of all classes, from the most negative delta to the most positive."""
    return _WORDS


def class_range(name: str, cuts: Sequence[float]) -> str:
    """Which deltas fall in a class, e.g. ``-7 to below -3``; a calibration may leave some without any."""
    index = CLASSES.index(name)
    low, high = [-math.inf, *cuts, math.inf][index : index + 2]
    if low == high:
        return "not given"
    from_low, to_high = (f"{cut:g}".replace("-", MINUS) for cut in (low, high))
    last = index == len(CLASSES) - 1
    if math.isinf(low):
        return "any" if math.isinf(high) else f"below {to_high}"
    if math.isinf(high):
        return f"above {from_low}" if last else f"{from_low} and above"
    below = "" if index == len(CLASSES) - 2 else "below "
    return f"{from_low} to {below}{to_high}"
