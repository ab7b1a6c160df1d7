"""Which alleles can be scored: every check, in one order.

In: an ``AlleleBatch`` and the reference. Out: the variants in it, normalised, and for all other rows the reason and the numbers.

``_check_allele`` is the definition, for one allele. ``_plain_snvs`` picks, a whole batch at a time, single-base changes for which
the definition would find nothing wrong and change nothing but letter case; they are most of any file, and only they skip it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.sequence.ambiguity import agrees, as_vcf_has_it
from raygen.sequence.reference import Reference, reference_name
from raygen.tables.schemas import Reason
from raygen.variants.alleles import AlleleBatch, first_bytes
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.normalise import REFERENCE_ALTS, is_symbolic, names_a_sequence, normalise, spell_out, trim

_ACGT = re.compile("[ACGT]+")
_ACGTN = re.compile("[ACGTN]+")
_UPPER_ACGT = np.zeros(256, np.uint8)
_UPPER_ACGT[np.frombuffer(b"ACGTacgt", np.uint8)] = np.frombuffer(b"ACGTACGT", np.uint8)
_SHOWN_BASES = 20


class _Refused(Exception):
    """The allele cannot be scored."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class CheckedBatch:
    """Rows of a batch that are variants, and why the others are not.

    ``rows`` (V,) int64 indexes the batch; ``contig`` (V,) int32 indexes the reference's contigs; ``pos`` (V,) int64, ``ref`` and
    ``alt`` (V,) strings are normalised. ``refused`` has (row, reason, detail), by row. ``blocks`` (B,) int64 are the rows that are a
    gVCF's blocks, or its "any other allele" beside a variant: ``REFERENCE_BLOCK``, without a detail. ``is_swapped`` (V,) bool: REF and ALT
    are the other way round than in the batch; ``num_undecided`` provisional rows whose alleles both fit the reference.
    """

    rows: np.ndarray
    contig: np.ndarray
    pos: np.ndarray
    ref: pa.Array
    alt: pa.Array
    refused: list[tuple[int, Reason, str]]
    blocks: np.ndarray
    is_swapped: np.ndarray
    num_undecided: int = 0


@dataclass
class RefTally:
    """REF alleles compared with bases A, C, G or T of the reference: how many, how many differ, and in how many of those ALT is
    what it has.
    """

    checked: int = 0
    mismatches: int = 0
    swapped: int = 0
    first_mismatch: str = ""

    def add(self, other: RefTally) -> None:
        """Add what was compared elsewhere, later."""
        self.checked += other.checked
        self.mismatches += other.mismatches
        self.swapped += other.swapped
        self.first_mismatch = self.first_mismatch or other.first_mismatch


@dataclass
class NameTally:
    """Alleles of one file's well-formed rows under one contig name, and the last position among them."""

    alleles: int = 0
    last_pos: int = 0


class NamedContigs(Protocol):
    """A reference, or what stands for it."""

    @property
    def path(self) -> str:
        """Where it lies; messages call it by the file's name."""

    @property
    def lengths(self) -> Mapping[str, int]:
        """Its contigs with their lengths."""


@dataclass(kw_only=True)
class Tallies:
    """What was compared with a reference so far, by which a wrong assembly is known."""

    reference: NamedContigs
    ref_tallies: dict[str, RefTally] = field(default_factory=dict)
    """Of the file under way, by the reference's name of the contig; see ``start_file``."""
    file_tally: RefTally = field(default_factory=RefTally)
    """Of the file under way, all contigs together."""
    batch_contigs: set[str] = field(default_factory=set)
    """The contigs on which REF alleles of the last batch were compared."""
    name_tallies: dict[str, NameTally] = field(default_factory=dict)
    """By the name that the file under way writes; see ``start_file``."""
    seen_contigs: dict[str, str | None] = field(default_factory=dict)
    """Names met so far, as the inputs write them, with the reference's name; None where it has none."""

    def start_file(self) -> None:
        """Count anew: what comes is of another file."""
        self.name_tallies, self.ref_tallies, self.file_tally = {}, {}, RefTally()

    def count_refs(self, contig: str, compared: RefTally) -> None:
        """Add what was compared on a contig."""
        self.batch_contigs.add(contig)
        self.file_tally.add(compared)
        self.ref_tallies.setdefault(contig, RefTally()).add(compared)


