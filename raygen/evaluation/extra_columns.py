"""Columns that stand beside scores and labels: the gene, the consequence, and other tools' scores.

In: what a user named, and the tables. Out: the column of each, by a usual name where none was named: the first that has a value in
the rows that were joined, since tools write such a column also where they have nothing to put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from raygen.errors import SettingsError
from raygen.evaluation.keyed_table import TableSource, refuse_missing_columns
from raygen.evaluation.labels import NO_VALUE

GENE_COLUMNS = ("gene", "geneinfo", "gene_name", "gene_symbol", "symbol", "gene_id")
"""Names of INFO fields and columns that hold a variant's gene, the better one first; upper or lower case."""
CONSEQUENCE_COLUMNS = ("consequence", "most_severe_consequence", "molecular_consequence", "mc")
"""Names of INFO fields and columns that hold what a variant does, the better one first; upper or lower case."""
NO_NAMES = ("", ".", "-", NO_VALUE)
"""What tables write where there is no gene or consequence."""
_LOWER = ":lower"


@dataclass(frozen=True)
class OtherScore:
    """Another score of the same variants; ``column`` holds it."""

    column: str
    higher_is_positive: bool


@dataclass(frozen=True)
class ExtraColumns:
    """The columns beside score and label; None where there is none of the kind."""

    gene: str | None = None
    consequence: str | None = None
    others: tuple[OtherScore, ...] = ()


@dataclass(frozen=True)
class ExtraCandidates:
    """The columns that may be the gene or the consequence, the better one first, and the other scores."""

    genes: tuple[str, ...]
    consequences: tuple[str, ...]
    others: tuple[OtherScore, ...]

    @property
    def names(self) -> list[str]:
        """Names of all columns, once each."""
        return list(dict.fromkeys([*self.genes, *self.consequences, *(other.column for other in self.others)]))

    def with_values(self, frame: pl.DataFrame) -> ExtraColumns:
        """The first of each kind that has a value in a frame; without any, the first."""
        return ExtraColumns(
            _first_with_values(frame, self.genes), _first_with_values(frame, self.consequences), self.others
        )


def _first_with_values(frame: pl.DataFrame, names: Sequence[str]) -> str | None:
    filled = (
        name for name in names if not frame[name].cast(pl.String).fill_null("").str.strip_chars().is_in(NO_NAMES).all()
    )
    return next(filled, names[0] if names else None)


def parse_other_score(text: str) -> OtherScore:
    """``NAME``, of which higher is positive as in CADD or REVEL, or ``NAME:lower``.

    Raises:
        SettingsError: there is no name.
    """
    name = text.removesuffix(_LOWER)
    if not name:
        raise SettingsError(f"--beside {text}: name a column, such as --beside CADD or --beside other_llr:lower.")
    return OtherScore(name, name == text)


def parse_other_scores(texts: Sequence[str]) -> tuple[OtherScore, ...]:
    """Other scores, once each.

    Raises:
        SettingsError: one has no name, or is named with both directions.
    """
    others: dict[str, OtherScore] = {}
    for other in map(parse_other_score, texts):
        if others.setdefault(other.column, other) != other:
            raise SettingsError(
                f"--beside names {other.column} with both directions: give {other.column} or {other.column}{_LOWER}."
            )
    return tuple(others.values())


def find_extra_columns(
    tables: Sequence[TableSource], label: str, gene: str | None, consequence: str | None, others: Sequence[str]
) -> ExtraCandidates:
    """The columns of the tables that may be extra columns; a usual name never means the column of the labels.

    Raises:
        SettingsError: a column that was named is in none of the tables, or another score has two directions.
    """
    beside = parse_other_scores(others)
    for setting, names in (
        ("--gene-column", [gene] if gene else []),
        ("--consequence-column", [consequence] if consequence else []),
        ("--beside", [other.column for other in beside]),
    ):
        in_other_tables = {name for table in tables[:-1] for name in table.columns}
        refuse_missing_columns(tables[-1], [name for name in names if name not in in_other_tables], setting)
    return ExtraCandidates(
        (gene,) if gene else _usual(tables, GENE_COLUMNS, label),
        (consequence,) if consequence else _usual(tables, CONSEQUENCE_COLUMNS, label),
        beside,
    )


def _usual(tables: Sequence[TableSource], usual: Sequence[str], label: str) -> tuple[str, ...]:
    names = [name for table in tables for name in _usual_columns(table.columns, usual) if name != label]
    return tuple(dict.fromkeys(names))


def _usual_columns(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    by_name = {name.lower(): name for name in reversed(columns)}
    return [by_name[name] for name in usual if name in by_name]


def usual_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the best of the usual names, in upper or lower case; None where there is none."""
    return next(iter(_usual_columns(columns, usual)), None)
