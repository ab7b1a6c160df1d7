"""Labelled rows of a run with their stored states: what a head is trained on.

In: a run's folder with ``embeddings/`` and labelled scores. Out: one float32 table of features in the order of the files, and the labelled
rows in that order. States are read batch by batch into the table, so memory holds it once: D numbers, of WT and of the difference, for
100,000 rows are 0.8 MB times D (6.6 GB of a D of 8,192).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from raygen.classes.head import DELTA, Feature, HeadInputs, StrandUse
from raygen.classes.stored_states import pooled_states, rows_with_ids, state_columns, stored_plan
from raygen.errors import InputError, SettingsError
from raygen.evaluation.clusters import FEW
from raygen.evaluation.keyed_table import TableSource
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest
from raygen.remote import shown
from raygen.tables.layout import RunFolder

WITH = (DELTA, "consequence")
_BATCH_BYTES = 64_000_000


@dataclass(frozen=True)
class StateChoice:
    """Which states a head reads and what it makes of them; ``layer`` and ``pool`` are None where the run stored only one."""

    layer: str | None = None
    pool: str | None = None
    strand_use: StrandUse = "mean"
    feature: Feature = "concat"
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class HeadRows:
    """R labelled rows that have states, and their (R, F) float32 features.

    Attributes:
        embeddings: how the run stored its states, in its words.
        num_without: labelled rows with a score of which no states are stored.
    """

    labelled: LabelledScores
    features: np.ndarray
    inputs: HeadInputs
    embeddings: str
    num_without: int


def read_head_rows(request: LabelRequest, labelled: LabelledScores, choice: StateChoice) -> HeadRows:
    """The labelled rows of a run that have states, with their features.

    Raises:
        SettingsError: the run stored no such states, or ``choice`` asks for columns that are not there.
        InputError: no labelled row has states.
    """
    dataset = _dataset(request.scores)
    inputs = _inputs(dataset, choice, labelled, request)
    ids = _variant_ids(request.scores, labelled)
    features = np.empty((len(ids), inputs.num_features), np.float32)
    rows = _fill(features, dataset, inputs, ids)
    if not len(rows):
        raise InputError(
            f"None of the {len(ids):,} labelled variants with a score has states of {inputs.layer} in {shown(request.scores)}."
        )
    features = features[: len(rows)]
    frame = labelled.frame[rows]
    if inputs.columns:
        features[:, inputs.num_state_features :] = inputs.of_columns(_columns_of(frame, inputs))
    metadata = dataset.schema.metadata or {}
    return HeadRows(
        labelled=replace(labelled, frame=frame),
        features=features,
        inputs=inputs,
        embeddings=metadata.get(b"raygen.embeddings", b"").decode(),
        num_without=len(ids) - len(rows),
    )


def _dataset(folder: str) -> ds.FileSystemDataset:
    """The files of embeddings that belong to a file of scores: a killed run may have left others, of rows that are also elsewhere."""
    source = RunFolder(folder)
    present = set(source.embedding_paths())
    paths = [path for file in source.score_files() if (path := source.embeddings_of(file.path)) in present]
    if not paths:
        raise InputError(
            f"{shown(folder)} has no embeddings. Score with --set embed.layers=[...] into a new folder, then train on that."
        )
    return ds.dataset(paths, filesystem=source.filesystem, format="parquet")


def _inputs(dataset: ds.Dataset, choice: StateChoice, labelled: LabelledScores, request: LabelRequest) -> HeadInputs:
    plan, strands = stored_plan(dataset.schema.names)
    layer = _one_of("layer", choice.layer, plan.layers)
    pool = _one_of("pool", choice.pool, plan.pool_names)
    (first, *_) = state_columns([(layer, pool)], strands)
    column = _consequence_column(labelled, request) if "consequence" in choice.beside else None
    return HeadInputs(
        layer=layer,
        pool=pool,
        strands=tuple(strands),
        strand_use=choice.strand_use,
        feature=choice.feature,
        width=dataset.schema.field(first).type.list_size,
        with_delta=DELTA in choice.beside,
        consequence_column=column,
        consequences=_usual_values(labelled.frame[column]) if column else (),
    )


def _one_of(kind: str, asked: str | None, stored: Sequence[str]) -> str:
    """The layer or pool that was asked for, or the only one stored."""
    if asked is None and len(stored) == 1:
        return stored[0]
    if asked is None:
        raise SettingsError(f"Name one with --{kind}: the run stored {', '.join(stored) or 'none'}.")
    if asked not in stored:
        raise SettingsError(f"--{kind} {asked}: the run stored {', '.join(stored) or 'none'}.")
    return asked


def _consequence_column(labelled: LabelledScores, request: LabelRequest) -> str:
    column = labelled.extra.consequence
    if column is None or column not in TableSource(request.scores).columns:
        which = f"the scores have no column {column}" if column else "no column names consequences"
        raise SettingsError(
            f"--with consequence: {which}. What the head is to be applied to must have it: score with "
            "input.source_columns, or leave it out."
        )
    return column


def _usual_values(column: pl.Series) -> tuple[str, ...]:
    """Values of a column that ``FEW`` rows or more have, in order."""
    counts = column.cast(pl.String).drop_nulls().value_counts()
    return tuple(sorted(counts.filter(pl.col("count") >= FEW)[column.name].to_list()))


def _columns_of(frame: pl.DataFrame, inputs: HeadInputs) -> dict[str, pa.Array]:
    columns = {DELTA: frame["score"].to_arrow()}
    if name := inputs.consequence_column:
        columns[name] = frame[name].cast(pl.String).to_arrow()
    return columns


def _variant_ids(scores: str, labelled: LabelledScores) -> pa.Array:
    """(R,) the ids that the rows have in the run's own tables."""
    source, keys = TableSource(scores), labelled.frame["key"]
    for known_by in source.known_by:
        ids = source.read(["variant_id"], known_by, only=keys).frame.select("key", "variant_id")
        joined = labelled.frame.select("key").join(ids.unique("key"), on="key", how="left", maintain_order="left")
        if not joined["variant_id"].is_null().all():
            break
    return joined["variant_id"].cast(pl.String).to_arrow().cast(pa.string())


