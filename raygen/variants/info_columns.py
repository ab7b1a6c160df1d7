"""Columns that ride along from a VCF to the table: QUAL, FILTER and INFO keys, typed by the header.

    Number=A       the allele's own value            Integer  int64
    Number=R       the allele's own value            Float    float64
    Number=1       the value                         String   string
    Flag           true or false                     Flag     bool
    anything else  one string, joined by commas

VCF floats are float32 in htslib; they become the float64 that reads the same (0.1 stays 0.1). A value that does not have as many
parts as the header promises is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

_TYPES = {"Integer": pa.int64(), "Float": pa.float64(), "String": pa.string(), "Character": pa.string()}


@dataclass(frozen=True)
class InfoColumn:
    """One column: where its values come from and what type they have. ``number`` is the header's, or ``QUAL``/``FILTER``."""

    name: str
    number: str | int
    type: pa.DataType

    def values(self, record: Any, num_alts: int) -> Sequence[Any]:
        """One value for each of the record's ``num_alts`` alleles."""
        if self.number == "QUAL":
            return [record.qual] * num_alts
        if self.number == "FILTER":
            return [";".join(record.filter) or None] * num_alts
        value = _info_value(record, self.name)
        if value is None or self.number == 0:
            return [value] * num_alts
        if self.number in ("A", "R"):
            skipped = 1 if self.number == "R" else 0
            is_whole = isinstance(value, tuple) and len(value) == num_alts + skipped
            return value[skipped:] if is_whole else [None] * num_alts
        if self.number == 1 and not isinstance(value, tuple):
            return [value] * num_alts
        if not pa.types.is_string(self.type):
            return [None] * num_alts
        return [_joined(value)] * num_alts


def info_columns(header: Any) -> dict[str, InfoColumn]:
    """The columns that a VCF header offers, by name."""
    columns = {
        "QUAL": InfoColumn("QUAL", "QUAL", pa.float64()),
        "FILTER": InfoColumn("FILTER", "FILTER", pa.string()),
    }
    for name, entry in header.info.items():
        columns.setdefault(name, InfoColumn(name, entry.number, _arrow_type(entry)))
    return columns


def to_arrow(values: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    """``values`` as an Arrow array; floats by way of the shortest text of the float32 that htslib holds."""
    if pa.types.is_float64(arrow_type):
        return pa.array(values, pa.float32()).cast(pa.string()).cast(pa.float64())
    return pa.array(values, arrow_type)


def _arrow_type(entry: Any) -> pa.DataType:
    if entry.type == "Flag" or entry.number == 0:
        return pa.bool_()
    return _TYPES.get(entry.type, pa.string()) if entry.number in ("A", "R", 1) else pa.string()


def _info_value(record: Any, name: str) -> Any:
    if name == "END":  # pysam keeps it out of record.info
        info = str(record).rstrip("\n").split("\t", 8)[7]
        text = dict(item.partition("=")[::2] for item in info.split(";")).get("END")
        return int(text) if text and text != "." else None
    return record.info.get(name)


def _joined(value: Any) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    return ",".join(
        "." if part is None else str(np.float32(part)) if isinstance(part, float) else str(part) for part in parts
    )
