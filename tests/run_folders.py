"""Folders of finished runs without a run: ``run_folder(tmp_path, rows)`` lays rows down as a run does, with a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raygen.classes.classify import CLASSES, class_index
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES

RUN = "20261125T110645Z-36e171"
CUTS = [-7.0, -3.0, -1.0, 1.0]


def row(
    chrom: str | None, pos: int | None, ref: str | None, alt: str | None, delta: float, **other: Any
) -> dict[str, Any]:
    """One scored variant; ``other`` overrides columns of SCORES and adds source columns."""
    forward, reverse = other.get("delta_fwd", delta), other.get("delta_rev")
    name = f"{chrom}-{pos}-{ref}-{alt}" if chrom else f"pair{delta}"
    return {
        "variant_id": name,
        "chrom": chrom,
        "pos": pos,
        "ref": ref,
        "alt": alt,
        "ll_wt": -100.0,
        "ll_mut": -100.0 + delta,
        "delta_llr": delta,
        "delta_fwd": forward,
        "delta_rev": reverse,
        "delta_per_base": delta / 64,
        "num_tokens": 64,
        "window_start": max((pos or 1) - 33, 0),
        "window_end": max((pos or 1) - 33, 0) + 64,
        "classification": CLASSES[int(class_index(np.array(delta), CUTS))],
        "abstained": False,
        "flags": [],
        "model": "bigram",
        "fingerprint": "0123456789abcdef",
        "run_id": RUN,
        **other,
    }


def run_folder(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    rows_a_file: int = 1000,
    rejects: Sequence[Mapping[str, Any]] = (),
    manifest: Mapping[str, Any] | None = None,
) -> str:
    """A folder with these rows, files of one contig each, and the manifest of one run; ``manifest`` overrides its parts."""
    run = RunFolder(str(folder / "out"))
    run.prepare()
    identity = Identity("0123456789abcdef", "0" * 64, "-7, -3, -1, 1")
    extra = [name for name in (rows[0] if rows else {}) if name not in SCORES.names]
    schema = pa.schema([*SCORES, *(pa.field(name, pa.string()) for name in extra)])
    shard = 0
    for chrom in dict.fromkeys(one["chrom"] for one in rows):
        own = [one for one in rows if one["chrom"] == chrom]
        for at in range(0, len(own), rows_a_file):
            table = pa.Table.from_pylist([dict(one) for one in own[at : at + rows_a_file]], schema=schema)
            run.commit_shard(f"made-{shard:06d}", chrom, table, REJECTS.empty_table(), identity)
            shard += 1
    if rejects:
        run.commit_rejects("ingest", pa.Table.from_pylist([dict(one) for one in rejects], schema=REJECTS))
    run.write_manifest(RUN, made_manifest(len(rows), rejects, manifest or {}))
    return run.path


def made_manifest(num_rows: int, rejects: Sequence[Mapping[str, Any]], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as ``raygen.pipeline.run`` writes it."""
    reasons = [one["reason"] for one in rejects]
    return {
        "run_id": RUN,
        "status": "done",
        "started": "2026-11-25T11:06:45+00:00",
        "written": "2026-11-25T11:07:44+00:00",
        "fingerprint": "0123456789abcdef",
        "model": {
            "name": "bigram",
            "revision": None,
            "weights_hash": "ab" * 32,
            "dtype": "float32",
            "device": "cpu",
            "num_parameters": 243712,
            "dtype_because": "cpu runs in float32",
            "domains": None,
            "remarks": [],
        },
        "settings": {"input": {"variants": ["/somebodys/home/in.vcf"], "pairs": None, "domain": None}},
        "resolved": {
            "reference": "/somebodys/home/ref.fa",
            "window": {"left": 32, "right": 32, "anchor": "variant", "stride": None},
            "strand": "forward",
            "method": "fork",
            "cuts": CUTS,
            "off_label": False,
            "identity": {"reference_digest": "cd" * 32},
        },
        "actors": {"min_size": 2, "max_size": 2, "num_cpus": 0, "num_gpus": 0, "threads": 1},
        "counts": {
            "alleles_in": num_rows + len(reasons),
            "scored": num_rows,
            "already_scored": 0,
            "abstained": 0,
            "rejected": {reason: reasons.count(reason) for reason in reasons},
            "num_rejected": len(reasons),
        },
        "tokens": {"computed": 600, "by_two_passes": 1800, "saved": 1200},
        "pace": [[2.0, 10, 200], [4.0, 20, 400], [6.0, 30, 600]],
        "rescored_in_float32": 0,
        "out_of_memory_halvings": 0,
        "warnings": [],
        "seconds": {"ingest": 0.5, "score": 6.0, "total": 7200.0},
        "versions": {"raygen": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "ray": "2.60.0"},
        "machine": {"system": "Linux", "architecture": "x86_64", "cpus": 2},
        **changes,
    }
