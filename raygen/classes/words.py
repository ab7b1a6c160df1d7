"""The five classes for people: a colour each, what a class says, and what it does not.

The colours can be told apart with the common colour blindnesses: they differ in lightness as well as in hue (after Okabe and
Ito, "Color universal design", 2008), darker on a light page and lighter on a dark one.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from raygen.classes.class_rule import is_on_context
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


def class_range(name: str, cuts: Sequence[float], on: str | None = None) -> str:
    """Which values fall in a class, e.g. ``-7 to below -3``; a calibration may leave some without any.

    Args:
        cuts: four ascending cut points, in nats.
        on: what they cut in words, as a manifest has it (``ClassRule.on``): of cut points that were given in PHRED, the range is in PHRED.
    """
    if phred := phred_cuts(on):
        return _phred_range(CLASSES.index(name), phred)
    index = CLASSES.index(name)
    low, high = [-math.inf, *map(_or_infinite, cuts), math.inf][index : index + 2]
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


def range_with_unit(name: str, cuts: Sequence[float], on: str | None = None) -> str:
    """As ``class_range``, with what it is a range of: ``PHRED 20 and above``, ``-7 to below -3 nats``."""
    text = class_range(name, cuts, on)
    if text == "not given":
        return text
    if phred_cuts(on):
        return f"PHRED {text}"
    return f"delta_context {text} nats" if is_on_context(on) else f"{text} nats"


def measure(on: str | None) -> str:
    """What the classes are cut on, and its unit, as the head of a column of ranges."""
    if phred_cuts(on):
        return "PHRED"
    return "delta_context, nats" if is_on_context(on) else "delta_llr, nats"


def phred_cuts(on: str | None) -> tuple[float, ...] | None:
    """Four ascending cut points in PHRED, from what the cut points of a table cut in words; None where it is not PHRED."""
    match = _PHRED.search(on or "")
    return tuple(float(word) for word in match[1].split(",")) if match else None


_PHRED = re.compile(r"PHRED ([^;]*) of background ")


def _phred_range(index: int, phred: Sequence[float]) -> str:
    """The range of the class ``index``: the more harmful class is the one with the higher PHRED, which is never below 0."""
    high, low = [math.inf, *reversed(phred), 0.0][index : index + 2]
    if low >= high:
        return "not given"
    if math.isinf(high):
        return f"{low:g} and above"
    return f"below {high:g}" if index == len(CLASSES) - 1 else f"{low:g} to below {high:g}"


def _or_infinite(cut: float) -> float:
    """A cut in PHRED may lie beyond all deltas, on the last number that is finite."""
    return math.copysign(math.inf, cut) if abs(cut) >= sys.float_info.max else cut
