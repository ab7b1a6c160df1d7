import pytest

from raygen.tables.schemas import variant_ids
from raygen.trials.every_change import saturating_variants
from raygen.variants.region import Region
from tests.builders import InMemoryReference


def ids(bases, start, end, deletions=False):
    table = saturating_variants(Region("1", start, end), InMemoryReference({"1": bases}), deletions)
    stands_for = zip(table["first"].to_pylist(), table["last"].to_pylist(), strict=True)
    return dict(zip(variant_ids(table).to_pylist(), stands_for, strict=True))


def test_every_position_has_three_snvs_and_n_has_none():
    assert ids("ACNT", 2, 4) == {
        **{f"1-2-C-{alt}": (2, 2) for alt in "AGT"},
        **{f"1-4-T-{alt}": (4, 4) for alt in "ACG"},
    }


def deletions(bases, start, end):
    return {name: ends for name, ends in ids(bases, start, end, True).items() if len(name.split("-")[2]) == 2}


def test_a_run_of_one_base_has_one_deletion_that_stands_for_all_of_it():
    assert deletions("CAAAGT", 2, 5) == {"1-1-CA-C": (2, 4), "1-4-AG-A": (5, 5)}


def test_a_run_that_starts_before_the_region_is_deleted_at_its_left_end():
    assert deletions("CAAAGT", 4, 4) == {"1-1-CA-C": (4, 4)}


@pytest.mark.parametrize(("bases", "expected"), [("GGA", {"1-1-GG-G": (1, 2)}), ("GAC", {"1-1-GA-A": (1, 1)})])
def test_a_deletion_at_the_contigs_start_is_anchored_behind(bases, expected):
    assert expected.items() <= deletions(bases, 1, 2).items()


def test_a_deletion_that_needs_an_n_to_be_written_is_left_out():
    assert deletions("ACNGT", 2, 5) == {"1-1-AC-A": (2, 2), "1-4-GT-G": (5, 5)}


def test_a_contig_of_one_base_has_no_deletion():
    assert deletions("A", 1, 1) == {}
