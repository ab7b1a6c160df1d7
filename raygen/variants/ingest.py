"""Files of variants, of any kind that a reader is for, to the VARIANTS table.

In: input files and a reference. Out: ``OUT/variants`` (normalised, unique, sorted by contig in FASTA order, then pos, ref, alt),
``OUT/rejects`` (every input allele that is not in it, with reason and detail; blocks of gVCFs are counted only) and ``OUT/ingest.json``. Read, check, sort and write
work in batches, so memory does not grow with the number of records.

Rejects of the checks come in input order, duplicates after them in table order. Of duplicates the first in input order stays.

``digest`` is the SHA-256 over the variant ids in table order: the same variants give the same digest, on any machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pysam

from raygen.errors import InputError, SettingsError, first_line
from raygen.number_of import number_of
from raygen.sequence.reference import Reference, reference_name
from raygen.tables.schemas import (
    COUNTED_ONLY,
    HAPLOTYPE_MEMBERS,
    REF_SWAPPED,
    REJECTS,
    SCHEMA_VERSION,
    VARIANTS,
    Reason,
    variant_id,
)
from raygen.variants.alleles import SOURCE_PREFIX, AlleleBatch, AlleleReader
from raygen.variants.assembly import MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE, AssemblyWatch
from raygen.variants.check import AlleleChecker, CheckedBatch
from raygen.variants.external_sort import ExternalSort, repeats_of_previous
from raygen.variants.haplotypes import ID_PREFIX, Haplotype, HaplotypeCollector, check_column_type
from raygen.variants.ingested_folder import (
    REJECTS_FOLDER,
    VARIANTS_FOLDER,
    PartFiles,
    abandoned_scratch,
    input_paths,
    publish,
    refuse_other_input,
    scratch_folder,
)
from raygen.variants.inputs import DeclaredColumns, InputFile, Inputs, agree_on_columns, find_inputs, open_readers
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns
from raygen.version import __version__

_INPUT_FIELDS = ["chrom", "pos", "id", "ref", "alt"]


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did. ``num_alleles`` = ``num_variants`` + the sum of ``rejects``.

    ``num_haplotypes`` counts the alleles that are none of the input's: they span the members of a haplotype.
    ``reject_names`` are the files of rejects in the folder of the run that this ingest was for.
    """

    num_records: int
    num_alleles: int
    num_variants: int
    rejects: dict[str, int]
    warnings: list[str]
    variants_dir: Path
    rejects_dir: Path
    digest: str
    num_haplotypes: int = 0
    reject_names: tuple[str, ...] = ()


