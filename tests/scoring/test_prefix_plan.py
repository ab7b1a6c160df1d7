import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.scoring.prefix_plan import cut_stops, first_difference, make_walk, pair_tokens, plan_walks


def tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def plan(wts, muts, keys, has_bos=True, max_reread=0, max_rows=100):
    return plan_walks([tokens(wt) for wt in wts], [tokens(mut) for mut in muts], keys, has_bos, max_reread, max_rows)


def test_stops_are_the_fewest_that_serve_every_depth():
    assert cut_stops([5, 5, 9, 30, 12], 0) == [5, 9, 12, 30]
    assert cut_stops([5, 5, 9, 30, 12], 4) == [5, 12, 30]
    assert cut_stops([5, 5, 9, 30, 12], 100) == [5]
    assert cut_stops([], 3) == []


def test_alleles_of_a_site_share_one_path():
    (walk,) = plan(["ACGTACGT"] * 3, ["ACGTCCGT", "ACGTGCGT", "ACGTTCGT"], ["site"] * 3)
    (family,) = walk.families
    assert family.path_read == 8
    assert [(branch.leaves, branch.num_read) for branch in family.branches] == [(4, 4)] * 3
    assert walk.stops == (4, 8)
    assert walk.num_tokens == 8 + 3 * 4


def test_neighbours_of_a_window_share_it_up_to_where_each_ends():
    (walk,) = plan(["ACGTAC", "ACGTACGT"], ["ACTTAC", "ACGTACCT"], ["window"] * 2)
    (family,) = walk.families
    assert family.path_read == 8
    assert [(branch.leaves, branch.num_read) for branch in family.branches] == [(2, 4), (6, 2)]


def test_a_branch_may_leave_early_and_read_shared_tokens_again():
    (walk,) = plan(["ACGTACGT"] * 2, ["AAGTACGT", "ACGTACTT"], ["window"] * 2, max_reread=5)
    assert walk.stops == (1, 8)
    assert [(branch.leaves, branch.num_read) for branch in walk.families[0].branches] == [(1, 7), (1, 7)]


def test_without_bos_a_branch_leaves_one_token_sooner_and_the_first_base_is_not_counted():
    (walk,) = plan(["ACGT", "ACGT"], ["ACCT", "TCGT"], ["a", "a"], has_bos=False)
    assert walk.families[0].path_read == 3
    assert [(branch.leaves, branch.num_read) for branch in walk.families[0].branches] == [(1, 2), (0, 3)]


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


@given(inputs(), st.booleans(), st.integers(0, 40), st.integers(1, 3))
def test_every_difference_is_read_after_the_stop_at_which_its_branch_leaves(
    given_inputs, has_bos, max_reread, max_rows
):
    wts, muts, keys = given_inputs
    walks = plan(wts, muts, keys, has_bos, max_reread, max_rows)
    assert sorted(pair for walk in walks for family in walk.families for pair in family.pairs) == list(range(len(wts)))
    for walk in walks:
        assert list(walk.stops) == sorted(set(walk.stops))
        for family in walk.families:
            for branch in family.branches:
                latest = max(branch.first_difference - (0 if has_bos else 1), 0)
                assert latest - max_reread <= branch.leaves <= latest
                assert branch.leaves in walk.stops
                assert branch.first_difference == first_difference(tokens(wts[branch.pair]), tokens(muts[branch.pair]))


@given(inputs(), st.booleans())
def test_a_plan_without_rereading_never_costs_more_than_two_passes(given_inputs, has_bos):
    wts, muts, keys = given_inputs
    walks = plan(wts, muts, keys, has_bos, max_rows=1)
    full = pair_tokens([tokens(wt) for wt in wts], [tokens(mut) for mut in muts], has_bos)
    assert sum(walk.num_tokens for walk in walks) <= full


@given(inputs())
def test_a_walk_can_be_made_again_from_its_families(given_inputs):
    for walk in plan(*given_inputs, max_reread=3):
        assert make_walk(walk.families, 3).stops == walk.stops
