"""What every stage of a run needs to know, as one plain value that travels to the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from raygen.classes.classify import cuts_as_json
from raygen.pipeline.pieces import FIRST_PIECE
from raygen.scoring.embedding_columns import EmbeddingRequest
from raygen.sequence.windows import Window
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder


@dataclass(frozen=True)
class RankedAgainst:
    """A background file: its ``path``, where the workers find it, the ``digest`` of its content, and what a manifest says of it."""

    path: str
    digest: str
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class AppliedHead:
    """A head that every row gets a column of: its ``path``, where the workers find it, and what a manifest says of it."""

    path: str
    digest: str
    summary: Mapping[str, Any]


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
        background: what the scores are ranked against; None for nothing.
        classes_on: what the classes are cut on, in words; None for ``delta_llr``.
        prescored: a position table whose numbers are taken; None for none.
        embed: what is done with states of the model; None for nothing.
        num_uncounted: bases at the start of a window that no prediction exists for.
        threads: of each actor on a CPU.
        keep_every: seconds of work after which a piece of a shard is kept.
        identity: fingerprint and reference that every score of the folder shares.
        first_piece: rows of an actor's first piece, before it knows how fast it is; ``least_piece``: of any, but where memory ends.
        earlier_files: score files of earlier inputs by contig; what is in them is not scored again.
        heads: by the names of their columns.
        make_scorer, open_folder: what an actor scores with and how a stage reaches the output; tests make them fail.
    """

    run_id: str
    output: str
    reference: str | None
    circular: tuple[str, ...]
    window: Window | None
    strand: str
    cuts: tuple[float, ...]
    calibration: str | None
    background: RankedAgainst | None
    classes_on: str | None
    source_columns: tuple[str, ...]
    extra_columns: tuple[str, ...]
    embed: EmbeddingRequest | None
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
    prescored: str | None
    num_uncounted: int
    threads: int
    keep_every: float
    identity: Identity
    earlier_files: Mapping[str | None, tuple[str, ...]]
    make_scorer: Callable[[Job], ActorScorer]
    open_folder: Callable[[str], RunFolder] = RunFolder
    first_piece: int = FIRST_PIECE
    least_piece: int = 1
    heads: Mapping[str, AppliedHead] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """The job as a manifest says it."""
        described = asdict(self)
        for name in (
            "earlier_files",
            "make_scorer",
            "open_folder",
            "calibration",
            "first_piece",
            "least_piece",
            "num_uncounted",
        ):
            del described[name]
        described["cuts"] = cuts_as_json(self.cuts)
        described["background"] = self.background.digest if self.background else None
        described["heads"] = {name: head.digest for name, head in self.heads.items()}
        if not described["heads"]:
            del described["heads"]
        return described


class ActorScorer(Protocol):
    """One planned row in, one scored row out, in order; counts what it cost."""

    def score(self, planned: pa.Table) -> pa.Table:
        """The rows with their likelihood columns."""
        ...

    def fail(self, planned: pa.Table, reason: str) -> pa.Table:
        """The rows as ``score`` would give them, without values and with a failure."""
        ...

    def check(self) -> None:
        """Raise where nothing can be scored any more, whatever the row."""
        ...

    def spent(self) -> dict[str, int]:
        """``tokens``, ``batches`` (passes), ``rescored`` and ``halvings`` since the start."""
        ...
