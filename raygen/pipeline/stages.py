"""The stages of a run. Each takes one shard as an Arrow table and returns one; rows keep their number and order until
the commit, which returns one row in words about the shard.

    plan      chrom, pos, ref, alt, shard            adds variant_id, already_scored and where the windows lie
    score     what plan adds                         adds the likelihoods
    commit    what score adds                        writes SCORES and REJECTS, returns a summary
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from raygen.errors import StoppedError
from raygen.interpret.classify import CLASSES, classify, split_rows
from raygen.model.cards import OFF_LABEL_DOMAIN
from raygen.pipeline.job import Job
from raygen.scoring.plan import plan_windows, strands_read
from raygen.sequence.reference import open_reference
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import variant_ids


@dataclass(frozen=True)
class ShardSummary:
    """What a committed shard held. ``classes`` and ``flags`` count scored rows; ``failed`` counts ``scoring_failed``;
    ``rescored`` counts pairs of sequences (one a row and strand) that half precision could not hold.
    """

    shard: str
    num_rows: int
    scored: int
    already_scored: int
    failed: int
    abstained: int
    classes: dict[str, int]
    flags: dict[str, int]
    tokens: int
    tokens_by_two_passes: int
    rescored: int
    halvings: int
    seconds: float

    @classmethod
    def from_table(cls, table: pa.Table) -> list[ShardSummary]:
        """Read back what ``to_table`` wrote."""
        return [cls(**json.loads(text)) for text in table["summary"].to_pylist()]

    def to_table(self) -> pa.Table:
        """As one row, which is what a stage of Ray Data returns."""
        return pa.table({"summary": [json.dumps(asdict(self))]})


def plan_shard(shard: pa.Table, job: Job) -> pa.Table:
    """Name the variants, mark those that an earlier input had scored already, and place the windows."""
    if job.window is None or job.reference is None:
        pairs = shard.append_column("variant_id", shard["pair_id"])
        return _mark_already_scored(pairs, job.earlier_files.get(None, ()))
    named = shard.append_column("variant_id", variant_ids(shard))
    marked = _mark_already_scored(named, job.earlier_files.get(shard["chrom"][0].as_py(), ()))
    return plan_windows(marked, open_reference(job.reference), job.window, job.strand, job.circular)


class ScoreShard:
    """The actor: keeps a model resident and scores shard after shard."""

    def __init__(self, job: Job) -> None:
        import torch

        from raygen.scoring.fingerprint import fingerprint
        from raygen.scoring.likelihood import load_model
        from raygen.scoring.scorer import PairScorer, VariantScorer
        from raygen.scoring.self_test import check_machine

        if job.device == "cpu":
            torch.set_num_threads(job.threads)
        self._model = load_model(
            job.model,
            revision=job.revision,
            device=job.device,
            dtype=job.dtype,
            max_batch_tokens=job.max_batch_tokens or "auto",
        )
        own = fingerprint(self._model.loaded, job.window, job.strand, job.circular)
        if own != job.identity.fingerprint:
            raise StoppedError(f"An actor's model has the fingerprint {own}, the run's is {job.identity.fingerprint}.")
        check_machine(self._model, RunFolder(job.output))
        self._scorer: PairScorer | VariantScorer
        if job.reference is None:
            self._scorer = PairScorer(self._model, job.method, job.state_memory)
        else:
            self._scorer = VariantScorer(
                self._model, open_reference(job.reference), job.strand, job.circular, job.method, job.state_memory
            )

    def __call__(self, planned: pa.Table) -> pa.Table:
        """Score the rows that are not scored already; the others follow behind them, without values."""
        began, tokens = time.perf_counter(), self._model.num_tokens_computed
        rescored = self._model.num_rescored
        already = planned["already_scored"]
        scored = self._scorer.score(planned.filter(pc.invert(already)))
        cost = {
            "tokens": self._model.num_tokens_computed - tokens,
            "rescored": self._model.num_rescored - rescored,
            "halvings": self._model.budget.num_halvings,
            "seconds": time.perf_counter() - began,
        }
        table = pa.concat_tables([scored, planned.filter(already)], promote_options="default")
        return table.append_column("cost", pa.array([json.dumps(cost)] * len(table), pa.string()))


def commit_shard(scored: pa.Table, job: Job) -> pa.Table:
    """Classify, write the shard, and say what it held."""
    (shard,) = set(scored["shard"].to_pylist())
    (chrom,) = set(scored["chrom"].to_pylist())
    already = scored["already_scored"]
    num_already = pc.sum(already).as_py()
    new = scored.filter(pc.invert(already))
    if job.off_label:
        new = _with_flag_on_all(new, OFF_LABEL_DOMAIN)
    new = classify(new, job.cuts)
    scores, rejects = split_rows(
        new, f"shard {shard}", job.model, job.identity.fingerprint, job.run_id, job.source_columns
    )
    assert shard is not None, "rows lost the name of their shard on the way"
    assert len(scores) + len(rejects) + num_already == len(scored), "rows of a shard are neither scored nor rejected"
    RunFolder(job.output).commit_shard(shard, chrom, scores, rejects, job.identity)
    return ShardSummary(
        shard=shard,
        num_rows=len(scored),
        scored=len(scores),
        already_scored=num_already,
        failed=len(rejects),
        abstained=pc.sum(scores["abstained"]).as_py() or 0,
        classes={name: pc.sum(pc.equal(scores["classification"], name)).as_py() or 0 for name in CLASSES},
        flags=_count(pc.list_flatten(scores["flags"])),
        tokens_by_two_passes=2 * len(strands_read(job.strand)) * (pc.sum(scores["num_tokens"]).as_py() or 0),
        **json.loads(scored["cost"][0].as_py()),
    ).to_table()


def _mark_already_scored(rows: pa.Table, files: Sequence[str]) -> pa.Table:
    """Add ``already_scored`` from the score files of earlier inputs; sorted files let it read near positions only."""
    if not files:
        return rows.append_column("already_scored", pa.array([False] * len(rows)))
    near = None
    if "pos" in rows.column_names:
        limits = pc.min_max(rows["pos"]).as_py()
        near = (ds.field("pos") >= limits["min"]) & (ds.field("pos") <= limits["max"])
    earlier = ds.dataset(list(files), format="parquet").to_table(columns=["variant_id"], filter=near)
    known = pc.is_in(rows["variant_id"], value_set=earlier["variant_id"].combine_chunks())
    return rows.append_column("already_scored", known)


def _with_flag_on_all(rows: pa.Table, flag: str) -> pa.Table:
    flags = pa.array([[*said, flag] for said in rows["flags"].to_pylist()], pa.list_(pa.string()))
    return rows.set_column(rows.schema.get_field_index("flags"), "flags", flags)


def _count(values: Any) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(values).to_pylist()}
