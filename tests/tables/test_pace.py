"""A run's pace stays small and keeps its shape."""

from itertools import pairwise

from raygen.tables.manifest import MAX_POINTS, Pace


def test_points_are_cumulative():
    pace = Pace()
    for seconds, scored in ((1.5, 10), (2.5, 5)):
        pace.add(scored, 100, seconds)
    assert pace.points == [(1.5, 10, 100), (2.5, 15, 200)]


def test_a_long_run_keeps_few_points_evenly_and_its_last_one():
    pace = Pace()
    for shard in range(1, 100_001):
        pace.add(4096, 10, float(shard))
    points = pace.points
    assert MAX_POINTS / 2 <= len(points) <= MAX_POINTS + 1
    assert points[-1] == (100_000.0, 4096 * 100_000, 1_000_000)
    steps = {round(after[0] - before[0]) for before, after in pairwise(points[:-1])}
    assert len(steps) == 1
