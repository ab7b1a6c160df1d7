"""What made the scores of a folder, in words: for headers of exported files, for queries and for comparisons.

In: a folder's scores. Out: model, fingerprint, window, strand and the like, from the newest manifest of that fingerprint; what no
manifest says is read from the scores themselves or stays empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from raygen.classes.words import phred_cuts
from raygen.errors import InputError, RaygenError
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.score_index import LAST_POS, WINDOW_ROWS


class TableByPlace(Protocol):
    """A run's table that is read by place: scores, positions, or positions as scores."""

    @property
    def path(self) -> str:
        """The folder as its user wrote it."""

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""

    @property
    def identity(self) -> Identity:
        """What all rows share."""

    @property
    def contigs(self) -> Sequence[str | None]:
        """Contigs that have rows; None stands for pairs."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the rows."""

    def windows(
        self, chrom: str | None, rows: int = WINDOW_ROWS, start: int = 1, end: int = LAST_POS
    ) -> Iterator[tuple[int, int]]:
        """(first, last) positions that cover all rows from ``start`` to ``end``, each with about ``rows`` rows or fewer."""

    def rows_between(self, chrom: str | None, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Rows from ``start`` to ``end`` (1-based, both included), sorted by position."""

    def rows_at(self, chrom: str, positions: Sequence[int] | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Rows at any of ``positions`` (1-based, in any order), sorted by them."""


@dataclass(frozen=True)
class RunFacts:
    """What made the scores of a folder.

    Attributes:
        window: ``left+right``, or ``left+right@stride`` on a grid; empty for pairs.
        cuts: cut points of the classes, in nats, as text.
        runs: ids of the runs with this fingerprint, the latest last.
        reference: where the last run found the FASTA; empty where that is not known.
        calibration: what the newest manifest keeps of the calibration of the classes; empty where there is none.
        background: what it keeps of the background that the scores are ranked against, at the least its ``digest``; empty where there is none.
        max_allele_length: the most bases that any run into the folder took for an allele.
        max_mismatch_share: the largest share of REF alleles that any of them let differ from the reference.
    """

    path: str
    model: str
    fingerprint: str
    window: str
    strand: str
    cuts: str
    runs: tuple[str, ...]
    reference: str
    max_allele_length: int
    max_mismatch_share: float
    raygen_version: str
    calibration: Mapping[str, Any] = field(default_factory=dict)
    background: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cuts_as_set(self) -> str:
        """The cut points as they were set: of those in PHRED without the nats that they are with their background."""
        return self.cuts.partition("; ")[2] if phred_cuts(self.cuts) else self.cuts

    @property
    def ranked_against(self) -> str:
        """The background of the scores in words, e.g. ``31bc9fde991f2496 of 3,720 scores``; empty without one."""
        if not self.background:
            return ""
        number = self.background.get("num_scores")
        return str(self.background["digest"]) + (f" of {number:,} scores" if number else "")

    @property
    def in_words(self) -> str:
        """Model, fingerprint, window, strand and reference on one line, as comments in a file say it."""
        reference = Path(self.reference).name
        known = {"model": self.model, "window": self.window, "strand": self.strand, "reference": reference}
        described = "".join(f", {name} {' '.join(value.split())}" for name, value in known.items() if value)
        return f"fingerprint {self.fingerprint}{described}"


def run_facts(index: TableByPlace) -> RunFacts:
    """What made the scores of a folder, from the newest manifest of their fingerprint and from the scores themselves."""
    manifests = [
        manifest for manifest in index.folder.manifests() if manifest.get("fingerprint") == index.identity.fingerprint
    ]
    newest = manifests[-1] if manifests else {}
    resolved = newest.get("resolved") or {}
    return RunFacts(
        path=index.path,
        model=(newest.get("model") or {}).get("name") or _first(index, "model"),
        fingerprint=index.identity.fingerprint,
        window=_window(resolved.get("window")),
        strand=resolved.get("strand") or "",
        cuts=index.identity.cuts,
        runs=tuple(str(manifest["run_id"]) for manifest in manifests if "run_id" in manifest),
        reference=resolved.get("reference") or "",
        max_allele_length=max([1000, *(int(_of_input(manifest, "max_allele_length")) for manifest in manifests)]),
        max_mismatch_share=max([0.0, *(_of_input(manifest, "max_mismatch_share") for manifest in manifests)]),
        raygen_version=(newest.get("versions") or {}).get("raygen") or "",
        calibration=newest.get("calibration") or {},
        background=_background(newest.get("background") or {}, index.identity.background),
    )


def reference_lengths(index: TableByPlace, facts: RunFacts) -> Mapping[str, int]:
    """Bases of each contig of the FASTA that the scores were made on, in its order; empty where that is not at hand.

    The FASTA itself says it, as a machine that scored on it has laid it down, and no index beside it: that may be of another.
    """
    if not Path(facts.reference).is_file():
        return {}
    try:
        reference = open_reference(facts.reference)
    except RaygenError:
        return {}
    return reference.lengths if reference.digest == index.identity.reference_digest else {}


def known_contigs(index: TableByPlace, facts: RunFacts) -> list[str]:
    """Contigs of the reference in its order, where it is at hand, then others that are scored."""
    lengths = reference_lengths(index, facts)
    return [*lengths, *(chrom for chrom in index.contigs if chrom is not None and chrom not in lengths)]


def refuse_pairs(index: TableByPlace, request: str) -> None:
    """InputError where the folder holds scores of pairs, which have no coordinates; ``request`` needs them."""
    if list(index.contigs) == [None]:
        raise InputError(f"{index.path} holds scores of pairs, which have no coordinates: {request} needs them.")


def _background(recorded: Mapping[str, Any], digest: str) -> Mapping[str, Any]:
    """What a manifest keeps of the background with this digest, or the digest alone; nothing where there is none."""
    if recorded.get("digest") == digest:
        return recorded
    return {"digest": digest} if digest else {}


def _window(window: dict[str, Any] | None) -> str:
    if not window:
        return ""
    grid = f"@{window['stride']}" if window.get("stride") else ""
    return f"{window['left']}+{window['right']}{grid}"


def _of_input(manifest: dict[str, Any], name: str) -> float:
    """A number among the run's settings of its input; 0 where the manifest does not have it."""
    return float(((manifest.get("settings") or {}).get("input") or {}).get(name) or 0)


def _first(index: TableByPlace, column: str) -> str:
    """The value of a column in one row of scores, for a column in which all rows of a fingerprint are the same; empty where there is none."""
    if column not in index.schema.names:
        return ""
    for chrom in index.contigs:
        first, last = next(index.windows(chrom, rows=1))
        rows: pa.Table = index.rows_between(chrom, first, last, [column])
        if rows.num_rows:
            return str(rows[column][0].as_py())
    return ""
