"""What more two sequences' predictions say of a variant than the sum of their differences: at its place, and base by base after it.

In: ln P of each letter after each token, of WT and of MUT, from their first different base on. Out: numbers by name. All come from
passes that the likelihoods need anyway. Definitions (p and q are WT's and MUT's probabilities of A, C, G and T, which sum to one):

    site_llr     ln P(alt) − ln P(ref) at the first base that differs, of a single-base substitution; nats
    entropy      −Σ p ln p there, nats: 0 where one base is certain, ln 4 = 1.386 where none is preferred
    jsd          mean over the bases after the variant of the Jensen-Shannon divergence of p and q; nats, between 0 and ln 2
    peak         the largest difference MUT − WT of a base's ln P, by absolute value; nats
    peak_offset  where that is: bases from the first one that differs, on the forward strand (negative: towards its start)

Bases after an indel stand at other places in WT and MUT and are compared base by base. Of two strands, the first three are means. Peaks are
of the strand whose peak is larger, since a mean of two places is no place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from raygen.scoring.letters import of_letters

if TYPE_CHECKING:
    from raygen.sequence.windows import Strand

EXTRA_COLUMNS = ("site_llr", "entropy", "jsd", "peak", "peak_offset")
BY_STRAND = ("site_llr", "entropy")
"""Those that both strands' runs give for each strand, too, under ``_fwd`` and ``_rev``."""
SUFFIX = {"forward": "fwd", "reverse": "rev"}
_NUM_BASES = 4  # A, C, G and T come first in LETTERS

Behind = tuple[int, int]
"""Where WT and MUT go on behind a variant's alleles, as indices of their tokens."""


def behind_by_sequence(wt: np.ndarray, mut: np.ndarray) -> Behind:
    """Where two sequences whose alleles nobody named go on alike: behind the last different base of two of one length, else where
    the longest shared end begins.
    """
    shared = min(len(wt), len(mut))
    differs = np.flatnonzero(wt[len(wt) - shared :][::-1] != mut[len(mut) - shared :][::-1])
    alike = int(differs[0]) if len(differs) else shared
    return len(wt) - alike, len(mut) - alike


@dataclass(frozen=True)
class Predictions:
    """What predicts the tokens of a sequence from an index on: log_probs_TL, ln P of each letter; tokens_T, the tokens."""

    log_probs_TL: np.ndarray
    tokens_T: np.ndarray

    @cached_property
    def of_tokens_T(self) -> np.ndarray:
        """ln P of the tokens."""
        return of_letters(self.log_probs_TL, self.tokens_T)


def sum_of_differences(wt_T: np.ndarray, mut_T: np.ndarray) -> float:
    """Σ ln P of MUT's tokens less that of WT's, token by token where there are as many."""
    return float((mut_T - wt_T).sum() if len(mut_T) == len(wt_T) else mut_T.sum() - wt_T.sum())


def effects_of(wt: Predictions, mut: Predictions, first: int, behind: Behind, has_site: bool) -> dict[str, float]:
    """The numbers of one pair on one strand; NaN where there is nothing to say.

    Args:
        wt, mut: from token ``first`` on, the first that differs and is predicted.
        has_site: whether that is the first that differs.
    """
    wt_TL, wt_T, wt_tokens = wt.log_probs_TL, wt.of_tokens_T, wt.tokens_T
    mut_TL, mut_T, mut_tokens = mut.log_probs_TL, mut.of_tokens_T, mut.tokens_T
    is_substitution = len(wt_tokens) == len(mut_tokens) and np.array_equal(wt_tokens[1:], mut_tokens[1:])
    at_site = next((outputs[:1] for outputs in (wt_TL, mut_TL) if len(outputs) and has_site), None)
    # Both from where neither is before the first difference, which in a repeat lies behind the alleles.
    wt_behind, mut_behind = _from_first(behind[0] - first, behind[1] - first)
    count = max(min(len(wt_TL) - wt_behind, len(mut_TL) - mut_behind), 0)
    wt_rows, mut_rows = slice(wt_behind, wt_behind + count), slice(mut_behind, mut_behind + count)
    changes, offsets = mut_T[mut_rows] - wt_T[wt_rows], np.arange(wt_behind, wt_behind + count)
    if wt_behind == mut_behind:  # the alleles themselves stand base against base
        own = min(wt_behind, len(wt_T), len(mut_T))
        changes = np.concatenate([mut_T[:own] - wt_T[:own], changes])
        offsets = np.concatenate([np.arange(own), offsets])
    peak = int(np.abs(changes).argmax()) if len(changes) else None
    return {
        "site_llr": float(mut_T[0] - wt_T[0]) if is_substitution and at_site is not None else np.nan,
        "entropy": np.nan if at_site is None else float(entropy_of(at_site)[0]),
        "jsd": float(_divergence(wt_TL[wt_rows], mut_TL[mut_rows]).mean()) if count else np.nan,
        "peak": np.nan if peak is None else float(changes[peak]),
        "peak_offset": np.nan if peak is None else float(offsets[peak]),
    }


