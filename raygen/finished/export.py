"""``raygen export``: finished scores in a form that other tools read, chosen by the file's end.

.vcf.gz .vcf.bgz .bcf .vcf   with a VCF: its records with the scores in INFO; without one: a record for each score
.tsv.gz .tsv.bgz             bgzip, tabix index and INFO lines, for ``bcftools annotate``
.cadd.tsv.gz                 the layout of CADD's files
.parquet .csv .tsv           all columns, or those asked for
.bw .bigWig .bedgraph(.gz)   one number a base for a genome browser, of position tables alone

Of a position table a single-base change is a score like any other; with a background it is ranked as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from raygen.classes.background_file import read_background
from raygen.errors import SettingsError
from raygen.finished.bigwig import BIGWIG_SUFFIXES, bigwig_library
from raygen.finished.export_cadd import CADD_SUFFIXES, write_cadd
from raygen.finished.export_parts import Part, chosen_parts, last_position
from raygen.finished.export_tables import HEADER_END, write_table, write_tsv
from raygen.finished.export_tracks import BEDGRAPH_SUFFIXES, MEAN, TRACKS, track_paths, write_track
from raygen.finished.export_vcf import annotate_vcf, write_sites
from raygen.finished.info_fields import DEFAULT_FIELDS, DEFAULT_PREFIX, InfoField, info_fields
from raygen.finished.position_scores import PositionScores
from raygen.finished.ranked_changes import RankedChanges
from raygen.finished.run_facts import RunFacts, TableByPlace, reference_lengths, refuse_pairs, run_facts
from raygen.finished.score_lookup import AlleleMatcher, reference_for
from raygen.number_of import number_of
from raygen.sequence.reference import Reference
from raygen.tables.folder_kinds import holds_positions, refuse_no_folder
from raygen.tables.place import refuse_unwritable
from raygen.tables.position_rows import PositionRows
from raygen.tables.score_index import ScoreIndex
from raygen.tables.table_files import TABLE_SUFFIXES
from raygen.variants.contig_names import contig_order

VCF_SUFFIXES = (".vcf.gz", ".vcf.bgz", ".bcf", ".vcf")
TSV_SUFFIXES = (".tsv.gz", ".tsv.bgz")
_SUFFIXES = {
    "vcf": VCF_SUFFIXES,
    "cadd": CADD_SUFFIXES,
    "tsv": TSV_SUFFIXES,
    "table": TABLE_SUFFIXES,
    "track": (*BIGWIG_SUFFIXES, *BEDGRAPH_SUFFIXES),
}
"""The ends of names by what they stand for; the first that fits holds."""


@dataclass(frozen=True)
class Exported:
    """What ``raygen export`` wrote.

    Attributes:
        index: path of the file's index; None where it has none.
        num_rows: records, rows or values in the file, and ``unit``, what one of them is.
        num_alleles: with an input VCF its alleles: ``num_scored`` + the sum of ``missing``; else None.
        missing: alleles without a score, by reason.
        remarks: sentences for the user.
        others: further files of the same export.
    """

    path: str
    index: str | None
    num_rows: int
    num_alleles: int | None = None
    num_scored: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    unit: str = "score"
    others: Sequence[Exported] = ()


def export_scores(
    out: str,
    to: str,
    *,
    vcf: str | None = None,
    reference: str | None = None,
    contigs: Sequence[str] = (),
    regions: Sequence[str] = (),
    track: str | None = None,
    fields: Sequence[str] | None = None,
    prefix: str = DEFAULT_PREFIX,
    background: str | None = None,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> Exported:
    """Write the scores of the folder ``out`` to the file ``to``.

    Args:
        vcf: the file whose records are annotated, in their order; for a VCF or BCF only.
        reference: the FASTA of the scores, where the run's manifest does not say where it is.
        contigs: with ``regions`` (``chrom:start-end``) what is exported; all where neither is given.
        track: which of ``TRACKS`` a bigWig or bedGraph is, ``mean`` if nothing is said.
        fields: columns of the scores; for tables all, else ``DEFAULT_FIELDS``.
        prefix: what the names in INFO begin with.
        background: file of ``raygen background`` that the changes of a position table are ranked against.

    Raises:
        SettingsError: what is asked for does not go together or cannot be written.
        InputError: there are no scores, the VCF cannot be read, or the reference is another one.
    """
    kind = _kind(to)
    _refuse_what_has_no_place(kind, to, vcf, track, fields, [*contigs, *regions])
    if background:
        _refuse_ranks(kind, out, to)
    paths = track_paths(to, track or MEAN) if kind == "track" else {}
    refuse_unwritable(*(paths.values() or [to]))
    index = _opened(out, to, kind)
    if kind != "table":
        refuse_pairs(index, f"a file {''.join(Path(to).suffixes[-2:])}")
    elif contigs or regions:
        refuse_pairs(index, "--contig or --region")
    facts = run_facts(index)
    notes: list[str] = []
    if background:
        index, facts, notes = _ranked(index, facts, background, reference)
    columns = _columns(index, fields) if kind == "table" else []
    chosen = fields or _default_fields(index, facts)
    info = info_fields(index.schema, chosen, prefix, facts) if kind in ("vcf", "tsv") else []
    if vcf:
        exported = _annotated(index, to, vcf, reference, info, prefix, facts, on_progress)
        return replace(exported, remarks=[*exported.remarks, *notes])
    order, lengths, remarks = _contig_order(index, facts, reference)
    remarks += [] if kind == "cadd" else notes
    parts = chosen_parts(index, order, lengths, contigs, regions)
    writing = _Writing(index, facts, parts, lengths, remarks, to, on_progress)
    if kind == "track":
        return writing.tracks(paths)
    if kind == "table":
        return writing.table(columns)
    if kind == "cadd":
        return writing.cadd()
    return writing.tsv(info, prefix) if kind == "tsv" else writing.sites(info, prefix)


@dataclass(frozen=True)
class _Writing:
    """What every kind of file is written from; each method writes one kind."""

    index: TableByPlace
    facts: RunFacts
    parts: Sequence[Part]
    lengths: Mapping[str, int]
    remarks: Sequence[str]
    to: str
    on_progress: Callable[[int], None]

    def table(self, columns: Sequence[str]) -> Exported:
        """Parquet, CSV or TSV; pairs, which lie on no contig, come last."""
        pairs = [Part(None)] if None in self.index.contigs else []
        num_rows = write_table(self.index, [*self.parts, *pairs], self.to, columns, self.on_progress)
        return Exported(self.to, None, num_rows, remarks=self.remarks)

    def cadd(self) -> Exported:
        """The layout of CADD's files."""
        num_rows, index_path = write_cadd(
            self.index, self.parts, self.lengths, self.to, self.facts, on_progress=self.on_progress
        )
        return Exported(self.to, index_path, num_rows, remarks=self.remarks)

    def tsv(self, info: Sequence[InfoField], prefix: str) -> Exported:
        """The TSV for ``bcftools annotate``."""
        num_rows, index_path = write_tsv(self.index, self.parts, self.to, info, prefix, self.facts, self.on_progress)
        names = ",".join(["CHROM", "POS", "REF", "ALT", *(info_field.id for info_field in info)])
        hint = f"for example: bcftools annotate -a {self.to} -h {self.to}{HEADER_END} -c {names} IN.vcf.gz"
        return Exported(self.to, index_path, num_rows, remarks=[*self.remarks, hint])

    def sites(self, info: Sequence[InfoField], prefix: str) -> Exported:
        """A VCF or BCF with a record for each score."""
        num_rows, index_path = write_sites(
            self.index, self.parts, self.lengths, self.to, info, prefix, self.facts, self.on_progress
        )
        return Exported(self.to, index_path, num_rows, remarks=self.remarks)

    def tracks(self, paths: Mapping[str, str]) -> Exported:
        """A bigWig or bedGraph for each track; the table is read once for each."""
        lengths, remarks = self.lengths, list(self.remarks)
        if not lengths and self.to.endswith(BIGWIG_SUFFIXES):
            lengths = {chrom: last_position(self.index, chrom) for chrom in self.index.contigs if chrom}
            remarks.append("The reference of the scores is not at hand (--reference): contigs end with their last row.")
        written = []
        for track, path in paths.items():
            num_bases, index_path = write_track(
                self.index, self.parts, lengths, path, track, self.facts, self.on_progress
            )
            written.append(Exported(path, index_path, num_bases, unit="value"))
        return replace(written[0], remarks=remarks, others=written[1:])