def ingest(
    inputs: Sequence[str | Path | InputFile] | Inputs,
    reference: Reference,
    out: str | Path,
    *,
    max_allele_length: int = 1000,
    source_columns: Sequence[str] = (),
    haplotype_column: str | None = None,
    max_haplotype_span: int | None = None,
    max_mismatch_share: float = MAX_MISMATCH_SHARE,
    max_unknown_share: float = MAX_UNKNOWN_SHARE,
    declared: DeclaredColumns | None = None,
    table_columns: TableColumns = USUAL_COLUMNS,
    row_group_rows: int = 4096,
    file_rows: int = 1_048_576,
    on_progress: Callable[[int], None] | None = None,
) -> IngestResult:
    """Write the variants of all ``inputs`` to ``out``; nothing there changes unless everything went well.

    inputs              VCF, gzip or bgzip VCF, BCF, Parquet, or folders of them; mixed as you like
    max_allele_length   bases of the longest REF or ALT that is taken
    source_columns      INFO keys, QUAL, FILTER or Parquet columns that are carried along
    haplotype_column    INFO key or column that names the haplotype of an allele; it is carried along. Each haplotype of two
                        or more members is one more allele, with the ids of its members in ``haplotype_members``
    max_haplotype_span  bases of the longest REF or ALT of a haplotype, where that is less than ``max_allele_length``
    max_mismatch_share  of a file's REF alleles on a contig; more that differ from the reference are another assembly's
    max_unknown_share   of a file's alleles; more on contigs that the reference lacks are another assembly's
    declared            columns of the table that the variants will go to: their types hold where they are as wide
    table_columns       which columns of tables hold contig, position and alleles, where their names do not say so
    row_group_rows      most rows of a row group; a row group never holds two contigs
    file_rows           most rows of a file
    on_progress         called after each batch with the number of records read so far

    SettingsError: ``out`` cannot be written or holds the variants of another input, an unknown source column. InputError: a file is missing, empty, truncated or no
    VCF; too many REF alleles of a file's contig differ from the reference, or it lacks too many of a file's contigs. StoppedError: the disk is full.
    """
    _check_numbers(max_allele_length=max_allele_length, row_group_rows=row_group_rows, file_rows=file_rows)
    out = Path(out)
    inputs = inputs if isinstance(inputs, Inputs) else find_inputs(inputs)
    readers = open_readers(inputs.files, table_columns)
    refuse_other_input(out, inputs.paths, [reader.name for reader in readers])
    columns = agree_on_columns(readers, carried_columns(source_columns, haplotype_column), declared)
    if haplotype_column:
        check_column_type(haplotype_column, columns[haplotype_column])
    longest = min(max_allele_length, max_haplotype_span or max_allele_length)
    with scratch_folder(out) as scratch:
        run = _Ingest(readers, reference, scratch, columns, max_allele_length, max_mismatch_share, max_unknown_share)
        run.haplotypes = HaplotypeCollector(haplotype_column, reference, longest) if haplotype_column else None
        run.warnings += inputs.remarks
        run.warnings += [
            f"{out / name} is left from an ingest that did not end." for name in abandoned_scratch(out, scratch)
        ]
        run.open_tables(row_group_rows, file_rows)
        try:
            run.read(on_progress or (lambda num_records: None))
            run.add_haplotypes()
            run.write_sorted()
            run.finish()
        finally:
            run.close_tables()
        publish(scratch, out, {**run.info(), "input_paths": input_paths(inputs.paths)})
    return run.result(out)


