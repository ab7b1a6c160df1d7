"""A sample of a user's variants that have a label, with what the label means and the gene.

In: the folder of ingested variants and a file of labels. Out: stretches of neighbours among the labelled variants, in order.
Labels are joined by variant as ``raygen evaluate`` joins them. Variants without a label are not drawn: no area can be measured on
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from raygen.errors import InputError
from raygen.evaluation.keyed_table import TableSource, refuse_missing_columns
from raygen.evaluation.labelled_scores import LabelledVariants, read_labels
from raygen.sequence.reference import Reference
from raygen.tables.schemas import VARIANTS
from raygen.trials.stretches import stretches

GENE_COLUMNS = ("gene", "geneinfo", "gene_name", "gene_symbol", "symbol", "gene_id")
"""Names of INFO fields and columns that hold a variant's gene, the better one first; upper or lower case."""
_PLACE = VARIANTS.names[:4]


@dataclass(frozen=True)
class LabelsFile:
    """Where labels are and what they mean: a VCF, BCF or table, and the INFO field or column ``label`` of it.

    ``positive`` and ``negative`` are labels as the file spells them; without both, ClinVar's terms.
    """

    path: str
    label: str
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()


@dataclass(frozen=True)
class LabelledSample:
    """V variants that have a label.

    Attributes:
        variants: ``chrom``, ``pos``, ``ref`` and ``alt``, sorted as the input is.
        positive: (V,) Boolean.
        genes: (V,) names, None where the labels' file names none.
        counts: numbers of rows of the labels and of what became of them, by what they are in words.
        unknown: labels that were named and that no row has.
        gene_column: where ``genes`` is from; None where the file has no such column.
    """

    variants: pa.Table
    positive: np.ndarray
    genes: list[str | None]
    counts: dict[str, int]
    unknown: list[str]
    gene_column: str | None

    @property
    def num_positive(self) -> int:
        """Variants with a positive label."""
        return int(self.positive.sum())


def sample_labelled(folder: Path, labels: LabelsFile, reference: Reference, size: int, seed: int = 0) -> LabelledSample:
    """About ``size`` of the variants of an ingested folder that have a label, or all where there are fewer.

    Raises:
        SettingsError: the labels have no such column, or are not told apart.
        InputError: the labels cannot be read, or are of no variant of the folder, or of one class only.
    """
    source = TableSource(labels.path)
    refuse_missing_columns(source, [labels.label], "--label-column" if source.is_run else "--label-field")
    if "variant" not in source.known_by:
        raise InputError(f"{labels.path} has no chrom, pos, ref and alt, so its labels cannot be joined to variants.")
    gene_column = gene_column_of(source.columns)
    columns = [gene_column] if gene_column else []
    read = read_labels(
        source, labels.label, columns, "variant", reference, positive=labels.positive, negative=labels.negative
    )
    labelled = _joined(folder, read, gene_column)
    refuse_one_class(labelled["positive"].to_numpy(), "labelled variants of the input")
    chosen = labelled[stretches(len(labelled), size, seed)]
    sample = LabelledSample(
        variants=chosen.select(_PLACE).to_arrow().cast(pa.schema([VARIANTS.field(name) for name in _PLACE])),
        positive=chosen["positive"].to_numpy(),
        genes=chosen["gene"].to_list(),
        counts={
            **{name: count for name, count in read.counts.items() if count},
            "of them in the input": len(labelled),
            "in the sample": len(chosen),
        },
        unknown=read.labels.unknown,
        gene_column=gene_column,
    )
    refuse_one_class(sample.positive, "labelled variants of the sample", "Take a larger --sample or another --seed.")
    return sample


def refuse_one_class(positive: np.ndarray, variants: str, remedy: str = "") -> None:
    """Refuse labels that are all of one class, with an InputError; ``variants`` says in words which they are of."""
    if positive.any() and not positive.all():
        return
    has, lacks = ("positive", "negative") if positive.any() else ("negative", "positive")
    sentence = f"All {len(positive):,} {variants} are {has}: without {lacks} ones there is nothing to tell apart."
    raise InputError(f"{sentence} {remedy}".strip())


def gene_column_of(columns: Sequence[str]) -> str | None:
    """The column that holds a variant's gene, the best where there are several; None where there is none."""
    by_name = {name.lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in GENE_COLUMNS if name in by_name), None)


def _joined(folder: Path, read: LabelledVariants, gene_column: str | None) -> pl.DataFrame:
    """``chrom``, ``pos``, ``ref``, ``alt``, ``positive`` and ``gene`` of the folder's variants that have a label, in order."""
    gene = pl.col(gene_column).cast(pl.String).str.strip_chars() if gene_column else pl.lit(None, pl.String)
    labels = read.frame.select("key", "positive", pl.when(~gene.is_in(["", "."])).then(gene).alias("gene"))
    variants = TableSource(str(folder)).read(_PLACE, "variant", only=labels["key"])  # normalised: needs no reference
    joined = variants.frame.join(labels, on="key", how="inner", maintain_order="left")
    if joined.is_empty():
        raise InputError(
            f"None of the {len(labels):,} variants that {read.table.name} labels is among the {variants.num_rows:,} variants of "
            "the input. Are both of one assembly?"
        )
    return joined
