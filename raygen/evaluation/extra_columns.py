"""Columns that stand beside scores and labels: the gene, the consequence, and other tools' scores.

In: what a user named, and the tables. Out: the column of each, by a usual name where none was named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raygen.errors import SettingsError
from raygen.evaluation.keyed_table import TableSource, refuse_missing_columns

GENE_COLUMNS = ("gene", "geneinfo", "gene_name", "gene_symbol", "symbol", "gene_id")
"""Names of INFO fields and columns that hold a variant's gene, the better one first; upper or lower case."""
CONSEQUENCE_COLUMNS = ("consequence", "most_severe_consequence", "molecular_consequence", "mc")
"""Names of INFO fields and columns that hold what a variant does, the better one first; upper or lower case."""
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

    @property
    def names(self) -> list[str]:
        """Names of all columns, once each."""
        named = [self.gene, self.consequence, *(other.column for other in self.others)]
        return [name for name in dict.fromkeys(named) if name]


def parse_other_score(text: str) -> OtherScore:
    """``NAME``, of which higher is positive as in CADD or REVEL, or ``NAME:lower``.

    Raises:
        SettingsError: there is no name.
    """
    name = text.removesuffix(_LOWER)
    if not name:
        raise SettingsError(f"--beside {text}: name a column, such as --beside CADD or --beside other_llr:lower.")
    return OtherScore(name, name == text)


def find_extra_columns(
    tables: Sequence[TableSource], label: str, gene: str | None, consequence: str | None, others: Sequence[str]
) -> ExtraColumns:
    """The extra columns of the tables; a usual name never means the column of the labels.

    Raises:
        SettingsError: a column that was named is in none of the tables.
    """
    beside = tuple(parse_other_score(text) for text in others)
    for setting, names in (
        ("--gene-column", [gene] if gene else []),
        ("--consequence-column", [consequence] if consequence else []),
        ("--beside", [other.column for other in beside]),
    ):
        in_other_tables = {name for table in tables[:-1] for name in table.columns}
        refuse_missing_columns(tables[-1], [name for name in names if name not in in_other_tables], setting)
    return ExtraColumns(
        gene or _usual(tables, GENE_COLUMNS, label), consequence or _usual(tables, CONSEQUENCE_COLUMNS, label), beside
    )


def _usual(tables: Sequence[TableSource], usual: Sequence[str], label: str) -> str | None:
    return next((name for table in tables if (name := usual_column(table.columns, usual)) and name != label), None)


def usual_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the best of the usual names, in upper or lower case; None where there is none."""
    by_name = {name.lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in usual if name in by_name), None)