def names_on_strands(extra_columns: Sequence[str], num_strands: int) -> list[str]:
    """The columns that a table gets for those that were asked for."""
    by_strand = [f"{name}_{suffix}" for name in BY_STRAND if name in extra_columns for suffix in SUFFIX.values()]
    return [*extra_columns, *(by_strand if num_strands > 1 else ())]


def no_effects(num_pairs: int) -> dict[str, np.ndarray]:
    """Nothing to say of any pair."""
    return {name: np.full(num_pairs, np.nan) for name in EXTRA_COLUMNS}


def _from_first(wt_behind: int, mut_behind: int) -> Behind:
    further = max(-wt_behind, -mut_behind, 0)
    return wt_behind + further, mut_behind + further


def over_strands(by_strand: Mapping[Strand, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The columns of R rows from the numbers of each strand that was read."""
    columns: dict[str, np.ndarray] = {}
    strands: Sequence[Mapping[str, np.ndarray]] = list(by_strand.values())
    for name in ("site_llr", "entropy", "jsd"):
        columns[name] = np.mean([strand[name] for strand in strands], axis=0)
    for name in BY_STRAND if len(by_strand) > 1 else ():
        columns |= {f"{name}_{SUFFIX[strand]}": values[name] for strand, values in by_strand.items()}
    peaks = np.stack([strand["peak"] for strand in strands])
    larger = np.argmax(np.nan_to_num(np.abs(peaks), nan=-1), axis=0)
    offsets = np.stack([_on_forward(values["peak_offset"], strand) for strand, values in by_strand.items()])
    rows = np.arange(peaks.shape[1])
    return columns | {"peak": peaks[larger, rows], "peak_offset": offsets[larger, rows]}


def _on_forward(offset: np.ndarray, strand: Strand) -> np.ndarray:
    return offset if strand == "forward" else -offset


def entropy_of(log_probs_TL: np.ndarray) -> np.ndarray:
    """−Σ p ln p over A, C, G and T at each place, nats: (T, letters) ln P to (T,)."""
    return _entropy(_of_bases(log_probs_TL))


def _of_bases(log_probs_TL: np.ndarray) -> np.ndarray:
    """ln P of A, C, G and T among these four, (T, 4)."""
    log_probs = log_probs_TL[:, :_NUM_BASES]
    return log_probs - np.logaddexp.reduce(log_probs, axis=1, keepdims=True)


def _entropy(log_probs_T4: np.ndarray) -> np.ndarray:
    probs = np.exp(log_probs_T4)
    return -np.where(probs > 0, probs * log_probs_T4, 0).sum(axis=1)


def _divergence(wt_TL: np.ndarray, mut_TL: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence at each place, (T,): the entropy of the mean less the mean entropy."""
    wt, mut = _of_bases(wt_TL), _of_bases(mut_TL)
    mean = np.logaddexp(wt, mut) - np.log(2)
    return np.maximum(_entropy(mean) - (_entropy(wt) + _entropy(mut)) / 2, 0)
