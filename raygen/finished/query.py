"""``raygen query``: rows of finished scores by variant, region, gene or VCF, without loading the rest.

In: a folder of scores and what is asked for. Out: tables of rows, a part at a time, and sentences about what is not there.

A variant or region without scores is an answer and no error: it is said why, where the rejects or the reference tell. A contig
that neither the scores nor the reference know is an InputError, because it is a slip of the pen or another assembly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from raygen.errors import InputError, SettingsError
from raygen.finished.genes import find_genes
from raygen.finished.run_facts import (
    RunFacts,
    TableByPlace,
    known_contigs,
    reference_lengths,
    refuse_pairs,
    run_facts,
)
from raygen.sequence.ambiguity import agrees
from raygen.tables.schemas import NOT_SCORED, variant_id
from raygen.tables.score_index import ScoreIndex
from raygen.variants.contig_names import resolve_contig
from raygen.variants.region import MAX_POS, SPELLING, TOO_FAR, split_region

_MOST_NAMED = 5


@dataclass(frozen=True)
class Asked:
    """What a query asks for.

    Attributes:
        variants: ``chrom-pos-ref-alt``, or the ids of pairs.
        regions: ``chrom:start-end``, 1-based and both ends included.
        genes: a BED, GFF3 or GTF file and names in it.
        vcf: a VCF or BCF, whose alleles are looked up.
        reference: the FASTA of the scores, where the run's manifest does not say where it is.
    """

    variants: Sequence[str] = ()
    regions: Sequence[str] = ()
    genes: tuple[str, Sequence[str]] | None = None
    vcf: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Variant:
    """A variant as it was asked for, and what that means: ``chrom`` as the scores name it."""

    text: str
    chrom: str
    pos: int
    ref: str
    alt: str

    @property
    def id(self) -> str:
        return variant_id(self.chrom, self.pos, self.ref, self.alt)


@dataclass
class PlaceQuery(ABC):
    """A query under way: ``tables`` gives the rows, ``remarks`` fills with what was not found while it does.

    Attributes:
        table: what is asked, and ``facts``, what made it; ``_open`` sets both.

    Raises:
        SettingsError: nothing is asked for, or it is not written as a variant or region.
        InputError: no scores, no such file, gene or contig.
    """

    out: str
    asked: Asked
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = self.asked
        if not (asked.variants or asked.regions or asked.genes or asked.vcf):
            raise SettingsError("Nothing is asked for. Name variants, --region, --genes or --vcf.")
        if asked.vcf and (asked.variants or asked.regions or asked.genes):
            raise SettingsError("--vcf is asked for by itself. Leave out the variants, --region and --genes.")
        self.table: TableByPlace
        self.facts: RunFacts
        self._open()

    @cached_property
    def _contigs(self) -> list[str]:
        """Contigs that can be asked for; looked up when needed, since a reference may have to be read for them."""
        return known_contigs(self.table, self.facts)

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns of the tables."""

    def tables(self) -> Iterator[pa.Table]:
        """The scored rows: of the variants in the order asked, then of the regions and genes, of a VCF in its order."""
        if self.asked.vcf:
            yield from self._of_vcf(self.asked.vcf)
            return
        if self.asked.variants:
            yield self._of_variants()
        if self.asked.regions or self.asked.genes:
            yield from self._of_stretches()

    @abstractmethod
    def _open(self) -> None:
        """Open what is asked."""

    @abstractmethod
    def _of_variants(self) -> pa.Table: ...

    @abstractmethod
    def _of_vcf(self, vcf: str) -> Iterator[pa.Table]: ...

    @abstractmethod
    def _rows_in(self, chrom: str, start: int, end: int) -> Iterator[pa.Table]:
        """The rows from ``start`` to ``end`` (1-based, both included), sorted, a part at a time."""

    def _of_stretches(self) -> Iterator[pa.Table]:
        stretches = [(text, *split_region(text)) for text in self.asked.regions]
        if self.asked.genes:
            path, names = self.asked.genes
            for name, parts in find_genes(path, names).items():
                stretches += [(name, part.chrom, part.start, part.end) for part in parts]
        refuse_pairs(self.table, "a region")
        earlier: dict[str, list[tuple[int, int]]] = {}
        for text, name, start, end in stretches:
            chrom = self._contig(name, text)
            num_rows = 0
            for rows in self._rows_in(chrom, start, end):
                num_rows += rows.num_rows
                yield _without(rows, earlier.get(chrom, []))
            earlier.setdefault(chrom, []).append((start, end))
            if not num_rows:
                self.remarks.append(f"{text}: not scored here ({self._no_score_in(chrom, start, end)})")

    def _no_score_in(self, chrom: str, start: int, end: int) -> str:
        """Why a stretch is empty: it lies behind the contig's end, or nothing there was scored."""
        length = reference_lengths(self.table, self.facts).get(chrom)
        if length is not None and start > length:
            return f"{chrom} has {length:,} bases"
        return f"no score in {chrom}:{start:,}-{end:,}"

    def _contig(self, name: str, text: str) -> str:
        contig = name if name in self.table.contigs else resolve_contig(name, self._contigs)
        if contig is None:
            more = f" and {len(self._contigs) - _MOST_NAMED:,} more" if len(self._contigs) > _MOST_NAMED else ""
            some_contigs = ", ".join(self._contigs[:_MOST_NAMED]) + more
            raise InputError(
                f"{text}: neither the scores nor their reference have a contig {name!r}. There are {some_contigs}."
            )
        return contig

    def _parsed(self, text: str) -> Variant:
        match = SPELLING.fullmatch(text.strip())
        if not match:
            raise SettingsError(f"{text!r} is no variant: write it as chrom-pos-ref-alt, e.g. 17-41276135-T-G.")
        chrom, pos, ref, alt = match.groups()
        if int(pos) > MAX_POS:
            raise SettingsError(f"{text!r}: {TOO_FAR}.")
        return Variant(text, self._contig(chrom, text), int(pos), ref.upper(), alt.upper())

    def _count_missing(self, missing: Counter[str], words: Mapping[str, str]) -> None:
        """Remark how many alleles of a file are not scored, by reason, the most frequent first; ``words`` say reasons in another way."""
        for reason, number in missing.most_common():
            because = "" if reason == NOT_SCORED else f" ({words.get(reason, reason)})"
            self.remarks.append(f"{number:,} allele{'' if number == 1 else 's'}: not scored here{because}")

    def _bases(self, variant: Variant) -> str | None:
        """The reference's bases in the place of the variant's REF; None where the run's reference is not at hand."""
        path = self.asked.reference or self.facts.reference
        if not path or not Path(path).is_file():
            return None
        from raygen.finished.score_lookup import reference_for

        bases = reference_for(self.table, self.facts, self.asked.reference).bases(variant.chrom)
        return (
            bases[variant.pos - 1 : variant.pos - 1 + len(variant.ref)].tobytes().decode() if variant.pos >= 1 else ""
        )

    def _why(self, variant: Variant) -> str:
        """Why a variant has no score, as far as the rejects and the reference say, as the end of a remark."""
        rejects = self.table.folder.rejects_dataset()
        place = (ds.field("pos") == variant.pos) & (ds.field("ref") == variant.ref) & (ds.field("alt") == variant.alt)
        for row in rejects.to_table(filter=place).to_pylist():
            if row["reason"] != "duplicate" and resolve_contig(row["chrom"] or "", [variant.chrom]):
                return f" (rejected as {row['reason']}: {row['detail']})"
        bases = self._bases(variant)
        return "" if bases is None or agrees(variant.ref, bases) else not_the_reference(variant, bases)