class _Ingest:
    """One ingest under way."""

    def __init__(
        self,
        readers: Sequence[AlleleReader],
        reference: Reference,
        scratch: Path,
        columns: Mapping[str, pa.DataType],
        max_allele_length: int,
        max_mismatch_share: float,
        max_unknown_share: float,
    ) -> None:
        self.warnings: list[str] = []
        self.num_records = self.num_alleles = self.num_haplotypes = self.longest_haplotype = 0
        self.haplotypes: HaplotypeCollector | None = None
        self._readers = readers
        self._reference = reference
        self._scratch = scratch
        self._columns = columns
        self._max_allele_length = max_allele_length
        self._checker = AlleleChecker(reference, max_allele_length)
        self._watch = AssemblyWatch(self._checker, readers, max_mismatch_share, max_unknown_share)
        self._sort = ExternalSort(scratch)
        self._rejects: Counter[Reason] = Counter()
        self._contigs = pa.array(list(reference.lengths), pa.string())
        self._hash = hashlib.sha256()

    def open_tables(self, row_group_rows: int, file_rows: int) -> None:
        carried = [pa.field(name, arrow_type) for name, arrow_type in self._written_columns().items()]
        metadata = {
            "raygen.schema_version": str(SCHEMA_VERSION),
            "raygen.reference_digest": self._reference.digest,
        }
        schema = pa.schema([*VARIANTS, *carried], metadata)
        sizes = {"row_group_rows": row_group_rows, "file_rows": file_rows}
        self._variants_table = PartFiles(self._scratch / VARIANTS_FOLDER, schema, **sizes)
        self._rejects_table = PartFiles(self._scratch / REJECTS_FOLDER, REJECTS, **sizes)

    def close_tables(self) -> None:
        self._variants_table.abandon()
        self._rejects_table.abandon()

    def read(self, on_progress: Callable[[int], None]) -> None:
        """Read and check all inputs: rejects are written, variants go to the sort."""
        for number, reader in enumerate(self._readers):
            if absent := [name for name in self._columns if name not in reader.columns]:
                self.warnings.append(f"{reader.name} has no {', '.join(absent)}; the column is null for its variants.")
            num_swapped = num_undecided = 0
            for batch in reader.batches([name for name in self._columns if name in reader.columns]):
                checked = self._checker.check(batch, reader.kind)
                self._write_refused(batch, checked, reader.name)
                self._rejects[Reason.REFERENCE_BLOCK] += len(checked.blocks)
                self._sort.add(self._to_sort(batch, checked, number))
                if self.haplotypes:
                    self.haplotypes.add(batch, checked, number)
                num_swapped += int(checked.is_swapped.sum())
                num_undecided += checked.num_undecided
                self.num_records += batch.num_records
                self.num_alleles += batch.table.num_rows
                self._watch.after_batch()
                on_progress(self.num_records)
            self._watch.after_file(reader)
            self.warnings += [*reader.remarks, *_decided(reader.name, num_swapped, num_undecided)]
        self._watch.at_end(self._rejects)
        self.warnings += self._watch.warnings()

    def add_haplotypes(self) -> None:
        """Add the allele that spans each haplotype's members to the sort, or to the rejects why there is none."""
        for haplotype in self.haplotypes.haplotypes() if self.haplotypes else ():
            if haplotype.variant is None:
                self._refuse_haplotype(haplotype)
            else:
                self._sort.add(self._haplotype_to_sort(haplotype))
                self.longest_haplotype = max(self.longest_haplotype, *map(len, haplotype.variant[1:]))
            self.num_alleles += 1
            self.num_haplotypes += 1

    def write_sorted(self) -> None:
        """Write the variants in order, duplicates to the rejects."""
        contig_under_way = -1
        for table in self._sort.sorted_tables():
            is_repeat = repeats_of_previous(table)
            self._write_duplicates(table, is_repeat)
            table = table.filter(pa.array(~is_repeat)) if is_repeat.any() else table
            rows = self._as_variants(table)
            self._hash_ids(rows)
            for contig, start, end in _stretches(table["contig"].to_numpy()):
                if contig != contig_under_way:
                    self._variants_table.end_group()
                    contig_under_way = contig
                self._variants_table.write(rows.slice(start, end - start))

    def finish(self) -> None:
        """Close the tables and check that no allele was lost or repeated."""
        self._variants_table.close(at_least_one_file=True)
        self._rejects_table.close()
        written = self._variants_table.num_rows + self._rejects_table.num_rows
        written += sum(self._rejects[reason] for reason in COUNTED_ONLY)
        rejected = sum(self._rejects.values())
        if not self.num_alleles == written == self._variants_table.num_rows + rejected:
            raise AssertionError(
                f"{self.num_alleles} alleles in, {self._variants_table.num_rows} variants and "
                f"{self._rejects_table.num_rows} rejects out ({rejected} counted)"
            )

    def info(self) -> dict[str, Any]:
        """What ``ingest.json`` holds."""
        return {
            "schema_version": SCHEMA_VERSION,
            "digest": self._hash.hexdigest(),
            "reference": {"name": reference_name(self._reference), "digest": self._reference.digest},
            "inputs": [reader.name for reader in self._readers],
            "num_records": self.num_records,
            "num_alleles": self.num_alleles,
            "num_variants": self._variants_table.num_rows,
            "rejects": self._reject_counts(),
            "warnings": self.warnings,
            "max_allele_length": self._max_allele_length,
            "source_columns": {name: str(arrow_type) for name, arrow_type in self._columns.items()},
            "haplotype_column": self.haplotypes.column if self.haplotypes else None,
            "num_haplotypes": self.num_haplotypes,
            "longest_haplotype": self.longest_haplotype,
            "versions": {
                "raygen": __version__,
                "pysam": pysam.__version__,
                "htslib": pysam.version.__htslib_version__,
                "pyarrow": pa.__version__,
                "polars": version("polars"),
            },
        }

    def result(self, out: Path) -> IngestResult:
        return IngestResult(
            num_records=self.num_records,
            num_alleles=self.num_alleles,
            num_variants=self._variants_table.num_rows,
            rejects=self._reject_counts(),
            warnings=self.warnings,
            variants_dir=out / VARIANTS_FOLDER,
            rejects_dir=out / REJECTS_FOLDER,
            digest=self._hash.hexdigest(),
            num_haplotypes=self.num_haplotypes,
        )

    def _written_columns(self) -> dict[str, pa.DataType]:
        """Columns after those of VARIANTS, with their types."""
        columns = {**self._columns, **({HAPLOTYPE_MEMBERS: pa.string()} if self.haplotypes else {})}
        has_swapped = any(reader.has_provisional_ref for reader in self._readers)
        return columns | ({REF_SWAPPED: pa.bool_()} if has_swapped else {})

    def _reject_counts(self) -> dict[str, int]:
        return {reason.value: self._rejects[reason] for reason in Reason if self._rejects[reason]}

    def _to_sort(self, batch: AlleleBatch, checked: CheckedBatch, file_number: int) -> pa.Table:
        """The batch's variants with what the sort needs, what a duplicate's reject needs (``input.*``) and the source columns."""
        size = len(checked.rows)
        raw = batch.table.take(pa.array(checked.rows))
        columns = {
            "contig": pa.array(checked.contig),
            "pos": pa.array(checked.pos),
            "ref": checked.ref,
            "alt": checked.alt,
            "order": pa.array(checked.rows + self.num_alleles),
            "file": pa.array(np.full(size, file_number, np.int32)),
            "record": raw["record"],
        }
        columns |= {f"input.{name}": raw[name] for name in _INPUT_FIELDS}
        raw = raw.append_column(SOURCE_PREFIX + REF_SWAPPED, pa.array(checked.is_swapped))
        for name, arrow_type in self._written_columns().items():
            column = raw[SOURCE_PREFIX + name] if SOURCE_PREFIX + name in raw.column_names else pa.nulls(size)
            columns[SOURCE_PREFIX + name] = self._cast(column, arrow_type, name, file_number)
        return pa.table(columns)

    def _cast(
        self, column: pa.Array | pa.ChunkedArray, arrow_type: pa.DataType, name: str, file_number: int
    ) -> pa.Array | pa.ChunkedArray:
        try:
            return column.cast(arrow_type)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"Column {name!r} of {self._readers[file_number].name} holds a value that {arrow_type}, the type of the "
                f"column elsewhere, does not hold: {first_line(error)}. Carry it as text in all inputs, or keep them apart."
            ) from error

    def _haplotype_to_sort(self, haplotype: Haplotype) -> pa.Table:
        """A haplotype as one row in the form of ``_to_sort``; it has no source columns but the two of its own."""
        assert self.haplotypes and haplotype.variant
        pos, ref, alt = haplotype.variant
        first = haplotype.members[0]
        values: dict[str, Any] = {
            "contig": pa.array([first.contig], pa.int32()),
            "pos": [pos],
            "ref": [ref],
            "alt": [alt],
            "order": [self.num_alleles],
            "file": pa.array([first.file], pa.int32()),
            "record": [first.record],
        }
        values |= {f"input.{name}": value for name, value in _shown_haplotype(haplotype, pos, ref, alt).items()}
        haplotype_values = {self.haplotypes.column: haplotype.name, HAPLOTYPE_MEMBERS: haplotype.member_names}
        for name, arrow_type in self._written_columns().items():
            values[SOURCE_PREFIX + name] = pa.array([haplotype_values.get(name)], pa.string()).cast(arrow_type)
        return pa.table(values)

    def _refuse_haplotype(self, haplotype: Haplotype) -> None:
        assert haplotype.reason
        first = min(haplotype.members, key=lambda member: member.pos)
        fields = _shown_haplotype(haplotype, first.pos or None, None, None)
        source = f"{self._readers[haplotype.members[0].file].name}:{haplotype.members[0].record}"
        self._write_rejects(list(fields.values()), pa.array([source]), [haplotype.reason], [haplotype.detail])

    def _as_variants(self, table: pa.Table) -> pa.Table:
        columns = [
            self._contigs.take(table["contig"].combine_chunks()),
            *(table[name] for name in ("pos", "ref", "alt", "input.id")),
            *(table[SOURCE_PREFIX + name] for name in self._written_columns()),
        ]
        return pa.table(columns, names=[*VARIANTS.names, *self._written_columns()])

    def _write_refused(self, batch: AlleleBatch, checked: CheckedBatch, name: str) -> None:
        if not checked.refused:
            return
        rows, reasons, details = zip(*checked.refused, strict=True)
        raw = batch.table.take(pa.array(rows, pa.int64()))
        sources = pc.binary_join_element_wise(name, raw["record"].cast(pa.string()), ":")
        self._write_rejects([raw[field] for field in _INPUT_FIELDS], sources, reasons, details)

    def _write_duplicates(self, table: pa.Table, is_repeat: np.ndarray) -> None:
        """Each repeat's reject says which record it repeats: the first of its run of equal rows."""
        if not is_repeat.any():
            return
        first = np.maximum.accumulate(np.where(is_repeat, 0, np.arange(len(is_repeat))))[is_repeat]
        repeats, originals = table.filter(pa.array(is_repeat)), table.take(pa.array(first))
        rows = self._as_variants(originals).select(VARIANTS.names[:4]).to_pylist()
        details = [
            f"the same variant as {source}, {variant_id(**row)}"
            for source, row in zip(self._sources(originals), rows, strict=True)
        ]
        fields = [repeats[f"input.{name}"] for name in _INPUT_FIELDS]
        self._write_rejects(fields, pa.array(self._sources(repeats)), [Reason.DUPLICATE] * len(rows), details)

    def _sources(self, table: pa.Table) -> list[str]:
        numbers = zip(table["file"].to_pylist(), table["record"].to_pylist(), strict=True)
        return [f"{self._readers[file].name}:{record}" for file, record in numbers]

    def _write_rejects(
        self,
        fields: Sequence[pa.ChunkedArray | pa.Array],
        sources: pa.Array,
        reasons: Sequence[Reason],
        details: Sequence[str],
    ) -> None:
        self._rejects.update(reasons)
        columns = [*fields, sources, pa.array([reason.value for reason in reasons]), pa.array(details, pa.string())]
        self._rejects_table.write(pa.table(columns, names=REJECTS.names))

    def _hash_ids(self, rows: pa.Table) -> None:
        texts = [rows[name].cast(pa.string()) for name in VARIANTS.names[:4]]
        ids = pc.binary_join_element_wise(*texts, "-").to_pylist()
        self._hash.update("".join(f"{name}\n" for name in ids).encode())


