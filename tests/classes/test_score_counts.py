import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raygen.classes.score_counts import CountsBuilder, ScoreCounts, ends_of, steps_of

SCORES = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e4, 1e4, allow_nan=False))


def true_shares(counted, scores):
    return np.searchsorted(np.sort(counted), scores, side="right") / len(counted)


@pytest.mark.parametrize(
    "spread", [lambda random: random.normal(size=300_000) * 2, lambda random: -random.gamma(2, 3, 300_000)]
)
def test_a_share_is_too_large_by_at_most_the_stated_error_and_never_too_small(spread):
    counted, asked = spread(np.random.default_rng(1)), spread(np.random.default_rng(2))
    counts = ScoreCounts.of(counted)
    off = counts.shares(asked) - np.maximum(
        true_shares(counted.astype(np.float32), asked.astype(np.float32)), 1 / len(counted)
    )
    assert off.min() >= -1e-15
    assert off.max() <= counts.rank_error + 1e-12 <= 1e-4


def test_the_harmful_tail_is_told_apart_to_one_score():
    counted = np.random.default_rng(0).normal(size=1_000_000)
    lowest = np.sort(counted)[:20]
    assert ScoreCounts.of(counted).shares(lowest).tolist() == [rank / 1e6 for rank in range(1, 21)]


def test_equal_scores_count_as_harmful_as_each_other_and_what_lies_beyond_counts_as_one():
    counts = ScoreCounts.of(np.array([-3.0, -3.0, -1.0, 0.0]))
    shares = counts.shares(np.array([-50.0, -3.0, -2.0, -1.0, -0.0, 9.0, np.nan]))
    np.testing.assert_array_equal(shares, [0.25, 0.5, 0.5, 0.75, 1, 1, np.nan])


@given(st.lists(SCORES, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_parts_add_to_the_same_counts_in_any_order(parts, random):
    whole = ScoreCounts.of(np.concatenate(parts))
    random.shuffle(parts)
    builder = CountsBuilder()
    for part in parts:
        builder.add(part)
    for added in (ScoreCounts.sum_of(map(ScoreCounts.of, parts)), builder.counts()):
        np.testing.assert_array_equal(added.steps, whole.steps)
        np.testing.assert_array_equal(added.counts, whole.counts)


@given(SCORES, SCORES)
def test_steps_keep_the_order_of_scores_and_end_above_them(one, other):
    number = min(len(one), len(other))
    lower, higher = np.minimum(one[:number], other[:number]), np.maximum(one[:number], other[:number])
    assert (steps_of(lower) <= steps_of(higher)).all()
    assert (ends_of(steps_of(lower)) >= lower.astype(np.float32)).all()
    assert (steps_of(ends_of(steps_of(lower))) == steps_of(lower)).all()


def test_the_score_at_a_share_is_the_quantile_to_the_width_of_a_step():
    counted = np.random.default_rng(0).normal(size=10_000)
    counts = ScoreCounts.of(counted)
    for share in (1e-4, 0.01, 0.5, 1):
        assert counts.score_at(share) == pytest.approx(np.sort(counted)[int(share * 10_000) - 1], rel=1e-4)


def test_the_step_below_zero_ends_below_zero():
    step = steps_of(np.array([-1e-44]))
    assert ends_of(step)[0] < 0
    assert steps_of(np.array([0.0, -0.0])).tolist() == [step[0] + 1] * 2
