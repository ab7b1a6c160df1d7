"""Which types ride along, and which one holds the values of two."""

from itertools import permutations

import pyarrow as pa
import pytest

from raygen.tables.carried_types import carried_as, types_as_text, widened


@pytest.mark.parametrize(
    "arrow_type, expected",
    [
        (pa.int8(), pa.int8()),
        (pa.uint64(), pa.uint64()),
        (pa.float16(), pa.float32()),
        (pa.string_view(), pa.string()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.date64(), pa.date32()),
        (pa.timestamp("ns", "UTC"), pa.timestamp("ns", "UTC")),
        (pa.timestamp("s"), pa.timestamp("ms")),
        (pa.time32("s"), pa.time32("ms")),
        (pa.time64("ns"), pa.time64("ns")),
        (pa.decimal256(40, 2), None),
        (pa.decimal256(38, 2), pa.decimal128(38, 2)),
        (pa.list_(pa.int32(), 3), pa.list_(pa.int32())),
        (pa.list_view(pa.string_view()), pa.list_(pa.string())),
        (pa.large_list(pa.null()), pa.list_(pa.null())),
        (pa.list_(pa.list_(pa.int8())), None),
        (pa.list_(pa.struct([("a", pa.int8())])), None),
        (pa.struct([("a", pa.int8())]), None),
        (pa.map_(pa.string(), pa.int8()), None),
        (pa.binary(), None),
        (pa.binary(4), None),
        (pa.duration("s"), None),
    ],
    ids=str,
)
def test_what_every_format_can_write_is_carried_and_the_rest_is_not(arrow_type, expected):
    assert carried_as(arrow_type) == expected


@pytest.mark.parametrize(
    "first, second, expected",
    [
        (pa.null(), pa.string(), pa.string()),
        (pa.null(), pa.list_(pa.int8()), pa.list_(pa.int8())),
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int64(), pa.float32(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint32(), pa.int8(), pa.int64()),
        (pa.uint64(), pa.int64(), None),
        (pa.list_(pa.null()), pa.list_(pa.string()), pa.list_(pa.string())),
        (pa.list_(pa.int8()), pa.list_(pa.float64()), pa.list_(pa.float64())),
        (pa.list_(pa.int8()), pa.int8(), None),
        (pa.int64(), pa.string(), None),
        (pa.float64(), pa.string(), None),
        (pa.bool_(), pa.int8(), None),
        (pa.date32(), pa.string(), None),
    ],
    ids=str,
)
def test_the_wider_of_two_types_is_the_same_from_both_sides(first, second, expected):
    assert {widened(*pair) for pair in permutations((first, second))} == {expected}


def test_types_are_named_alike_whichever_way_they_were_stored():
    assert types_as_text({"af": pa.float64(), "gene": pa.large_string()}) == "af: double, gene: string"
    assert types_as_text({"x": pa.list_(pa.field("element", pa.int8()))}) == types_as_text({"x": pa.list_(pa.int8())})
