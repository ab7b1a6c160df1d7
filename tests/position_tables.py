"""Position tables without a run: ``write_positions(folder, {"1": "ACGTN..."})`` lays them down as ``raygen tabulate`` does, with a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from raygen.tables.identity import Identity
from raygen.tables.position_table import BASES, PositionFolder, flags_bitmap, positions_schema
from raygen.tables.schemas import REJECTS

RUN = "20261128T090000Z-9c9dac"
IDENTITY = Identity("f" * 16, "r" * 64)


def write_positions(
    folder: Path,
    contigs: Mapping[str, str],
    both: bool = False,
    seed: int = 0,
    identity: Identity = IDENTITY,
    *,
    start: int = 1,
    shard_bases: int = 1 << 18,
    deltas: Mapping[str, float] | None = None,
    flags: Mapping[str, Sequence[str]] | None = None,
    reference: Path | None = None,
) -> str:
    """A position table of these bases; returns its path. Written into a folder that has one, its rows are added.

    Deltas and entropies are random; with ``both`` strands forward and reverse are, and ``delta_*`` is their mean. Letters that are not A,
    C, G or T have no row.

    Args:
        start: the position (1-based) of each contig's first letter.
        deltas: values to put in, ``{"1-5-A-C": -2.5}``; with ``both`` forward is 1 more and reverse 1 less.
        flags: of rows, ``{"1-5": ["n_in_window"]}``; the others have none.
        reference: what the manifest says was scored.
    """
    table = PositionFolder(str(folder))
    table.prepare()
    random = np.random.default_rng(seed)
    for number, (chrom, letters) in enumerate(contigs.items()):
        for first in range(0, len(letters), shard_bases):
            part = letters[first : first + shard_bases].upper()
            rows = _rows(chrom, start + first, part, both, random, deltas or {}, flags or {})
            shard = f"0123456789ab-{number:05d}-{start - 1 + first:010d}"
            table.commit_shard(shard, chrom, rows, REJECTS.empty_table(), identity, RUN)
    resolved = {
        "reference": str(reference) if reference else None,
        "window": {"left": 256, "right": 1, "anchor": "grid", "stride": 256},
        "strand": "both" if both else "forward",
    }
    manifest = {"run_id": RUN, "fingerprint": identity.fingerprint, "model": {"name": "demo"}, "resolved": resolved}
    table.write_manifest(RUN, {**manifest, "versions": {"raygen": "0.1.0"}})
    return table.path


def _rows(
    chrom: str,
    start: int,
    letters: str,
    both: bool,
    random: np.random.Generator,
    deltas: Mapping[str, float],
    flags: Mapping[str, Sequence[str]],
) -> pa.Table:
    """The rows of a stretch whose first letter is at ``start``."""
    all_codes = np.array([BASES.index(letter) if letter in BASES else -1 for letter in letters], np.int8)
    pos = start + np.flatnonzero(all_codes >= 0)
    code = all_codes[all_codes >= 0]
    fwd, rev = random.normal(0, 3, (2, len(pos), len(BASES)))
    for name, value in deltas.items():
        contig, of_pos, _, alt = name.rsplit("-", 3)
        if contig == chrom:
            place = pos == int(of_pos), BASES.index(alt)
            fwd[place], rev[place] = value + both, value - both
    strands = {"": (fwd + rev) / 2, "_fwd": fwd, "_rev": rev} if both else {"": fwd}
    is_reference = np.arange(len(BASES)) == code[:, None]
    columns = {
        f"delta_{base}{suffix}": pa.array(values[:, column].astype(np.float32), mask=is_reference[:, column])
        for suffix, values in strands.items()
        for column, base in enumerate(BASES)
    }
    masks: dict[str, np.ndarray] = {}
    for place, names in flags.items():
        contig, of_pos = place.rsplit("-", 1)
        for name in names if contig == chrom else ():
            masks[name] = masks.get(name, np.zeros(len(pos), bool)) | (pos == int(of_pos))
    columns |= {
        "chrom": pa.array([chrom] * len(pos)),
        "pos": pa.array(pos, pa.int64()),
        "ref": pa.array(BASES).take(pa.array(code)),
        "entropy": pa.array(random.uniform(0, np.log(4), len(pos)).astype(np.float32)),
        "flags": pa.array(flags_bitmap(masks, len(pos))),
    }
    return pa.table(columns, schema=positions_schema(both))
