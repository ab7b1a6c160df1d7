"""Columns made in one go hold what row by row would give."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from raygen.tables.columns import constant, has_item, string_lists, with_item

LISTS = st.lists(st.lists(st.sampled_from(["a", "b", "same"]), max_size=3), max_size=20)


def column(lists, cut=0):
    """In two chunks, as tables that were put together have them."""
    chunks = [pa.array(part, pa.list_(pa.string())) for part in (lists[:cut], lists[cut:])]
    return pa.chunked_array(chunks)


def test_a_constant_reads_as_the_value_in_every_row():
    assert constant("x", 3).to_pylist() == ["x"] * 3
    assert constant(0.5, 0).to_pylist() == []
    assert pa.chunked_array([constant("x", 2), constant("y", 1)]).cast(pa.string()).to_pylist() == ["x", "x", "y"]


@given(LISTS, st.integers(0, 20))
def test_an_item_is_found_in_its_own_rows(lists, cut):
    assert has_item(column(lists, cut), "same").tolist() == ["same" in one for one in lists]


@given(LISTS, st.integers(0, 20), st.randoms())
def test_an_item_is_added_at_the_end_of_some_lists(lists, cut, random):
    rows = np.array([random.random() < 0.5 for _ in lists], bool)
    added = with_item(column(lists, cut), "new", rows)
    assert added.to_pylist() == [[*one, "new"] if new else one for one, new in zip(lists, rows, strict=True)]
    assert added.type == pa.list_(pa.string())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_lists_are_made_from_booleans(rows):
    said = {name: np.array([row[at] for row in rows], bool) for at, name in enumerate(("first", "second"))}
    made = string_lists(said, len(rows))
    assert made.to_pylist() == [[name for at, name in enumerate(said) if row[at]] for row in rows]
