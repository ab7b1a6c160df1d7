"""What a folder of scores holds, counted in one pass over a few columns: rows, classes, abstentions, flags, rejects.

A run's manifest counts what that run did. Where the same command is run again it did nothing, so what is said of a folder is
counted there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from raygen.classes.classify import CLASSES
from raygen.tables.layout import RunFolder


@dataclass
class FolderCounts:
    """Of all runs into a folder. ``classes`` are those that have rows, in the order of ``CLASSES``."""

    scored: int = 0
    rejected: int = 0
    abstained: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)


def count_folder(folder: RunFolder) -> FolderCounts:
    """Count the committed scores and rejects of a folder, of any size."""
    scored = abstained = 0
    classes, flags = Counter[str](), Counter[str]()
    for batch in folder.scores_dataset().to_batches(columns=["classification", "abstained", "flags"]):
        scored += batch.num_rows
        abstained += pc.sum(batch["abstained"]).as_py() or 0
        classes.update(_counted(batch["classification"]))
        flags.update(_counted(pc.list_flatten(batch["flags"])))
    ordered = {name: classes[name] for name in (*CLASSES, *sorted(set(classes) - set(CLASSES))) if classes[name]}
    return FolderCounts(scored, folder.rejects_dataset().count_rows(), abstained, ordered, dict(flags))


def _counted(values: pa.Array) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(values).to_pylist()}
