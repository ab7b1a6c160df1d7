"""One is not several."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from raygen.number_of import is_whole, number_of, three_places
from raygen.pipeline.summary import print_summary
from raygen.tables.manifest import Counts


@pytest.mark.parametrize(("count", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows")])
def test_a_noun_has_the_form_of_its_number(count, words):
    assert number_of(count, "row") == words


def test_a_plural_of_its_own_is_given():
    assert [number_of(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


def test_whole_numbers_are_those_of_python_and_numpy_and_no_truth_values():
    assert [is_whole(value) for value in (7, np.int32(7), True, np.True_, 7.0, "7", None)] == [True] * 2 + [False] * 5


def test_a_number_that_is_not_there_is_a_dash():
    assert [three_places(value) for value in (0.12345, None)] == ["0.123", "-"]


def test_the_summary_of_a_run_over_one_variant_speaks_of_one():
    counts = Counts(alleles_in=1, scored=1, abstained=1, classes={"benign": 1}, flags={"short_window": 1})
    run = SimpleNamespace(
        counts=counts, output="out", manifest="m", tokens=1, looked_up=False, scoring_seconds=0, seconds=0, warnings=()
    )
    console = Console(file=io.StringIO(), width=200)
    print_summary(run, console)
    said = console.file.getvalue()
    for words in ("flag short_window: 1 row\n", "abstained on: 1 row\n", "1 allele in = 1 scored + 0 rejected"):
        assert words in said