def print_export(exported: Exported, console: Console) -> None:
    """Print what was exported: counts, what is missing and why, and where the files are."""
    if exported.num_alleles is None:
        console.print(number_of(exported.num_rows, exported.unit))
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
    for other in exported.others:
        print_export(other, console)


def _kind(to: str) -> str:
    """Which kind of file a name's end stands for."""
    kind = next((name for name, ends in _SUFFIXES.items() if to.endswith(ends)), None)
    if kind is None:
        suffix_list = ", ".join(end for ends in _SUFFIXES.values() for end in ends)
        raise SettingsError(f"--to {to}: the file's end says what is written. It can be {suffix_list}.")
    return kind


def _refuse_what_has_no_place(
    kind: str, to: str, vcf: str | None, track: str | None, fields: Sequence[str] | None, limits: Sequence[str]
) -> None:
    """SettingsError where an option does not go with the kind of file."""
    if vcf and kind != "vcf":
        raise SettingsError(
            f"--vcf goes with a VCF or BCF as --to, and {to} is none: it takes every score of the folder."
        )
    if vcf and limits:
        raise SettingsError(
            "--contig and --region choose among the scores. With --vcf its records say which are written."
        )
    if track is not None and kind != "track":
        raise SettingsError(f"--track goes with a bigWig or bedGraph as --to, and {to} is none.")
    if track not in (None, *TRACKS):
        raise SettingsError(f"--track {track}: it can be {', '.join(TRACKS)}.")
    if fields and kind in ("track", "cadd"):
        raise SettingsError(f"--fields goes with tables and INFO. What is in {to} is fixed.")
    if to.endswith(BIGWIG_SUFFIXES):
        bigwig_library()


