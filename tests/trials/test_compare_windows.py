import io

import numpy as np
import pytest
from rich.console import Console

from raygen.classes.rank_correlation import rank_correlation
from raygen.trials.compare_windows import as_json, compare_windows, print_comparison

BASELINE = np.array([-9.0, -4.0, -2.0, 0.0, 5.0])


def test_the_same_order_is_1_and_the_reverse_is_minus_1_whatever_the_scale():
    assert rank_correlation(BASELINE, np.exp(BASELINE)) == pytest.approx(1)
    assert rank_correlation(BASELINE, -(BASELINE**3)) == pytest.approx(-1)


def test_ties_share_a_rank():
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    ties, straight = np.array([0.0, 1, 1, 2]), np.array([0.0, 1, 2, 3])
    assert rank_correlation(ties, straight) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


@pytest.mark.parametrize("other", [[1, 1, 1], [np.nan, np.nan, 2.0]])
def test_a_correlation_that_is_not_defined_is_none(other):
    assert rank_correlation(np.array([1.0, 2, 3]), np.array(other, dtype=float)) is None


def test_windows_are_compared_with_the_first():
    half = np.array([-8.0, -2.0, -2.5, 0.5, np.nan])
    first, second = compare_windows(["a", "b"], [BASELINE, half], [1000, 250], [4.0, 2.0])
    assert (first.rank_correlation, first.class_agreement, first.times_cheaper) == (pytest.approx(1), 1, 1)
    assert second.rank_correlation == pytest.approx(0.8)
    assert second.class_agreement == 0.75  # -4 is likely pathogenic and -2 is vus; the fifth has no score
    assert (second.tokens_per_variant, second.times_cheaper, second.seconds) == (50, 4, 2.0)


def test_the_table_says_what_the_json_holds():
    compared = compare_windows(["9+9", "9+3@4"], [BASELINE, BASELINE * 0.1], [1000, 10], [4.0, 2.0])
    console = Console(width=120, record=True, file=io.StringIO())
    print_comparison(compared, console)
    lines = console.export_text().splitlines()
    assert lines[1].split() == ["9+9", "baseline", "200", "4.0", "1.0"]
    assert lines[2].split() == ["9+3@4", "1.000", "20.0%", "2", "2.0", "100.0"]
    written = as_json(compared, {"model": "demo"})
    assert (written["model"], written["baseline"]) == ("demo", "9+9")
    assert written["windows"][1]["class_agreement"] == 0.2
