"""``raygen export``: finished scores in a form that other tools read, chosen by the file's end.

.vcf.gz .vcf.bgz .bcf .vcf   with a VCF: its records with the scores in INFO; without one: a record for each score
.tsv.gz .tsv.bgz             bgzip, tabix index and INFO lines, for ``bcftools annotate``
.parquet .csv .tsv           all columns, or those asked for
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from raygen.errors import SettingsError
from raygen.finished.export_tables import HEADER_END, write_table, write_tsv
from raygen.finished.export_vcf import annotate_vcf, write_sites
from raygen.finished.info_fields import DEFAULT_FIELDS, DEFAULT_PREFIX, info_fields
from raygen.finished.run_facts import RunFacts, reference_lengths, refuse_pairs, run_facts
from raygen.finished.score_lookup import AlleleMatcher, reference_for
from raygen.number_of import number_of
from raygen.tables.place import refuse_unwritable
from raygen.tables.score_index import ScoreIndex
from raygen.tables.table_files import TABLE_SUFFIXES
from raygen.variants.contig_names import contig_order

VCF_SUFFIXES = (".vcf.gz", ".vcf.bgz", ".bcf", ".vcf")
TSV_SUFFIXES = (".tsv.gz", ".tsv.bgz")


@dataclass(frozen=True)
class Exported:
    """What ``raygen export`` wrote.

    Attributes:
        index: path of the file's index; None where it has none.
        num_rows: records or rows in the file.
        num_alleles: with an input VCF its alleles: ``num_scored`` + the sum of ``missing``; else None.
        missing: alleles without a score, by reason.
        remarks: sentences for the user.
    """

    path: str
    index: str | None
    num_rows: int
    num_alleles: int | None = None
    num_scored: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def export_scores(
    out: str,
    to: str,
    *,
    vcf: str | None = None,
    reference: str | None = None,
    fields: Sequence[str] | None = None,
    prefix: str = DEFAULT_PREFIX,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> Exported:
    """Write the scores of the folder ``out`` to the file ``to``.

    Args:
        vcf: the file whose records are annotated, in their order; for a VCF or BCF only.
        reference: the FASTA of the scores, where the run's manifest does not say where it is.
        fields: columns of the scores; for tables all, else ``DEFAULT_FIELDS``.
        prefix: what the names in INFO begin with.

    Raises:
        SettingsError: what is asked for does not go together or cannot be written.
        InputError: there are no scores, the VCF cannot be read, or the reference is another one.
    """
    kind = _kind(to, vcf)
    refuse_unwritable(to)
    index = ScoreIndex(out)
    if kind == "table":
        return _table(index, to, fields, reference, on_progress)
    refuse_pairs(index, f"a file {''.join(Path(to).suffixes[-2:])}")
    facts = run_facts(index)
    chosen = info_fields(index.schema, fields or DEFAULT_FIELDS, prefix, facts)
    if vcf:
        matcher = AlleleMatcher(
            index,
            vcf,
            reference_for(index, facts, reference),
            facts,
            [info_field.column for info_field in chosen],
        )
        if matcher.reader.kind != "VCF":
            raise SettingsError(f"--vcf {vcf} is a table. Leave --vcf out: then each score is a record.")
        counts, index_path = annotate_vcf(matcher, vcf, to, chosen, prefix, facts, on_progress)
        remarks = [f"warning: {warning}" for warning in matcher.warnings]
        remarks += _remarks(to, index_path, counts.num_left_out, counts.first_left_out, vcf)
        num_written = counts.num_records - counts.num_left_out
        return Exported(to, index_path, num_written, counts.num_alleles, counts.num_scored, counts.missing, remarks)
    contigs, lengths, remarks = _contig_order(index, facts, reference)
    if kind == "tsv":
        rows, tsv_index = write_tsv(index, contigs, to, chosen, prefix, facts, on_progress)
        names = ",".join(["CHROM", "POS", "REF", "ALT", *(info_field.id for info_field in chosen)])
        hint = f"for example: bcftools annotate -a {to} -h {to}{HEADER_END} -c {names} IN.vcf.gz"
        return Exported(to, tsv_index, rows, remarks=[*remarks, hint])
    rows, index_path = write_sites(index, contigs, lengths, to, chosen, prefix, facts, on_progress)
    return Exported(to, index_path, rows, remarks=remarks)


def print_export(exported: Exported, console: Console) -> None:
    """Print what was exported: counts, what is missing and why, and where the files are."""
    if exported.num_alleles is None:
        console.print(number_of(exported.num_rows, "score"))
    else:
        missing = "".join(
            f" + {number:,} {reason}" for reason, number in sorted(exported.missing.items(), key=lambda item: -item[1])
        )
        console.print(
            f"{number_of(exported.num_rows, 'record')}, {number_of(exported.num_alleles, 'allele')} = {exported.num_scored:,} with a score{missing}",
            soft_wrap=True,
            markup=False,
        )
    for remark in exported.remarks:
        console.print(remark, soft_wrap=True, markup=False)
    for name, path in (("file", exported.path), ("index", exported.index)):
        if path:
            console.print(f"{name}: {path}", soft_wrap=True, markup=False)


def _kind(to: str, vcf: str | None) -> str:
    suffixes = {"vcf": VCF_SUFFIXES, "tsv": TSV_SUFFIXES, "table": TABLE_SUFFIXES}
    kind = next((name for name, ends in suffixes.items() if to.endswith(ends)), None)
    if kind is None:
        suffix_list = ", ".join(end for ends in suffixes.values() for end in ends)
        raise SettingsError(f"--to {to}: the file's end says what is written. It can be {suffix_list}.")
    if vcf and kind != "vcf":
        raise SettingsError(
            f"--vcf goes with a VCF or BCF as --to, and {to} is none: it takes every score of the folder."
        )
    return kind


def _table(
    index: ScoreIndex,
    to: str,
    fields: Sequence[str] | None,
    reference: str | None,
    on_progress: Callable[[int], None],
) -> Exported:
    columns = list(dict.fromkeys(["variant_id", *fields])) if fields else index.schema.names
    if unknown := [name for name in columns if name not in index.schema.names]:
        column_names = ", ".join(index.schema.names)
        raise SettingsError(f"--fields: the scores have no column {', '.join(unknown)}. There are: {column_names}.")
    contigs, _, remarks = _contig_order(index, run_facts(index), reference)
    pairs = [None] if None in index.contigs else []
    return Exported(to, None, write_table(index, [*contigs, *pairs], to, columns, on_progress), remarks=remarks)


def _contig_order(
    index: ScoreIndex, facts: RunFacts, reference: str | None
) -> tuple[list[str], Mapping[str, int], list[str]]:
    """Contigs with scores in the reference's order, its lengths in bases, and a remark where the order is another one."""
    scored = [chrom for chrom in index.contigs if chrom is not None]
    lengths = reference_for(index, facts, reference).lengths if reference else reference_lengths(index, facts)
    if set(scored) <= set(lengths):
        return [name for name in lengths if name in scored], lengths, []
    remark = "The reference of the scores is not at hand (--reference), so contigs are sorted by their names."
    return sorted(scored, key=contig_order), {}, [remark] if len(scored) > 1 else []


def _remarks(to: str, index_path: str | None, num_left_out: int, first: int, vcf: str) -> list[str]:
    remarks = []
    if num_left_out:
        remarks.append(
            f"warning: {num_left_out:,} lines of {vcf} are no VCF records and were left out (the first is record {first:,})."
        )
    if index_path is None and not to.endswith(".vcf"):
        remarks.append(
            f"The records of {vcf} are not sorted by contig and position, so {to} has no index (bcftools sort)."
        )
    return remarks
