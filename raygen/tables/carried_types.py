"""Types of the columns that ride along from the input to the scores: which there are, and which holds the values of two.

Carried are true/false, numbers, text, dates and times, and lists of these: what every format of ``export`` can write. What else a
Parquet file can hold (structs, maps, bytes, durations, lists of lists) is refused when the input is opened.

A table declares one type a column, and all its files have it, because other tools take the types of the first file for those of
all. Where an input brings another type, the wider of the two holds, by one rule:

    null            anything: no value was there yet
    whole number    a wider whole number, or float64 (a value that float64 does not hold exactly is refused)
    float32         float64
    a list          a list whose items are wider, by the same rule

No other type becomes another one: text stays text, so that 007 never is 7.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

CARRIED_KINDS = "true/false, numbers, text, dates, times, and lists of these"
"""What can be carried, in words."""
_AS_THEY_ARE = (
    *(pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.date32()),
)
_STORED_AS = {
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.date64(): pa.date32(),
    pa.time32("s"): pa.time32("ms"),
}
_MOST_DIGITS = 38  # of a decimal number in 128 bits, the most that Iceberg, Spark and DuckDB hold


def carried_as(arrow_type: pa.DataType) -> pa.DataType | None:
    """The type that a column of the input is carried as; None where it cannot be carried."""
    if pa.types.is_dictionary(arrow_type):
        return carried_as(arrow_type.value_type)
    if _is_list(arrow_type):
        items = None if _is_list(arrow_type.value_type) else carried_as(arrow_type.value_type)
        return None if items is None else pa.list_(items)
    if pa.types.is_decimal(arrow_type):
        is_small = arrow_type.precision <= _MOST_DIGITS
        return pa.decimal128(arrow_type.precision, arrow_type.scale) if is_small else None
    if pa.types.is_timestamp(arrow_type):
        return pa.timestamp("ms", arrow_type.tz) if arrow_type.unit == "s" else arrow_type
    is_plain = arrow_type in _AS_THEY_ARE or pa.types.is_time(arrow_type)
    return _STORED_AS.get(arrow_type, arrow_type if is_plain else None)


def widened(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type, of those that ``carried_as`` gives, that holds the values of both; None where there is none."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if pa.types.is_list(first) and pa.types.is_list(second):
        items = widened(first.value_type, second.value_type)
        return None if items is None else pa.list_(items)
    if pa.types.is_integer(first) and pa.types.is_integer(second):
        return _wider_integer(first, second)
    return pa.float64() if _is_number(first) and _is_number(second) else None


def is_as_wide(arrow_type: pa.DataType, other: pa.DataType) -> bool:
    """Whether a type that can be carried holds all values of another one; one that cannot holds its own alone."""
    wide, narrow = carried_as(arrow_type), carried_as(other)
    return arrow_type == other if wide is None or narrow is None else widened(wide, narrow) == wide


def _wider_integer(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    if pa.types.is_signed_integer(first) == pa.types.is_signed_integer(second):
        return max(first, second, key=lambda integer: integer.bit_width)
    signed, unsigned = (first, second) if pa.types.is_signed_integer(first) else (second, first)
    bits = max(signed.bit_width, 2 * unsigned.bit_width)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits)


def _is_number(arrow_type: pa.DataType) -> bool:
    return pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type)


def _is_list(arrow_type: pa.DataType) -> bool:
    return isinstance(
        arrow_type, pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType
    )


def types_as_text(types: Mapping[str, pa.DataType]) -> str:
    """Columns and their types as a folder of scores names them: ``af: double, gene: string``."""
    return ", ".join(f"{name}: {carried_as(arrow_type) or arrow_type}" for name, arrow_type in types.items())


def other_types(types: Mapping[str, pa.DataType], expected: Mapping[str, pa.DataType]) -> list[str]:
    """What differs between the columns of a file and those of its table, each as the middle of a sentence.

    ``af: string here, double in the table``; nothing where both can be read as one.
    """
    faults = [f"no column {name}" for name in expected if name not in types]
    faults += [f"a column {name}, which the table does not have" for name in types if name not in expected]
    return faults + [
        f"{name}: {types[name]} here, {expected[name]} in the table"
        for name in types
        if name in expected
        and (carried_as(types[name]) or types[name]) != (carried_as(expected[name]) or expected[name])
    ]
