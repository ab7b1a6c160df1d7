"""Embeddings read as arrays: by the names of what is there, in the order of the scores."""

from pathlib import Path

import numpy as np
import pytest

import raygen
from raygen.errors import InputError, SettingsError
from raygen.tables.compact import compact
from raygen.tables.layout import RunFolder
from tests.embedding_scorer import SIZE, vectors_of
from tests.tables.embeddings_on_disk import commit_embedded
from tests.tables.tables_on_disk import commit


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    for number in range(3):
        commit_embedded(made, f"s{number}", "1", range(1 + number, 60, 3))
    commit_embedded(made, "s3", "2", [])
    commit_embedded(made, "s4", "X", [7])
    return made


def assert_right(path: str, **names) -> None:
    ids, vectors = raygen.read_embeddings(path, "blocks.0", "right:8", **names)
    assert ids.to_pylist() == raygen.read_scores(path)["variant_id"].to_pylist()
    assert vectors.dtype == np.float32
    expected = vectors_of(ids.to_pylist(), names.get("which", "delta"), "blocks.0", "right:8", "fwd")
    np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize("which", ["ref", "delta"])
def test_embeddings_come_in_the_order_of_the_scores(folder, which):
    assert_right(folder.path, which=which, strand="forward")
    compact(folder.path)
    assert_right(folder.path, which=which)


def test_one_file_is_not_copied(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit_embedded(made, "s0", "1", range(1, 60))
    assert_right(made.path)
    assert not raygen.read_embeddings(made.path, "norm", "suffix").vectors.flags.owndata


def test_half_precision_is_read_as_float32(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit_embedded(made, "s0", "1", [5, 9], store="float16")
    ids, vectors = raygen.read_embeddings(made.path, "norm", "suffix")
    assert (vectors.dtype, vectors.shape) == (np.float32, (2, SIZE))
    np.testing.assert_allclose(vectors, vectors_of(ids.to_pylist(), "delta", "norm", "suffix", "fwd"), rtol=1e-3)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"layer": "blocks.9", "pool": "suffix"}, r"has no layer blocks\.9; there are norm, blocks\.0\."),
        ({"layer": "norm", "pool": "right:64"}, r"has no pool right:64; there are right:8, suffix\."),
        ({"layer": "norm", "pool": "suffix", "strand": "reverse"}, r"has no strand reverse; there are forward\."),
        ({"pool": "suffix"}, r"has several layers; there are norm, blocks\.0\."),
        ({"layer": "norm"}, r"has several pools; there are right:8, suffix\."),
        ({"layer": "norm", "pool": "suffix", "which": "alt"}, "which is 'alt'; it can be ref or delta"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_is(folder, names, sentence):
    with pytest.raises(SettingsError, match=sentence):
        raygen.read_embeddings(folder.path, **names)


def test_a_table_without_embeddings_says_how_to_get_some(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit(made, "s0", "1", [1])
    with pytest.raises(InputError, match=r"holds no embeddings: .* Score with embed\.layers"):
        raygen.read_embeddings(made.path)


def test_embeddings_that_are_missing_are_an_error(folder):
    Path(folder.embeddings_of(folder.score_files()[0].path)).unlink()
    with pytest.raises(InputError, match=r"part-s0\.parquet.* `raygen verify` lists what is missing"):
        raygen.read_embeddings(folder.path, "norm", "suffix")


def test_a_table_without_rows_has_no_vectors(tmp_path):
    made = RunFolder(str(tmp_path / "out"))
    made.prepare()
    commit_embedded(made, "s0", "1", [])
    ids, vectors = raygen.read_embeddings(made.path, "norm", "suffix")
    assert (len(ids), len(vectors)) == (0, 0)
