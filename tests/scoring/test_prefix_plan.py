from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.scoring.prefix_plan import StopCost, cheapest_stops, first_difference, make_walk, pair_tokens, plan_walks


def tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def plan(wts, muts, keys, has_bos=True, stop_cost=0.0, max_rows=100, is_shared=False):
    cost = StopCost(stop_cost, is_shared)
    return plan_walks([tokens(wt) for wt in wts], [tokens(mut) for mut in muts], keys, has_bos, cost, max_rows)


def test_stops_are_as_many_as_they_are_worth():
    """Of branches that could leave at 5 (two), 9, 12 and 30: to read 4, 7 and 25 tokens again, or to stop there."""
    leaving = [(5, 2), (9, 1), (12, 1), (30, 1)]
    assert cheapest_stops(leaving, 0) == [5, 9, 12, 30]
    assert cheapest_stops(leaving, 3.5) == [5, 9, 30]  # 9 -> 12 reads three tokens again
    assert cheapest_stops(leaving, 12) == [5, 30]
    assert cheapest_stops(leaving, 100) == [5]
    assert cheapest_stops([], 3) == []


def cost_of(stops: tuple[int, ...], leaving: list[tuple[int, int]], stop_cost: float) -> float:
    rereads = [count * (depth - max(stop for stop in stops if stop <= depth)) for depth, count in leaving]
    return len(stops) * stop_cost + sum(rereads)


@given(
    st.dictionaries(st.integers(0, 60), st.integers(1, 5), min_size=1, max_size=9),
    st.one_of(st.integers(0, 60), st.floats(0, 60)),
)
def test_no_set_of_stops_costs_less(counts, stop_cost):
    leaving = sorted(counts.items())
    depths = [depth for depth, _ in leaving]
    tried = [(depths[0], *rest) for size in range(len(depths)) for rest in combinations(depths[1:], size)]
    least = min(cost_of(stops, leaving, stop_cost) for stops in tried)
    assert cost_of(tuple(cheapest_stops(leaving, stop_cost)), leaving, stop_cost) == pytest.approx(least)


def test_alleles_of_a_site_share_one_path_and_read_from_their_own_base_on():
    (walk,) = plan(["ACGTACGT"] * 3, ["ACGTCCGT", "ACGTGCGT", "ACGTTCGT"], ["site"] * 3)
    (family,) = walk.families
    assert family.path_read == 8
    assert [(branch.leaves, branch.num_read) for branch in family.branches] == [(5, 3)] * 3
    assert walk.num_tokens == 8 + 3 * 3


def test_a_substitution_at_the_end_reads_nothing():
    """The path's output there predicts every allele."""
    (walk,) = plan(["ACGT"] * 2, ["ACGA", "ACGC"], ["site"] * 2)
    assert [branch.num_read for branch in walk.families[0].branches] == [0, 0]
    assert walk.num_tokens == 4


def test_an_insertion_at_the_end_reads_the_last_shared_token_that_the_path_does_not():
    (walk,) = plan(["ACGT"], ["ACGTTA"], ["site"])
    assert [(branch.own_from, branch.num_read) for branch in walk.families[0].branches] == [
        (4, 2)
    ]  # T, and the first of TA


def test_neighbours_of_a_window_share_it_up_to_where_each_ends():
    (walk,) = plan(["ACGTAC", "ACGTACGT"], ["ACTTAC", "ACGTACCT"], ["window"] * 2)
    (family,) = walk.families
    assert family.path_read == 8
    assert [(branch.leaves, branch.num_read) for branch in family.branches] == [(3, 3), (7, 1)]


def test_a_branch_may_leave_early_and_read_shared_tokens_again():
    (walk,) = plan(["ACGTACGT"] * 2, ["AAGTACGT", "ACGTACTT"], ["window"] * 2, stop_cost=6)
    assert [(branch.leaves, branch.num_read) for branch in walk.families[0].branches] == [(2, 6), (2, 6)]


