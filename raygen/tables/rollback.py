"""Take the latest runs of a table back, as if they had scored nothing: ``raygen rollback OUT --run RUN_ID``.

The run and all after it leave ``scores/`` by a new generation, at once for every reader; then the Iceberg table, where there is
one, goes back to the snapshot before; then their manifests and the nights' records say that they were rolled back: they stay, as the
table's history. The landing
files of those nights are new again. Started again after a kill, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import SettingsError
from raygen.tables.accounts import ROLLED_BACK
from raygen.tables.compact import shards_by_run, write_scores
from raygen.tables.damage import naming_damage, read_checked
from raygen.tables.embedding_files import EmbeddingRows, write_gathered
from raygen.tables.fingerprints import nights_of, write_night
from raygen.tables.folder_kinds import refuse_positions
from raygen.tables.generations import embeddings_beside, keep, next_generation, scores_folder
from raygen.tables.iceberg import open_table, roll_back, runs_added, snapshots_from
from raygen.tables.layout import COMPACTED, RunFolder
from raygen.tables.manifest import parse_manifest


@dataclass(frozen=True)
class RolledBack:
    """The runs that were taken back, the rows that went, and the landing files that are new again."""

    runs: tuple[str, ...]
    num_rows: int
    files: tuple[str, ...]
    snapshot: str | None


def rollback(path: str, run_id: str) -> RolledBack:
    """Take back a run and all that came after it.

    Raises:
        SettingsError: there is no such run, the folder is on object storage, or it is a position table.
        StoppedError: another run is at work there.
    """
    refuse_positions(
        path,
        ": no run of it can be taken back, since its numbers hang on the fingerprint and not on the run that wrote them.",
        SettingsError,
    )
    folder = RunFolder(path)
    if folder.local_root is None:
        raise SettingsError(f"{path} is on object storage, where files cannot be exchanged for others at once.")
    manifests = {
        name.partition("/")[0]: parse_manifest(text, f"{folder.path}/runs/{name}")
        for name, text in folder.read_files("runs", "/manifest.json").items()
    }
    if run_id not in manifests:
        raise SettingsError(f"{path} has no run {run_id}. There are: {', '.join(sorted(manifests)) or 'none'}.")
    runs = sorted(run for run in manifests if run >= run_id)  # names sort by time
    with folder.locked():
        rows, shards = _drop(folder, folder.local_root, runs)
        snapshot = _iceberg(folder, manifests[run_id], run_id)
        files = _unrecord(folder, manifests, runs, shards)
    return RolledBack(tuple(runs), rows, tuple(files), snapshot)


def _drop(folder: RunFolder, root: Path, runs: Sequence[str]) -> tuple[int, list[str]]:
    """Make a generation without the rows of ``runs``; returns how many rows went, and the names of the shards that
    went.

    A shard whose rows an earlier run had scored already is committed without rows, and goes with the run that
    committed it. Where that is not known it goes, too: the next run over its input looks at it again.
    """
    files = [(Path(file.path), shards_by_run(file.path)) for file in folder.score_files()]
    if not any(set(by_run) & set(runs) for _, by_run in files):
        return 0, []
    back = {*runs, ""}
    rows, gone = 0, list[str]()
    now = scores_folder(root)
    with next_generation(root) as new:
        for file, by_run in files:
            left = {run: shards for run, shards in by_run.items() if run not in back}
            gone += [shard for run, shards in by_run.items() if run in runs for shard in shards]
            if len(left) == len(by_run) and not file.name.startswith(f"part-{COMPACTED}"):
                keep(file, now, new)
                continue
            with naming_damage(str(file)):
                table = read_checked(file)
            stays = table.filter(pc.invert(pc.is_in(table["run_id"], value_set=pa.array(runs))))
            rows += len(table) - len(stays)
            if len(stays) == len(table) and len(left) == len(by_run):
                keep(file, now, new)
            elif len(stays) or left:
                write_scores(folder, stays, new / file.relative_to(now), left)
                embeddings = Path(folder.embeddings_of(str(file)))
                if embeddings.exists() and len(stays):
                    place = embeddings_beside(new) / file.relative_to(now)
                    write_gathered(EmbeddingRows([str(embeddings)]), stays["variant_id"], place)
    return rows, gone


def _iceberg(folder: RunFolder, manifest: Mapping[str, Any], run_id: str) -> str | None:
    output = manifest.get("settings", {}).get("output", {})
    if output.get("table_format") != "iceberg":
        return None
    table = open_table(folder, manifest["fingerprint"], output.get("catalog"))
    snapshots = snapshots_from(table, run_id) if table else []
    if not table or not snapshots:
        return None
    roll_back(table, snapshots)
    num_runs = sum(len(runs_added(snapshot)) for snapshot in snapshots)
    return f"{'.'.join(table.name())} is at the snapshot before {snapshots[0].snapshot_id} ({num_runs} runs taken back)"


def _rejects_of_inputs(manifests: Mapping[str, Any], runs: Sequence[str]) -> set[str]:
    """Names of the files with what was rejected before scoring, of inputs that only ``runs`` had."""
    gone, stay = set[str](), set[str]()
    for run, manifest in manifests.items():
        (gone if run in runs or manifest.get("status") == ROLLED_BACK else stay).update(
            manifest.get("input", {}).get("rejects", [])
        )
    return gone - stay


def _unrecord(folder: RunFolder, manifests: Mapping[str, Any], runs: Sequence[str], shards: Sequence[str]) -> list[str]:
    """Write into manifests and nights that they were rolled back, and take away the nights' rejects."""
    files: list[str] = []
    rejects = {f"part-{name}.parquet" for name in (*shards, *_rejects_of_inputs(manifests, runs))}
    nights = [night for night in nights_of(folder) if night["run_id"] >= runs[0]]
    for night in nights:
        files += [file["name"] for file in night["files"]]
        write_night(folder, {**night, "files": [], "status": ROLLED_BACK, "was": night["files"]})
    for path in map(Path, folder.reject_paths()):
        if path.name in rejects or any(path.name.startswith(f"part-night-{night['key']}-") for night in nights):
            path.unlink()
    for run in runs:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        folder.write_manifest(run, {**manifests[run], "status": ROLLED_BACK, "rolled_back": when})
    return files
