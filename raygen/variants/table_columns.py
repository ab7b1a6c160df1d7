"""Which columns of a table hold contig, position and alleles: by the names that are usual for them, or as the settings say.

In: the names of a header. Out: ``TakenColumns``. Two columns that fit are an error that names both, and so is one that is missing: a guess
would score other variants than the user means. Names count without regard to letter case, to a ``#`` before the first, and to ``_``, ``-``
and blanks in them.

Tables of associations name an effect allele and another one, and which of them is the reference's differs from tool to tool: their REF is
``provisional``, to be decided by the reference.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raygen.errors import InputError
from raygen.number_of import number_of

SITE = ("chrom", "pos", "ref", "alt")
_USUAL: dict[str, tuple[str, ...]] = {
    "chrom": ("chrom", "chr", "contig", "chromosome", "seqname", "chromosomename"),
    "pos": ("pos", "bp", "position", "basepairlocation", "basepairposition", "genpos"),
    "ref": ("ref", "refbase", "refallele", "reference", "referenceallele", "referencebase", "referencebases"),
    "alt": (
        *("alt", "altbase", "altallele", "alternate", "alternateallele", "alternateallele", "alternatebases"),
        *("alternativeallele", "alternatebase"),
    ),
    "id": ("id", "rsid", "snp", "snpid", "markername", "variantid"),
    "locus": ("locus",),
    "alleles": ("alleles",),
}
_PROVISIONAL: dict[str, tuple[str, ...]] = {
    "ref": ("a2", "otherallele", "noneffectallele", "allele0"),
    "alt": ("a1", "effectallele", "allele1"),
}


@dataclass(frozen=True)
class TableColumns:
    """What the settings say of the columns of tables: ``input.columns`` and ``input.id_column``.

    Attributes:
        names: chrom, pos, ref, alt or id to the name of a column.
        id_column: a column whose text holds contig, position and alleles.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    id_column: str | None = None

    def __bool__(self) -> bool:
        return bool(self.names or self.id_column)


USUAL_COLUMNS = TableColumns()
"""Nothing is said: columns are known by their names."""


@dataclass(frozen=True)
class TakenColumns:
    """The columns of a table by what they hold.

    Attributes:
        names: chrom, pos, ref, alt and id to a column; or Hail's locus and alleles, and id.
        id_column: the column whose text is split, instead of those.
        has_provisional_ref: whether the reference decides which allele is REF.
    """

    names: Mapping[str, str]
    id_column: str | None = None
    has_provisional_ref: bool = False

    def in_words(self) -> str:
        """Which column is taken for what."""
        taken = [f"{name} from {column}" for name, column in self.names.items()]
        taken += [f"contig, position and alleles from {self.id_column}, which is split"] * bool(self.id_column)
        decided = "; which allele is REF is decided by the reference" if self.has_provisional_ref else ""
        return ", ".join(taken) + decided


def take_columns(file: str, header: Sequence[str], given: TableColumns) -> TakenColumns:
    """The columns of a table with this header.

    Raises:
        InputError: a column is missing, or more than one fits.
    """
    if repeated := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise InputError(f"{file}: the header names {', '.join(repeated)} twice.")
    if absent := [name for name in (*given.names.values(), given.id_column or header[0]) if name not in header]:
        raise InputError(
            f"{file} has no column {', '.join(absent)}, which input.columns or input.id_column names; it has {_listed(header)}."
        )
    if given.id_column:
        return TakenColumns({name: column for name, column in given.names.items() if name == "id"}, given.id_column)
    fits = _fitting(header)
    names = dict(given.names)
    is_locus = not given.names and "locus" in fits and "alleles" in fits
    needed = ("locus", "alleles") if is_locus else SITE
    is_provisional = False
    if not is_locus and not {"ref", "alt"} & {*fits, *names}:
        provisional = _fitting(header, _PROVISIONAL)
        is_provisional = {"ref", "alt"} <= set(provisional)
        fits |= provisional if is_provisional else {}
    names = {
        name: names[name] if name in names else _only(file, name, fits[name])
        for name in needed
        if name in {**fits, **names}
    }
    if missing := [name for name in needed if name not in names]:
        raise InputError(
            f"{file} has no column for {', '.join(missing)}; it has {_listed(header)}. Say which they are, "
            "input.columns: {chrom: ..., pos: ..., ref: ..., alt: ...}, or input.id_column for one text like 1-55051215-G-GA."
        )
    if id_name := given.names.get("id") or next(iter(fits.get("id", ())), None):
        names["id"] = id_name
    return TakenColumns(names, None, is_provisional)


def has_sites(header: Sequence[str]) -> bool:
    """Whether a header is that of a table of variants, perhaps with more than one column that fits."""
    fits = set(_fitting(header))
    provisional = set(_fitting(header, _PROVISIONAL))
    return {"locus", "alleles"} <= fits or (
        {"chrom", "pos"} <= fits and ({"ref", "alt"} <= fits or {"ref", "alt"} <= provisional)
    )


def _fitting(header: Sequence[str], usual: Mapping[str, Sequence[str]] = _USUAL) -> dict[str, list[str]]:
    """The columns that fit, by what they would hold."""
    fits: dict[str, list[str]] = {}
    for column in header:
        plain = re.sub(r"[\s_#-]", "", column).lower()
        for name, names in usual.items():
            if plain in names:
                fits.setdefault(name, []).append(column)
    return fits


def _only(file: str, name: str, columns: Sequence[str]) -> str:
    if len(columns) > 1:
        raise InputError(
            f"{file}: {' and '.join(columns)} both fit {name}. Say which it is: input.columns: {{{name}: {columns[0]}}}."
        )
    return columns[0]


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {number_of(len(names) - most, 'other')}" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def split_header(line: str) -> tuple[list[str], str, bool]:
    """The names of a header's columns; what parts them, a tab, a comma, a semicolon, or runs of blanks; and whether values may stand between
    quotation marks: in CSV always, else where the header does so, as R writes it.
    """
    line = line.rstrip("\r\n")
    delimiter = next((character for character in "\t,;" if character in line), " ")
    is_quoted = delimiter in ",;" or line.startswith('"')
    if delimiter == " ":
        names = line.split()
        return [name.strip('"') for name in names] if is_quoted else names, delimiter, is_quoted
    names = next(csv.reader([line], delimiter=delimiter)) if is_quoted else line.split(delimiter)
    return [name.strip() for name in names], delimiter, is_quoted
