"""Phased variants that are scored together: the effects of neighbours do not add up.

In: alleles that carry a haplotype's name in a column. Out: for each haplotype with at least two members one more allele,
which spans them: REF is the reference from the first member to the last, ALT the same with all members put in. It is an
ordinary variant from there on. Its members stay, and are scored alone.

Members are put in as the input spells them, not as they are normalised: left-aligned, an indel can pass another member
of its haplotype, and the two together would be another sequence.

A haplotype that cannot be built is one reject; what stands in its way is said, and its members are scored all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import SettingsError
from raygen.sequence.ambiguity import as_vcf_has_it
from raygen.sequence.reference import Reference
from raygen.tables.schemas import Reason, variant_id
from raygen.variants.alleles import SOURCE_PREFIX, AlleleBatch
from raygen.variants.check import CheckedBatch
from raygen.variants.normalise import is_symbolic, normalise

_SHOWN_MEMBERS = 5
ID_PREFIX = "hap:"
"""Before a haplotype's name in the column ``id``."""


@dataclass(frozen=True)
class Member:
    """One allele of a haplotype: as its file spells it, the name of the same variant normalised, and where it stands.

    ``refused`` is the reason for which it is no variant; ``name`` is then what the file says.
    """

    contig: int
    pos: int
    ref: str
    alt: str
    name: str
    file: int
    record: int
    chrom: str
    refused: Reason | None = None


@dataclass(frozen=True)
class Haplotype:
    """Members under one name, in input order; ``variant`` is the allele that spans them, or why there is none."""

    name: str
    members: tuple[Member, ...]
    variant: tuple[int, str, str] | None
    reason: Reason | None = None
    detail: str = ""

    @property
    def member_names(self) -> str:
        """Variant ids of the members, by position, joined by ``;``."""
        return ";".join(member.name for member in sorted(self.members, key=lambda member: (member.pos, member.name)))


class _CannotJoin(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail


@dataclass
class HaplotypeCollector:
    """Keeps the alleles that carry a haplotype's name until all inputs are read.

    They are held in memory as Arrow columns, about 150 bytes each; alleles without a name cost nothing.
    """

    column: str
    reference: Reference
    longest: int
    """Bases of the longest REF or ALT that a haplotype may have."""
    _parts: list[pa.Table] = field(default_factory=list)

    def add(self, batch: AlleleBatch, checked: CheckedBatch, file_number: int) -> None:
        """Take in what a batch holds of haplotypes, whether it passed the checks or not."""
        name = SOURCE_PREFIX + self.column
        if name not in batch.table.column_names:
            return
        ids = batch.table[name].combine_chunks().cast(pa.string())
        has_haplotype = pc.and_(pc.is_valid(ids), pc.not_equal(pc.fill_null(ids, ""), "")).to_numpy(
            zero_copy_only=False
        )
        if not has_haplotype.any():
            return
        places = np.flatnonzero(has_haplotype[checked.rows])
        accepted = checked.rows[places]
        reasons = {row: reason.value for row, reason, _ in checked.refused if has_haplotype[row]}
        rows = np.concatenate([accepted, np.array(list(reasons), np.int64)])
        missing = len(reasons)
        raw = batch.table.select(["chrom", "pos", "ref", "alt", "record"]).take(pa.array(rows))
        columns = {
            "haplotype": ids.take(pa.array(rows)),
            "contig": pa.array(np.concatenate([checked.contig[places], np.full(missing, -1, np.int32)])),
            "own_pos": pa.array([*checked.pos[places].tolist(), *[None] * missing], pa.int64()),
            "own_ref": pa.concat_arrays([checked.ref.take(pa.array(places)), pa.nulls(missing, pa.string())]),
            "own_alt": pa.concat_arrays([checked.alt.take(pa.array(places)), pa.nulls(missing, pa.string())]),
            "refused": pa.array([*[None] * len(places), *reasons.values()], pa.string()),
            "file": pa.array(np.full(len(rows), file_number, np.int32)),
        }
        for column, values in columns.items():
            raw = raw.append_column(column, values)
        self._parts.append(raw)

    def haplotypes(self) -> Iterator[Haplotype]:
        """Every haplotype with two members or more, by name."""
        if not self._parts:
            return
        table = pa.concat_tables(self._parts)
        table = table.sort_by([(name, "ascending") for name in ("haplotype", "file", "record", "alt")])
        names = table["haplotype"].combine_chunks()
        ends = [*np.flatnonzero(pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)) + 1, len(table)]
        start = 0
        for end in map(int, ends):
            members = _members(table.slice(start, end - start), list(self.reference.lengths))
            if len(members) > 1:
                yield self._joined(str(names[start]), members)
            start = end

    def _joined(self, name: str, members: tuple[Member, ...]) -> Haplotype:
        try:
            contig = _one_contig(members)
            bases = self.reference.bases(list(self.reference.lengths)[contig])
            pos, ref, alt = join([(member.pos, member.ref, member.alt) for member in members], bases, self.longest)
        except _CannotJoin as fault:
            return Haplotype(name, members, None, fault.reason, f"{fault.detail}; members: {_shown(members)}")
        return Haplotype(name, members, (pos, ref, alt))


