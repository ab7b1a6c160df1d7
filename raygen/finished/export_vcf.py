"""A VCF with the scores in INFO: every record of an input VCF as it was, or one record for each score.

In: scores, and a VCF or BCF. Out: the same lines in the same order, nothing changed but INFO, where the fields of
``info_fields`` come last, one value an ALT; genotypes are carried as bytes and never read. An allele without a score has ``.``,
and the field ``missing`` says why; a record none of whose alleles has a score has ``missing`` alone. Lines that are no records
(htslib refuses them) would make the file unreadable: they are left out and counted.

The body is compressed first and the header put before it afterwards, because only then it is known which contigs the header has
to declare. bgzip files can be joined end to end.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pysam
from pysam import bcftools

from raygen.disk_errors import disk_errors, full_disk
from raygen.errors import InputError, SettingsError
from raygen.finished.export_parts import Part
from raygen.finished.info_fields import MISSING, DeclaredTypes, InfoField, as_text, header_lines
from raygen.finished.run_facts import RunFacts, TableByPlace
from raygen.finished.score_lookup import AlleleMatcher, MatchedBatch
from raygen.finished.text_lines import text_lines
from raygen.finished.vcf_lines import VcfLines
from raygen.tables.place import put_in_place
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.vcf_stream import quiet_htslib

TBI_LIMIT = 2**29
"""Bases from the start of a contig: a ``.tbi`` index cannot name a position behind this one, a ``.csi`` can."""
_EOF_BLOCK = 28  # bytes of the empty block that ends a bgzip file
_DECLARED = re.compile(rb"##contig=<(?:.*,)?ID=([^,>]+)")
_INFO_ID = re.compile(rb"##INFO=<(?:.*,)?ID=([^,>]+)")
_FIRST_LINE = b"##fileformat=VCFv4.2"
_COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


@dataclass
class VcfCounts:
    """What went into an annotated VCF.

    Attributes:
        num_alleles: alleles of the records: ``num_scored`` + the sum of ``missing``, which is by reason.
        num_left_out: lines that htslib refuses; ``first_left_out`` is the number of the first one's record.
    """

    num_records: int = 0
    num_alleles: int = 0
    num_scored: int = 0
    num_left_out: int = 0
    first_left_out: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Body:
    """What is known of a VCF's records once they are written: contigs in order, whether sorted, the highest position, and the
    types of the fields.
    """

    contigs: dict[bytes, None] = field(default_factory=dict)
    is_sorted: bool = True
    last_pos: int = 0
    types: DeclaredTypes = field(default_factory=DeclaredTypes)
    _previous: tuple[bytes, int] = (b"", 0)

    def note(self, chrom: bytes, pos: int) -> None:
        previous_chrom, previous_pos = self._previous
        if chrom != previous_chrom:
            self.is_sorted &= chrom not in self.contigs
            self.contigs[chrom] = None
        elif pos < previous_pos:
            self.is_sorted = False
        self._previous = (chrom, pos)
        self.last_pos = max(self.last_pos, pos)


def annotate_vcf(
    matcher: AlleleMatcher,
    vcf: str,
    to: str,
    fields: Sequence[InfoField],
    prefix: str,
    facts: RunFacts,
    on_progress: Callable[[int], None] = lambda num_records: None,
) -> tuple[VcfCounts, str | None]:
    """Write ``vcf`` with the scores that ``matcher`` finds for its alleles to ``to`` (.vcf, .vcf.gz or .bcf).

    Returns the counts and the index's path, None where the file has none (plain text, or records not in order).

    Raises:
        SettingsError: the VCF has a field of that name already, or ``to`` is the VCF.
        InputError: the VCF cannot be read, or has more in it than BCF can hold.
    """
    if Path(to).exists() and Path(to).samefile(vcf):
        raise SettingsError(f"--to {to} is the VCF that is read. Give another name.")
    source = VcfLines(Path(vcf))
    _refuse_taken_ids(source.header, fields, prefix, vcf)
    counts = VcfCounts()

    def lines(body: _Body) -> Iterator[bytes]:
        records = source.records()
        for batch in matcher.batches():
            yield from _annotated(batch, records, fields, prefix, counts, body)
            on_progress(counts.num_records)
        counts.missing = dict(matcher.missing)
        if counts.num_left_out:
            counts.missing["malformed_record"] -= counts.num_left_out
            counts.missing = {reason: number for reason, number in counts.missing.items() if number}

    def header(body: _Body) -> list[bytes]:
        declared = {match[1] for line in source.header if (match := _DECLARED.match(line))}
        missing = [name for name in body.contigs if name not in declared]
        score_lines = [line.encode() for line in header_lines(body.types.of(fields), prefix, facts)]
        *meta, columns = source.header
        return [*meta, *_contig_lines(missing, matcher.checker.reference.lengths), *score_lines, columns]

    return counts, _write_vcf(to, lines, header)


def write_sites(
    index: TableByPlace,
    parts: Sequence[Part],
    lengths: Mapping[str, int],
    to: str,
    fields: Sequence[InfoField],
    prefix: str,
    facts: RunFacts,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> tuple[int, str | None]:
    """Write a VCF or BCF to ``to``, one record for each score, in the order of ``parts``.

    Returns the number of records and the index's path, None where the file has none.
    """
    written = 0
    columns = ["pos", "ref", "alt", *(info_field.column for info_field in fields)]

    def lines(body: _Body) -> Iterator[bytes]:
        nonlocal written
        for part in parts:
            chrom = part.chrom or ""
            for rows in part.tables(index, columns):
                body.types.note(rows, fields)
                pos = rows["pos"]
                for edge in (pos[0], pos[-1]):  # rows of a part are sorted
                    body.note(chrom.encode(), edge.as_py())
                place = [pos.cast(pa.string()), ".", rows["ref"], rows["alt"], ".", "."]
                yield text_lines(chrom, *place, _infos(rows, fields)).removesuffix(b"\n")
                written += rows.num_rows
                on_progress(written)

    def header(body: _Body) -> list[bytes]:
        score_lines = [line.encode() for line in header_lines(body.types.of(fields), prefix, facts)]
        names = dict.fromkeys((part.chrom or "").encode() for part in parts)
        return [_FIRST_LINE, *_contig_lines(list(names), lengths), *score_lines, _COLUMNS]

    index_path = _write_vcf(to, lines, header)
    return written, index_path


def _annotated(
    batch: MatchedBatch,
    records: Iterator[bytes],
    fields: Sequence[InfoField],
    prefix: str,
    counts: VcfCounts,
    body: _Body,
) -> Iterator[bytes]:
    """Lines of a batch with the scores' fields in INFO. The alleles of a record stand together, in the order of its ALTs."""
    names = [field.id for field in fields]
    body.types.note(batch.scores, fields)
    texts = [as_text(batch.scores[field.column], single=True).to_pylist() for field in fields]
    numbers, alts, faults = (batch.alleles[name].to_pylist() for name in ("record", "alt", "fault"))
    start = 0
    for _ in range(batch.num_records):
        line = next(records)
        end = start + 1
        while end < len(numbers) and numbers[end] == numbers[start]:
            end += 1
        counts.num_records += 1
        if faults[start] is not None and not _is_other_encoding(line):
            counts.first_left_out = counts.first_left_out or numbers[start]
            counts.num_left_out += 1
        else:
            score_info = "" if alts[start] is None else _record_info(batch, names, texts, prefix, start, end)
            counts.num_alleles += end - start
            counts.num_scored += sum(reason is None for reason in batch.missing[start:end])
            yield _with_info(line, score_info, body)
        start = end


