"""Reading on from a state: rows of tokens, in as many passes as the budget asks for, to ln P of each letter after each token.

Shapes:  B rows   T tokens   D width   L letters (``LETTERS``)   N places that are wanted
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from raygen.model.state import Marks, PrefixState
from raygen.scoring.letters import LETTERS
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.passes import pieces
from raygen.scoring.pooling import WatchedRows


class Reader:
    """Reads rows with a resident model. The caller is in inference mode, with exact arithmetic."""

    def __init__(self, model: ResidentModel) -> None:
        self._model, self._network, self._device = model, model.loaded.network, model.loaded.device

    def read(
        self,
        reads: Sequence[np.ndarray],
        first: Sequence[int],
        state: PrefixState | None,
        watched: WatchedRows | None = None,
    ) -> list[np.ndarray]:
        """Read rows on from a state, in as many passes as the budget asks for.

        Returns ln P of each letter after each token of a row, zero before its ``first``; all zero where no score is wanted.
        """
        longest = max(map(len, reads))
        log_probs = [np.zeros((len(read), len(LETTERS))) for read in reads]
        for start, end in pieces(longest, len(reads), self._model.budget.max_batch_tokens):
            piece = [read[start:end] for read in reads]
            marks = Marks.ends(len(reads), end - start, room=0) if end < longest else None
            hidden_BTD, state = self.pass_over(piece, state, marks, watched, start)
            if watched and watched.sums.stops:
                continue
            later = [max(output - start, 0) for output in first]
            for row_log_probs, values in zip(log_probs, self.log_probs(hidden_BTD, piece, later), strict=True):
                row_log_probs[start : start + len(values)] = values
        return log_probs

    def pass_over(
        self,
        reads: Sequence[np.ndarray],
        state: PrefixState | None,
        marks: Marks | None,
        watched: WatchedRows | None = None,
        start: int = 0,
    ) -> tuple[torch.Tensor, PrefixState | None]:
        """One pass over rows of any length, padded on the right.

        Args:
            watched: rows whose states are added up, of which these are the tokens from ``start`` on.
        """
        tokens_BT = np.full((len(reads), max(map(len, reads))), self._model.loaded.facts.pad_id, dtype=np.int64)
        for row, read in enumerate(reads):
            tokens_BT[row, : len(read)] = read
        self._model.num_tokens_computed += tokens_BT.size
        read_BT = torch.from_numpy(tokens_BT).to(self._device)
        if watched is None:
            return self._network.hidden_states(read_BT, state, marks=marks)
        taps = watched.taps(start, tokens_BT.shape[1])
        hidden_BTD, state = self._network.hidden_states(read_BT, state, marks=marks, taps=taps)
        watched.sums.end_pass()
        return hidden_BTD, state

    def log_probs(
        self, hidden_BTD: torch.Tensor, reads: Sequence[np.ndarray], first: Sequence[int]
    ) -> list[np.ndarray]:
        """ln P of each letter after each token of a row from output ``first`` on, zero before; only those are unembedded."""
        time = np.arange(hidden_BTD.shape[1])
        wanted_BT = np.stack([(time >= start) & (time < len(row)) for row, start in zip(reads, first, strict=True)])
        log_probs_BTL = np.zeros((*wanted_BT.shape, len(LETTERS)))
        if wanted_BT.any():
            hidden_ND = hidden_BTD[torch.from_numpy(wanted_BT).to(self._device)]
            log_probs_BTL[wanted_BT] = self._model.letter_log_probs(hidden_ND)
        return [log_probs[: len(row)] for log_probs, row in zip(log_probs_BTL, reads, strict=True)]
