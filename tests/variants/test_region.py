import pytest

from raygen.errors import InputError, SettingsError
from raygen.variants.region import MAX_REGION, parse_region
from tests.builders import InMemoryReference

REFERENCE = InMemoryReference({"1": "ACGT" * 5, "HLA-A*01:01:01:01": "ACGT" * 25, "long": "A" * (MAX_REGION + 1)})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:3-9", "1:3-9"),
        ("chr1:20-20", "1:20-20"),
        ("HLA-A*01:01:01:01:1-100", "HLA-A*01:01:01:01:1-100"),
        ("long:1-1,000,000", "long:1-1000000"),
    ],
)
def test_a_region_is_1_based_with_both_ends(text, said):
    assert str(parse_region(text, REFERENCE)) == said


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("1", SettingsError, "chrom:start-end"),
        ("1:5", SettingsError, "chrom:start-end"),
        ("1:,-,", SettingsError, "chrom:start-end"),
        ("1:9-3", SettingsError, "ends before it starts"),
        ("1:0-3", SettingsError, "the first base is 1"),
        ("long:1-1000001", SettingsError, "1,000,001 bases"),
        ("7:1-2", InputError, "no contig '7'"),
        ("1:15-21", InputError, "1 has 20 bases"),
    ],
)
def test_a_bad_region_is_refused_in_words(text, error, words):
    with pytest.raises(error, match=words):
        parse_region(text, REFERENCE)
