"""The stages of a run, but for the actor's, which has a file of its own. Each takes one shard as an Arrow table and returns one; rows keep their number and order until
the commit, which returns one row in words about the shard.

    plan      chrom, pos, ref, alt, shard            adds variant_id, already_scored and where the windows lie
    score     what plan adds                         adds the likelihoods
    commit    what score adds                        writes SCORES and REJECTS, returns a summary
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.classes.background import Background
from raygen.classes.background_file import read_background
from raygen.classes.calibration import parse_calibration
from raygen.classes.class_rule import ClassRule
from raygen.classes.classify import CLASSES, split_rows
from raygen.errors import SettingsError, StoppedError
from raygen.model.cards import OFF_LABEL_DOMAIN
from raygen.pipeline.job import Job
from raygen.pipeline.metrics import seconds_of, with_seconds
from raygen.pipeline.pieces import forget
from raygen.pipeline.prescored import filled_in, is_left_out, needs_model, with_held
from raygen.pipeline.shards import CARRIED
from raygen.remote import shown
from raygen.scoring.embedding_columns import column_names
from raygen.scoring.plan import plan_windows, strands_read
from raygen.scoring.scored_rows import with_flag
from raygen.sequence.reference import staged_reference
from raygen.tables.columns import constant
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, variant_ids

PAIR_DIGEST = "pair_digest"
"""A column that follows those of SCORES for pairs: a hash of the two sequences."""


@dataclass(frozen=True)
class ShardSummary:
    """What a committed shard held. ``prescored`` of the ``scored`` rows are from a position table. ``classes`` and ``flags`` count scored rows; ``failed`` counts ``scoring_failed``;
    ``rescored`` counts pairs of sequences (one a row and strand) that half precision could not hold. ``halvings`` is of the
    actor since it started; ``splits`` and ``restarts`` since its shard before. ``tokens_before``: of
    ``tokens``, by tries that ended before the one that took ``stage_seconds``. ``gpu_memory``, ``host_memory``: bytes.
    """

    shard: str
    num_rows: int
    scored: int
    already_scored: int
    prescored: int
    failed: int
    abstained: int
    classes: dict[str, int]
    flags: dict[str, int]
    tokens: int
    tokens_before: int
    tokens_by_two_passes: int
    rescored: int
    halvings: int
    splits: int
    batches: int
    restarts: int
    gpu_memory: int
    host_memory: int
    stage_seconds: dict[str, float]

    @classmethod
    def from_table(cls, table: pa.Table) -> list[ShardSummary]:
        """Read back what ``to_table`` wrote."""
        return [cls(**json.loads(text)) for text in table["summary"].to_pylist()]

    def to_table(self) -> pa.Table:
        """The summary as a table of one row, which is what a stage of Ray Data returns."""
        return pa.table({"summary": [json.dumps(asdict(self))]})


def plan_shard(shard: pa.Table, job: Job) -> pa.Table:
    """Name the variants, mark those that an earlier input had scored already, and place the windows."""
    return with_seconds("prepare", lambda: with_held(_plan(shard, job), job))


def plan_without_model(shard: pa.Table, job: Job) -> pa.Table:
    """As ``plan_shard``, but for a shard that needs a model: there the table is not looked into."""

    def plan() -> pa.Table:
        planned = _plan(shard, job)
        return planned if needs_model(planned, job) else with_held(planned, job)

    return with_seconds("prepare", plan)


def _plan(shard: pa.Table, job: Job) -> pa.Table:
    if job.window is None or job.reference is None:
        return _plan_pairs(shard, job)
    identified = shard.append_column("variant_id", variant_ids(shard))
    limits = pc.min_max(shard["pos"]).as_py()
    earlier = _earlier(job, shard["chrom"][0].as_py(), near=(limits["min"], limits["max"]))
    already = pc.is_in(identified["variant_id"], value_set=earlier["variant_id"].combine_chunks())
    marked = identified.append_column("already_scored", already)
    return plan_windows(marked, staged_reference(job.reference), job.window, job.strand, job.circular)


def _plan_pairs(shard: pa.Table, job: Job) -> pa.Table:
    """Pairs are known by their sequences, too: an id that was scored with other sequences is no pair that was scored."""
    digests = [
        hashlib.sha256(f"{wt}\t{mut}".encode()).hexdigest()[:16]
        for wt, mut in zip(shard["wt_sequence"].to_pylist(), shard["mut_sequence"].to_pylist(), strict=True)
    ]
    earlier = _earlier(job, None, extra=[PAIR_DIGEST])
    scored_digests = dict(zip(earlier["variant_id"].to_pylist(), earlier[PAIR_DIGEST].to_pylist(), strict=True))
    ids = shard["pair_id"].to_pylist()
    other = [name for name, digest in zip(ids, digests, strict=True) if scored_digests.get(name, digest) != digest]
    if other:
        raise SettingsError(
            f"{job.output} holds scores of {len(other):,} of these pair_ids with other sequences (first: {other[0]}). "
            "Give another output folder."
        )
    identified = shard.append_column("variant_id", shard["pair_id"]).append_column(PAIR_DIGEST, pa.array(digests))
    return identified.append_column("already_scored", pa.array([name in scored_digests for name in ids], pa.bool_()))


def commit_shard(scored: pa.Table, job: Job) -> pa.Table:
    """Classify, write the shard, and say what it held."""
    began = time.perf_counter()
    (shard,), (chrom,) = (pc.unique(scored[name]).to_pylist() for name in ("shard", "chrom"))
    already = scored["already_scored"]
    num_already = pc.sum(already).as_py()
    new, num_prescored = filled_in(scored.filter(pc.invert(already)), job)
    if job.off_label:
        new = with_flag(new, OFF_LABEL_DOMAIN, np.ones(len(new), bool))
    rule = _rule(job)
    new = rule.append_columns(
        new, _group_column(new, job, rule), staged_reference(job.reference).bases if job.reference else None
    )
    extra = _carried(job) if job.window else {PAIR_DIGEST: PAIR_DIGEST}
    vectors = _embedding_names(job, new)
    extra |= {name: name for name in (*job.extra_columns, *rule.columns, *vectors)}
    scores, rejects = split_rows(new, job.model, job.identity.fingerprint, job.run_id, extra)
    assert shard is not None, "rows lost the name of their shard on the way"
    assert len(scores) + len(rejects) + num_already == len(scored), "rows of a shard are neither scored nor rejected"
    cost = json.loads(scored["cost"][0].as_py())
    seconds = {**seconds_of(scored), "score": cost.pop("score_seconds")}
    folder = job.open_folder(job.output)
    embeddings = scores.select(["variant_id", *vectors]) if vectors else None
    scores = scores.drop_columns(vectors)
    folder.commit_shard(shard, chrom, scores, rejects, job.identity, job.run_id, embeddings=embeddings)
    forget(folder, shard, job.identity, new["variant_id"])
    seconds["write"] = time.perf_counter() - began
    return ShardSummary(
        shard=shard,
        num_rows=len(scored),
        scored=len(scores),
        already_scored=num_already,
        prescored=num_prescored,
        failed=len(rejects),
        abstained=pc.sum(scores["abstained"]).as_py() or 0,
        classes={name: pc.sum(pc.equal(scores["classification"], name)).as_py() or 0 for name in CLASSES},
        flags=_count(pc.list_flatten(scores["flags"])),
        tokens_by_two_passes=_tokens_by_two_passes(new.filter(pc.is_null(new["failure"])), job.strand),
        stage_seconds=seconds,
        **cost,
    ).to_table()


def commit_without_model(planned: pa.Table, job: Job) -> pa.Table:
    """Commit a shard that has no row for a model; of another one say nothing, so that it is left to the actors."""
    if not pc.all(is_left_out(planned)).as_py():
        return pa.table({"summary": pa.array([], pa.string())})
    return commit_shard(at_no_cost(planned), job)


def at_no_cost(scored: pa.Table, seconds: float = 0.0) -> pa.Table:
    """Rows of a shard with the column ``cost`` of an actor's, where no model ran for them; ``seconds``: that they took all the same."""
    names = (
        "tokens",
        "tokens_before",
        "rescored",
        "halvings",
        "splits",
        "batches",
        "restarts",
        "gpu_memory",
        "host_memory",
    )
    cost = json.dumps({**dict.fromkeys(names, 0), "score_seconds": seconds})
    return scored.append_column("cost", constant(cost, len(scored)))


