"""How a variant is scored, by name, and which models cannot be scored so. Light: no torch."""

from __future__ import annotations

from typing import Literal

from raygen.errors import SettingsError

Method = Literal["fork", "pair"]


def refuse_fork(name: str, refusal: str | None) -> None:
    """A model whose state cannot be carried on is scored by two passes, when its user says so.

    Raises:
        SettingsError: there is a refusal.
    """
    if refusal:
        raise SettingsError(
            f"{name} cannot be scored by the method fork: {refusal}. Set scoring.method: pair, two full passes for each variant."
        )