def _is_other_encoding(line: bytes) -> bool:
    """Whether a record is refused for nothing but bytes that are no UTF-8: htslib reads it, so it stays."""
    columns = line.split(b"\t", 8)
    if len(columns) < 8 or not columns[1].isdigit():
        return False
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _record_info(
    batch: MatchedBatch, names: Sequence[str], texts: Sequence[Sequence[str]], prefix: str, start: int, end: int
) -> str:
    """The text that INFO gets for the alleles ``start`` to ``end`` of a batch, which are those of one record."""
    missing = batch.missing[start:end]
    if batch.alleles["fault"][start].is_valid:  # a refused line is one row, however many ALTs it has
        missing = missing * (batch.alleles["alt"][start].as_py().count(",") + 1)
    entries = []
    if not all(missing):
        entries = [f"{name}={','.join(values[start:end])}" for name, values in zip(names, texts, strict=True)]
    if any(missing):
        entries.append(f"{prefix}{MISSING}={','.join(reason or '.' for reason in missing)}")
    return ";".join(entries)


def _with_info(line: bytes, score_info: str, body: _Body) -> bytes:
    columns = line.split(b"\t", 8)
    body.note(columns[0], int(columns[1]))
    if score_info:
        info = columns[7]
        columns[7] = score_info.encode() if info in (b".", b"") else info.rstrip(b";") + b";" + score_info.encode()
    return b"\t".join(columns)


