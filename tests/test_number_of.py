"""One is not several."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from raygen.number_of import number_of
from raygen.pipeline.summary import print_summary
from raygen.tables.manifest import Counts


@pytest.mark.parametrize(("count", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows")])
def test_a_noun_has_the_form_of_its_number(count, words):
    assert number_of(count, "row") == words


def test_a_plural_of_its_own_is_given():
    assert [number_of(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


def test_the_summary_of_a_run_over_one_variant_speaks_of_one():
    counts = Counts(alleles_in=1, scored=1, abstained=1, classes={"benign": 1}, flags={"short_window": 1})
    run = SimpleNamespace(
        counts=counts, output="out", manifest="m", tokens=1, scoring_seconds=0, seconds=0, warnings=()
    )
    console = Console(file=io.StringIO(), width=200)
    print_summary(run, console)
    said = console.file.getvalue()
    for words in ("flag short_window: 1 row\n", "abstained on: 1 row\n", "1 allele in = 1 scored + 0 rejected"):
        assert words in said
