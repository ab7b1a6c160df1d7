"""Sequences of many lengths in batches of like length (``passes``), under a budget of tokens that shrinks when memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from raygen.errors import StoppedError
from raygen.scoring.passes import next_batch


class TokenBudget:
    """How many tokens one pass may hold, and how many families walk side by side. Halved for good when they do not fit."""

    def __init__(self, max_batch_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens
        self.max_families: int | None = None
        self.num_halvings = 0

    def shrink_below(self, tokens: int) -> None:
        """A batch of this many tokens did not fit."""
        self.max_batch_tokens = max(tokens // 2, 1)
        self.num_halvings += 1

    def narrow_to(self, families: int) -> None:
        """Twice as many families did not fit beside each other."""
        self.max_families = families
        self.num_halvings += 1


def run_in_batches(lengths: Sequence[int], budget: TokenBudget, work: Callable[[Sequence[int]], None]) -> None:
    """Call ``work`` with lists of row numbers until every row was in one that succeeded.

    Args:
        lengths: tokens of each row.
        budget: shrinks when ``work`` runs out of memory, and stays so.

    Raises:
        StoppedError: a single row does not fit.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        batch = next_batch(order, start, lengths, budget.max_batch_tokens)
        try:
            work(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise StoppedError(
                    f"One sequence of {lengths[batch[0]]:,} tokens does not fit this device's memory, even alone. "
                    "Use a smaller window or a device with more memory."
                ) from error
            budget.shrink_below(len(batch) * lengths[batch[0]])
            continue
        start += len(batch)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory ended, on a GPU (its own class) or in host memory (a message)."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
