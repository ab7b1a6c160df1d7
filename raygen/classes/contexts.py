"""What sequence context alone makes of a score: the mean of neutral single-base changes in each 5-mer and to each ALT.

Some contexts mutate, and are forgotten by evolution, faster than others (CpG above all), so a model finds some changes likelier than
others wherever they are. ``delta_context`` is ``delta_llr`` less that mean: GPN-Star's calibration by context, on which missense
variants are told apart better (Ye et al. 2025). A change and the same change read on the other strand are one context.

In: deltas of single-base changes that matter to nobody, or of all. Out: the mean that is to be expected of a change, shrunk where few were
seen:

    expected(5-mer) = (sum over its n sites + 20 x expected(3-mer)) / (n + 20)
    expected(3-mer) = (sum over its n sites + 20 x mean of all) / (n + 20)

Sums are whole numbers of 2^-16 nats: parts can be added in any order and give the same to the last bit.

Shapes: R changes; codes of 4,096 contexts, 4 x the number of the 5-mer + the number of ALT in ACGT
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

FLANK = 2
"""Bases on each side of the one that changes."""
BASES = "ACGT"
NUM_CODES = 4 ** (2 * FLANK + 1) * 4
PRIOR_SITES = 20
"""Sites that the expectation of a shorter context counts for."""
NO_CONTEXT = -1
_UNIT = 2.0**16
_CODE = np.full(256, -1, np.int64)
_CODE[np.frombuffer(BASES.encode(), np.uint8)] = np.arange(4)


@dataclass(frozen=True)
class ContextSums:
    """Sums over changes by context, each (4,096,) int64: how many, of their deltas and of the squares of these in units of 2^-16."""

    num_sites: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, deltas: np.ndarray) -> ContextSums:
        """Sums over (R,) changes with (R,) ``codes`` of ``context_codes`` and (R,) deltas in nats; those without a context do not count."""
        is_known = codes != NO_CONTEXT
        known, deltas = codes[is_known], np.asarray(deltas, np.float64)[is_known]
        weights = (np.ones(len(known)), np.rint(deltas * _UNIT), np.rint(deltas**2 * _UNIT))
        return cls(*(np.bincount(known, weight, NUM_CODES).astype(np.int64) for weight in weights))

    @classmethod
    def sum_of(cls, parts: Iterable[ContextSums]) -> ContextSums:
        """What all parts hold together."""
        nothing = cls(*(np.zeros(NUM_CODES, np.int64) for _ in range(3)))
        return reduce(lambda one, other: one._plus(other), parts, nothing)

    def _plus(self, other: ContextSums) -> ContextSums:
        return ContextSums(self.num_sites + other.num_sites, self.total + other.total, self.squares + other.squares)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three sums."""
        return self.num_sites, self.total, self.squares

    @cached_property
    def num_changes(self) -> int:
        """All changes that have a context."""
        return int(self.num_sites.sum())

    @cached_property
    def expected(self) -> np.ndarray:
        """(4,096,) nats: the delta to be expected of a change in each context; see the head of this file."""
        num_sites, total = (_both_strands(values) for values in (self.num_sites, self.total / _UNIT))
        of_all = total.sum() / max(num_sites.sum(), 1)
        inner = _INNER
        of_inner = (np.bincount(inner, total) + PRIOR_SITES * of_all) / (np.bincount(inner, num_sites) + PRIOR_SITES)
        expected: np.ndarray = (total + PRIOR_SITES * of_inner[inner]) / (num_sites + PRIOR_SITES)
        return expected

    @cached_property
    def spread(self) -> np.ndarray:
        """(4,096,) nats: standard deviation of the deltas in each context, both strands together; NaN of fewer than two."""
        num_sites, total, squares = (
            _both_strands(values) for values in (self.num_sites, self.total / _UNIT, self.squares / _UNIT)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (squares - total**2 / num_sites) / (num_sites - 1)
        return np.where(num_sites > 1, np.sqrt(np.maximum(variance, 0)), np.nan)

    def expected_of(self, codes: np.ndarray) -> np.ndarray:
        """(R,) nats to be expected of changes with (R,) codes; NaN without a context."""
        return np.where(codes == NO_CONTEXT, np.nan, self.expected[np.maximum(codes, 0)])


def context_codes(contig: np.ndarray, pos: np.ndarray, alt: np.ndarray, is_circular: bool = False) -> np.ndarray:
    """(R,) codes of the contexts of single-base changes on one contig.

    Args:
        contig: its bases, uint8 upper-case ASCII, as ``Reference.bases`` gives them.
        pos: (R,) 1-based.
        alt: (R,) uint8 ASCII, upper-case.

    Returns:
        ``NO_CONTEXT`` where a base beside the change is not A, C, G or T or lies beyond the end of a contig that has ends, and where ALT
        is the reference's base.
    """
    places = np.asarray(pos, np.int64)[:, None] - 1 + np.arange(-FLANK, FLANK + 1)
    is_inside = np.ones(len(places), bool) if is_circular else (places[:, 0] >= 0) & (places[:, -1] < len(contig))
    letters = _CODE[contig[places % len(contig)]]
    alt_code = _CODE[alt]
    is_known = is_inside & (letters >= 0).all(axis=1) & (alt_code >= 0) & (letters[:, FLANK] != alt_code)
    codes = letters @ (4 ** np.arange(2 * FLANK, -1, -1)) * 4 + alt_code
    return np.where(is_known, codes, NO_CONTEXT)


def context_names() -> tuple[list[str], list[str]]:
    """The 5-mer and the ALT of each code that is a change, in the order of ``change_codes``."""
    fives, alts = np.divmod(change_codes(), 4)
    letters = np.array(list(BASES))
    return ["".join(word) for word in letters[_digits(fives)]], letters[alts].tolist()


def change_codes() -> np.ndarray:
    """(3,072,) the codes of which ALT is not the base in the middle."""
    codes = np.arange(NUM_CODES)
    return codes[_digits(codes // 4)[:, FLANK] != codes % 4]


def _digits(fives: np.ndarray) -> np.ndarray:
    """(N, 5) numbers of the bases of 5-mers."""
    return fives[:, None] // 4 ** np.arange(2 * FLANK, -1, -1) % 4


def _other_strand() -> np.ndarray:
    """(4,096,) the code of the same change read on the other strand."""
    codes = np.arange(NUM_CODES)
    turned = 3 - _digits(codes // 4)[:, ::-1]
    return turned @ (4 ** np.arange(2 * FLANK, -1, -1)) * 4 + 3 - codes % 4


def _inner() -> np.ndarray:
    """(4,096,) the number of the 3-mer in the middle and ALT."""
    codes = np.arange(NUM_CODES)
    return _digits(codes // 4)[:, 1:-1] @ (4 ** np.arange(2, -1, -1)) * 4 + codes % 4


_OTHER_STRAND, _INNER = _other_strand(), _inner()


def _both_strands(values: np.ndarray) -> np.ndarray:
    return values + values[_OTHER_STRAND]