class Query(PlaceQuery):
    """A query of scores."""

    def _open(self) -> None:
        self.table = self.index = ScoreIndex(self.out)
        self.facts = run_facts(self.index)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables: those of SCORES and those that were carried along from the input."""
        return self.index.schema

    def _of_variants(self) -> pa.Table:
        if self.index.contigs == [None]:
            names = list(dict.fromkeys(self.asked.variants))
            pair_rows = self.index.rows_named(names, self.schema.names)
            scored_ids = set(pair_rows["variant_id"].to_pylist())
            self.remarks += [f"{name}: not scored here" for name in names if name not in scored_ids]
            return pair_rows
        variants = [self._parsed(text) for text in self.asked.variants]
        row_by_id = self._rows_of(variants)
        absent = set(variants) - {variant for variant in variants if variant.id in row_by_id}
        retried = {variant: self._normalised(variant) for variant in absent}
        row_by_id |= self._rows_of([variant for variant in retried.values() if variant])
        rows = []
        for variant in dict.fromkeys(variants):
            row = row_by_id.get(variant.id) or row_by_id.get(spelled.id if (spelled := retried.get(variant)) else "")
            if row is None:
                self.remarks.append(f"{variant.text}: not scored here{self._why(variant)}")
            else:
                rows.append(row)
        return pa.concat_tables([self.schema.empty_table(), *rows])

    def _rows_of(self, variants: Sequence[Variant]) -> dict[str, pa.Table]:
        """The row of each of ``variants`` that is scored, by its id."""
        row_by_id: dict[str, pa.Table] = {}
        for chrom in dict.fromkeys(variant.chrom for variant in variants):
            variants_of_contig = [variant for variant in variants if variant.chrom == chrom]
            rows = self.index.rows_at(chrom, [variant.pos for variant in variants_of_contig], self.schema.names)
            rows = rows.filter(pc.is_in(rows["variant_id"], pa.array([variant.id for variant in variants_of_contig])))
            row_by_id |= {name: rows.slice(row, 1) for row, name in enumerate(rows["variant_id"].to_pylist())}
        return row_by_id

    def _rows_in(self, chrom: str, start: int, end: int) -> Iterator[pa.Table]:
        for first, last in self.index.windows(chrom, start=start, end=end):
            yield self.index.rows_between(chrom, first, last, self.schema.names)

    def _of_vcf(self, vcf: str) -> Iterator[pa.Table]:
        # htslib and polars, for this alone
        from raygen.finished.score_lookup import AlleleMatcher, reference_for

        refuse_pairs(self.index, "--vcf")
        reference = reference_for(self.index, self.facts, self.asked.reference)
        matcher = AlleleMatcher(self.index, vcf, reference, self.facts, self.schema.names)
        for batch in matcher.batches():
            yield batch.scores.filter(pa.array([reason is None for reason in batch.missing])).cast(self.schema)
        self._count_missing(matcher.missing, {})
        self.remarks += [f"warning: {warning}" for warning in matcher.warnings]

    def _normalised(self, variant: Variant) -> Variant | None:
        """A variant as ingest spells it, normalised; None where that is no other spelling, or cannot be known."""
        if (
            len(variant.ref) == len(variant.alt) == 1
            or variant.ref == variant.alt
            or not agrees(variant.ref, self._bases(variant) or "")
        ):
            return None
        from raygen.finished.score_lookup import reference_for
        from raygen.variants.normalise import normalise

        bases = reference_for(self.index, self.facts, self.asked.reference).bases(variant.chrom)
        pos, ref, alt = normalise(variant.pos, variant.ref, variant.alt, bases)
        return Variant(variant.text, variant.chrom, pos, ref, alt)


def not_the_reference(variant: Variant, bases: str) -> str:
    """The end of a remark on a variant whose REF is not what the reference has."""
    return f" (the reference has {bases[:20] or 'no base'} there, not {variant.ref[:20]})"


def _without(rows: pa.Table, earlier: Sequence[tuple[int, int]]) -> pa.Table:
    """The rows that lie in none of the ``earlier`` stretches (first, last position)."""
    for start, end in earlier:
        inside = pc.and_(pc.greater_equal(rows["pos"], start), pc.less_equal(rows["pos"], end))
        rows = rows.filter(pc.invert(inside))
    return rows
