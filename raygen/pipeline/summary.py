"""What a run prints at its end: counts per class, rejects per reason, rates, and where things are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from raygen.classes.classify import CLASSES
from raygen.number_of import number_of, rate
from raygen.tables.manifest import Counts

if TYPE_CHECKING:
    from raygen.pipeline.run import RunResult
    from raygen.variants.ingest import IngestResult


def print_summary(run: RunResult, console: Console) -> None:
    """Classes, rejects, the conservation of alleles and the rates of a run."""
    counts = run.counts
    for warning in run.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    if counts.scored:
        console.print(class_table(counts))
    if counts.rejected:
        console.print(reason_table(counts.rejected))
    for flag, number in sorted(counts.flags.items()):
        console.print(f"flag {flag}: {number_of(number, 'row')}", soft_wrap=True)
    if counts.abstained:
        console.print(f"abstained on: {number_of(counts.abstained, 'row')}")
    console.print(
        f"{number_of(counts.alleles_in, 'allele')} in = {counts.scored:,} scored + {counts.num_rejected:,} rejected"
        f" + {counts.already_scored:,} already scored",
        soft_wrap=True,
    )
    print_looked_up(run, console)
    if counts.scored and run.scoring_seconds:
        models = ", starting the models included" if run.tokens else ""
        tokens = f", {rate(run.tokens / run.scoring_seconds)} tokens/s" if run.tokens else ""
        console.print(
            f"{run.seconds:,.1f} s in all; scoring {run.scoring_seconds:,.1f} s{models}: "
            f"{rate(counts.scored / run.scoring_seconds)} variants/s{tokens}",
            soft_wrap=True,
        )
    console.print(f"scores: {run.output}/scores", soft_wrap=True, markup=False)
    console.print(f"manifest: {run.manifest}", soft_wrap=True, markup=False)


def print_looked_up(run: RunResult, console: Console) -> None:
    """How many of the scored are from a position table, where one was looked into."""
    if run.looked_up and run.counts.scored:
        console.print(
            f"{run.counts.prescored:,} of {run.counts.scored:,} scored are from the position table, without a model",
            soft_wrap=True,
        )


def print_ingest(result: IngestResult, console: Console) -> None:
    """What came of reading variants."""
    for warning in result.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    if result.rejects:
        console.print(reason_table(result.rejects))
    console.print(
        f"{number_of(result.num_records, 'record')}, {number_of(result.num_alleles, 'allele')} in = "
        f"{number_of(result.num_variants, 'variant')}"
        f" + {sum(result.rejects.values()):,} rejected",
        soft_wrap=True,
    )
    if result.num_haplotypes:
        console.print(f"{result.num_haplotypes:,} of the alleles are haplotypes, beside their members", soft_wrap=True)
    console.print(f"variants: {result.variants_dir}", soft_wrap=True, markup=False)


def class_table(counts: Counts) -> Table:
    """How many scored rows are of each class."""
    table = Table("class", "variants", "share", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for name in CLASSES:
        number = counts.classes.get(name, 0)
        table.add_row(name, f"{number:,}", f"{number / counts.scored:.1%}")
    return table


def reason_table(rejected: Mapping[str, int]) -> Table:
    """How many alleles were rejected for each reason, the most frequent first."""
    table = Table("rejected because", "alleles", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for reason, number in sorted(rejected.items(), key=lambda item: -item[1]):
        table.add_row(reason, f"{number:,}")
    return table