def _fill(features: np.ndarray, dataset: ds.FileSystemDataset, inputs: HeadInputs, ids: pa.Array) -> np.ndarray:
    """Put the features of stored states into the first rows of a table; returns which of the ids each is of."""
    place, order = (inputs.layer, inputs.pool), []
    num_filled = 0
    for batch, rows in _batches(dataset, inputs, ids):
        by_strand = pooled_states(batch, [place], inputs.strands)
        states = inputs.of_states(
            {strand: pooled.ref[place] for strand, pooled in by_strand.items()},
            {strand: pooled.delta[place] for strand, pooled in by_strand.items()},
        )
        usable = np.isfinite(states).all(axis=1)
        end = num_filled + int(usable.sum())
        features[num_filled:end, : inputs.num_state_features] = states[usable]
        order.append(rows[usable])
        num_filled = end
    return np.concatenate([np.empty(0, np.int64), *order])


def _batches(dataset: ds.FileSystemDataset, inputs: HeadInputs, ids: pa.Array) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The stored rows with one of the ids, file by file in the order of names, and which id each has."""
    names = ["variant_id", *state_columns([(inputs.layer, inputs.pool)], inputs.strands)]
    batch_size = max(_BATCH_BYTES // (8 * inputs.width * len(inputs.strands)), 1)
    for fragment in sorted(dataset.get_fragments(), key=lambda fragment: str(fragment.path)):
        scanner = fragment.scanner(
            schema=dataset.schema, columns=names, batch_size=batch_size, batch_readahead=1, use_threads=False
        )
        for batch in scanner.to_batches():
            states, rows = rows_with_ids(batch, ids)
            if len(rows):
                yield states, rows
