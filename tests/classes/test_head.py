import numpy as np
import pyarrow as pa
import pytest

from raygen.classes.head import HeadInputs, apply_head, head_columns, site_digests
from raygen.errors import SettingsError
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from tests.classes.heads import WIDTH, made_head

STRANDS = ("forward", "reverse")


def states(num_rows, seed=0, width=WIDTH):
    """(P, D) states of WT and differences, by strand."""
    generator = np.random.default_rng(seed)
    return tuple(
        {strand: generator.normal(size=(num_rows, width)).astype(np.float32) for strand in STRANDS} for _ in range(2)
    )


def test_features_of_two_strands_are_their_mean_or_one_behind_the_other():
    reads = {"layer": "norm", "pool": "variant", "strands": STRANDS, "width": 1}
    ref, delta = {"forward": [[2.0]], "reverse": [[4.0]]}, {"forward": [[-1.0]], "reverse": [[-3.0]]}
    ref, delta = ({strand: np.array(part, np.float32) for strand, part in kind.items()} for kind in (ref, delta))
    for use, feature, expected in [
        ("mean", "concat", [[3, -2]]),
        ("concat", "concat", [[2, 4, -1, -3]]),
        ("mean", "absdiff", [[2]]),
        ("concat", "absdiff", [[1, 3]]),
    ]:
        inputs = HeadInputs(strand_use=use, feature=feature, **reads)
        assert inputs.of_states(ref, delta).tolist() == expected
        assert inputs.num_features == len(expected[0])


def test_log_odds_are_the_weighted_sum_of_scaled_features(tmp_path):
    head = made_head(tmp_path, strand_use="concat")
    ref, delta = states(7)
    features = np.concatenate([ref["forward"], ref["reverse"], delta["forward"], delta["reverse"]], axis=1)
    expected = ((features - head.centre) / head.scale) @ head.weight + 0.25
    np.testing.assert_allclose(apply_head(head, ref, delta), expected, rtol=1e-12)


def test_a_row_has_the_same_number_alone_and_in_any_batch(tmp_path, monkeypatch):
    head = made_head(tmp_path)
    ref, delta = states(40)
    together = apply_head(head, ref, delta)
    alone = [
        apply_head(head, *({strand: part[[row]] for strand, part in kind.items()} for kind in (ref, delta)))[0]
        for row in range(40)
    ]
    assert together.tolist() == alone
    monkeypatch.setattr("raygen.classes.head._CELLS_AT_ONCE", 30)
    assert apply_head(head, ref, delta).tolist() == alone


def test_columns_of_rows_are_features_beside_the_states(tmp_path):
    head = made_head(tmp_path, with_delta=True, consequence_column="consequence", consequences=("a", "b"))
    ref, delta = states(3)
    rows = pa.table({"delta_llr": [-1.0, 2.0, 0.5], "consequence": ["b", None, "a"]})
    assert head.facts.inputs.columns == ["delta_llr", "consequence"]
    assert head.facts.inputs.of_columns(rows).tolist() == [[-1, 0, 1], [2, 0, 0], [0.5, 1, 0]]
    states_alone = head.facts.inputs.of_states(ref, delta)
    features = np.concatenate([states_alone, head.facts.inputs.of_columns(rows)], axis=1)
    expected = ((features - head.centre) / head.scale) @ head.weight + 0.25
    np.testing.assert_allclose(apply_head(head, ref, delta, rows), expected, rtol=1e-12)


def test_the_columns_of_heads_are_null_where_nothing_was_pooled(tmp_path):
    heads = {"head_one": made_head(tmp_path, "one"), "head_two": made_head(tmp_path, "two", feature="absdiff")}
    ref, delta = states(3)
    ref["reverse"][1] = delta["reverse"][1] = np.nan
    place = ("blocks.1", "right:8")
    by_strand = {
        strand: PooledStates({place: ref[strand]}, {place: delta[strand]}, {"right:8": np.array([8, 0, 3])})
        for strand in STRANDS
    }
    columns = head_columns(heads, by_strand)
    assert list(columns) == ["head_one", "head_two"]
    for name, column in columns.items():
        assert column.type == pa.float64()
        assert column.is_null().to_pylist() == [False, True, False]
        assert column[0].as_py() == apply_head(heads[name], ref, delta)[0]


def test_states_of_another_width_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="trained on states of 4 numbers; these have 6"):
        apply_head(made_head(tmp_path), *states(2, width=6))


@pytest.mark.parametrize(
    ("layers", "pools", "strands", "words"),
    [
        (("blocks.0", "norm"), ("right:8",), STRANDS, "x reads the layer blocks.1; there is blocks.0, norm here"),
        ((), ("right:8",), STRANDS, "x reads the layer blocks.1; there is none here"),
        (("blocks.1",), ("variant",), STRANDS, "x reads the pool right:8; there is variant here"),
        (("blocks.1",), ("right:8",), ("forward",), "x reads the reverse strand, which is not read here"),
    ],
)
def test_a_head_for_another_layer_pool_or_strand_is_refused(tmp_path, layers, pools, strands, words):
    head = made_head(tmp_path)
    with pytest.raises(SettingsError, match=words):
        head.refuse_other_plan(EmbeddingPlan(layers, pools), strands, "x")
    head.refuse_other_plan(EmbeddingPlan(("blocks.1",), ("right:8",)), STRANDS, "x")


def test_a_head_for_another_fingerprint_is_refused(tmp_path):
    head = made_head(tmp_path)
    head.refuse_other("0123456789abcdef", "x")
    with pytest.raises(
        SettingsError, match="x was trained on the fingerprint 0123456789abcdef; these scores are of ffff"
    ):
        head.refuse_other("ffff", "x")


def test_sites_that_trained_a_head_are_known_again(tmp_path):
    head = made_head(tmp_path, sites=("1-5", "1-7", "X-5"))
    assert head.num_training_sites(site_digests(["1-5", "1-5", "X-5", "2-5"])) == 2
    assert head.num_training_sites(site_digests(["2-5"])) == 0
