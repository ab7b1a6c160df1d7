from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raygen.variants.external_sort import SORT_KEYS, ExternalSort, repeats_of_previous

TYPES = {"contig": pa.int32(), "pos": pa.int64(), "ref": pa.string(), "alt": pa.string(), "order": pa.int64()}


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    return pa.table({name: pa.array(column, TYPES[name]) for name, column in zip(TYPES, columns, strict=True)})


def sort_rows(
    scratch: Path, rows: list[tuple[Any, ...]], budget: int, batch: int
) -> tuple[list[tuple[Any, ...]], list[int]]:
    """The rows in the order they come out, and the size of each table."""
    sort = ExternalSort(scratch, budget_rows=budget)
    for start in range(0, len(rows), batch):
        sort.add(table_of(rows[start : start + batch]))
    tables = list(sort.sorted_tables())
    return [tuple(row[key] for key in SORT_KEYS) for table in tables for row in table.to_pylist()], [
        len(table) for table in tables
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 2**20), st.sampled_from(["A", "AC"]), st.sampled_from(["C", "CA"])),
        max_size=60,
    ),
    st.integers(1, 30),
    st.integers(1, 20),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_out_sorted_whatever_the_budget(tmp_path: Path, rows: list[Any], budget: int, batch: int) -> None:
    rows = [(*row, order) for order, row in enumerate(rows)]
    assert sort_rows(tmp_path, rows, budget, batch)[0] == sorted(rows)


def test_tables_stay_near_the_budget(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = [(rng.randrange(3), rng.randrange(1, 2**26), "A", "C", order) for order in range(6000)]
    out, sizes = sort_rows(tmp_path, rows, budget=500, batch=100)
    assert out == sorted(rows)
    assert max(sizes) <= 500
    assert len(list(tmp_path.iterdir())) == 12


@pytest.mark.parametrize("rows_per_run", [1023, 1024, 1025, 4096])
def test_bins_are_found_again_across_record_batches(tmp_path: Path, rows_per_run: int) -> None:
    rng = random.Random(rows_per_run)
    rows = [(0, rng.randrange(1, 2**22), "A", "C", order) for order in range(2 * rows_per_run + 7)]
    assert sort_rows(tmp_path, rows, budget=rows_per_run, batch=rows_per_run)[0] == sorted(rows)


def test_small_input_writes_no_scratch_file(tmp_path: Path) -> None:
    sort_rows(tmp_path, [(0, 5, "A", "C", 0), (0, 4, "A", "C", 1)], budget=10, batch=1)
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_gives_nothing_out(tmp_path: Path) -> None:
    assert sort_rows(tmp_path, [], budget=10, batch=1) == ([], [])
    sort = ExternalSort(tmp_path)
    sort.add(table_of([]))
    assert list(sort.sorted_tables()) == []


def test_repeats_are_rows_that_name_the_same_variant_as_the_one_before() -> None:
    rows = [(0, 5, "A", "C", 0), (0, 5, "A", "C", 3), (0, 5, "A", "C", 4), (0, 5, "A", "G", 1), (1, 5, "A", "G", 2)]
    assert repeats_of_previous(table_of(rows)).tolist() == [False, True, True, False, False]
