"""What every stage of a run needs to know, as one plain value that travels to the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from raygen.sequence.windows import Window
from raygen.tables.layout import Identity


@dataclass(frozen=True)
class Job:
    """One run, resolved: no setting is left on ``auto`` that a score depends on.

    Attributes:
        reference: path of the FASTA; None for pairs.
        window: None for pairs.
        device: ``cuda`` or ``cpu``, ``dtype``: as resolved where the actors will run.
        off_label: the declared domain is none that the model was trained on, so every row gets a flag.
        calibration: the text of a calibration file, whose cut points ``cuts`` then are; None for none.
        allow_unvalidated: the model may be one that needs FP8 for its published numbers.
        threads: of each actor on a CPU.
        identity: fingerprint and reference that every score of the folder shares.
        earlier_files: score files of earlier inputs by contig; what is in them is not scored again.
    """

    run_id: str
    output: str
    reference: str | None
    circular: tuple[str, ...]
    window: Window | None
    strand: str
    cuts: tuple[float, ...]
    calibration: str | None
    source_columns: tuple[str, ...]
    model: str
    model_source: str
    revision: str | None
    device: str
    dtype: str
    off_label: bool
    allow_unvalidated: bool
    method: Literal["fork", "pair"]
    max_batch_tokens: int | None
    state_memory: int | None
    threads: int
    identity: Identity
    earlier_files: Mapping[str | None, tuple[str, ...]]
