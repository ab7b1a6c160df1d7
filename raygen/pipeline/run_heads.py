"""Heads of a run: which files they are, whether they are for its scores, and the columns that they give scored rows.

The states that heads read are pooled where the model runs and need not be stored. In: the settings, on the machine that starts the run; the
job, in an actor. Out: heads by the names of their columns, and their log-odds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raygen.classes.head import DELTA, Head, head_columns
from raygen.classes.head_file import read_head, read_heads
from raygen.classes.stored_states import pooled_states
from raygen.errors import SettingsError, StoppedError
from raygen.pipeline.job import Job
from raygen.pipeline.shards import CARRIED
from raygen.remote import shown
from raygen.scoring.embedding_columns import embedding_columns, parse_storage, parse_stored
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from raygen.scoring.state_columns import StateColumns, joined_plan
from raygen.settings import Settings
from raygen.tables.columns import Column

WHOLE = "float32"
"""The storage that changes nothing of the states."""


def heads_of_run(settings: Settings, own_fingerprint: str) -> dict[str, Head]:
    """The heads that the settings name, held to the run's fingerprint and to the columns that its rows will have.

    Raises:
        InputError: a file of a head cannot be read, or was changed since it was trained.
        SettingsError: a head is for other scores, or reads or writes columns that do not fit.
    """
    heads, carried = read_heads(settings.classes.heads), settings.input.carried_columns
    for name, head in heads.items():
        head.refuse_other(own_fingerprint, name)
        if name in carried:
            raise SettingsError(f"input.source_columns: {name} is what a head adds. Rename the column.")
        absent = [column for column in head.facts.inputs.columns if column not in (DELTA, *carried)]
        if absent:
            raise SettingsError(
                f"{name} reads the column {absent[0]}: carry it along, input.source_columns={absent[0]}."
            )
    return heads


def heads_of_job(job: Job) -> dict[str, Head]:
    """The heads of a job, read where it runs.

    Raises:
        StoppedError: one is not that with which the run began.
    """
    heads = {name: read_head(applied.path) for name, applied in job.heads.items()}
    for name, head in heads.items():
        if head.digest != job.heads[name].digest:
            raise StoppedError(f"The head {shown(head.path)} changed while the run went on.")
    return heads


def columns_of_heads(job: Job) -> StateColumns | None:
    """What the scorer of a job makes of states beside scores; None where the run has no heads.

    Raises:
        InputError, StoppedError: as ``heads_of_job``.
    """
    heads = heads_of_job(job)
    plan = joined_plan([_plan_of(head) for head in heads.values()])
    if plan is None:
        return None
    return StateColumns(tuple(heads), plan, lambda by_strand, scored: columns_of_scored(heads, by_strand, scored))


def _plan_of(head: Head) -> EmbeddingPlan:
    return EmbeddingPlan((head.facts.inputs.layer,), (head.facts.inputs.pool,))


def columns_of_scored(
    heads: Mapping[str, Head], by_strand: Mapping[Any, PooledStates], scored: pa.Table
) -> dict[str, pa.Array]:
    """The columns of heads for scored rows on their way, whose carried columns have other names there, and their states."""
    rows: dict[str, Column] = {
        name.removeprefix(CARRIED): scored[name]
        for name in scored.column_names
        if name == DELTA or name.startswith(CARRIED)
    }
    columns: dict[str, pa.Array] = {}
    for name, head in heads.items():
        columns |= head_columns({name: head}, _as_it_learnt(head, by_strand), rows)
    return columns


def _as_it_learnt(head: Head, by_strand: Mapping[Any, PooledStates]) -> Mapping[Any, PooledStates]:
    """States as they were stored for the training of a head: rounded to half precision or projected, where they were."""
    storage = parse_stored(head.facts.embeddings).storage.partition(" ")[0] if head.facts.embeddings else WHOLE
    if storage == WHOLE:
        return by_strand
    plan = _plan_of(head)
    stored = embedding_columns(by_strand, plan, parse_storage(storage))
    return pooled_states(pa.table(stored), [(plan.layers[0], plan.pool_names[0])], list(by_strand))