def _opened(out: str, to: str, kind: str) -> TableByPlace:
    """The scores of a folder, those of a position table as the kind of file wants them."""
    refuse_no_folder(out)
    if holds_positions(out):
        rows = PositionRows(out)
        return rows if kind == "track" else PositionScores(rows)
    if kind == "track":
        raise SettingsError(
            f"--to {to}: a track has one number a base, and {out} holds scores of variants. It is made of a table of `raygen tabulate`."
        )
    return ScoreIndex(out)


def _refuse_ranks(kind: str, out: str, to: str) -> None:
    """SettingsError where a background has nothing to rank in an export."""
    if kind == "track":
        raise SettingsError(f"--background adds ranks, for which there is no place in {to}.")
    refuse_no_folder(out)
    if not holds_positions(out):
        raise SettingsError(
            f"--background ranks the changes of a position table, and {out} holds scores of variants. "
            f"`raygen reclassify {out} --background FILE --out NEW` ranks these; export NEW."
        )


def _ranked(
    index: TableByPlace, facts: RunFacts, background: str, reference: str | None
) -> tuple[TableByPlace, RunFacts, list[str]]:
    """The changes of a position table with their ranks in a background, what made them, and what of its columns is not there."""
    read = read_background(background)
    fasta = reference_for(index, facts, reference) if reference else _reference_at_hand(index, facts)
    lengths = fasta.lengths if fasta else {}
    read.refuse_other(index.identity.fingerprint, index.identity.reference_digest, lengths, background)
    ranked = RankedChanges(index, read, fasta.bases if fasta else None)
    return ranked, replace(facts, background=read.summary), ranked.remarks


def _reference_at_hand(index: TableByPlace, facts: RunFacts) -> Reference | None:
    return reference_for(index, facts, None) if reference_lengths(index, facts) else None


def _annotated(
    index: TableByPlace,
    to: str,
    vcf: str,
    reference: str | None,
    info: Sequence[InfoField],
    prefix: str,
    facts: RunFacts,
    on_progress: Callable[[int], None],
) -> Exported:
    """A VCF with the scores of its alleles."""
    columns = [info_field.column for info_field in info]
    matcher = AlleleMatcher(index, vcf, reference_for(index, facts, reference), facts, columns)
    if matcher.reader.kind != "VCF":
        raise SettingsError(f"--vcf {vcf} is a table. Leave --vcf out: then each score is a record.")
    counts, index_path = annotate_vcf(matcher, vcf, to, info, prefix, facts, on_progress)
    remarks = [f"warning: {warning}" for warning in matcher.warnings]
    remarks += _remarks(to, index_path, counts.num_left_out, counts.first_left_out, vcf)
    num_written = counts.num_records - counts.num_left_out
    return Exported(to, index_path, num_written, counts.num_alleles, counts.num_scored, counts.missing, remarks)


def _columns(index: TableByPlace, fields: Sequence[str] | None) -> list[str]:
    """The columns of a table: all, or those asked for."""
    columns = list(dict.fromkeys(["variant_id", *fields])) if fields else index.schema.names
    if unknown := [name for name in columns if name not in index.schema.names]:
        column_names = ", ".join(index.schema.names)
        raise SettingsError(f"--fields: the scores have no column {', '.join(unknown)}. There are: {column_names}.")
    return columns


def _default_fields(index: TableByPlace, facts: RunFacts) -> list[str]:
    """Those of ``DEFAULT_FIELDS`` that the scores have, as a position table has no classes, and PHRED where they are ranked."""
    names = [*DEFAULT_FIELDS, *(["phred"] if facts.background else [])]
    return [name for name in names if name in index.schema.names]


def _contig_order(
    index: TableByPlace, facts: RunFacts, reference: str | None
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
