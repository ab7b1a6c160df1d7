"""The position table: what one model says of every single-base change of a genome, a row for each base.

    OUT/positions/chrom=.../part-<shard>.parquet     pos, ref, delta_A .. delta_T, entropy, flags
    OUT/rejects/, OUT/runs/                          as of every run

In all else it is a run's folder: committed shard by shard, found by listing, one fingerprint. A row holds what three rows of SCORES would
say: ``delta_<base>`` is the ``delta_llr`` of the change to that base, null where it is the reference's. Bases that are not A, C, G or T have
no row.

A genome has 3e9 bases, so numbers are float32 and bytes count. Sign and exponent of neighbouring numbers are alike and the rest is noise:
the four bytes of a number are stored apart (BYTE_STREAM_SPLIT). Positions follow each other, so their differences are stored.

In: rows as they are read. Out: what their columns say, as arrays.

Shapes:  R rows of the table
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.disk_errors import disk_errors
from raygen.tables.columns import string_lists
from raygen.tables.folder_kinds import POSITIONS_FOLDER, holds_positions
from raygen.tables.layout import RunFolder

BASES = ("A", "C", "G", "T")
ALTS = len(BASES) - 1
"""Single-base changes of a base."""
DELTAS = {"delta_llr": "", "delta_fwd": "_fwd", "delta_rev": "_rev"}
"""Columns of SCORES and the end of the names that they have here, one for each base: ``delta_fwd`` is ``delta_A_fwd`` to ``delta_T_fwd``."""
TOO_MANY_N = "too_many_n"
"""Flag of a position table alone: a score whose window has so many N is abstained on."""
FLAGS = ("short_window", "shifted_window", "n_in_window", TOO_MANY_N, "off_label_domain", "unvalidated_model")
"""The flags of a row, the first in the lowest bit; but for ``TOO_MANY_N`` those of SCORES, by the same names."""
KIND = "positions"
"""``kind`` in the manifest of a run over every base."""
ROW_GROUP_ROWS = 1 << 14
"""Of a lookup of one position as much is read: some 240 KB, 2 ms; with 2^16 rows 4 ms, for 0.3% fewer bytes."""
ZSTD_LEVEL = 3
"""Measured on 2^20 random rows: 14.5 bytes a base at 3, 14.6 at 1, 14.4 at 9, which takes twice as long; 16.3 where the bytes of a
number are not apart."""


def delta_columns(both_strands: bool) -> list[str]:
    """The names of the columns of deltas: of the row's own, and where both strands were read of each, too."""
    return [f"delta_{base}{DELTAS[name]}" for name in delta_names(both_strands) for base in BASES]


def delta_names(both_strands: bool) -> list[str]:
    """Those of ``DELTAS`` that a table of one strand or of both has."""
    return list(DELTAS) if both_strands else ["delta_llr"]


def positions_schema(both_strands: bool) -> pa.Schema:
    """The columns of a position table. ``delta_*`` in nats, ``entropy`` of the prediction at the base in nats, ``flags`` a bitmap of
    ``FLAGS``.
    """
    return pa.schema(
        [
            pa.field("chrom", pa.string()),
            pa.field("pos", pa.int64(), nullable=False),
            pa.field("ref", pa.string(), nullable=False),
            *(pa.field(name, pa.float32()) for name in delta_columns(both_strands)),
            pa.field("entropy", pa.float32()),
            pa.field("flags", pa.uint16(), nullable=False),
        ]
    )


def changes_schema(both_strands: bool) -> pa.Schema:
    """The columns of a table's single-base changes, a row each: those of SCORES that it has an answer for, and ``entropy``."""
    return pa.schema(
        [
            *(
                (name, pa.int64() if name == "pos" else pa.string())
                for name in ("variant_id", "chrom", "pos", "ref", "alt")
            ),
            *((name, pa.float32()) for name in (*delta_names(both_strands), "entropy")),
            ("flags", pa.list_(pa.string())),
        ]
    )


def has_both_strands(schema: pa.Schema) -> bool:
    """Whether the table says each strand's deltas, too."""
    return "delta_A_fwd" in schema.names


def flags_bitmap(masks: dict[str, np.ndarray], num_rows: int) -> np.ndarray:
    """Flags as numbers: (R,) uint16 from (R,) Booleans by flag.

    Raises:
        KeyError: a flag that is none of ``FLAGS``.
    """
    bits = {name: 1 << bit for bit, name in enumerate(FLAGS)}
    bitmap = np.zeros(num_rows, np.uint16)
    for name, mask in masks.items():
        bitmap |= np.where(mask, bits[name], 0).astype(np.uint16)
    return bitmap


def flags_of(bitmap: np.ndarray) -> dict[str, np.ndarray]:
    """(R,) Booleans by flag from (R,) numbers."""
    return {name: (bitmap >> bit) & 1 != 0 for bit, name in enumerate(FLAGS)}


def flag_lists(bitmap: np.ndarray, is_null: np.ndarray | None = None) -> pa.ListArray:
    """The flags that each of (R,) numbers stands for; null where (R,) ``is_null`` is true."""
    distinct = pa.array(bitmap, mask=is_null).dictionary_encode()
    masks = flags_of(distinct.dictionary.to_numpy())
    return string_lists(masks, len(distinct.dictionary)).take(distinct.indices)


def deltas_of(rows: pa.Table, name: str = "delta_llr", bases: Sequence[str] = BASES) -> np.ndarray:
    """(R, B) float32 in nats: the deltas of the changes to each of B ``bases``; NaN where there is none. ``name``: one of ``DELTAS``."""
    return np.stack([rows[f"delta_{base}{DELTAS[name]}"].to_numpy() for base in bases], axis=1)


def codes_of(letters: pa.ChunkedArray) -> np.ndarray:
    """(R,) which of BASES each text is, below 0 for none of them."""
    codes: np.ndarray = pc.fill_null(pc.index_in(letters, value_set=pa.array(BASES)), -1).to_numpy()
    return codes


class PositionFolder(RunFolder):
    """A run's folder whose table has a row for each base."""

    rows: ClassVar[str] = POSITIONS_FOLDER
    columns: ClassVar[pa.Schema] = positions_schema(both_strands=False)

    def write_manifest(self, run_id: str, manifest: Mapping[str, Any]) -> str:
        """Write a run's manifest and return its path. Before the first one comes the folder of rows, by which a position table is known
        (``folder_kinds``): a run that is killed early, or has no base to score, leaves a table without rows.
        """
        if not self.is_folder(self.rows):
            with disk_errors(self.path):
                if self._keeps_folders:
                    self._fs.create_dir(f"{self._root}/{self.rows}")
                else:  # a folder is there as long as a file is in it
                    self._publish(f"{self._root}/{self.rows}/.table", b"")
        return super().write_manifest(run_id, manifest)

    def written_as(self, schema: pa.Schema) -> dict[str, Any]:
        """Bytes of numbers apart, differences of positions, few and compressed row groups."""
        numbers = dict.fromkeys(
            (column.name for column in schema if pa.types.is_floating(column.type)), "BYTE_STREAM_SPLIT"
        )
        return {
            "compression": "zstd",
            "compression_level": ZSTD_LEVEL,
            "row_group_size": ROW_GROUP_ROWS,
            "use_dictionary": ["ref", "flags"],
            "column_encoding": {**numbers, "pos": "DELTA_BINARY_PACKED"},
        }


def table_folder(path: str) -> RunFolder:
    """The folder of a table at ``path``: of a position table, or of scores."""
    return PositionFolder(path) if holds_positions(path) else RunFolder(path)
