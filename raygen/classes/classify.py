"""A delta to a class, and a scored row to a row of SCORES or of REJECTS.

The preset ``glm-clinical`` cuts ``delta_llr`` (nats, summed) at -7, -3, -1 and 1. Nobody has shown that these cut points
hold for every model, window and strand; they are settings, and a calibration with labelled variants can replace them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.tables.columns import has_item
from raygen.tables.schemas import REJECTS, SCORES, Reason

CLASSES = ("pathogenic", "likely_pathogenic", "vus", "benign", "gain_of_function")
"""Names of the five classes, from the most negative delta to the most positive."""

GLM_CLINICAL_CUTS = (-7.0, -3.0, -1.0, 1.0)


def class_index(delta: np.ndarray, cuts: Sequence[float] = GLM_CLINICAL_CUTS) -> np.ndarray:
    """The class of each delta as an index into CLASSES: (R,) nats to (R,) int.

    A cut point belongs to the class above it, except the last: 1 is benign, above 1 is gain of function.
    """
    *lower, upper = cuts
    return np.searchsorted(lower, delta, side="right") + (delta > upper)


def cuts_as_text(cuts: Sequence[float], calibration: str | None = None, on: str | None = None) -> str:
    """Cut points, and the digest of the calibration they come from or what they cut, as a folder of scores names them."""
    words = [f"{cut:g}" if float(f"{cut:g}") == cut else repr(float(cut)) for cut in cuts]
    return ", ".join(words) + (f"; calibration {calibration}" if calibration else "") + (f"; {on}" if on else "")


def cuts_as_json(cuts: Sequence[float]) -> list[float | str]:
    """Cut points for a manifest. JSON has no infinity, where the cut of a class that no score reaches lies."""
    return [cut if math.isfinite(cut) else str(cut) for cut in cuts]


def cuts_from_json(values: Sequence[float | str]) -> tuple[float, ...]:
    """Cut points, in nats, from what ``cuts_as_json`` wrote."""
    return tuple(float(value) for value in values)


def cuts_from_text(text: str) -> tuple[float, ...]:
    """Cut points, in nats, from what ``cuts_as_text`` wrote."""
    return tuple(float(word) for word in text.partition(";")[0].split(","))


def classify(
    scored: pa.Table, cuts: Sequence[float] = GLM_CLINICAL_CUTS, expected: np.ndarray | None = None
) -> pa.Table:
    """Append ``classification`` and ``abstained`` to R scored rows.

    A row is abstained on where the evidence disagrees with itself (its two strands fall in classes more than one step
    apart) or is thin (too many N in the window, a window in which WT and MUT are the same, or no context that is known
    where contexts count). Its class is still given.

    Args:
        expected: (R,) nats that are taken from each delta before it is cut; NaN where they are not known, and none are taken.
    """
    taken = np.zeros(len(scored)) if expected is None else np.nan_to_num(expected)
    delta = scored["delta_llr"].to_numpy() - taken
    classes = pa.array(CLASSES).take(pa.array(class_index(np.nan_to_num(delta), cuts)))
    is_thin = scored["too_many_n"].to_numpy() | has_item(scored["flags"], "same_sequence")
    if expected is not None:
        is_thin |= np.isnan(expected)
    abstained = is_thin | strands_disagree(scored, cuts, taken)
    return scored.append_column("classification", classes).append_column("abstained", pa.array(abstained))


def split_rows(
    classified: pa.Table, model: str, fingerprint: str, run_id: str, extra: Mapping[str, str] | None = None
) -> tuple[pa.Table, pa.Table]:
    """Classified rows to (SCORES, REJECTS). Rows with a ``failure`` become ``scoring_failed``.

    Args:
        extra: columns that follow those of SCORES: their name there to their name here.
    """
    failed = pc.is_valid(classified["failure"])
    good, bad = classified.filter(pc.invert(failed)), classified.filter(failed)
    constants = {"model": model, "fingerprint": fingerprint, "run_id": run_id}
    for name, value in constants.items():
        good = good.append_column(name, pa.repeat(value, good.num_rows))
    per_base = pc.divide(good["delta_llr"], good["num_tokens"].cast(pa.float64()))
    good = good.append_column("delta_per_base", per_base)
    scores = pa.table({field.name: good[field.name].cast(field.type) for field in SCORES}, schema=SCORES)
    for name, column in (extra or {}).items():
        scores = scores.append_column(name, good[column])
    return scores, _failed_rows(bad)


def _failed_rows(bad: pa.Table) -> pa.Table:
    """Classified rows with a ``failure`` as rows of REJECTS; a pair, which has no coordinates, is known by its id."""
    rows = []
    for row in bad.to_pylist():
        name = row.get("id") if row["chrom"] is not None else row["variant_id"]
        place = {key: row[key] for key in ("chrom", "pos", "ref", "alt")}
        failure = {
            "source": row.get("source", "table"),
            "reason": Reason.SCORING_FAILED.value,
            "detail": row["failure"],
        }
        rows.append({**place, "id": name, **failure})
    return pa.Table.from_pylist(rows, schema=REJECTS)


def strands_disagree(scored: pa.Table, cuts: Sequence[float], taken: np.ndarray | float = 0.0) -> np.ndarray:
    """(R,) whether the two strands of a row fall in classes more than one step apart; ``taken``: nats that are taken from each first."""
    forward, reverse = (
        scored[name].cast(pa.float64()).fill_null(math.nan).to_numpy() for name in ("delta_fwd", "delta_rev")
    )
    has_both = ~np.isnan(forward) & ~np.isnan(reverse)
    forward, reverse = (np.nan_to_num(delta) - taken for delta in (forward, reverse))
    return has_both & (np.abs(class_index(forward, cuts) - class_index(reverse, cuts)) > 1)