def _decided(name: str, num_swapped: int, num_undecided: int) -> list[str]:
    """What to say of a file whose alleles the reference put in order."""
    remarks = []
    if num_swapped:
        remarks.append(
            f"{name}: of {number_of(num_swapped, 'variant')} the reference has the other allele, which was taken as REF (flag {REF_SWAPPED})."
        )
    if num_undecided:
        remarks.append(
            f"{name}: of {number_of(num_undecided, 'insertion or deletion', 'insertions and deletions')} both alleles fit the reference; "
            "REF is as the file has it."
        )
    return remarks


def _shown_haplotype(haplotype: Haplotype, pos: int | None, ref: str | None, alt: str | None) -> dict[str, pa.Array]:
    """The input's fields of a haplotype, in the order of ``_INPUT_FIELDS``: its name stands as its id."""
    values = (haplotype.members[0].chrom, pos, f"{ID_PREFIX}{haplotype.name}", ref, alt)
    return {
        name: pa.array([value], VARIANTS.field(name).type) for name, value in zip(_INPUT_FIELDS, values, strict=True)
    }


def carried_columns(source_columns: Sequence[str], haplotype_column: str | None) -> list[str]:
    """The source columns with the haplotype's, which is carried along in any case."""
    extra = [haplotype_column] if haplotype_column and haplotype_column not in source_columns else []
    return [*source_columns, *extra]


def _stretches(values: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(value, start, end) of each stretch of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(values)], strict=True):
        yield int(values[start]), start, end


def _check_numbers(**numbers: int) -> None:
    if faults := [f"{name} is {value}" for name, value in numbers.items() if value < 1]:
        raise SettingsError(f"{', '.join(faults)}; it must be at least 1.")