@dataclass
class AlleleChecker(Tallies):
    """Checks batches of one reference and keeps the tallies of what was compared."""

    reference: Reference
    max_allele_length: int

    def __post_init__(self) -> None:
        self.contig_index = {name: index for index, name in enumerate(self.reference.lengths)}
        self._lengths = np.fromiter(self.reference.lengths.values(), np.int64, len(self.contig_index))
        self._names = list(self.contig_index)
        self._is_human = human_assembly(self.reference.lengths) is not None
        self._reference_name = reference_name(self.reference)

    def check(self, batch: AlleleBatch, kind: str) -> CheckedBatch:
        """Check one batch. ``kind`` is what messages call the input: ``VCF`` or ``table``."""
        self.batch_contigs = set()
        table = batch.table.combine_chunks()
        pos = table["pos"].fill_null(0).to_numpy()
        contig = self._contigs(table, pos)
        is_swapped, num_undecided = np.zeros(table.num_rows, bool), 0
        if batch.has_provisional_ref is not None:
            fits, fits_swapped = self._fits_either_way(table, contig, pos, batch.has_provisional_ref)
            is_swapped, num_undecided = fits_swapped & ~fits, int((fits & fits_swapped).sum())
            table = _with_ref_decided(table, is_swapped, batch.has_provisional_ref)
        is_plain = self._plain_snvs(table, contig, pos)
        plain = np.flatnonzero(is_plain)
        for index, count in zip(*np.unique(contig[plain], return_counts=True), strict=True):
            self.count_refs(self._names[index], RefTally(checked=int(count)))

        is_block = _blocks(table)
        others = np.flatnonzero(~is_plain & ~is_block)
        rows, changed, refused = self._check_each(table, others, contig, kind)
        accepted = np.concatenate([plain, np.array(rows, np.int64)])
        return CheckedBatch(
            rows=accepted,
            contig=contig[accepted],
            pos=np.concatenate([pos[plain], np.array([new[0] for new in changed], np.int64)]),
            ref=_upper_then(table["ref"], plain, [new[1] for new in changed]),
            alt=_upper_then(table["alt"], plain, [new[2] for new in changed]),
            refused=refused,
            blocks=np.flatnonzero(is_block),
            is_swapped=is_swapped[accepted],
            num_undecided=num_undecided,
        )

    def _fits_either_way(
        self, table: pa.Table, contig: np.ndarray, pos: np.ndarray, is_provisional: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) bool twice: provisional rows whose REF is what the reference has at their position, and those whose ALT is."""
        fits = np.zeros((2, table.num_rows), bool)
        is_open = is_provisional & (contig >= 0) & (pos >= 1) & table["fault"].is_null().to_numpy()
        columns = [_one_chunk(table["ref"]), _one_chunk(table["alt"])]
        (ref_byte, ref_length), (alt_byte, alt_length) = map(first_bytes, columns)
        is_snv = (ref_length == 1) & (alt_length == 1)
        for index in np.unique(contig[is_open]):
            bases = self.reference.bases(self._names[index])
            rows = np.flatnonzero(is_open & (contig == index) & (pos <= self._lengths[index]))
            snvs, longer = rows[is_snv[rows]], rows[~is_snv[rows]]
            reference_base = bases[pos[snvs] - 1]
            for allele, byte in enumerate((ref_byte, alt_byte)):
                base = _UPPER_ACGT[byte[snvs]]
                fits[allele, snvs] = (base == reference_base) & (base != 0)
                texts = columns[allele].take(pa.array(longer)).to_pylist()
                fits[allele, longer] = [
                    bool(text) and bases[at - 1 : at - 1 + len(text)].tobytes() == text.upper().encode()
                    for at, text in zip(pos[longer].tolist(), texts, strict=True)
                ]
        return fits[0], fits[1]

    def _contigs(self, table: pa.Table, pos: np.ndarray) -> np.ndarray:
        """(N,) int32: each row's contig in the reference, -1 for none and for malformed rows. The others' names are tallied."""
        contig = np.full(table.num_rows, -1, np.int32)
        rows = np.flatnonzero(table["fault"].is_null().to_numpy())
        if not len(rows):
            return contig
        encoded = _one_chunk(table["chrom"]).take(pa.array(rows)).fill_null("").dictionary_encode()
        names, name_numbers = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        counts = np.bincount(name_numbers, minlength=len(names))
        last_pos = np.zeros(len(names), np.int64)
        np.maximum.at(last_pos, name_numbers, pos[rows])
        contig_numbers = []
        for name, count, last in zip(names, counts.tolist(), last_pos.tolist(), strict=True):
            if name not in self.seen_contigs:
                self.seen_contigs[name] = resolve_contig(name, self.contig_index, is_human=self._is_human)
            contig_numbers.append(self.contig_index.get(self.seen_contigs[name] or "", -1))
            tally = self.name_tallies.setdefault(name, NameTally())
            tally.alleles, tally.last_pos = tally.alleles + count, max(tally.last_pos, last)
        contig[rows] = np.array(contig_numbers, np.int32)[name_numbers]
        return contig

    def _plain_snvs(self, table: pa.Table, contig: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """(N,) bool: a well-formed record of one base for another, both ACGT, REF as in the reference."""
        ref_byte, ref_length = first_bytes(_one_chunk(table["ref"]))
        alt_byte, alt_length = first_bytes(_one_chunk(table["alt"]))
        ref_base, alt_base = _UPPER_ACGT[ref_byte], _UPPER_ACGT[alt_byte]
        is_plain = (ref_length == 1) & (alt_length == 1) & (ref_base != 0) & (alt_base != 0) & (ref_base != alt_base)
        is_plain &= (contig >= 0) & (pos >= 1) & table["fault"].is_null().to_numpy()
        for index in np.unique(contig[is_plain]):
            rows = np.flatnonzero(is_plain & (contig == index))
            inside = pos[rows] <= self._lengths[index]
            bases = self.reference.bases(self._names[index])
            is_plain[rows] = inside
            is_plain[rows[inside]] = bases[pos[rows[inside]] - 1] == ref_base[rows[inside]]
        return is_plain

    def _check_each(
        self, table: pa.Table, others: np.ndarray, contig: np.ndarray, kind: str
    ) -> tuple[list[int], list[tuple[int, str, str]], list[tuple[int, Reason, str]]]:
        """(rows accepted, their pos, ref and alt, rows refused with reason and detail) of the rows ``others``."""
        accepted: list[int] = []
        changed: list[tuple[int, str, str]] = []
        refused: list[tuple[int, Reason, str]] = []
        for row, allele in zip(others.tolist(), _row_dicts(table, others), strict=True):
            try:
                changed.append(self._check_allele(allele, int(contig[row]), kind))
                accepted.append(row)
            except _Refused as refusal:
                refused.append((row, refusal.reason, refusal.detail))
        return accepted, changed, refused

    def _check_allele(self, allele: dict[str, Any], contig: int, kind: str) -> tuple[int, str, str]:
        """The definition: (pos, ref, alt) normalised, or ``_Refused`` by the first check that fails."""
        if allele["fault"] is not None:
            raise _Refused(Reason.MALFORMED_RECORD, allele["fault"])
        if contig < 0:
            raise _Refused(Reason.UNKNOWN_CONTIG, f"{self._reference_name} has no contig {allele['chrom']!r}")
        name, length = self._names[contig], int(self._lengths[contig])
        pos, ref, alt = allele["pos"], (allele["ref"] or "").upper(), allele["alt"] or ""
        _check_bounds(pos, pos + max(len(ref), 1) - 1, name, length)
        if alt == "*":
            raise _Refused(Reason.STAR_ALLELE, "'*' stands for a deletion that another record describes")
        bases = self.reference.bases(name)
        given_ref, alt = ref, alt if is_symbolic(alt) else alt.upper()
        if is_symbolic(alt):
            self._check_symbolic(pos, alt, allele["span"], name, length)
            ref, alt = spell_out(pos, alt, allele["span"], bases)
            is_padding = given_ref == "N"
        else:
            is_padding = _is_padding(ref, alt)
        if is_padding:
            base = as_vcf_has_it(chr(bases[pos - 1]))
            given_ref = base + given_ref[1:]
            ref, alt = base + ref[1:], base + alt[1:]
        _check_letters(given_ref, ref, alt)
        if max(len(given_ref), len(ref), len(alt)) > self.max_allele_length:
            raise _Refused(
                Reason.ALLELE_TOO_LONG,
                f"REF has {len(given_ref):,} bases and ALT {len(alt):,}; max_allele_length is {self.max_allele_length:,}",
            )
        if not (is_padding and len(given_ref) == 1):
            self._check_ref(given_ref, alt, allele, name, bases, kind)
        if ref == alt:
            raise _Refused(Reason.MALFORMED_RECORD, "ALT is the same sequence as REF")
        return normalise(pos, ref, alt, bases)

    def _check_symbolic(self, pos: int, alt: str, span: int | None, name: str, length: int) -> None:
        if not names_a_sequence(alt):
            raise _Refused(Reason.SYMBOLIC_ALLELE, f"{_shown(alt)} does not say which sequence it stands for")
        if span is None:
            raise _Refused(
                Reason.SYMBOLIC_ALLELE, f"{alt} has no END after POS and no usable SVLEN, so its length is not known"
            )
        _check_bounds(pos, pos + span, name, length)
        if span + 1 > self.max_allele_length:
            raise _Refused(
                Reason.SYMBOLIC_ALLELE,
                f"{alt} of {span:,} bases; with the base before it, max_allele_length is {self.max_allele_length:,}",
            )

    def _check_ref(self, ref: str, alt: str, allele: dict[str, Any], name: str, bases: np.ndarray, kind: str) -> None:
        pos = allele["pos"]
        reference_bases = bases[pos - 1 : pos - 1 + len(ref)].tobytes().decode("ascii")
        is_sign = _ACGT.fullmatch(reference_bases)  # a masked base differs from every REF, on the right assembly, too
        if agrees(ref, reference_bases):
            if is_sign:
                self.count_refs(name, RefTally(checked=1))
            return
        is_swapped = reference_bases == allele["alt"].upper()
        if is_sign:
            written = f"{allele['chrom']}:{pos}-{_shown(ref)}-{_shown(alt)}"
            first_mismatch = f"{written}, the reference has {_shown(reference_bases)!r}"
            self.count_refs(name, RefTally(1, 1, int(is_swapped), first_mismatch))
        if allele.get("is_provisional"):
            raise _Refused(
                Reason.REF_MISMATCH,
                f"the {kind} says {_shown(ref)!r} and {_shown(alt)!r}, and neither is what {self._reference_name} has at {name}:{pos}, "
                f"{_shown(reference_bases)!r}",
            )
        raise _Refused(
            Reason.REF_MISMATCH,
            f"the {kind} says {_shown(ref)!r}, {self._reference_name} has {_shown(reference_bases)!r} at {name}:{pos}"
            + (", which is ALT here" if is_swapped else ""),
        )


def _check_bounds(pos: int, last: int, name: str, length: int) -> None:
    if pos < 1:
        raise _Refused(Reason.OUT_OF_BOUNDS, f"POS is {pos}; the first base is 1")
    if last > length:
        raise _Refused(Reason.OUT_OF_BOUNDS, f"it reaches base {last:,}; {name} has {length:,} bases")


def _blocks(table: pa.Table) -> np.ndarray:
    """(N,) bool: well-formed rows that say that there is no variant."""
    says_reference = pc.is_in(table["alt"], pa.array(REFERENCE_ALTS))
    is_block = pc.or_(says_reference, pc.and_(pc.is_null(table["alt"]), pc.is_valid(table["span"])))
    return np.asarray(pc.and_(is_block, pc.is_null(table["fault"])).to_numpy())


def _is_padding(ref: str, alt: str) -> bool:
    """True where an indel begins with N in both alleles: structural callers write it for the base before the change."""
    return ref[:1] == alt[:1] == "N" and len(ref) != len(alt)


def _check_letters(given_ref: str, ref: str, alt: str) -> None:
    if alt in ("", "."):
        raise _Refused(Reason.NON_ACGT_ALLELE, "the record has no ALT allele")
    if given_ref in ("", "."):
        raise _Refused(Reason.NON_ACGT_ALLELE, "the record has no REF allele")
    if given_ref == ref and _changes_known_bases(ref, alt):
        return
    for column, sequence in (("REF", given_ref), ("REF", ref), ("ALT", alt)):
        if not _ACGT.fullmatch(sequence):
            other = next(letter for letter in sequence if letter not in "ACGT")
            raise _Refused(
                Reason.NON_ACGT_ALLELE,
                f"{column} {_shown(sequence)!r} holds {other!r}; only A, C, G and T can be scored",
            )


def _changes_known_bases(ref: str, alt: str) -> bool:
    """Whether the alleles share all of their N: ``NA`` to ``N`` is the deletion of an A beside an N."""
    if ref == alt or not _ACGTN.fullmatch(ref) or not _ACGTN.fullmatch(alt):
        return False
    _, changed_ref, changed_alt = trim(0, ref, alt)
    return "N" not in changed_ref + changed_alt


def _shown(sequence: str) -> str:
    if len(sequence) <= _SHOWN_BASES:
        return sequence
    return f"{sequence[:_SHOWN_BASES]}... ({len(sequence):,} bases)"


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _row_dicts(table: pa.Table, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    names = ["chrom", "pos", "ref", "alt", "span", "fault"]
    names += [name for name in ("is_provisional",) if name in table.column_names]
    columns = [table[name].take(pa.array(rows)).to_pylist() for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _with_ref_decided(table: pa.Table, is_swapped: np.ndarray, is_provisional: np.ndarray) -> pa.Table:
    """The table with REF and ALT of some rows changed for each other, and a column that says which rows it was asked of."""
    mask = pa.array(is_swapped)
    ref, alt = _one_chunk(table["ref"]), _one_chunk(table["alt"])
    names = table.column_names
    table = table.set_column(names.index("ref"), "ref", pc.if_else(mask, alt, ref))
    table = table.set_column(names.index("alt"), "alt", pc.if_else(mask, ref, alt))
    return table.append_column("is_provisional", pa.array(is_provisional))


def _upper_then(column: pa.ChunkedArray, rows: np.ndarray, more: Sequence[str]) -> pa.Array:
    upper = pc.utf8_upper(_one_chunk(column).take(pa.array(rows)))
    return pa.concat_arrays([upper, pa.array(more, pa.string())])
