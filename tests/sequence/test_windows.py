import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.errors import SettingsError
from raygen.sequence.windows import StrandView, Window, mirror, place_windows
from tests.builders import random_bases


def as_bases(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def as_text(tokens: np.ndarray) -> str:
    return tokens.tobytes().decode()


def place_one(first, ref, alt, contig_length, window, circular=False):
    """One variant's (start, end, shifted, short)."""
    placed = place_windows(
        np.array([first]), np.array([len(ref)]), np.array([len(alt)]), contig_length, window, circular
    )
    return tuple(value.tolist()[0] for value in (placed.start, placed.end, placed.shifted, placed.short))


def window_pair(bases, first, ref, alt, window, strand="forward", circular=False):
    """WT and MUT as text, for a variant at 0-based ``first`` on the forward strand."""
    on_strand = first if strand == "forward" else len(bases) - first - len(ref)
    start, end, _, _ = place_one(on_strand, ref, alt, len(bases), window, circular)
    wt, mut = StrandView(as_bases(bases), strand, circular).pair(on_strand, ref, alt, start, end)
    return as_text(wt), as_text(mut)


def reverse_complement(text: str) -> str:
    return text.translate(str.maketrans("ACGTN", "TGCAN"))[::-1]


#           0123456789
CONTIG = "ACGTTGCAAC"


def test_snv_in_the_middle():
    assert window_pair(CONTIG, 5, "G", "C", Window(3, 2)) == ("GTTGC", "GTTCC")


def test_window_holds_left_bases_before_and_right_bases_from_the_variant_on():
    assert place_one(5, "G", "C", 10, Window(3, 2)) == (2, 7, False, False)


def test_deletion_reaches_further_right_so_that_lengths_are_equal():
    assert window_pair(CONTIG, 3, "TT", "T", Window(2, 3)) == ("CGTTG", "CGTGC")


def test_insertion_reaches_less_far():
    assert window_pair(CONTIG, 3, "T", "TAA", Window(2, 4)) == ("CGTTGC", "CGTAAT")


def test_insertion_longer_than_the_right_side_is_cut():
    assert window_pair(CONTIG, 3, "T", "TAAAA", Window(2, 3)) == ("CGTTG", "CGTAA")


def test_window_slides_at_the_start():
    assert place_one(1, "C", "A", 10, Window(3, 3)) == (0, 6, True, False)


def test_window_slides_at_the_end():
    assert place_one(9, "C", "A", 10, Window(3, 3)) == (4, 10, True, False)


def test_deletion_near_the_end_leaves_room_for_mut():
    assert window_pair(CONTIG, 6, "CAA", "C", Window(3, 3)) == ("GTTGCA"[-6:], "GTTGCC")


def test_contig_shorter_than_the_window_is_the_whole_contig():
    assert place_one(4, "T", "A", 10, Window(8, 8)) == (0, 10, False, True)


def test_circular_window_wraps_around_the_origin():
    assert window_pair(CONTIG, 0, "A", "G", Window(2, 3), circular=True) == ("ACACG", "ACGCG")
    assert window_pair(CONTIG, 9, "C", "G", Window(2, 3), circular=True) == ("AACAC", "AAGAC")


def test_circular_reverse_strand_is_the_reverse_complement():
    turned = reverse_complement(CONTIG)
    on_turned = window_pair(turned, 9, "T", "C", Window(2, 3), circular=True)
    assert window_pair(CONTIG, 0, "A", "G", Window(2, 3), "reverse", circular=True) == on_turned


def test_letters_other_than_acgt_are_read_as_n():
    view = StrandView(as_bases("ACRYMT"), "forward")
    assert as_text(view.read(0, 6)) == "ACNNNT"
    assert as_text(StrandView(as_bases("ACRYMT"), "reverse").read(0, 6)) == "ANNNGT"


GRID = Window(3, 2, "grid", 4)


def test_a_window_on_a_grid_starts_at_a_multiple_of_the_stride_with_enough_bases_before_the_variant():
    assert [place_one(first, "A", "C", 40, GRID)[:2] for first in (3, 6, 7, 11)] == [(0, 5), (0, 8), (4, 9), (8, 13)]


def test_a_window_on_a_grid_is_cut_at_the_ends_of_the_contig():
    assert place_one(1, "C", "A", 10, GRID) == (0, 3, True, False)
    assert place_one(9, "C", "A", 10, GRID) == (4, 10, True, False)
    assert place_one(2, "C", "A", 4, GRID) == (0, 4, False, True)


def test_a_deletion_on_a_grid_leaves_room_for_mut():
    assert window_pair(CONTIG, 6, "CAA", "C", GRID) == ("ACGTTGCA", "ACGTTGCC")


@pytest.mark.parametrize("stride", [None, 0, -3])
def test_a_grid_needs_a_stride(stride):
    with pytest.raises(SettingsError, match=r"window\.stride"):
        Window(3, 2, "grid", stride)


def test_a_stride_needs_a_grid():
    with pytest.raises(SettingsError, match="windows on a grid"):
        Window(3, 2, "variant", 4)


def test_window_refuses_nonsense():
    with pytest.raises(SettingsError, match="right at least 1"):
        Window(0, 0)


@st.composite
def variants(draw):
    """A contig, a variant on it and a window; sizes small enough to meet every edge."""
    bases = random_bases(draw(st.integers(2, 40)), draw(st.integers(0, 99)))
    first = draw(st.integers(0, len(bases) - 1))
    ref = bases[first : first + draw(st.integers(1, 6))]
    alt = draw(st.text("ACGT", min_size=1, max_size=6))
    stride = draw(st.sampled_from([None, 1, 5, 30]))
    window = Window(draw(st.integers(0, 20)), draw(st.integers(1, 20)), "grid" if stride else "variant", stride)
    return bases, first, ref, alt, window


@given(variants(), st.sampled_from(["forward", "reverse"]))
def test_both_sequences_have_the_same_length_and_share_what_precedes_the_variant(case, strand):
    bases, first, ref, alt, window = case
    wt, mut = window_pair(bases, first, ref, alt, window, strand)
    on_strand = first if strand == "forward" else len(bases) - first - len(ref)
    start, end, _, _ = place_one(on_strand, ref, alt, len(bases), window)
    assert len(wt) == len(mut) == end - start <= window.longest
    assert window.stride is None or start % window.stride == 0
    assert 0 <= start <= on_strand < end <= len(bases)
    assert wt[: on_strand - start] == mut[: on_strand - start]


@given(variants())
def test_mut_is_a_piece_of_the_mutated_contig(case):
    bases, first, ref, alt, window = case
    start, end, _, _ = place_one(first, ref, alt, len(bases), window)
    mutated = bases[:first] + alt + bases[first + len(ref) :]
    wt, mut = window_pair(bases, first, ref, alt, window)
    assert wt == bases[start:end]
    assert mut == mutated[start:end]


@given(variants())
def test_reverse_strand_is_the_same_definition_on_the_reverse_complement(case):
    bases, first, ref, alt, window = case
    turned, turned_first = reverse_complement(bases), len(bases) - first - len(ref)
    turned_pair = window_pair(turned, turned_first, reverse_complement(ref), reverse_complement(alt), window)
    assert window_pair(bases, first, ref, alt, window, "reverse") == turned_pair


@given(variants())
def test_circular_windows_never_slide(case):
    bases, first, ref, alt, window = case
    start, end, shifted, short = place_one(first, ref, alt, len(bases), window, circular=True)
    assert not shifted
    before = first - start
    if window.stride is None:
        assert short or (before == window.left and end == first + window.right)
    elif end - start < len(bases) - max(len(ref) - len(alt), 0):
        assert window.left <= before < window.left + window.stride
    wt, mut = window_pair(bases, first, ref, alt, window, circular=True)
    mutated = (bases[first + len(ref) :] + bases[:first]) * 20
    assert (wt[first - start :], len(wt)) == ((bases * 20)[first:][: end - first], end - start)
    assert mut[first - start :] == (alt + mutated)[: end - first]


def test_mirror_is_its_own_inverse():
    first, ref_length = np.array([0, 3, 9]), np.array([1, 2, 1])
    assert mirror(mirror(first, ref_length, 10), ref_length, 10).tolist() == [0, 3, 9]
