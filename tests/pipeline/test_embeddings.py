"""Runs that keep embeddings: a file beside each file of scores, with the same rows, whatever fails, stops or is run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.finished.embeddings import read_embeddings
from raygen.pipeline.run import run_score
from raygen.tables.layout import RunFolder, read_scores
from tests.embedding_scorer import SIZE, EmbeddingScorer, settings_of_run, vectors_of
from tests.pipeline.faults import KilledWrite

EMBED = {"embed.layers": ["norm", "blocks.0"], "embed.pool": ["right:8", "suffix"]}


def vector_type(number: pa.DataType, size: int) -> pa.DataType:
    return pa.list_(pa.field("element", number, nullable=False), size)


def settings(folder: Path, *positions, **more):
    return settings_of_run(folder, *positions, **{**EMBED, **more})


def score(chosen, make_scorer=EmbeddingScorer, **more):
    return run_score(chosen, say=lambda line: None, make_scorer=make_scorer, **more)


def embeddings(out: Path) -> pa.Table:
    """All embeddings in the order of the scores; each file has the rows of its scores."""
    folder = RunFolder(str(out))
    tables = []
    for file in folder.score_files():
        ids = pq.read_table(file.path, partitioning=None)["variant_id"]
        if len(ids):
            tables.append(pq.read_table(folder.embeddings_of(file.path), partitioning=None))
            assert tables[-1]["variant_id"].equals(ids)
    assert len(folder.embedding_paths()) == len(tables)
    return pa.concat_tables(tables)


def assert_right(out: Path) -> None:
    """The folder holds for every score the vectors of its variant."""
    table = embeddings(out)
    ids = read_scores(str(out))["variant_id"].to_pylist()
    assert table["variant_id"].to_pylist() == ids
    for layer in EMBED["embed.layers"]:
        for pool in EMBED["embed.pool"]:
            for strand in ("fwd", "rev"):
                for which in ("ref", "delta"):
                    column = table[f"{which}_{layer}_{pool}_{strand}"]
                    numbers = column.combine_chunks().flatten().to_numpy().reshape(-1, SIZE)
                    np.testing.assert_array_equal(numbers, vectors_of(ids, which, layer, pool, strand))


def test_each_file_of_scores_has_embeddings_of_its_rows(tmp_path):
    result = score(settings(tmp_path))
    assert result.counts.scored == 200
    assert_right(tmp_path / "out")
    table = embeddings(tmp_path / "out")
    assert table.column_names[0] == "variant_id"
    assert table.num_columns == 1 + 2 * 2 * 2 * 2 + 2 * 2
    assert table.schema.field("ref_norm_suffix_rev").type == vector_type(pa.float32(), SIZE)
    assert "ref_norm_suffix_rev" not in read_scores(str(tmp_path / "out")).column_names


def test_rows_that_fail_are_rejects_and_have_no_embeddings(tmp_path):
    result = score(settings(tmp_path, **{"scoring.max_failed_share": 1}), partial(EmbeddingScorer, fails={200, 204}))
    assert (result.counts.scored, result.counts.num_rejected) == (198, 2)
    assert_right(tmp_path / "out")


def test_rows_that_raise_are_rejects_and_have_no_embeddings(tmp_path):
    result = score(settings(tmp_path, **{"scoring.max_failed_share": 1}), partial(EmbeddingScorer, raises={200, 404}))
    assert (result.counts.scored, result.counts.num_rejected) == (198, 2)
    assert_right(tmp_path / "out")


def test_a_shard_without_a_single_score_has_no_embeddings(tmp_path):
    chosen = settings(tmp_path, range(200, 206, 2), **{"scoring.max_failed_share": 1})
    result = score(chosen, partial(EmbeddingScorer, raises={200, 202, 204}))
    assert (result.counts.scored, result.counts.num_rejected) == (0, 3)
    assert RunFolder(str(tmp_path / "out")).embedding_paths() == []
    assert len(read_embeddings(str(tmp_path / "out"), "norm", "suffix", "forward").vectors) == 0


def test_what_an_earlier_run_scored_is_not_written_again(tmp_path):
    score(settings(tmp_path, range(200, 400, 2)))
    again = score(settings(tmp_path, range(300, 600, 2)))
    assert (again.counts.scored, again.counts.already_scored) == (100, 50)
    assert_right(tmp_path / "out")
    repeated = score(settings(tmp_path, range(300, 600, 2)))
    assert repeated.counts.scored == 0
    assert_right(tmp_path / "out")


def test_a_writer_that_is_killed_between_embeddings_and_scores_leaves_nothing_twice(tmp_path):
    (tmp_path / "once").mkdir()
    score(settings(tmp_path), open_folder=partial(KilledWrite, once=tmp_path / "once"))
    assert (tmp_path / "once" / "write").exists()
    assert_right(tmp_path / "out")
    assert not list((tmp_path / "out" / "embeddings").rglob(".*"))


@pytest.mark.parametrize(
    ("store", "expected"),
    [("float16", vector_type(pa.float16(), SIZE)), ("projection:3", vector_type(pa.float32(), 3))],
)
def test_embeddings_are_stored_as_asked_for(tmp_path, store, expected):
    score(settings(tmp_path, range(200, 240, 2), **{"embed.store": store}))
    assert embeddings(tmp_path / "out").schema.field("delta_blocks.0_right:8_fwd").type == expected


def test_nothing_is_stored_where_none_is_asked_for(tmp_path):
    score(settings(tmp_path, range(200, 240, 2), **{"embed.store": "none"}))
    assert not (tmp_path / "out" / "embeddings").exists()
