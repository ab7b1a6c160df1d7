import numpy as np
import pytest

from raygen.classes.contexts import NO_CONTEXT, ContextSums, change_codes, context_codes, context_names
from raygen.sequence.tokens import reverse_complement


def contig(text):
    return np.frombuffer(text.encode(), np.uint8)


def codes(text, changes, is_circular=False):
    pos, alts = [pos for pos, _ in changes], [ord(alt) for _, alt in changes]
    return context_codes(contig(text), np.array(pos), np.array(alts, np.uint8), is_circular)


def test_a_context_is_two_bases_on_each_side():
    (code,) = codes("TTACGTT", [(4, "T")])
    fives, alts = context_names()
    place = change_codes().tolist().index(code)
    assert (fives[place], alts[place]) == ("TACGT", "T")
    assert len(fives) == 3072


@pytest.mark.parametrize(
    ("text", "change"),
    [("ACGTACG", (2, "A")), ("ACGTACG", (6, "A")), ("ACNTACG", (4, "A")), ("ACGTACG", (4, "T")), ("ACGTACG", (4, "N"))],
    ids=["at the start", "at the end", "beside an N", "no change", "to an N"],
)
def test_where_no_context_is_known_there_is_none(text, change):
    assert codes(text, [change]).tolist() == [NO_CONTEXT]


def test_a_circular_contig_goes_on_at_its_start():
    assert codes("CGTTTTA", [(1, "A")], is_circular=True) == codes("TACGTTT", [(3, "A")])


def test_a_change_and_the_same_on_the_other_strand_have_one_expectation():
    bases = np.random.default_rng(0).choice(contig("ACGT"), 4000)
    pos, alts = np.arange(1, 4001), np.random.default_rng(1).choice(contig("ACGT"), 4000)
    forward = context_codes(bases, pos, alts)
    turned = context_codes(
        reverse_complement(bases), 4001 - pos, np.array([reverse_complement(alts[[n]])[0] for n in range(4000)])
    )
    sums = ContextSums.of(forward, np.random.default_rng(2).normal(size=4000))
    np.testing.assert_array_equal(sums.expected_of(forward), sums.expected_of(turned))
    np.testing.assert_allclose(
        ContextSums.of(turned, np.ones(4000)).expected, ContextSums.of(forward, np.ones(4000)).expected
    )


def test_contexts_with_few_sites_are_shrunk_towards_their_three_bases_as_written():
    """TACGT>T at three sites with delta -1; TACGA>T, of the same 3-mer ACG, at one with -5; both once on the other strand, too."""
    first, other = codes("TACGT", [(3, "T")])[0], codes("TACGA", [(3, "T")])[0]
    on_the_other_strand = codes("ACGTA", [(3, "A")])[0]
    sums = ContextSums.of(
        np.array([first, first, on_the_other_strand, other, NO_CONTEXT]), np.array([-1.0, -1, -1, -5, 99])
    )
    mean_of_all = -8 / 4
    of_three = (-8 + 20 * mean_of_all) / (4 + 20)
    assert sums.expected[first] == sums.expected[on_the_other_strand] == pytest.approx((-3 + 20 * of_three) / (3 + 20))
    assert sums.expected[other] == pytest.approx((-5 + 20 * of_three) / (1 + 20))
    unseen = codes("GGTCC", [(3, "A")])[0]
    assert sums.expected[unseen] == pytest.approx(mean_of_all)
    assert sums.num_changes == 4
    assert sums.spread[first] == 0
    assert np.isnan(sums.spread[other])


def test_many_sites_say_what_they_are():
    code = codes("TACGT", [(3, "T")])
    deltas = np.random.default_rng(0).normal(-2, 0.5, 100_000)
    sums = ContextSums.of(np.repeat(code, 100_000), deltas)
    assert sums.expected[code[0]] == pytest.approx(deltas.mean(), abs=1e-4)
    assert sums.spread[code[0]] == pytest.approx(deltas.std(ddof=1), rel=1e-3)


def test_sums_are_the_same_in_any_order():
    random = np.random.default_rng(0)
    some, deltas = random.integers(0, 4096, 5000), random.normal(size=5000)
    parts = [ContextSums.of(some[part], deltas[part]) for part in np.array_split(np.arange(5000), 7)]
    one, other = ContextSums.sum_of(parts), ContextSums.sum_of(parts[::-1])
    for left, right in zip(one.arrays, other.arrays, strict=True):
        np.testing.assert_array_equal(left, right)
