"""The stages of a run over every base, but for the actor's, which is that of every run (see ``stages``).

plan      first, shard           chrom, pos, ref, flags: the bases, their windows looked at; those of an earlier run marked
score     what plan adds         adds the deltas and the entropy
commit    what score adds        writes POSITIONS and REJECTS, returns a summary
"""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.model.cards import OFF_LABEL_DOMAIN
from raygen.pipeline.job import Job
from raygen.pipeline.metrics import seconds_of, with_seconds
from raygen.pipeline.pieces import forget, ids_of
from raygen.pipeline.stages import ShardSummary
from raygen.scoring.plan import strands_read
from raygen.scoring.positions import plan_bases
from raygen.sequence.reference import reference_name, staged_reference
from raygen.tables.position_table import ALTS, BASES, flags_bitmap, flags_of, positions_schema
from raygen.tables.schemas import REJECTS, Reason


def plan_positions(shard: pa.Table, job: Job) -> pa.Table:
    """Look at the windows of a shard's bases, and mark those that an earlier run scored."""
    return with_seconds("prepare", lambda: _plan(shard, job))


def _plan(shard: pa.Table, job: Job) -> pa.Table:
    assert job.reference is not None and job.window is not None, "bases are of a reference and have windows"
    reference = staged_reference(job.reference)
    if reference.digest != job.identity.reference_digest:
        raise InputError(
            f"{reference_name(reference)} was changed while it was being scored. Run the same command again."
        )
    chrom, first = shard["chrom"][0].as_py(), shard["first"].to_numpy()
    rows = plan_bases(chrom, first, reference, job.window, job.strand, chrom in job.circular)
    already = np.zeros(len(rows), bool)
    if files := job.earlier_files.get(chrom):
        near = (int(first[0]) + 1, int(first[-1]) + 1)
        already = np.isin(first + 1, job.open_folder(job.output).positions_in(files, near).to_numpy())
    rows = rows.append_column("already_scored", pa.array(already))
    for name in ("shard", "read_seconds"):
        rows = rows.append_column(name, shard[name])
    return rows


def commit_positions(scored: pa.Table, job: Job) -> pa.Table:
    """Write the shard, and say what it held, in single-base changes."""
    began = time.perf_counter()
    (shard,), (chrom,) = (pc.unique(scored[name]).to_pylist() for name in ("shard", "chrom"))
    new = scored.filter(pc.invert(scored["already_scored"]))
    has_failed = pc.is_valid(new["failure"])
    failed, rows = new.filter(has_failed), new.filter(pc.invert(has_failed))
    if job.off_label:
        off_label = flags_bitmap({OFF_LABEL_DOMAIN: np.ones(len(rows), bool)}, len(rows))
        flags = pa.array(rows["flags"].to_numpy() | off_label)
        rows = rows.set_column(rows.schema.get_field_index("flags"), "flags", flags)
    schema = positions_schema(len(strands_read(job.strand)) > 1)
    cost = json.loads(scored["cost"][0].as_py())
    seconds = {**seconds_of(scored), "score": cost.pop("score_seconds")}
    folder = job.open_folder(job.output)
    folder.commit_shard(
        shard, chrom, rows.select(schema.names).cast(schema), _rejects(failed, job), job.identity, job.run_id
    )
    forget(folder, shard, job.identity, ids_of(new))
    seconds["write"] = time.perf_counter() - began
    masks = flags_of(rows["flags"].to_numpy())
    return ShardSummary(
        shard=shard,
        num_rows=ALTS * len(scored),
        scored=ALTS * len(rows),
        already_scored=ALTS * (len(scored) - len(new)),
        prescored=0,
        failed=ALTS * len(failed),
        abstained=0,
        classes={},
        flags={name: ALTS * int(mask.sum()) for name, mask in masks.items() if mask.any()},
        tokens_by_two_passes=2 * ALTS * (pc.sum(rows["num_tokens"]).as_py() or 0),
        stage_seconds=seconds,
        **cost,
    ).to_table()


def _rejects(failed: pa.Table, job: Job) -> pa.Table:
    """The changes of bases that could not be scored, as rows of REJECTS."""
    refs, details = failed["ref"].to_pylist(), failed["failure"].to_pylist()
    changes = [
        {
            "chrom": chrom,
            "pos": pos,
            "id": None,
            "ref": ref,
            "alt": alt,
            "source": f"{str(job.reference).rpartition('/')[2]}:{pos}",
            "reason": Reason.SCORING_FAILED,
            "detail": detail,
        }
        for chrom, pos, ref, detail in zip(
            failed["chrom"].to_pylist(), failed["pos"].to_pylist(), refs, details, strict=True
        )
        for alt in BASES
        if alt != ref
    ]
    return pa.Table.from_pylist(changes, schema=REJECTS)
