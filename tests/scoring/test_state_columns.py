import numpy as np
import pyarrow as pa
import pytest

from raygen.errors import SettingsError
from raygen.scoring.embedding_columns import EmbeddingRequest, Storage, embedding_columns
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates, vector_name
from raygen.scoring.likelihood import load_model
from raygen.scoring.scorer import PairScorer
from raygen.scoring.state_columns import StateColumns, joined_plan
from tests.builders import random_bases

BASES = random_bases(60, 4)
PAIRS = pa.table(
    {
        "pair_id": ["a", "b", "c"],
        "wt_sequence": [BASES] * 3,
        "mut_sequence": [BASES[:pos] + "ACGT"["CGTA".index(BASES[pos])] + BASES[pos + 1 :] for pos in (20, 30, 40)],
    }
)


def sums_of(*layers, pool="right:8"):
    """A column for each layer: the sum of the differences of its states."""
    plan = EmbeddingPlan(layers, (pool,))

    def of(by_strand, scored):
        return {
            f"sum_{layer}": pa.array(by_strand["forward"].delta[layer, pool].astype(float).sum(axis=1))
            for layer in layers
        }

    return StateColumns(tuple(f"sum_{layer}" for layer in layers), plan, of)


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


@pytest.mark.parametrize("method", ["fork", "pair"])
def test_columns_are_made_of_states_that_are_not_stored(model, method):
    stored = EmbeddingRequest(EmbeddingPlan(("blocks.0", "norm"), ("right:8",)), Storage("float32"))
    scored = PairScorer(model, method, embed=stored, state_columns=sums_of("norm", "blocks.3")).score(PAIRS)
    vectors = np.array(scored["delta_" + vector_name("norm", "right:8", "forward")].to_pylist(), float)
    np.testing.assert_allclose(scored["sum_norm"].to_numpy(), vectors.sum(axis=1), atol=1e-5)
    assert not any(name.startswith("ref_blocks.3") for name in scored.column_names)
    alone = PairScorer(model, method, state_columns=sums_of("norm", "blocks.3")).score(PAIRS)
    assert not any(name.startswith(("ref_", "delta_norm", "num_pooled")) for name in alone.column_names)
    for name in ("sum_norm", "sum_blocks.3", "delta_llr"):
        np.testing.assert_allclose(alone[name].to_numpy(), scored[name].to_numpy(), atol=1e-4)


def test_rows_that_fail_have_the_columns_and_nothing_in_them(model):
    scorer = PairScorer(model, "fork", state_columns=sums_of("norm"))
    failed = scorer.without_scores(PAIRS, "as a test wants it")
    assert failed["sum_norm"].type == pa.float64() and failed["sum_norm"].null_count == 3
    assert failed.column_names == scorer.score(PAIRS).column_names
    scored = pa.table({"failure": [None, "not finite"]})
    appended = StateColumns(("x",), EmbeddingPlan((), ()), lambda states, rows: {"x": pa.array([1.0, 2.0])}).append_to(
        scored, {}
    )
    assert appended["x"].to_pylist() == [1.0, None]


def test_nothing_is_made_of_the_states_of_a_row_that_failed():
    plan = EmbeddingPlan(("norm",), ("right:8",))
    states = np.array([[1.0, 2.0], [np.inf, 3.0]], np.float32)
    pooled = PooledStates({("norm", "right:8"): states}, {("norm", "right:8"): states}, {"right:8": np.array([8, 8])})

    def sum_of_halves(by_strand, scored):
        halves = embedding_columns(by_strand, plan, Storage("float16", is_half=True))
        sums = [sum(map(float, vector)) for vector in halves["ref_norm_right:8_fwd"].to_pylist()]
        return {"sum": pa.array(sums)}

    scored = pa.table({"failure": [None, "not finite"]})
    appended = StateColumns(("sum",), plan, sum_of_halves).append_to(scored, {"forward": pooled})
    assert appended["sum"].to_pylist() == [3.0, None]


def test_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(SettingsError, match=r"blocks\.77"):
        PairScorer(model, "fork", state_columns=sums_of("blocks.77"))


def test_plans_are_joined_to_one_of_all_layers_and_pools():
    plan = joined_plan([EmbeddingPlan(("a", "b"), ("x",)), EmbeddingPlan(("b",), ("y", "x"))])
    assert (plan.layers, plan.pool_names) == (("a", "b"), ("x", "y"))
    assert joined_plan([]) is None
