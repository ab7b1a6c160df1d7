"""Where a variant's window lies, and the two sequences in it.

A window holds ``left`` bases before the variant's first base and ``right`` bases from it on. WT and MUT have the same
number of bases, so that their likelihoods run over the same number of tokens: a deletion reaches further into the contig
on the right, an insertion less far. At a contig's end the window slides inside the contig, it is not padded; where the
contig is shorter than the window it is the whole contig, flagged ``short_window``. A circular contig has no ends: the
window wraps around the origin.

On a grid windows start at multiples of ``stride``, so neighbours share what the model reads before them: ``left`` bases
before the variant, and fewer than ``stride`` more, so that the start falls on the grid. Such a window does not slide: at a
contig's end it is cut.

The reverse strand is the same definition on the reverse complement of the contig: ``left`` bases are read before the
variant there too, which lie to its right in the genome.

Shapes: V variants. ``start`` and ``end`` are 0-based, half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raygen.errors import SettingsError
from raygen.sequence.tokens import encode, normalise_tokens, reverse_complement

SHORT_WINDOW = "short_window"
"""Flag: the contig is shorter than the window."""
SHIFTED_WINDOW = "shifted_window"
"""Flag: the window slid at a contig's end, so there is less context on one side."""
N_IN_WINDOW = "n_in_window"
"""Flag: the window holds at least one base that is not A, C, G or T."""

Strand = Literal["forward", "reverse"]


@dataclass(frozen=True)
class Window:
    """How much sequence a score sees.

    Attributes:
        left: bases before the variant's first base, at least that many on a grid.
        right: bases from the variant's first base on, at least 1.
        anchor: ``variant``, each variant has a window of its own; ``grid``, windows start at multiples of ``stride``.
        stride: bases from one window to the next, on a grid only.
    """

    left: int
    right: int
    anchor: Literal["variant", "grid"] = "variant"
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.left < 0 or self.right < 1:
            raise SettingsError(
                f"window: left must be at least 0 and right at least 1, but they are {self.left} and {self.right}."
            )
        if self.anchor not in ("variant", "grid"):
            raise SettingsError(f"window.anchor is {self.anchor!r}; it can be variant or grid.")
        if self.anchor == "grid" and (self.stride is None or self.stride < 1):
            raise SettingsError(
                f"window.stride is {self.stride}; windows on a grid (window.anchor) need the bases from one to the next, "
                "at least 1."
                if self.stride is not None
                else "window.stride is missing: windows on a grid (window.anchor) need it, the bases from one to the next."
            )
        if self.anchor == "variant" and self.stride is not None:
            raise SettingsError(
                "window.stride is of windows on a grid: set window.anchor=grid with it, or leave it out."
            )

    @property
    def length(self) -> int:
        """Bases of a window that is not cut short; the fewest where it is on a grid."""
        return self.left + self.right

    @property
    def longest(self) -> int:
        """Bases of the longest window, which the model must be able to read at once."""
        return self.length + (self.stride or 0)


@dataclass(frozen=True)
class Placement:
    """Where the windows of V variants on one contig lie, in the coordinates of the strand that was asked for.

    Attributes:
        start, end: (V,) int64; on a circular contig ``start`` may be negative and ``end`` may pass the contig's end.
        shifted: (V,) bool, the window slid at an end of the contig.
        short: (V,) bool, the contig is shorter than the window.
    """

    start: np.ndarray
    end: np.ndarray
    shifted: np.ndarray
    short: np.ndarray


def place_windows(
    first: np.ndarray,
    ref_length: np.ndarray,
    alt_length: np.ndarray,
    contig_length: int,
    window: Window,
    circular: bool = False,
) -> Placement:
    """Place the windows of V variants of one contig.

    Args:
        first: (V,) 0-based position of each variant's first base on the strand that is read.
        ref_length, alt_length: (V,) bases of each allele.
        contig_length: bases of the contig.
        circular: the contig has no ends.
    """
    # MUT of a deletion reads this many bases more of the contig than WT, so the window may use that much less of it.
    usable = contig_length - np.maximum(ref_length - alt_length, 0)
    if window.anchor == "grid":
        return _place_on_grid(first, usable, window, circular)
    length = np.minimum(window.length, usable)
    short = length < window.length
    if circular:
        left = np.where(short, length * window.left // window.length, window.left)
        start = first - left
        return Placement(start, start + length, np.zeros_like(short), short)
    unclipped_start = first - window.left
    start = np.clip(unclipped_start, 0, usable - length)
    return Placement(start, start + length, (start != unclipped_start) & ~short, short)


def _place_on_grid(first: np.ndarray, usable: np.ndarray, window: Window, circular: bool) -> Placement:
    assert window.stride is not None
    start = (first - window.left) // window.stride * window.stride
    end = first + window.right
    short = usable < window.length
    if circular:
        # A contig with no room for the bases up to the grid gives what it has before the variant.
        start = np.where(end - start > usable, end - usable, start)
        start = np.where(short, first - usable * window.left // window.length, start)
        return Placement(start, np.where(short, start + usable, end), np.zeros_like(short), short)
    shifted = (first < window.left) | (end > usable)
    start, end = np.maximum(start, 0), np.minimum(end, usable)
    return Placement(np.where(short, 0, start), np.where(short, usable, end), shifted & ~short, short)


def mirror(first: np.ndarray, ref_length: np.ndarray, contig_length: int) -> np.ndarray:
    """Each variant's first base as read on the reverse strand: (V,) to (V,)."""
    return contig_length - first - ref_length


class StrandView:
    """A contig as it is read on one strand: position 0 is the first base read."""

    def __init__(self, bases: np.ndarray, strand: Strand, circular: bool = False) -> None:
        self._bases = bases
        self._reverse = strand == "reverse"
        self._circular = circular

    def read(self, start: int, end: int) -> np.ndarray:
        """Tokens of [start, end) on this strand, uint8."""
        if self._reverse:
            return reverse_complement(self._slice(len(self._bases) - end, len(self._bases) - start))
        return normalise_tokens(self._slice(start, end))

    def pair(self, first: int, ref: str, alt: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """WT and MUT tokens of a variant in its window [start, end), both uint8 (end - start,).

        ``first`` is on this strand; ``ref`` and ``alt`` are as in the table, on the forward strand. Where the reference has a
        letter that stands for several bases, WT has the one that ``ref`` says.
        """
        ref_allele, allele = (
            reverse_complement(encode(text)) if self._reverse else encode(text) for text in (ref, alt)
        )
        length = end - start
        after = first + len(ref)
        num_after = max(length - (first - start) - len(alt), 0)
        mut = np.concatenate([self.read(start, first), allele, self.read(after, after + num_after)])[:length]
        wt = self.read(start, end)
        in_window = wt[first - start : first - start + len(ref)]
        in_window[:] = ref_allele[: len(in_window)]
        return wt, mut

    def _slice(self, start: int, end: int) -> np.ndarray:
        if self._circular and (start < 0 or end > len(self._bases)):
            return self._bases.take(np.arange(start, end), mode="wrap")
        return self._bases[start:end]
