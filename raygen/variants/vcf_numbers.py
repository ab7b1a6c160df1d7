"""Numbers of a VCF out of its text, as they are written there.

In: the first eight columns of a record's line. Out: for each ALT the value of QUAL or of an INFO key whose header says Integer or Float.

Why not htslib's: it holds an Integer in 32 bits, so that an RS of dbSNP above 2,147,483,647 is missing, reads ``1e3`` as 1, and holds a
Float in 32 bits, so that 1e-60 is 0. Here an Integer is an int64 and a Float a float64; a value that is no number, does not fit
or does not come in as many parts as the header promises is null, and counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import pyarrow as pa

_QUAL, _INFO = 5, 7
_WHOLE = re.compile(r"([+-]?)0*(\d{1,19})")  # more digits do not fit 64 bits, and Python refuses 5,000 of them
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)
_LARGEST = 2**63
_EXACT = 2**53


def whole_number(text: str) -> int | None:
    """The whole number that a text is, ``1e3`` and ``7.0`` too; None where it is none or needs more than 64 bits."""
    if match := _WHOLE.fullmatch(text):
        number = int(match[1] + match[2])
    else:
        value = float_number(text)
        if value is None or not value.is_integer() or abs(value) > _EXACT:
            return None
        number = int(value)
    return number if -_LARGEST <= number < _LARGEST else None


def float_number(text: str) -> float | None:
    """The float64 that a text is; None where it is none, or where float64 would make it infinite or 0."""
    match = _FLOAT.fullmatch(text)
    if not match:
        return None
    value = float(text)
    digits = match[1]
    is_lost = digits is not None and (math.isinf(value) or (value == 0 and digits.strip("0.") != ""))
    return None if is_lost else value


class TextNumbers:
    """One column of numbers that rides along.

    Args:
        number: the header's Number, or ``QUAL``.
        arrow_type: of the column; text where one value joins all parts.
    """

    def __init__(self, name: str, number: str | int, arrow_type: pa.DataType, type_in_header: str) -> None:
        self._name, self._number = name, number
        self._is_joined = pa.types.is_string(arrow_type)
        self._parse: Callable[[str], float | None] = whole_number if type_in_header == "Integer" else float_number
        self._kind = "whole number of 64 bits" if type_in_header == "Integer" else "number that float64 holds"
        self._pattern = re.compile(rb"(?:^|;)" + re.escape(name.encode()) + rb"=([^;]*)")
        self._num_lost = 0
        self._first_lost = ""

    def values(self, columns: Sequence[bytes], num_alts: int, record: int) -> Sequence[float | str | None]:
        """One value for each of the ``num_alts`` alleles of a record; ``record`` is its number.

        Raises:
            UnicodeDecodeError: the value is no UTF-8.
        """
        text = self._text(columns)
        if text in ("", "."):
            return [None] * num_alts
        if self._is_joined:
            return [text] * num_alts
        parts = text.split(",")
        values: list[float | None] = [None if part in ("", ".") else self._parse(part) for part in parts]
        if self._number in ("A", "R"):
            skipped = 1 if self._number == "R" else 0
            is_whole = len(parts) == num_alts + skipped
            parts = parts[skipped:]
            values = values[skipped:] if is_whole else [None] * num_alts
        else:
            is_whole = len(parts) == 1
            values = values * num_alts if is_whole else [None] * num_alts
        if not is_whole or any(
            value is None and part not in ("", ".") for value, part in zip(values, parts, strict=False)
        ):
            self._num_lost += 1
            self._first_lost = self._first_lost or f"{text!r} in record {record:,}"
        return values

    def _text(self, columns: Sequence[bytes]) -> str:
        if self._number == "QUAL":
            return columns[_QUAL].decode()
        match = self._pattern.search(columns[_INFO])
        return match[1].decode() if match else ""

    def remark(self, name: str) -> str | None:
        """A sentence about values of the file ``name`` that became null; None where there are none."""
        if not self._num_lost:
            return None
        parts = {"A": "one for each ALT", "R": "one for REF and each ALT"}.get(str(self._number), "a single one")
        records = f"{self._num_lost:,} record{'' if self._num_lost == 1 else 's'}"
        return (
            f"{name}: {self._name} is null in {records}, whose value is no {self._kind} or not {parts} "
            f"(the first: {self._first_lost})."
        )
