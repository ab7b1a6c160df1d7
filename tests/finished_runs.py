"""Folders of finished runs without a model: scores are given, everything else is as ``raygen score`` leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.classes.classify import CLASSES, class_index
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES, variant_ids
from raygen.variants.ingest import ingest

RUN_ID = "20261121T221108Z-9c9dac"


def finished_run(
    folder: Path,
    deltas: Mapping[str, float],
    *,
    fingerprint: str = "f" * 16,
    reference: Path | None = None,
    shard_rows: int = 3,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    **values: Mapping[str, Any],
) -> str:
    """A folder of scores from ``{"1-5-A-C": -2.5}``, in shards of ``shard_rows`` rows; returns its path.

    ``columns`` adds source columns, of the ``types`` that are named, ``values`` sets columns of SCORES: name to ``{variant_id: value}``. A key without three ``-`` is a
    pair's id.
    """
    run = RunFolder(str(folder))
    run.prepare()
    digest = open_reference(str(reference)).digest if reference else "r" * 64
    identity = Identity(fingerprint, digest, "-7, -3, -1, 1", ", ".join(columns or {}))
    rows = sorted((_row(name, delta, fingerprint, values) for name, delta in deltas.items()), key=_place)
    number = 0
    for chrom in dict.fromkeys(row["chrom"] for row in rows):
        mine = [row for row in rows if row["chrom"] == chrom]
        for at in range(0, len(mine), shard_rows):
            part = mine[at : at + shard_rows]
            table = pa.Table.from_pylist(part, schema=SCORES)
            for name, carried in (columns or {}).items():
                values = [carried.get(row["variant_id"]) for row in part]
                inferred = pa.array(list(carried.values())).type
                column = pa.array(values, inferred).cast((types or {}).get(name, inferred))
                table = table.append_column(name, column)
            run.commit_shard(f"0123456789ab-{number:06d}", chrom, table, REJECTS.empty_table(), identity)
            number += 1
    resolved = {"reference": str(reference) if reference else None, "strand": "both"}
    resolved |= {"window": {"left": 256, "right": 128, "anchor": "variant", "stride": None}}
    manifest = {"run_id": RUN_ID, "fingerprint": fingerprint, "model": {"name": "demo"}, "resolved": resolved}
    run.write_manifest(RUN_ID, {**manifest, "versions": {"raygen": "0.1.0"}})
    return run.path


def scored_vcf(folder: Path, vcf: Path, reference: Path, **options: Any) -> tuple[str, dict[str, float]]:
    """Scores for every allele of a VCF that ``ingest`` takes: the n-th variant has -n / 8. Returns the folder and the scores."""
    result = ingest([vcf], open_reference(str(reference)), folder / "ingested")
    names = variant_ids(pq.read_table(result.variants_dir)).to_pylist()
    deltas = {name: -number / 8 for number, name in enumerate(names)}
    return finished_run(folder / "out", deltas, reference=reference, **options), deltas


def _row(name: str, delta: float, fingerprint: str, values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    parts = name.rsplit("-", 3)
    chrom, pos, ref, alt = (parts[0], int(parts[1]), parts[2], parts[3]) if len(parts) == 4 else (None,) * 4
    row = {"variant_id": name, "chrom": chrom, "pos": pos, "ref": ref, "alt": alt, "delta_llr": delta}
    row |= {"ll_wt": -100.0, "ll_mut": -100.0 + delta, "delta_per_base": delta / 100, "num_tokens": 100}
    row |= {"window_start": 0, "window_end": 384, "abstained": False, "flags": []}
    row |= {"classification": CLASSES[int(class_index(delta))]}
    row |= {"model": "demo", "fingerprint": fingerprint, "run_id": RUN_ID}
    return row | {column: given[name] for column, given in values.items() if name in given}


def _place(row: Mapping[str, Any]) -> Sequence[Any]:
    return (row["chrom"] or "", row["pos"] or 0, row["ref"] or "", row["alt"] or "", row["variant_id"])
