"""What made the scores of a folder, in words: for headers of exported files, for queries and for comparisons.

In: a folder's scores. Out: model, fingerprint, window, strand and the like, from the newest manifest of that fingerprint; what no
manifest says is read from the scores themselves or stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from raygen.errors import InputError
from raygen.tables.score_index import ScoreIndex


@dataclass(frozen=True)
class RunFacts:
    """What made the scores of a folder.

    Attributes:
        window: ``left+right``, or ``left+right@stride`` on a grid; empty for pairs.
        cuts: of the classes, in nats, as text.
        reference: where the last run found the FASTA; empty where that is not known.
        calibration: what the newest manifest keeps of the calibration of the classes; empty where there is none.
        max_allele_length: the most bases that any run into the folder took for an allele.
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
    raygen_version: str
    calibration: Mapping[str, Any] = field(default_factory=dict)


def run_facts(index: ScoreIndex) -> RunFacts:
    """The facts of one folder."""
    own = [one for one in index.folder.manifests() if one.get("fingerprint") == index.identity.fingerprint]
    newest = own[-1] if own else {}
    resolved = newest.get("resolved") or {}
    return RunFacts(
        path=index.path,
        model=(newest.get("model") or {}).get("name") or _first(index, "model"),
        fingerprint=index.identity.fingerprint,
        window=_window(resolved.get("window")),
        strand=resolved.get("strand") or "",
        cuts=index.identity.cuts,
        runs=tuple(str(one["run_id"]) for one in own if "run_id" in one),
        reference=resolved.get("reference") or "",
        max_allele_length=max([1000, *(_longest(one) for one in own)]),
        raygen_version=(newest.get("versions") or {}).get("raygen") or "",
        calibration=newest.get("calibration") or {},
    )


def reference_lengths(facts: RunFacts) -> dict[str, int]:
    """Bases of each contig in the reference's order, from its index (``.fai``); empty where that cannot be read."""
    try:
        lines = Path(f"{facts.reference}.fai").read_text(encoding="utf-8").splitlines() if facts.reference else []
        return {name: int(length) for name, length, *_ in (line.split("\t") for line in lines)}
    except (OSError, ValueError):
        return {}


def known_contigs(index: ScoreIndex, facts: RunFacts) -> list[str]:
    """Contigs of the reference, in its order, where its index can be read, and those that are scored."""
    there = reference_lengths(facts)
    return [*there, *(chrom for chrom in index.contigs if chrom is not None and chrom not in there)]


def refuse_pairs(index: ScoreIndex, what: str) -> None:
    """InputError where the folder holds scores of pairs, which have no coordinates; ``what`` needs them."""
    if index.contigs == [None]:
        raise InputError(f"{index.path} holds scores of pairs, which have no coordinates: {what} needs them.")


def _window(window: dict[str, Any] | None) -> str:
    if not window:
        return ""
    grid = f"@{window['stride']}" if window.get("stride") else ""
    return f"{window['left']}+{window['right']}{grid}"


def _longest(manifest: dict[str, Any]) -> int:
    return int(((manifest.get("settings") or {}).get("input") or {}).get("max_allele_length") or 0)


def _first(index: ScoreIndex, column: str) -> str:
    """One row's value; every row of a fingerprint has the same model."""
    for chrom in index.contigs:
        first, last = next(index.windows(chrom, rows=1))
        rows: pa.Table = index.rows_between(chrom, first, last, [column])
        if rows.num_rows:
            return str(rows[column][0].as_py())
    return ""
