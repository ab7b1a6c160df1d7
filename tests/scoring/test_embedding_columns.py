"""Pooled states as columns: types, names, float16's range, and the fixed projection."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from raygen.errors import SettingsError
from raygen.scoring.embedding_columns import (
    EmbeddingRequest,
    column_names,
    embedding_columns,
    parse_storage,
    parse_stored,
    projected,
)
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates

PLAN = EmbeddingPlan(("blocks.1", "norm"), ("right:4", "suffix"))


def pooled(num_pairs=3, size=8, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    keys = [(layer, pool) for layer in PLAN.layers for pool in PLAN.pool_names]

    def states():
        return {key: (scale * random.standard_normal((num_pairs, size))).astype(np.float32) for key in keys}

    return PooledStates(states(), states(), {name: np.arange(num_pairs) for name in PLAN.pool_names})


def vectors(column):
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def test_each_vector_has_two_columns_and_each_pool_a_count():
    both = {"forward": pooled(seed=1), "reverse": pooled(seed=2)}
    columns = embedding_columns(both, PLAN, parse_storage("float32"))
    assert set(columns) == set(column_names(PLAN, ["forward", "reverse"]))
    assert columns["ref_blocks.1_right:4_fwd"].type == pa.list_(pa.float32(), 8)
    np.testing.assert_array_equal(vectors(columns["delta_norm_suffix_rev"]), both["reverse"].delta["norm", "suffix"])
    assert columns["num_pooled_suffix_rev"].to_pylist() == [0, 1, 2]


def test_float16_keeps_what_fits():
    columns = embedding_columns({"forward": pooled()}, PLAN, parse_storage("float16"))
    assert columns["ref_norm_suffix_fwd"].type == pa.list_(pa.float16(), 8)
    np.testing.assert_allclose(
        vectors(columns["ref_norm_suffix_fwd"]).astype(np.float32), pooled().ref["norm", "suffix"], rtol=1e-3
    )


def test_float16_refuses_what_it_cannot_hold_and_says_so():
    with pytest.raises(SettingsError, match=r"a state of blocks.1 is [0-9,]+, beyond the 65,504 that float16 can hold"):
        embedding_columns({"forward": pooled(scale=1e6)}, PLAN, parse_storage("float16"))


def test_a_vector_over_no_positions_stays_nan():
    states = pooled()
    states.ref["norm", "suffix"][0] = np.nan
    for storage in ("float32", "float16", "projection:5"):
        column = embedding_columns({"forward": states}, PLAN, parse_storage(storage))["ref_norm_suffix_fwd"]
        assert column.null_count == 0
        assert np.isnan(vectors(column)[0]).all()
        assert np.isfinite(vectors(column)[1:]).all()


def test_a_projection_keeps_distances_and_is_the_same_for_ever():
    states = np.random.Generator(np.random.PCG64(0)).integers(-9, 10, (20, 1024)).astype(np.float32)
    on_few = projected(states, 256)
    lengths = np.linalg.norm(on_few, axis=1) / np.linalg.norm(states, axis=1)
    assert abs(lengths.mean() - 1) < 0.03
    assert abs(lengths - 1).max() < 0.2
    assert (
        hashlib.sha256(projected(np.eye(64, dtype=np.float32), 16).astype("<f4").tobytes()).hexdigest()[:16]
        == "9b0958a1b9a7647c"
    )


def test_a_projected_row_does_not_depend_on_its_batch():
    states = np.random.default_rng(3).standard_normal((50, 300)).astype(np.float32)
    alone = np.concatenate([projected(states[row : row + 1], 32) for row in range(50)])
    np.testing.assert_array_equal(alone, projected(states, 32))


def test_the_difference_is_taken_before_the_projection():
    states = pooled()
    columns = embedding_columns({"forward": states}, PLAN, parse_storage("projection:4"))
    np.testing.assert_array_equal(
        vectors(columns["delta_norm_suffix_fwd"]), projected(states.delta["norm", "suffix"], 4)
    )


@pytest.mark.parametrize("name", ["float64", "projection", "projection:0", "projection:-1", "pca:8", ""])
def test_other_storages_are_refused_with_those_there_are(name):
    with pytest.raises(SettingsError, match="it can be float32, float16, projection:D"):
        parse_storage(name)


def test_an_identity_says_what_is_stored_and_can_be_read_back():
    text = EmbeddingRequest(PLAN, parse_storage("projection:256")).identity_text(["forward", "reverse"])
    assert text == (
        "layers blocks.1, norm; pools right:4, suffix; strands forward, reverse; store projection:256 (signs, seed 20261125)"
    )
    assert parse_stored(text).plan == PLAN
    assert parse_stored(text).strands == ("forward", "reverse")
    assert EmbeddingRequest(PLAN, None).identity_text(["forward"]) == ""


def test_distances_are_named_by_layer_and_pool_and_of_two_strands_for_each():
    request = EmbeddingRequest(EmbeddingPlan(("norm",), ("right:4",)), None, ("l2", "cosine"))
    assert request.distance_names(["forward"]) == ["l2_norm_right:4", "cosine_norm_right:4"]
    assert request.distance_names(["forward", "reverse"])[:3] == [
        "l2_norm_right:4",
        "l2_norm_right:4_fwd",
        "l2_norm_right:4_rev",
    ]
