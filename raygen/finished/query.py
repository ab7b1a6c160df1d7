"""``raygen query``: rows of finished scores by variant, region, gene or VCF, without loading the rest.

In: a folder of scores and what is asked for. Out: tables of rows, a part at a time, and sentences about what is not there.

A variant or region without scores is an answer and no error: it is said why, where the rejects or the reference tell. A contig
that neither the scores nor the reference know is an InputError, because it is a slip of the pen or another assembly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from raygen.errors import InputError, SettingsError
from raygen.finished.genes import find_genes
from raygen.finished.run_facts import RunFacts, known_contigs, reference_lengths, refuse_pairs, run_facts
from raygen.tables.schemas import variant_id
from raygen.tables.score_index import ScoreIndex
from raygen.variants.contig_names import resolve_contig
from raygen.variants.region import MAX_POS, SPELLING, TOO_FAR, split_region

_MOST_NAMED = 5


@dataclass(frozen=True)
class Asked:
    """What a query asks for: ``genes`` is a file and names in it, ``regions`` are ``chrom:start-end``."""

    variants: Sequence[str] = ()
    regions: Sequence[str] = ()
    genes: tuple[str, Sequence[str]] | None = None
    vcf: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class _Variant:
    asked: str
    chrom: str
    pos: int
    ref: str
    alt: str

    @property
    def id(self) -> str:
        return variant_id(self.chrom, self.pos, self.ref, self.alt)


@dataclass
class Query:
    """A query under way: ``tables`` gives the rows, ``remarks`` fills with what was not found while it does.

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
        self.index = ScoreIndex(self.out)
        self.facts: RunFacts = run_facts(self.index)
        self._contigs = known_contigs(self.index, self.facts)

    @property
    def schema(self) -> pa.Schema:
        """Of the tables: SCORES and the columns that were carried along."""
        return self.index.schema

    def tables(self) -> Iterator[pa.Table]:
        """The rows found: of the variants in the order asked, then of the regions and genes, of a VCF in its order."""
        if self.asked.vcf:
            yield from self._of_vcf(self.asked.vcf)
            return
        if self.asked.variants:
            yield self._of_variants()
        if self.asked.regions or self.asked.genes:
            yield from self._of_stretches()

    def _of_variants(self) -> pa.Table:
        if self.index.contigs == [None]:
            names = list(dict.fromkeys(self.asked.variants))
            found = self.index.rows_named(names, self.schema.names)
            there = set(found["variant_id"].to_pylist())
            self.remarks += [f"{name}: not scored here" for name in names if name not in there]
            return found
        variants = [self._parsed(text) for text in self.asked.variants]
        found = self._rows_of(variants)
        absent = set(variants) - {one for one in variants if one.id in found}
        retried = {one: self._normalised(one) for one in absent}
        found |= self._rows_of([one for one in retried.values() if one])
        rows = []
        for one in dict.fromkeys(variants):
            row = found.get(one.id) or found.get(spelled.id if (spelled := retried.get(one)) else "")
            if row is None:
                self.remarks.append(f"{one.asked}: not scored here{self._why(one)}")
            else:
                rows.append(row)
        return pa.concat_tables([self.schema.empty_table(), *rows])

    def _rows_of(self, variants: Sequence[_Variant]) -> dict[str, pa.Table]:
        """One row a variant that is scored, by its id."""
        found: dict[str, pa.Table] = {}
        for chrom in dict.fromkeys(one.chrom for one in variants):
            mine = [one for one in variants if one.chrom == chrom]
            rows = self.index.rows_at(chrom, [one.pos for one in mine], self.schema.names)
            rows = rows.filter(pc.is_in(rows["variant_id"], pa.array([one.id for one in mine])))
            found |= {name: rows.slice(at, 1) for at, name in enumerate(rows["variant_id"].to_pylist())}
        return found

    def _of_stretches(self) -> Iterator[pa.Table]:
        wanted = [(text, *split_region(text)) for text in self.asked.regions]
        if self.asked.genes:
            path, names = self.asked.genes
            for name, parts in find_genes(path, names).items():
                wanted += [(name, part.chrom, part.start, part.end) for part in parts]
        refuse_pairs(self.index, "a region")
        done: dict[str, list[tuple[int, int]]] = {}
        for text, name, start, end in wanted:
            chrom = self._contig(name, text)
            num_rows = 0
            for first, last in self.index.windows(chrom, start=start, end=end):
                rows = self.index.rows_between(chrom, first, last, self.schema.names)
                num_rows += rows.num_rows
                yield _without(rows, done.get(chrom, []))
            done.setdefault(chrom, []).append((start, end))
            if not num_rows:
                self.remarks.append(f"{text}: not scored here ({self._no_score_in(chrom, start, end)})")

    def _no_score_in(self, chrom: str, start: int, end: int) -> str:
        """Why a stretch is empty: it lies behind the contig's end, or nothing there was scored."""
        length = reference_lengths(self.facts).get(chrom)
        if length is not None and start > length:
            return f"{chrom} has {length:,} bases"
        return f"no score in {chrom}:{start:,}-{end:,}"

    def _of_vcf(self, vcf: str) -> Iterator[pa.Table]:
        # htslib and polars, for this alone
        from raygen.finished.score_lookup import NOT_SCORED, AlleleMatcher, reference_for

        refuse_pairs(self.index, "--vcf")
        reference = reference_for(self.index, self.facts, self.asked.reference)
        matcher = AlleleMatcher(self.index, vcf, reference, self.facts.max_allele_length, self.schema.names)
        for batch in matcher.batches():
            yield batch.scores.filter(pa.array([reason is None for reason in batch.missing])).cast(self.schema)
        for reason, number in matcher.missing.most_common():
            because = "" if reason == NOT_SCORED else f" ({reason})"
            self.remarks.append(f"{number:,} allele{'' if number == 1 else 's'}: not scored here{because}")

    def _contig(self, name: str, asked: str) -> str:
        found = resolve_contig(name, self._contigs)
        if found is None:
            more = f" and {len(self._contigs) - _MOST_NAMED:,} more" if len(self._contigs) > _MOST_NAMED else ""
            there = ", ".join(self._contigs[:_MOST_NAMED]) + more
            raise InputError(
                f"{asked}: neither the scores nor their reference have a contig {name!r}. There are {there}."
            )
        return found

    def _parsed(self, text: str) -> _Variant:
        found = SPELLING.fullmatch(text.strip())
        if not found:
            raise SettingsError(f"{text!r} is no variant: write it as chrom-pos-ref-alt, e.g. 17-41276135-T-G.")
        chrom, pos, ref, alt = found.groups()
        if int(pos) > MAX_POS:
            raise SettingsError(f"{text!r}: {TOO_FAR}.")
        return _Variant(text, self._contig(chrom, text), int(pos), ref.upper(), alt.upper())

    def _bases(self, one: _Variant) -> str | None:
        """The reference's bases in the place of REF, where the run's reference is at hand."""
        path = self.asked.reference or self.facts.reference
        if not path or not Path(path).is_file():
            return None
        from raygen.finished.score_lookup import reference_for

        bases = reference_for(self.index, self.facts, self.asked.reference).bases(one.chrom)
        return bases[one.pos - 1 : one.pos - 1 + len(one.ref)].tobytes().decode() if one.pos >= 1 else ""

    def _normalised(self, one: _Variant) -> _Variant | None:
        """The same variant as ingest spells it; None where that is no other spelling, or cannot be known."""
        if len(one.ref) == len(one.alt) == 1 or one.ref == one.alt or self._bases(one) != one.ref:
            return None
        from raygen.finished.score_lookup import reference_for
        from raygen.variants.normalise import normalise

        bases = reference_for(self.index, self.facts, self.asked.reference).bases(one.chrom)
        pos, ref, alt = normalise(one.pos, one.ref, one.alt, bases)
        return _Variant(one.asked, one.chrom, pos, ref, alt)

    def _why(self, one: _Variant) -> str:
        """Why there is no score, as far as the rejects and the reference say."""
        rejects = self.index.folder.rejects_dataset()
        place = (ds.field("pos") == one.pos) & (ds.field("ref") == one.ref) & (ds.field("alt") == one.alt)
        for row in rejects.to_table(filter=place).to_pylist():
            if row["reason"] != "duplicate" and resolve_contig(row["chrom"] or "", [one.chrom]):
                return f" (rejected as {row['reason']}: {row['detail']})"
        there = self._bases(one)
        if there is not None and there != one.ref:
            return f" (the reference has {there[:20] or 'no base'} there, not {one.ref[:20]})"
        return ""


def _without(rows: pa.Table, done: Sequence[tuple[int, int]]) -> pa.Table:
    """Rows that no earlier stretch gave."""
    for start, end in done:
        inside = pc.and_(pc.greater_equal(rows["pos"], start), pc.less_equal(rows["pos"], end))
        rows = rows.filter(pc.invert(inside))
    return rows
