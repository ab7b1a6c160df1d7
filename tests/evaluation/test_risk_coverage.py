import polars as pl
import pytest

from raygen.evaluation.risk_coverage import risk_coverage


def frame(**more):
    """Eight variants, lower is pathogenic; -2 is called right by the cut -1, and so on; one positive lies at 3."""
    scores = [-9.0, -4, -2, 3, 0, 1, 2, -1.5]
    positive = [True, True, True, True, False, False, False, False]
    return pl.DataFrame({"score": scores, "positive": positive, **more})


def test_the_curve_of_a_hand_worked_example():
    """At -1: wrong are the positive at 3 (4 from the cut) and the negative at -1.5 (0.5 from it)."""
    found = risk_coverage(frame(), higher_is_positive=False, cut=-1.0)
    assert found.error == pytest.approx(2 / 8)
    points = [
        (round(point.coverage * 8), round(point.error * round(point.coverage * 8)), point.limit)
        for point in found.by_margin
    ]
    assert points == [(1, 0, 8.0), (2, 1, 4.0), (4, 1, 3.0), (5, 1, 2.0), (7, 1, 1.0), (8, 2, 0.5)]
    assert found.by_strands == [] and found.abstained is None


def test_without_a_cut_the_labels_choose_it():
    found = risk_coverage(frame(), higher_is_positive=False)
    assert (found.cut, found.cut_given) == (-2.0, False)
    assert found.error == pytest.approx(1 / 8)


def test_a_score_turned_around_gives_the_same_curve():
    turned = frame().with_columns(-pl.col("score"))
    found = risk_coverage(turned, higher_is_positive=True, cut=1.0)
    assert found.by_margin == risk_coverage(frame(), higher_is_positive=False, cut=-1.0).by_margin
    assert found.cut == 1.0


def test_strands_that_disagree_are_left_out_first():
    """The two that are wrong disagree most, so the error is 0 until they are called."""
    reverse = [-9.0, -4, -2, 23, 0, 1, 2, -21.5]
    both = frame(delta_fwd=frame()["score"], delta_rev=reverse)
    found = risk_coverage(both, higher_is_positive=False, cut=-1.0)
    assert [(point.coverage, point.error) for point in found.by_strands] == [(0.75, 0.0), (1.0, 0.25)]


def test_one_strand_alone_gives_no_curve_of_strands():
    one = frame(delta_fwd=frame()["score"], delta_rev=pl.Series([None] * 8, dtype=pl.Float64))
    assert risk_coverage(one, higher_is_positive=False).by_strands == []


def test_abstained_rows_are_one_point():
    found = risk_coverage(frame(abstained=[False] * 3 + [True] + [False] * 3 + [True]), False, cut=-1.0).abstained
    assert (found.num_abstained, found.coverage, found.error) == (2, 0.75, 0.0)
    everything = risk_coverage(frame(abstained=[True] * 8), False).abstained
    assert (everything.coverage, everything.error) == (0.0, None)
