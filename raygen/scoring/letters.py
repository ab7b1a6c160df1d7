"""Columns of letters: all that a sequence can hold, so that whatever is to be predicted is among them. No torch."""

from __future__ import annotations

import numpy as np

from raygen.sequence.tokens import encode

LETTERS = encode("ACGTN")
"""All tokens of a sequence, as bytes: in this order the columns of what is predicted."""
_COLUMN = np.zeros(256, dtype=np.intp)
_COLUMN[LETTERS] = np.arange(len(LETTERS))


def of_letters(log_probs_TL: np.ndarray, tokens_T: np.ndarray) -> np.ndarray:
    """ln P of one token at each place: (T, letters) and (T,) to (T,)."""
    return log_probs_TL[np.arange(len(tokens_T)), _COLUMN[tokens_T]]
