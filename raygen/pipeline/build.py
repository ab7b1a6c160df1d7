"""The whole flow of a run on one screen.

    read      one shard of the input a block            CPU tasks
    plan      skip what is scored, place the windows    CPU tasks, fused with read
    score     the models                                a pool of actors, a GPU each where there are GPUs
    commit    classify, write the shard's files         CPU tasks

Ray Data streams the shards: while the actors score some, tasks read and plan the next. Each stage takes and returns whole
blocks, and a block is a shard. ``map_batches`` insists on a number of rows for a batch where GPUs are asked for, and would
then mix shards, so the actors' stage is made through the method beneath it, which takes whole blocks there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray.data

from raygen.pipeline.actor import ScoreShard
from raygen.pipeline.cluster import ActorPlan
from raygen.pipeline.job import Job
from raygen.pipeline.position_stages import commit_positions, plan_positions
from raygen.pipeline.shard_source import ShardSource
from raygen.pipeline.shards import ShardToScore
from raygen.pipeline.stages import commit_shard, commit_without_model, plan_shard, plan_without_model

_CPU_STAGE = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": 1}


@dataclass(frozen=True)
class Stages:
    """What is done with a shard before the actors see it, and after: each takes a table and the keyword ``job``."""

    plan: Callable[..., pa.Table]
    commit: Callable[..., pa.Table]


OF_VARIANTS = Stages(plan_shard, commit_shard)
OF_POSITIONS = Stages(plan_positions, commit_positions)


def build(
    shards: Sequence[ShardToScore],
    job: Job,
    actors: ActorPlan,
    stages: Stages = OF_VARIANTS,
    scorer: type = ScoreShard,
    scorer_settings: Mapping[str, Any] | None = None,
) -> ray.data.Dataset:
    """The run as a dataset, one row of summary a shard. Nothing runs until it is iterated over.

    ``scorer`` is another actor in tests and benchmarks of the pipeline itself; ``scorer_settings`` are its own arguments.
    """
    pool = ray.data.ActorPoolStrategy(
        min_size=actors.min_size, max_size=actors.max_size, max_tasks_in_flight_per_actor=2
    )
    dataset = (
        ray.data.read_datasource(ShardSource(shards), override_num_blocks=len(shards))
        .map_batches(stages.plan, fn_kwargs={"job": job}, **_CPU_STAGE)
        .map_batches_internal(
            scorer,
            fn_constructor_kwargs={"job": job, **(scorer_settings or {})},
            batch_size=None,
            batch_format="pyarrow",
            compute=pool,
            num_cpus=actors.num_cpus,
            num_gpus=actors.num_gpus,
            udf_modifying_row_count=False,
            # Without end for Ray; what kills is counted and found by us, at the start (ActorStart) and in a shard (ShardPieces).
            max_restarts=-1,
            max_task_retries=-1,
        )
        .map_batches(stages.commit, fn_kwargs={"job": job}, **_CPU_STAGE)
    )
    dataset.set_name("raygen_score")
    return dataset


def build_without_actors(shards: Sequence[ShardToScore], job: Job) -> ray.data.Dataset:
    """The shards of which no row needs a model, one row of summary each; the others give none and are not committed."""
    dataset = (
        ray.data.read_datasource(ShardSource(shards), override_num_blocks=len(shards))
        .map_batches(plan_without_model, fn_kwargs={"job": job}, **_CPU_STAGE)
        .map_batches(commit_without_model, fn_kwargs={"job": job}, **_CPU_STAGE)
    )
    dataset.set_name("raygen_prescored")
    return dataset