def test_families_stop_together_only_where_they_must():
    wts, muts = ["ACGTACGT", "CCGTACGT"], ["ACGAACGT", "CCGTAGGT"]
    (own,) = plan(wts, muts, "ab", stop_cost=10)
    assert [family.branches[0].leaves for family in own.families] == [4, 6]
    (shared,) = plan(wts, muts, "ab", stop_cost=10, is_shared=True)
    assert [family.branches[0].leaves for family in shared.families] == [4, 4]


def test_without_bos_a_branch_leaves_one_token_sooner_and_the_first_base_is_not_counted():
    (walk,) = plan(["ACGT", "ACGT"], ["ACCT", "TCGT"], ["a", "a"], has_bos=False)
    assert walk.families[0].path_read == 3
    assert [(branch.leaves, branch.num_read) for branch in walk.families[0].branches] == [(2, 1), (0, 3)]


def test_the_same_sequence_needs_no_branch():
    (walk,) = plan(["ACGT"], ["ACGT"], ["a"])
    assert walk.families[0].branches == ()
    assert walk.num_tokens == 4


def test_wts_of_a_key_that_do_not_begin_alike_are_refused():
    with pytest.raises(AssertionError, match="must begin alike"):
        plan(["ACGT", "TCGT"], ["ACGA", "TCGA"], ["a", "a"])


def test_a_walk_holds_no_more_families_than_asked():
    walks = plan(["ACGT"] * 5, ["ACGA"] * 5, range(5), max_rows=2)
    assert [len(walk.families) for walk in walks] == [2, 2, 1]


@st.composite
def inputs(draw):
    """Pairs in a few windows, each WT a prefix of its window's sequence."""
    wts, muts, keys = [], [], []
    for key in range(draw(st.integers(1, 4))):
        window = draw(st.text("ACGT", min_size=2, max_size=30))
        for _ in range(draw(st.integers(1, 5))):
            wt = window[: draw(st.integers(2, len(window)))]
            at = draw(st.integers(0, len(wt) - 1))
            wts.append(wt)
            muts.append((wt[:at] + draw(st.text("ACGT", min_size=1, max_size=4)) + wt[at + 1 :])[: len(wt)])
            keys.append(key)
    return wts, muts, keys


@given(inputs(), st.booleans(), st.integers(0, 40), st.integers(1, 3), st.booleans())
def test_every_difference_is_read_after_the_stop_at_which_its_branch_leaves(
    given_inputs, has_bos, stop_cost, max_rows, is_shared
):
    wts, muts, keys = given_inputs
    walks = plan(wts, muts, keys, has_bos, stop_cost, max_rows, is_shared)
    assert sorted(pair for walk in walks for family in walk.families for pair in family.pairs) == list(range(len(wts)))
    for branch in (branch for walk in walks for family in walk.families for branch in family.branches):
        wt, mut = tokens(wts[branch.pair]), tokens(muts[branch.pair])
        assert branch.first_difference == first_difference(wt, mut)
        assert branch.leaves <= branch.own_from <= branch.first_difference + has_bos
        end = len(mut) - (not has_bos)
        assert branch.leaves + branch.num_read == (end if branch.num_read else branch.own_from)
        assert branch.own_from - branch.leaves <= stop_cost  # else a stop there would cost less


@given(inputs(), st.booleans())
def test_a_plan_without_rereading_never_costs_more_than_two_passes(given_inputs, has_bos):
    wts, muts, keys = given_inputs
    walks = plan(wts, muts, keys, has_bos, max_rows=1)
    full = pair_tokens([tokens(wt) for wt in wts], [tokens(mut) for mut in muts], has_bos)
    assert sum(walk.num_tokens for walk in walks) <= full


@given(inputs())
def test_a_walk_can_be_made_again_from_its_families(given_inputs):
    for is_shared in (False, True):
        for walk in plan(*given_inputs, stop_cost=3, is_shared=is_shared):
            again = make_walk(walk.families, StopCost(3, is_shared))
            assert [family.branches for family in again.families] == [family.branches for family in walk.families]
