"""``raygen query`` of a position table: its single-base changes by variant, region, gene or VCF.

In: a folder of ``raygen tabulate`` and what is asked for. Out: tables of rows, one a change, a part at a time, and sentences about what is
not there. The table says what the reference has, so no FASTA is needed; where it is at hand, it knows contigs and lengths, too.

A VCF is read and looked up a block ahead of what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pyarrow as pa

from raygen.finished.position_lookup import Matched, PositionHits, PositionTable, number_columns
from raygen.finished.query import Asked, PlaceQuery, Query, Variant, not_the_reference
from raygen.finished.run_facts import run_facts
from raygen.tables.layout import RunFolder
from raygen.tables.position_table import PositionFolder
from raygen.tables.schemas import NOT_SCORED, Reason, variant_ids
from raygen.tables.score_index import WINDOW_ROWS
from raygen.variants.single_base import NOT_SNV, REASONS

IN_WORDS = {NOT_SNV: "the table holds single-base changes only"}
"""Reasons that remarks say in a sentence."""
WINDOW_BASES = WINDOW_ROWS // 3
"""Bases of a region whose changes are in memory at a time."""

_Item = TypeVar("_Item")


def open_query(out: str, asked: Asked) -> PlaceQuery:
    """A query of what lies in the folder ``out``: of a position table, or of scores."""
    is_table = RunFolder(out).is_folder(PositionFolder.rows)
    return PositionQuery(out, asked) if is_table else Query(out, asked)


class PositionQuery(PlaceQuery):
    """A query of a position table."""

    def _open(self) -> None:
        self._positions = PositionTable(self.out)
        self.table = self._positions.rows
        self.facts = run_facts(self.table)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables."""
        of_lookup = [field for field in self._positions.schema if field.name != "missing"]
        of_run = [pa.field(name, pa.string()) for name in ("model", "fingerprint")]
        return pa.schema([pa.field("variant_id", pa.string()), *of_lookup, *of_run])

    def _of_variants(self) -> pa.Table:
        variants = list(dict.fromkeys(self._parsed(text) for text in self.asked.variants))
        columns = {
            name: pa.array([getattr(variant, name) for variant in variants], pa.string())
            for name in ("chrom", "ref", "alt")
        }
        matched = self._positions.match(**columns, pos=np.array([variant.pos for variant in variants], np.int64))
        for row in np.flatnonzero(matched.why).tolist():
            why = self._why_not(variants[row], REASONS[matched.why[row] - 1])
            self.remarks.append(f"{variants[row].text}: not scored here{why}")
        return self._rows_of(matched)

    def _of_vcf(self, vcf: str) -> Iterator[pa.Table]:
        from raygen.finished.position_vcf import AlleleSource  # htslib, for this alone

        source = AlleleSource(self._positions, vcf)
        for matched in _one_ahead(source.matched()):
            yield self._rows_of(matched)
        self._count_missing(source.missing, IN_WORDS)
        self.remarks += [f"warning: {warning}" for warning in source.warnings]

    def _rows_in(self, chrom: str, start: int, end: int) -> Iterator[pa.Table]:
        for first, last in self._positions.rows.windows(chrom, WINDOW_BASES, start, end):
            pos, ref, alt, hits = self._positions.changes_between(chrom, first, last)
            yield self._rows(pa.repeat(pa.scalar(chrom), len(pos)), pos, ref, alt, hits)

    def _rows_of(self, matched: Matched) -> pa.Table:
        """The rows of the alleles that the table has a number for."""
        rows = np.flatnonzero(matched.hits.held)
        if len(rows) < len(matched.why):
            matched = matched.taken(rows)
        chrom = pa.array(self._positions.contigs, pa.string()).take(pa.array(matched.contig))
        return self._rows(chrom, matched.pos, matched.ref, matched.alt, matched.hits)

    def _rows(
        self, chrom: pa.StringArray, pos: np.ndarray, ref: np.ndarray, alt: np.ndarray, hits: PositionHits
    ) -> pa.Table:
        named = {"chrom": chrom, "pos": pa.array(pos), "ref": _letters(ref), "alt": _letters(alt)}
        of_run = [pa.repeat(pa.scalar(text), len(pos)) for text in (self.facts.model, self.facts.fingerprint)]
        columns = [variant_ids(pa.table(named)), *named.values(), *number_columns(hits), *of_run]
        return pa.table(columns, schema=self.schema)

    def _why_not(self, variant: Variant, reason: str) -> str:
        """Why a variant has no number, as the end of a remark."""
        if reason == Reason.REF_MISMATCH:
            return not_the_reference(variant, self._bases_in_table(variant))
        if reason in (NOT_SCORED, Reason.UNKNOWN_CONTIG):  # a contig that neither table nor reference has is an error
            return self._why(variant)
        return f" ({IN_WORDS.get(reason, reason)})"

    def _bases_in_table(self, variant: Variant) -> str:
        """The reference's bases in the place of the variant's REF, as far as the table has them; N elsewhere."""
        end = variant.pos + len(variant.ref) - 1
        rows = self._positions.rows.rows_between(variant.chrom, variant.pos, end, ["pos", "ref"])
        by_pos = dict(zip(rows["pos"].to_pylist(), rows["ref"].to_pylist(), strict=True))
        return "".join(by_pos.get(pos, "N") for pos in range(variant.pos, end + 1))


def _letters(octets: np.ndarray) -> pa.StringArray:
    """Texts of one letter each."""
    offsets = np.arange(len(octets) + 1, dtype=np.int32)
    return pa.StringArray.from_buffers(len(octets), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(octets)))


def _one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; while one is used, the next is made in a thread."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, items, None)
            yield item
