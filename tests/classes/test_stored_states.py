import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.classes.stored_states import pooled_states, state_array, state_columns, stored_plan


def test_layers_pools_and_strands_are_read_off_the_names_of_columns():
    names = [
        "variant_id",
        *(
            f"{kind}_{layer}_{pool}_{end}"
            for kind in ("ref", "delta")
            for layer in ("blocks.9.mlp.l3", "norm")
            for pool in ("right:64", "variant", "suffix")
            for end in ("rev", "fwd")
        ),
        "num_pooled_right:64_fwd",
    ]
    plan, strands = stored_plan(names)
    assert plan.layers == ("blocks.9.mlp.l3", "norm")
    assert plan.pool_names == ("right:64", "variant", "suffix")
    assert strands == ["forward", "reverse"]
    assert stored_plan(["variant_id", "delta_llr"])[0].layers == ()
    assert state_columns([("norm", "suffix")], ["reverse"]) == ["ref_norm_suffix_rev", "delta_norm_suffix_rev"]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_a_column_is_one_array_and_null_is_nan(kind, tmp_path):
    values = [[1, 2], None, [3, 4], [5, 6], [7, 8]]
    typed = [value and np.array(value, kind.to_pandas_dtype()) for value in values]
    column = pa.array([None if value is None else list(value) for value in typed], pa.list_(kind, 2))
    expected = np.array([[1, 2], [np.nan, np.nan], [3, 4], [5, 6], [7, 8]], np.float32)
    for states in (column, pa.chunked_array([column[:2], column[2:]]), pa.chunked_array([column])):
        np.testing.assert_array_equal(state_array(states), expected)
    np.testing.assert_array_equal(state_array(column[1:4]), expected[1:4])
    assert state_array(column).dtype == np.float32
    pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet", row_group_size=2)
    np.testing.assert_array_equal(state_array(pq.read_table(tmp_path / "x.parquet")["x"]), expected)
    assert state_array(pa.chunked_array([], pa.list_(kind, 2))).shape == (0, 2)


def test_rows_of_a_table_are_pooled_states_again():
    states = {name: np.full((3, 2), number, np.float32) for number, name in enumerate(("ref", "delta"))}
    table = pa.table(
        {
            f"{name}_norm_variant_fwd": pa.FixedSizeListArray.from_arrays(part.ravel(), 2)
            for name, part in states.items()
        }
    )
    by_strand = pooled_states(table, [("norm", "variant")], ["forward"])
    assert list(by_strand) == ["forward"]
    np.testing.assert_array_equal(by_strand["forward"].ref["norm", "variant"], states["ref"])
    np.testing.assert_array_equal(by_strand["forward"].delta["norm", "variant"], states["delta"])