def _infos(rows: pa.Table, fields: Sequence[InfoField]) -> pa.StringArray:
    """The text of INFO for each of R rows of scores."""
    entries: list[pa.Array | str] = []
    for info_field in fields:
        entries += [f"{';' if entries else ''}{info_field.id}=", as_text(rows[info_field.column], single=True)]
    return pc.binary_join_element_wise(*entries, "")


def _refuse_taken_ids(header: Sequence[bytes], fields: Sequence[InfoField], prefix: str, vcf: str) -> None:
    present_ids = {match[1].decode(errors="replace") for line in header if (match := _INFO_ID.match(line))}
    taken_ids = sorted(present_ids & {*(field.id for field in fields), prefix + MISSING})
    if taken_ids:
        raise SettingsError(
            f"{vcf} has {', '.join(taken_ids)} in INFO already. Take another --prefix, so that both stay, or take the old ones "
            f"off: bcftools annotate -x {','.join(f'INFO/{name}' for name in taken_ids)}."
        )


def _contig_lines(names: Sequence[bytes], lengths: Mapping[str, int]) -> list[bytes]:
    """``##contig`` lines of names as the file has them, in the reference's order, with its lengths where it has them."""
    order = {name: place for place, name in enumerate(lengths)}
    is_human = human_assembly(lengths) is not None
    resolved = [(resolve_contig(name.decode(errors="replace"), order, is_human=is_human), name) for name in names]
    resolved.sort(key=lambda pair: order.get(pair[0] or "", len(order)))
    return [
        b"##contig=<ID=%b%b>" % (name, b",length=%d" % lengths[reference_name] if reference_name else b"")
        for reference_name, name in resolved
    ]


def _write_vcf(
    to: str, lines: Callable[[_Body], Iterator[bytes]], header: Callable[[_Body], list[bytes]]
) -> str | None:
    """Write the body, then the header before it, then the index; the end of ``to`` says which kind of file.

    Returns the index's path, None where the file has none.
    """
    body = _Body()
    with quiet_htslib(), put_in_place(to, beside=(".tbi", ".csi")) as partial:
        packed = partial.with_name(partial.name + ".vcf.gz") if to.endswith(".bcf") else partial
        body_path = packed.with_name(packed.name + ".body")
        try:
            with disk_errors(to):  # asked of the disk while all that was written is on it
                _write_lines(body_path, lines(body), packed=not to.endswith(".vcf"))
                _write_lines(packed, header(body), packed=not to.endswith(".vcf"))
                _append(packed, body_path, packed=not to.endswith(".vcf"))
                if to.endswith(".bcf"):
                    _to_bcf(packed, partial, to)
                end = _index(partial, body) if not to.endswith(".vcf") and body.is_sorted else None
        finally:
            body_path.unlink(missing_ok=True)
            if packed != partial:
                packed.unlink(missing_ok=True)
    return f"{to}{end}" if end else None


def _write_lines(path: Path, lines: Iterator[bytes] | Sequence[bytes], *, packed: bool, chunk: int = 1 << 20) -> None:
    sink: IO[bytes] | Any = pysam.BGZFile(str(path), "wb") if packed else path.open("wb")
    with sink:
        pending, size = [], 0
        for line in lines:
            pending.append(line)
            size += len(line)
            if size >= chunk:
                sink.write(b"\n".join([*pending, b""]))
                pending, size = [], 0
        sink.write(b"\n".join([*pending, b""]))


def _append(path: Path, body_path: Path, *, packed: bool) -> None:
    with path.open("r+b") as file, body_path.open("rb") as more:
        file.seek(-_EOF_BLOCK if packed else 0, 2)
        file.truncate()
        shutil.copyfileobj(more, file, 1 << 20)


def _to_bcf(packed: Path, partial: Path, to: str) -> None:
    """Convert a bgzipped VCF to BCF by the bcftools inside pysam.

    Writing a pysam record would add an END to symbolic alleles, which a header may not declare.
    """
    try:
        bcftools.view("--no-version", "-O", "b", "-o", str(partial), str(packed), catch_stdout=False)
    except pysam.SamtoolsError as error:
        message = " ".join(str(error).split()[-30:])
        raise full_disk(error, to) or InputError(
            f"{to}: the records cannot be written as BCF; their header may lack what they use. Write .vcf.gz instead. ({message})"
        ) from error


def _index(path: Path, body: _Body) -> str:
    """Index a finished VCF or BCF; returns the end of the index's name."""
    csi = path.name.endswith(".bcf") or body.last_pos >= TBI_LIMIT
    pysam.tabix_index(str(path), preset="bcf" if path.name.endswith(".bcf") else "vcf", force=True, csi=csi)
    return ".csi" if csi else ".tbi"
