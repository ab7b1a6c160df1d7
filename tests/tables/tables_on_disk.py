"""Tables built for a test, as runs would leave them: ``commit(folder, "s1", "1", [10, 20])`` is a shard of two SNVs."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES

IDENTITY = Identity("f" * 16, "r" * 64, "-7, -3, -1, 1", "")


def rows(chrom: str | None, positions: Sequence[int], run: str = "run-1") -> pa.Table:
    """SNVs A>C at these positions; ``delta_llr`` is minus a thousandth of the position."""
    return pa.Table.from_pylist(
        [
            {
                "variant_id": f"{chrom}-{pos}-A-C",
                "chrom": chrom,
                "pos": pos if chrom else None,
                "ref": "A" if chrom else None,
                "alt": "C" if chrom else None,
                "ll_wt": -10.0,
                "ll_mut": -10.0 - pos / 1000,
                "delta_llr": -pos / 1000,
                "delta_per_base": -pos / 8000,
                "num_tokens": 8,
                "window_start": 0,
                "window_end": 8,
                "classification": "benign",
                "abstained": False,
                "flags": ["short_window"] if pos % 2 else [],
                "model": "demo",
                "fingerprint": IDENTITY.fingerprint,
                "run_id": run,
            }
            for pos in positions
        ],
        schema=SCORES,
    )


def prescored_rows(chrom: str, positions: Sequence[int], run: str = "run-1") -> pa.Table:
    """The same SNVs, as a position table held them: with the flag, without log-likelihoods of their windows."""
    table = rows(chrom, positions, run)
    flags = pa.array([["prescored"]] * len(table), pa.list_(pa.string()))
    columns = {
        "ll_wt": pa.nulls(len(table), pa.float64()),
        "ll_mut": pa.nulls(len(table), pa.float64()),
        "flags": flags,
    }
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), SCORES.field(name), column)
    return table


def commit(folder: RunFolder, shard: str, chrom: str | None, positions: Sequence[int], run: str = "run-1") -> None:
    """One shard, without rejects."""
    folder.commit_shard(shard, chrom, rows(chrom, positions, run), REJECTS.empty_table(), IDENTITY)


def manifest(
    folder: RunFolder,
    run: str,
    scored: int,
    table_format: str = "parquet",
    *,
    status: str = "done",
    already: int = 0,
    rejected: dict[str, int] | None = None,
    digest: str | None = None,
    variants: Sequence[str] = (),
    shards: tuple[str, int] | None = None,
) -> None:
    """A run that ended, by its own account."""
    rejected = rejected or {}
    total = sum(rejected.values())
    counts = {"scored": scored, "already_scored": already, "num_rejected": total, "rejected": rejected}
    counts["alleles_in"] = scored + already + total
    settings = {
        "input": {"variants": list(variants)},
        "output": {"path": folder.path, "table_format": table_format, "catalog": None},
    }
    said = {"status": status, "counts": counts, "settings": settings, "fingerprint": IDENTITY.fingerprint}
    of_input = {"digest": digest, **({"stem": shards[0], "num_shards": shards[1]} if shards else {})}
    folder.write_manifest(run, json.loads(json.dumps({**said, "input": of_input})))


def reject(folder: RunFolder, name: str, source: str, number: int, reason: str = "duplicate") -> None:
    """A file of so many rejects from one input file."""
    found = [{"source": f"{source}:{record}", "reason": reason, "detail": "-"} for record in range(1, number + 1)]
    folder.commit_rejects(name, pa.Table.from_pylist(found, schema=REJECTS))
