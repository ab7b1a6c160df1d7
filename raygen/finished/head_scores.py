"""Heads on stored states: a file of scores and the states of its rows in, a column of log-odds for each head out.

States are read a batch at a time: of a file of any size no more is in memory. They are found by ``variant_id``; a row without states has no
log-odds. Numbers are those that heads give while scoring, from the same float32 states (see ``raygen.classes.head``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.classes.head import Head, head_columns, refuse_width
from raygen.classes.stored_states import pooled_states, rows_with_ids, state_columns, stored_plan
from raygen.errors import InputError, SettingsError
from raygen.tables.damage import naming_damage
from raygen.tables.layout import RunFolder, ScoreFile

_BATCH_ROWS = 1024


def refuse_other_heads(heads: Mapping[str, Head], fingerprint: str, source: RunFolder) -> None:
    """Look whether heads are for the scores of a folder and the states in it, before anything is written.

    Raises:
        SettingsError: a head is for another fingerprint, layer, pool or strand, or reads a column that is not there; or its column is.
    """
    files = source.score_files()
    columns = source.scores_dataset([files[0].path]).schema.names if files else []
    for name, head in heads.items():
        head.refuse_other(fingerprint, name)
        if name in columns:
            raise SettingsError(f"{source.path} has a column {name} already. Rename the files of the head.")
        if absent := [column for column in head.facts.inputs.columns if column not in columns]:
            raise SettingsError(f"{name} reads the column {absent[0]}, which {source.path} does not have.")
    for file in files:
        with _opened(source, file) as states:
            schema = states.schema_arrow
        plan, strands = stored_plan(schema.names)
        for name, head in heads.items():
            head.refuse_other_plan(plan, strands, name)
            (first, *_) = state_columns([(head.facts.inputs.layer, head.facts.inputs.pool)], strands)
            refuse_width(head.facts.inputs, schema.field(first).type.list_size)


def with_heads(scores: pa.Table, heads: Mapping[str, Head], source: RunFolder, file: ScoreFile) -> pa.Table:
    """Rows of a file of scores with the columns of heads behind the others."""
    log_odds = {name: np.full(len(scores), np.nan) for name in heads}
    for states, rows in _states(scores, heads, source, file):
        strands = sorted({strand for head in heads.values() for strand in head.facts.inputs.strands})
        by_strand = pooled_states(states, _places(heads), strands)
        of_rows = scores.take(pa.array(rows))
        for name, column in head_columns(
            heads, by_strand, {name: of_rows[name] for name in of_rows.column_names}
        ).items():
            log_odds[name][rows] = column.to_numpy(zero_copy_only=False)
    for name, numbers in log_odds.items():
        scores = scores.append_column(name, pa.array(numbers, pa.float64(), from_pandas=True))
    return scores


def _places(heads: Mapping[str, Head]) -> list[tuple[str, str]]:
    return [(head.facts.inputs.layer, head.facts.inputs.pool) for head in heads.values()]


def _states(
    scores: pa.Table, heads: Mapping[str, Head], source: RunFolder, file: ScoreFile
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Stored states of rows of a table, some at a time, with the places of these rows in it."""
    strands = sorted({strand for head in heads.values() for strand in head.facts.inputs.strands})
    columns = ["variant_id", *state_columns(_places(heads), strands)]
    ids = scores["variant_id"].combine_chunks()
    with _opened(source, file) as states, naming_damage(source.path):
        for batch in states.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
            yield rows_with_ids(batch, ids)


def _opened(source: RunFolder, file: ScoreFile) -> pq.ParquetFile:
    """The file with the states of a file of scores.

    Raises:
        InputError: there is none.
    """
    path = source.embeddings_of(file.path)
    if source.filesystem.get_file_info(path).type == fs.FileType.NotFound:
        raise InputError(
            f"{source.path} has no embeddings of {'/'.join(path.split('/')[-2:])}: heads are applied to stored states. Score with --set embed.layers=[...], or "
            "apply heads while scoring, --set classes.heads=[...]."
        )
    with naming_damage(path):
        return pq.ParquetFile(path, filesystem=source.filesystem)
