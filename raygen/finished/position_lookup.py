"""What a position table says of alleles: numbers for those that it holds, and why there are none for the others.

    table = raygen.open_table("table")
    table.lookup(variants)                      # an Arrow table or a polars frame with chrom, pos, ref, alt

In: alleles in any order, repeated or not. Out: a row for each, in their order. No reference is needed: the table has its bases. An allele
whose REF has more bases and which changes one of them is looked up where it changes it, as ``ingest`` would trim it.

Shapes:  N alleles   R rows of the table
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import (
    BASES,
    changes_schema,
    delta_columns,
    delta_names,
    deltas_of,
    flag_lists,
)
from raygen.tables.schemas import NOT_SCORED, Reason
from raygen.variants.alleles import first_bytes
from raygen.variants.contig_names import resolve_contig
from raygen.variants.parquet import is_text, plain
from raygen.variants.single_base import REASONS, UPPER, WHY, SingleBases, single_bases

if TYPE_CHECKING:
    import polars as pl

_ROWS_AT_ONCE = 1 << 18
"""Alleles for which rows of the table are in memory: some 10 MB."""
_LETTERS = np.frombuffer("".join(BASES).encode(), np.uint8)
_CODE = np.full(256, -1, np.int8)
_CODE[_LETTERS] = np.arange(len(BASES))


@dataclass(frozen=True)
class PositionHits:
    """What a table says of N alleles.

    Attributes:
        held: (N,) bool, whether the table has a number for the allele.
        base: (N,) uint8, the reference's base at the position in ASCII; 0 where the position is not in the table.
        delta: (N,) float32, NaN where none is held; ``delta_fwd`` and ``delta_rev`` of each strand, None where the table has one.
        entropy: (N,) float32, NaN where none is held.
        flags: (N,) uint16, bitmap of ``position_table.FLAGS``.
    """

    held: np.ndarray
    base: np.ndarray
    delta: np.ndarray
    delta_fwd: np.ndarray | None
    delta_rev: np.ndarray | None
    entropy: np.ndarray
    flags: np.ndarray

    @classmethod
    def nothing(cls, num_alleles: int, both_strands: bool) -> PositionHits:
        """No number for any allele."""
        numbers = [np.full(num_alleles, np.nan, np.float32) for _ in range(4 if both_strands else 2)]
        forward, reverse = numbers[2:] or (None, None)
        is_held, base = np.zeros(num_alleles, bool), np.zeros(num_alleles, np.uint8)
        return cls(is_held, base, numbers[0], forward, reverse, numbers[1], np.zeros(num_alleles, np.uint16))

    def taken(self, rows: np.ndarray) -> PositionHits:
        """What is known of some of the alleles."""
        forward, reverse = (None if delta is None else delta[rows] for delta in (self.delta_fwd, self.delta_rev))
        numbers = (self.delta[rows], forward, reverse, self.entropy[rows])
        return PositionHits(self.held[rows], self.base[rows], *numbers, self.flags[rows])

    def put(self, rows: np.ndarray, hits: PositionHits) -> None:
        """Put what is known of some alleles into their rows."""
        for name, values in vars(hits).items():
            if values is not None:
                getattr(self, name)[rows] = values


@dataclass(frozen=True)
class Matched:
    """What a table says of N alleles as a file has them.

    Attributes:
        hits: of each allele where it changes a base.
        contig: (N,) int32, which of the table's contigs; -1 for none.
        pos, ref, alt: (N,) that place and change, as ``SingleBases`` has them.
        why: (N,) uint8, 0 where the table has a number, else the number of the reason in ``REASONS``, from 1 on.
    """

    hits: PositionHits
    contig: np.ndarray
    pos: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    why: np.ndarray

    def taken(self, rows: np.ndarray) -> Matched:
        """The same of some of the alleles."""
        columns = (values[rows] for values in (self.contig, self.pos, self.ref, self.alt, self.why))
        return Matched(self.hits.taken(rows), *columns)


class PositionTable:
    """A position table to look alleles up in; open it with ``raygen.open_table``.

    Attributes:
        fingerprint, reference_digest: what made the table's numbers, and of which reference.
        contigs: the contigs that have rows in it.
        has_both_strands: whether it says each strand's deltas, too.
        schema: the columns of what ``lookup`` returns.
    """

    def __init__(self, path: str) -> None:
        self.rows = PositionRows(path)
        self.path = path
        self.fingerprint = self.rows.identity.fingerprint
        self.reference_digest = self.rows.identity.reference_digest
        self.contigs = self.rows.contigs
        self.has_both_strands = self.rows.has_both_strands
        columns = [column for column in changes_schema(self.has_both_strands) if column.name != "variant_id"]
        self.schema = pa.schema([*columns, ("missing", pa.string())])
        self._columns = ["pos", "ref", *delta_columns(self.has_both_strands), "entropy", "flags"]
        self._contig_by_name: dict[str | None, int] = {}

    def lookup(self, variants: pa.Table | pl.DataFrame) -> pa.Table:
        """The table's numbers for variants.

        Args:
            variants: an Arrow table or a polars frame (or a pandas frame) with ``chrom, pos, ref, alt`` as a VCF has them, one ALT a row, in
                any order. ``chr1`` is ``1``, ``MT`` is ``chrM``, letters may be small. A file is read first: with
                ``pyarrow.parquet.read_table``, say; a VCF is looked up by ``raygen query TABLE --vcf FILE``.

        Returns:
            A row for each variant, in their order: ``chrom, pos, ref, alt`` as they came, ``delta_llr`` in nats (float32), with both strands
            ``delta_fwd`` and ``delta_rev``, ``entropy`` and ``flags``. They are null where the table has no number, and ``missing`` says why:
            ``not_scored`` (the position is not in the table), ``ref_mismatch`` (the reference has another base there), ``unknown_contig``,
            ``not_snv`` (an indel, say), or a reason of ``raygen ingest``. Where there is a number ``missing`` is null.

        Raises:
            InputError: a column is missing or of another type, or a file of the table is damaged.
            SettingsError: ``variants`` are no table.
        """
        alleles = _alleles(variants)
        pos = alleles["pos"].fill_null(0).to_numpy()
        chrom, ref, alt = (alleles[name].combine_chunks() for name in ("chrom", "ref", "alt"))
        matched = self.match(chrom, ref, alt, pos)
        why = np.where(alleles["pos"].is_null(), WHY[Reason.MALFORMED_RECORD], matched.why)
        reasons = pa.DictionaryArray.from_arrays(pa.array(why.astype(np.int8) - 1, mask=why == 0), pa.array(REASONS))
        columns = [*alleles.columns, *number_columns(matched.hits), reasons.cast(pa.string())]
        return pa.table(columns, schema=self.schema)

    def match(self, chrom: pa.Array, ref: pa.StringArray, alt: pa.StringArray, pos: np.ndarray) -> Matched:
        """What the table says of N alleles as a file has them, of any contigs.

        Args:
            chrom, ref, alt: (N,) text; ``chrom`` may be a dictionary of it.
            pos: (N,) int64, 1-based.
        """
        snvs = single_bases(pos, ref, alt)
        contig, why = self._contigs_of(chrom), snvs.why
        why[(snvs.pos < 1) & (why == 0)] = WHY[Reason.OUT_OF_BOUNDS]
        why[contig < 0] = WHY[Reason.UNKNOWN_CONTIG]
        hits = PositionHits.nothing(len(pos), self.has_both_strands)
        for number, rows in _by_contig(contig, np.flatnonzero(why == 0)):
            hits.put(rows, self.hits_at(self.contigs[number], snvs.pos[rows], snvs.ref[rows], snvs.alt[rows]))
        is_other_base = (hits.base != 0) & (hits.base != snvs.ref)
        if len(differing := self._with_other_flanks(contig, snvs)):
            hits.put(differing, PositionHits.nothing(len(differing), self.has_both_strands))
            is_other_base[differing] = True
        without = np.where(is_other_base, WHY[Reason.REF_MISMATCH], WHY[NOT_SCORED])
        why = np.where((why == 0) & ~hits.held, without, why).astype(np.uint8)
        return Matched(hits, contig, snvs.pos, snvs.ref, snvs.alt, why)

    def hits_at(self, chrom: str, pos: np.ndarray, ref: np.ndarray, alt: np.ndarray) -> PositionHits:
        """What the table says of N single-base changes on one contig.

        Args:
            chrom: the table's own name; of another one nothing is held.
            pos: (N,) 1-based, in any order.
            ref, alt: (N,) uint8 ASCII, of either case.

        Raises:
            InputError: a file of the table is damaged.
        """
        pos = np.asarray(pos, np.int64)
        hits = PositionHits.nothing(len(pos), self.has_both_strands)
        order = np.arange(len(pos)) if bool((pos[1:] >= pos[:-1]).all()) else np.argsort(pos, kind="stable")
        for start in range(0, len(pos), _ROWS_AT_ONCE):
            rows = order[start : start + _ROWS_AT_ONCE]
            table = self.rows.rows_at(chrom, pos[rows], self._columns)
            if len(table):
                hits.put(rows, self._hits_in(table, pos[rows], UPPER[ref[rows]], _CODE[UPPER[alt[rows]]]))
        return hits

    def contig_of(self, name: str | None) -> str | None:
        """The table's contig that a file's name means; None where it has none."""
        number = self._contig_number(name)
        return None if number < 0 else self.contigs[number]

    def _hits_in(self, table: pa.Table, pos: np.ndarray, ref: np.ndarray, alt_code: np.ndarray) -> PositionHits:
        """What R rows of the table say of N changes at ascending positions."""
        table_pos = table["pos"].to_numpy()
        place = np.minimum(np.searchsorted(table_pos, pos), len(table_pos) - 1)
        table_base, _ = first_bytes(table["ref"].combine_chunks())
        base = np.where(table_pos[place] == pos, table_base[place], 0).astype(np.uint8)
        is_change = (base == ref) & (base != 0) & (alt_code >= 0)
        delta = np.where(is_change, deltas_of(table)[place, alt_code], np.float32(np.nan))
        is_held = ~np.isnan(delta)
        strands = [
            np.where(is_held, deltas_of(table, name)[place, alt_code], np.float32(np.nan))
            for name in delta_names(self.has_both_strands)[1:]
        ]
        forward, reverse = strands or (None, None)
        entropy = np.where(is_held, table["entropy"].to_numpy()[place], np.float32(np.nan))
        flags = np.where(is_held, table["flags"].to_numpy()[place], 0).astype(np.uint16)
        return PositionHits(is_held, base, delta, forward, reverse, entropy, flags)

    def _contigs_of(self, chrom: pa.StringArray) -> np.ndarray:
        """(N,) int32: which of the table's contigs each name means, -1 for none."""
        encoded = chrom.dictionary_encode() if not pa.types.is_dictionary(chrom.type) else chrom
        numbers = [self._contig_number(name) for name in encoded.dictionary.to_pylist()]
        return np.array([*numbers, -1], np.int32)[encoded.indices.fill_null(-1).to_numpy()]

    def _contig_number(self, name: str | None) -> int:
        if name not in self._contig_by_name:
            contig = resolve_contig(name, self.contigs) if name else None
            self._contig_by_name[name] = -1 if contig is None else self.contigs.index(contig)
        return self._contig_by_name[name]

    def _with_other_flanks(self, contig: np.ndarray, snvs: SingleBases) -> np.ndarray:
        """The rows of alleles of which REF differs from the table's bases beside the one that changes."""
        flanks = snvs.flanks
        differing = []
        for number, places in _by_contig(contig[flanks.row], np.flatnonzero(contig[flanks.row] >= 0)):
            letters = flanks.letter[places]
            base = self.hits_at(self.contigs[number], flanks.pos[places], letters, letters).base
            differing.append(flanks.row[places[(base != 0) & (base != letters)]])
        return np.unique(np.concatenate([np.zeros(0, np.int64), *differing]))


