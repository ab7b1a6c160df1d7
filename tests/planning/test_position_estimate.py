"""What a position table would cost is what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.planning.position_estimate import path_tokens
from raygen.sequence.windows import Window


@given(
    left=st.integers(0, 30),
    stride=st.integers(1, 20),
    start=st.integers(0, 120),
    length=st.integers(1, 90),
)
def test_tokens_of_an_interval_are_those_of_its_windows(left: int, stride: int, start: int, length: int) -> None:
    ends: dict[int, int] = {}  # of each window, by its start: the last base it is read to
    for base in range(start, start + length):
        window_start = max((base - left) // stride * stride, 0)
        ends[window_start] = base + 1
    window = Window(left, 1, "grid", stride)
    tokens = path_tokens({"1": [(start, start + length)]}, {"1": 10**9}, window, num_strands=1)
    assert tokens == sum(end - window_start for window_start, end in ends.items())


def test_a_genome_costs_two_tokens_a_base_and_strand_where_the_stride_is_what_is_read_before() -> None:
    lengths = {"1": 248_956_422, "2": 242_193_529}
    intervals = {name: [(0, length)] for name, length in lengths.items()}
    window = Window(4095, 1, "grid", 4095)
    tokens = path_tokens(intervals, lengths, window, num_strands=2)
    assert tokens / sum(lengths.values()) == pytest.approx(4, rel=0.02)  # 262,080 bases a tile: 1.2% at their edges
    assert path_tokens(intervals, lengths, Window(4095, 1), num_strands=1) == 4096 * sum(lengths.values())
