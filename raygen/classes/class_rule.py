"""What makes the classes of a table, and the columns that come with them: cut points, a calibration, a background.

    on delta_llr        the cut points are nats
    on phred            they are PHRED; since a background ranks by ``delta_llr``, they are cut points on it, too, and these are what is used
    on delta_context    they are nats, of ``delta_llr`` less what the context alone makes likely

In: rows with deltas. Out: the same with ``classification`` and ``abstained``, behind them what a background and a calibration add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from raygen.classes.background import DELTA_CONTEXT, Background
from raygen.classes.calibration import CALIBRATED_COLUMNS, Calibration
from raygen.classes.classify import classify, cuts_as_text
from raygen.errors import SettingsError
from raygen.tables.columns import Column

On = Literal["delta_llr", "phred", "delta_context"]
_ON_CONTEXT = f"{DELTA_CONTEXT} of background "


@dataclass(frozen=True)
class ClassRule:
    """How rows get their classes.

    Attributes:
        cuts: four ascending cut points, in nats.
        on: in words what is cut, where that is not ``delta_llr`` as it is; None where it is.
    """

    cuts: tuple[float, ...]
    on: str | None = None
    background: Background | None = None
    calibration: Calibration | None = None

    @property
    def cuts_text(self) -> str:
        """Cut points and where they come from, as a folder of scores names them."""
        return cuts_as_text(self.cuts, self.calibration.digest if self.calibration else None, self.on)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it adds behind the others, in their order."""
        return (
            *(self.background.columns if self.background else ()),
            *(CALIBRATED_COLUMNS if self.calibration else ()),
        )

    def append_columns(
        self, rows: pa.Table, group_column: Column | None, bases: Callable[[str], np.ndarray] | None
    ) -> pa.Table:
        """Append the classes and the other columns to rows of one contig, or of pairs; see ``Background.append_columns``."""
        if self.background:
            rows = self.background.append_columns(rows, group_column, bases)
        expected = None
        if is_on_context(self.on):
            expected = rows["delta_llr"].to_numpy() - rows[DELTA_CONTEXT].to_numpy()
        rows = classify(rows, self.cuts, expected)
        if self.background:  # behind the classes
            rows = rows.select(
                [*(name for name in rows.column_names if name not in self.columns), *self.background.columns]
            )
        return self.calibration.append_columns(rows) if self.calibration else rows


def is_on_context(text: str | None) -> bool:
    """Whether cut points cut ``delta_context``, by their text or by what stands behind it."""
    return _ON_CONTEXT in (text or "")


def class_rule(
    cuts: Sequence[float] | None,
    on: On = "delta_llr",
    background: Background | None = None,
    calibration: Calibration | None = None,
) -> ClassRule:
    """The rule of cut points that are given in the unit of ``on``, or of a calibration's.

    Raises:
        SettingsError: ``on`` is what needs a background and there is none, or is not what a calibration cuts.
    """
    if calibration:
        if on != "delta_llr":
            raise SettingsError(f"A calibration cuts delta_llr, not {on}. Leave out one of them.")
        return ClassRule(calibration.cuts, None, background, calibration)
    assert cuts is not None
    if on == "delta_llr":
        return ClassRule(tuple(cuts), None, background)
    if background is None:
        raise SettingsError(f"Classes on {on} need a background, a file of `raygen background`.")
    if on == "delta_context":
        if background.contexts is None:
            raise SettingsError(
                "The background knows no contexts. Make it with --neutral, or cut classes on delta_llr or phred."
            )
        return ClassRule(tuple(cuts), f"{_ON_CONTEXT}{background.digest}", background)
    words = ", ".join(f"{cut:g}" for cut in cuts)
    return ClassRule(background.cuts_of_phred(cuts), f"PHRED {words} of background {background.digest}", background)