def join(members: Sequence[tuple[int, str, str]], bases: np.ndarray, longest: int) -> tuple[int, str, str]:
    """The one variant that does what all members do: (pos, ref, alt), normalised.

    Args:
        members: (pos, ref, alt) as VCF spells them, in any order; their REFs agree with ``bases``.
        bases: of the contig, (length,) uint8.
        longest: bases of the longest REF or ALT.
    """
    edits = sorted(_edit(*member) for member in members)
    for (start, end, *_), (next_start, next_end, *_) in pairwise(edits):
        if next_start < end or (start, end) == (next_start, next_end):
            raise _CannotJoin(Reason.MALFORMED_RECORD, f"members of the haplotype overlap at base {next_start + 1:,}")
    first, last = edits[0][0], max(end for _, end, *_ in edits)
    if last - first > longest:
        raise _CannotJoin(
            Reason.ALLELE_TOO_LONG, f"the haplotype spans {last - first:,} bases; {longest:,} is the most"
        )
    refs, alts, previous_end = [], [], first
    for start, end, ref, alt in edits:
        between = as_vcf_has_it(bases[previous_end:start].tobytes().decode("ascii"))
        refs += [between, ref]
        alts += [between, alt]
        previous_end = end
    return _as_variant(first, "".join(refs), "".join(alts), bases, longest)


def _edit(pos: int, ref: str, alt: str) -> tuple[int, int, str, str]:
    """Where a member replaces, [start, end) 0-based, what, and by what. The base that VCF puts before an indel is not part of it."""
    shorter = min(len(ref), len(alt))
    prefix = next((offset for offset in range(shorter) if ref[offset] != alt[offset]), shorter)
    ref, alt = ref[prefix:], alt[prefix:]
    shorter -= prefix
    suffix = next((offset for offset in range(shorter) if ref[-1 - offset] != alt[-1 - offset]), shorter)
    start = pos - 1 + prefix
    ref = ref[: len(ref) - suffix]
    return start, start + len(ref), ref, alt[: len(alt) - suffix]


def _as_variant(start: int, ref: str, alt: str, bases: np.ndarray, longest: int) -> tuple[int, str, str]:
    if ref == alt:
        raise _CannotJoin(Reason.MALFORMED_RECORD, "together the members of the haplotype change nothing")
    if not set(ref) <= set("ACGT"):
        raise _CannotJoin(Reason.NON_ACGT_ALLELE, "the reference between members holds a base that is no A, C, G or T")
    if not ref or not alt:  # nothing but an insertion or a deletion: VCF wants a base beside it
        start, before = (start - 1, as_vcf_has_it(chr(bases[start - 1]))) if start else (start, "")
        after = "" if before else as_vcf_has_it(chr(bases[len(ref)]))
        ref, alt = before + ref + after, before + alt + after
    pos, ref, alt = normalise(start + 1, ref, alt, bases)
    if max(len(ref), len(alt)) > longest:
        size = max(len(ref), len(alt))
        raise _CannotJoin(
            Reason.ALLELE_TOO_LONG, f"the haplotype has alleles of {size:,} bases; {longest:,} is the most"
        )
    return pos, ref, alt


def check_column_type(column: str, arrow_type: pa.DataType) -> None:
    """Refuse a column that cannot hold names of haplotypes, which are text or whole numbers.

    Raises:
        SettingsError: the column holds something else.
    """
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    if not any(is_kind(arrow_type) for is_kind in kinds):
        raise SettingsError(f"haplotype_column: {column!r} is {arrow_type}; it must be text or whole numbers.")


def _members(rows: pa.Table, contigs: Sequence[str]) -> tuple[Member, ...]:
    """The members under one name, in input order; the same variant twice is one member."""
    member_of_name: dict[str, Member] = {}
    for row in rows.to_pylist():
        if row["refused"] is None:
            name = variant_id(contigs[row["contig"]], row["own_pos"], row["own_ref"], row["own_alt"])
        else:
            name = variant_id(row["chrom"], row["pos"], row["ref"], row["alt"])
        refused = Reason(row["refused"]) if row["refused"] else None
        place = (row["file"], row["record"], row["chrom"])
        spelled = ((row["ref"] or "").upper(), (row["alt"] or "").upper())
        member_of_name.setdefault(name, Member(row["contig"], row["pos"] or 0, *spelled, name, *place, refused))
    return tuple(member_of_name.values())


def _one_contig(members: Sequence[Member]) -> int:
    """The contig that all members lie on, when nothing else is wrong with them either."""
    for member in members:
        if member.refused:
            raise _CannotJoin(member.refused, f"the member {member.name} cannot be scored")
        if is_symbolic(member.alt):
            raise _CannotJoin(
                Reason.SYMBOLIC_ALLELE, f"the member {member.name} is written as {member.alt}, not as bases"
            )
    contigs = {member.contig for member in members}
    if len(contigs) > 1:
        raise _CannotJoin(Reason.MALFORMED_RECORD, "members of the haplotype lie on different contigs")
    return contigs.pop()


def _shown(members: Sequence[Member]) -> str:
    names = [member.name for member in members]
    more = f" and {len(names) - _SHOWN_MEMBERS} more" if len(names) > _SHOWN_MEMBERS else ""
    return "; ".join(names[:_SHOWN_MEMBERS]) + more
