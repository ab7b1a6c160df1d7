"""A variant typed on a command line."""

import pytest

from raygen.errors import InputError, SettingsError
from raygen.variants.region import parse_variant
from tests.builders import InMemoryReference

REFERENCE = InMemoryReference({"chr1": "ACAAAT", "HLA-A": "ACGT"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chr1-2-C-G", ("chr1", 2, "C", "G")),
        ("1-2-c-g", ("chr1", 2, "C", "G")),
        ("1-4-AA-A", ("chr1", 2, "CA", "C")),
        ("HLA-A-3-G-T", ("HLA-A", 3, "G", "T")),
        ("chr1:2:C:G", ("chr1", 2, "C", "G")),
        ("1:2C>G", ("chr1", 2, "C", "G")),
    ],
)
def test_it_is_found_on_the_reference_and_normalised(text, found):
    (row,) = parse_variant(text, REFERENCE).to_pylist()
    assert tuple(row.values()) == found


def test_a_ref_that_the_reference_does_not_hold_is_said_in_a_sentence():
    with pytest.raises(InputError, match=r"1-2-G-T: the variant says 'G', in-memory.fa has 'C' at chr1:2. Is it from"):
        parse_variant("1-2-G-T", REFERENCE)


@pytest.mark.parametrize("text", ["1-x-A-C", "2-A-C", "1:2:A:", "1-2--C", ""])
def test_what_is_no_variant_is_refused(text):
    with pytest.raises(SettingsError, match="Write chrom-pos-ref-alt"):
        parse_variant(text, REFERENCE)


@pytest.mark.parametrize(
    ("text", "words"), [("7-1-A-C", "no contig '7'"), ("1-9-A-C", "6 bases"), ("1-1-A-N", "only A, C, G and T")]
)
def test_what_cannot_be_scored_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        parse_variant(text, REFERENCE)
