"""How far scores in half precision lie from those in float32, measured on variants.

In: tables with the columns ``variant_id`` and ``delta_llr`` of SCORES, of the same variants, one a mode. Out: one row of noise a mode, and the table in words. A class is one to
four nats wide, so an error of some tenths of a nat moves variants that lie near a cut point into another class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.table import Table

from raygen.classes.classify import GLM_CLINICAL_CUTS, class_index

REFERENCE_MODE = "float32"


@dataclass(frozen=True)
class ModeNoise:
    """How far the ``delta_llr`` of a mode lie from those of float32.

    Attributes:
        mode: a dtype by name.
        num_variants: variants scored in both.
        num_lost: variants scored in float32 and not in this mode.
        rms, mean, largest: root mean square, mean and largest size of mode minus float32, in nats.
        changed_classes: share of the variants whose class is another one.
    """

    mode: str
    num_variants: int
    num_lost: int
    rms: float
    mean: float
    largest: float
    changed_classes: float


def measure_noise(
    score: Callable[[str], pa.Table], modes: Sequence[str], cuts: Sequence[float] = GLM_CLINICAL_CUTS
) -> list[ModeNoise]:
    """How far the scores of each mode lie from those of float32, in the order of ``modes``.

    Args:
        score: a mode to a table with ``variant_id`` and ``delta_llr``; called once for float32 and once for each mode.
        modes: dtypes by name.
        cuts: cut points of the classes, nats.
    """
    reference = score(REFERENCE_MODE)
    return [noise_of(mode, score(mode), reference, cuts) for mode in modes]


def noise_of(mode: str, scores: pa.Table, reference: pa.Table, cuts: Sequence[float] = GLM_CLINICAL_CUTS) -> ModeNoise:
    """Compare the SCORES of a mode with those of float32 by ``variant_id``, rows in any order. ``cuts`` are in nats."""
    delta_by_id = dict(zip(scores["variant_id"].to_pylist(), scores["delta_llr"].to_pylist(), strict=True))
    ids, deltas = reference["variant_id"].to_pylist(), reference["delta_llr"].to_pylist()
    pairs = [(delta_by_id[name], delta) for name, delta in zip(ids, deltas, strict=True) if name in delta_by_id]
    measured, expected = np.array(pairs, dtype=float).reshape(-1, 2).T
    if not len(measured):
        return ModeNoise(mode, 0, len(ids), *[float("nan")] * 4)
    errors = measured - expected
    changed = class_index(measured, cuts) != class_index(expected, cuts)
    return ModeNoise(
        mode=mode,
        num_variants=len(measured),
        num_lost=len(ids) - len(measured),
        rms=float(np.sqrt(np.mean(errors**2))),
        mean=float(errors.mean()),
        largest=float(np.abs(errors).max()),
        changed_classes=float(changed.mean()),
    )


def noise_table(noises: Sequence[ModeNoise]) -> Table:
    """The noise of each mode as a table for a terminal, errors in nats."""
    table = Table("mode", "variants", "RMS", "mean", "largest", "other class", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for noise in noises:
        numbers = (f"{noise.rms:.4f}", f"{noise.mean:+.4f}", f"{noise.largest:.4f}", f"{noise.changed_classes:.1%}")
        table.add_row(noise.mode, f"{noise.num_variants:,}", *numbers)
    return table