def open_table(path: str) -> PositionTable:
    """Open a position table of ``raygen tabulate``, in a folder of this machine or on object storage.

    Raises:
        InputError: there is no such folder, or it is no position table.
    """
    return PositionTable(str(path))


def number_columns(hits: PositionHits) -> list[pa.Array]:
    """``delta_llr``, ``delta_fwd`` and ``delta_rev`` where there are any, ``entropy`` and ``flags``; null where nothing is held."""
    numbers = [hits.delta, hits.delta_fwd, hits.delta_rev, hits.entropy]
    columns = [pa.array(values, mask=~hits.held) for values in numbers if values is not None]
    return [*columns, flag_lists(hits.flags, is_null=~hits.held)]


def _by_contig(contig: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each contig among some rows, and those of them that are on it, in their order."""
    of_rows = contig[rows]
    if len(rows) and bool((of_rows == of_rows[0]).all()):
        yield int(of_rows[0]), rows
        return
    order = np.argsort(of_rows, kind="stable")
    numbers, starts = np.unique(of_rows[order], return_index=True)
    yield from zip(numbers.tolist(), np.split(rows[order], starts[1:]), strict=False)


def _alleles(variants: Any) -> pa.Table:
    """chrom, pos, ref and alt of a table of any library.

    Raises:
        SettingsError, InputError: as ``PositionTable.lookup``.
    """
    arrow_table = variants.to_arrow() if hasattr(variants, "to_arrow") else variants
    try:
        table = arrow_table if isinstance(arrow_table, pa.Table) else pa.table(arrow_table)
    except (pa.ArrowException, TypeError, ValueError):
        raise SettingsError(
            f"Give an Arrow table, a polars or a pandas frame, not {type(variants).__name__}."
        ) from None
    absent = [name for name in ("chrom", "pos", "ref", "alt") if name not in table.column_names]
    if absent:
        raise InputError(
            f"The variants lack the columns {', '.join(absent)}; they have {', '.join(table.column_names) or 'none'}."
        )
    return pa.table({name: _as_allele_column(table[name], name) for name in ("chrom", "pos", "ref", "alt")})


def _as_allele_column(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    wanted = pa.int64() if name == "pos" else pa.string()
    arrow_type = plain(column.type)
    is_number = pa.types.is_integer(arrow_type) or (name == "pos" and pa.types.is_floating(arrow_type))
    is_fit = is_number if name == "pos" else is_text(arrow_type) or (name == "chrom" and is_number)
    if is_fit or pa.types.is_null(arrow_type) or not len(column):
        try:
            return column.cast(wanted) if len(column) else pa.chunked_array([], wanted)
        except pa.ArrowInvalid:  # no whole number, or text that is no UTF-8
            pass
    raise InputError(
        f"The variants' {name} is {column.type}, and not each value is {'a whole number' if name == 'pos' else 'text'}."
    )
