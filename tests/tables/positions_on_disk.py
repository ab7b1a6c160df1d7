"""Position tables with the account of a run: ``tabulated(tmp_path, {"1": "ACGT"})`` is one that ``raygen verify`` has nothing to say about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from raygen.tables.position_table import BASES, PositionFolder
from tests.position_tables import RUN, write_positions


def tabulated(folder: Path, contigs: Mapping[str, str], both: bool = False, **options: Any) -> PositionFolder:
    """A position table of these bases, and the manifest of the run that wrote it."""
    table = PositionFolder(write_positions(folder, contigs, both, **options))
    account(table, RUN, 3 * sum(letters.upper().count(base) for letters in contigs.values() for base in BASES))
    return table


def account(
    table: PositionFolder,
    run: str,
    scored: int,
    *,
    status: str = "done",
    already: int = 0,
    rejected: Mapping[str, int] | None = None,
) -> None:
    """A run by its own account, in single-base changes."""
    counts = {"scored": scored, "already_scored": already, "rejected": dict(rejected or {})}
    counts["alleles_in"] = scored + already + sum((rejected or {}).values())
    entry = {"status": status, "kind": "positions", "counts": counts, "settings": {}, "input": {"digest": "r" * 64}}
    table.write_manifest(run, {"run_id": run, "fingerprint": "f" * 16, **entry})


def add_rows(
    table: PositionFolder, shard: str, rows_of: str, run: str, first: int = 0, last: int | None = None
) -> None:
    """Commit some rows of a shard again as another shard of a run."""
    from raygen.tables.schemas import REJECTS

    (file,) = [file for file in table.score_files() if file.shard == rows_of]
    rows = table.read_score_file(file)
    identity = table.identity()
    assert identity is not None
    table.commit_shard(shard, file.chrom, rows.slice(first, last), REJECTS.empty_table(), identity, run)


def rewrite(path: str | Path, **columns: Any) -> None:
    """Exchange columns of a file for others, and keep all else."""
    file = pq.ParquetFile(path)
    rows = file.read()
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    pq.write_table(rows, path, write_page_checksum=True)
