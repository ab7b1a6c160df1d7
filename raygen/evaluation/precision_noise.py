"""How far scores in half precision lie from those in float32, measured on variants.

In: SCORES tables of the same variants, one a mode. Out: one row of noise a mode, and the table in words. A class is one to
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
    """A mode against float32. Errors of ``delta_llr`` in nats.

    Attributes:
        num_variants: scored in both. num_lost: scored in float32 and not in this mode.
        rms, mean, largest: of the errors; ``largest`` without its sign.
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
    """The noise of each mode.

    Args:
        score: a mode to a SCORES table of the variants; asked once for float32 and once for each mode.
        modes: dtypes by name.
        cuts: of the classes, nats.
    """
    reference = score(REFERENCE_MODE)
    return [noise_of(mode, score(mode), reference, cuts) for mode in modes]


def noise_of(mode: str, scores: pa.Table, reference: pa.Table, cuts: Sequence[float] = GLM_CLINICAL_CUTS) -> ModeNoise:
    """Compare two SCORES tables by ``variant_id``; their rows may be in any order."""
    there = dict(zip(scores["variant_id"].to_pylist(), scores["delta_llr"].to_pylist(), strict=True))
    ids, deltas = reference["variant_id"].to_pylist(), reference["delta_llr"].to_pylist()
    both = [(there[name], delta) for name, delta in zip(ids, deltas, strict=True) if name in there]
    found, expected = np.array(both, dtype=float).reshape(-1, 2).T
    if not len(found):
        return ModeNoise(mode, 0, len(ids), *[float("nan")] * 4)
    errors = found - expected
    changed = class_index(found, cuts) != class_index(expected, cuts)
    return ModeNoise(
        mode=mode,
        num_variants=len(found),
        num_lost=len(ids) - len(found),
        rms=float(np.sqrt(np.mean(errors**2))),
        mean=float(errors.mean()),
        largest=float(np.abs(errors).max()),
        changed_classes=float(changed.mean()),
    )


def noise_table(noises: Sequence[ModeNoise]) -> Table:
    """For a terminal."""
    table = Table("mode", "variants", "RMS", "mean", "largest", "other class", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for noise in noises:
        numbers = (f"{noise.rms:.4f}", f"{noise.mean:+.4f}", f"{noise.largest:.4f}", f"{noise.changed_classes:.1%}")
        table.add_row(noise.mode, f"{noise.num_variants:,}", *numbers)
    return table