def _tokens_by_two_passes(rows: pa.Table, strand: str) -> int:
    """What ``pair`` would read for these rows: on a grid the reverse strand's window has a length of its own."""
    tokens = pc.sum(rows["num_tokens"]).as_py() or 0
    if len(strands_read(strand)) == 1:
        return 2 * tokens
    longer = pc.sum(pc.subtract(rows["length_reverse"], rows["length_forward"])).as_py() or 0
    return 2 * (2 * tokens + longer)


def _carried(job: Job) -> dict[str, str]:
    """Columns that follow those of SCORES, with the names they have on the way."""
    return {name: name if name == HAPLOTYPE_MEMBERS else f"{CARRIED}{name}" for name in job.source_columns}


def _embedding_names(job: Job, scored: pa.Table) -> list[str]:
    """The columns of scored rows that go to the embeddings; none where no row has a score."""
    if job.embed is None or job.embed.storage is None:
        return []
    names = column_names(job.embed.plan, strands_read(job.strand))
    absent = [name for name in names if name not in scored.column_names]
    assert not absent or not scored["failure"].null_count, f"scored rows came without {', '.join(absent)}"
    return [] if absent else names


def _rule(job: Job) -> ClassRule:
    """What the rows of a run get their classes by."""
    calibration = parse_calibration(job.calibration, "the calibration") if job.calibration else None
    background = _background(job.background.path, job.background.digest) if job.background else None
    return ClassRule(job.cuts, job.classes_on, background, calibration)


@lru_cache(maxsize=1)
def _background(path: str, digest: str) -> Background:
    """The background at ``path``, read once a process.

    Raises:
        StoppedError: it is not the one that the run began with.
    """
    background = read_background(path)
    if background.digest != digest:
        raise StoppedError(f"The background {shown(path)} changed while the run went on.")
    return background


def _group_column(rows: pa.Table, job: Job, rule: ClassRule) -> pa.ChunkedArray | None:
    """The column by which the background ranks variants besides, by the name it has on the way."""
    name = rule.background.facts.group_column if rule.background else None
    return rows[_carried(job)[name]] if name else None


def _earlier(job: Job, chrom: str | None, extra: Sequence[str] = (), near: tuple[int, int] | None = None) -> pa.Table:
    """Ids of a contig that earlier inputs scored, with the columns ``extra``; ``near``: the positions between which to
    look.
    """
    files = job.earlier_files.get(chrom, ())
    if not files:
        return pa.table({name: pa.array([], pa.string()) for name in ("variant_id", *extra)})
    return job.open_folder(job.output).scored_ids(files, extra, near)


def _count(values: Any) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(values).to_pylist()}
