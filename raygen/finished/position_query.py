"""``raygen query`` of a position table: its single-base changes by variant, region, gene or VCF.

In: a folder of ``raygen tabulate`` and what is asked for. Out: tables of rows, one a change, a part at a time, and sentences about what is
not there. The table says what the reference has, so no FASTA is needed; where it is at hand, it knows contigs and lengths, too.

A VCF is read and looked up a block ahead of what is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pyarrow as pa

from raygen.finished.position_lookup import Matched, PositionTable, number_columns
from raygen.finished.position_scores import PositionScores
from raygen.finished.query import Asked, PlaceQuery, Query, Variant, not_the_reference
from raygen.finished.run_facts import run_facts
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.schemas import NOT_SCORED, Reason, variant_ids
from raygen.variants.single_base import NOT_SNV, REASONS

IN_WORDS = {NOT_SNV: "the table holds single-base changes only"}
"""Reasons that remarks say in a sentence."""

_Item = TypeVar("_Item")


def open_query(out: str, asked: Asked) -> PlaceQuery:
    """A query of what lies in the folder ``out``: of a position table, or of scores."""
    return PositionQuery(out, asked) if holds_positions(out) else Query(out, asked)


class PositionQuery(PlaceQuery):
    """A query of a position table."""

    def _open(self) -> None:
        self._positions = PositionTable(self.out)
        self.table = self._changes = PositionScores(self._positions.rows)
        self.facts = run_facts(self.table)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables."""
        return pa.schema([*self._changes.schema, *((name, pa.string()) for name in ("model", "fingerprint"))])

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
        for first, last in self._changes.windows(chrom, start=start, end=end):
            rows = self._changes.rows_between(chrom, first, last, self._changes.schema.names)
            yield self._with_run(rows.columns)

    def _rows_of(self, matched: Matched) -> pa.Table:
        """The rows of the alleles that the table has a number for."""
        rows = np.flatnonzero(matched.hits.held)
        if len(rows) < len(matched.why):
            matched = matched.taken(rows)
        chrom = pa.array(self._positions.contigs, pa.string()).take(pa.array(matched.contig))
        ref, alt = _letters(matched.ref), _letters(matched.alt)
        places = {"chrom": chrom, "pos": pa.array(matched.pos), "ref": ref, "alt": alt}
        return self._with_run([variant_ids(pa.table(places)), *places.values(), *number_columns(matched.hits)])

    def _with_run(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Table:
        """Rows with the model and the fingerprint of the run, which all of them share."""
        of_run = [pa.repeat(pa.scalar(text), len(columns[0])) for text in (self.facts.model, self.facts.fingerprint)]
        return pa.table([*columns, *of_run], schema=self.schema)

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
