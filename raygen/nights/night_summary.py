"""What ``raygen nightly`` prints at the end of a night: its files, classes, rejects, and the table they went into."""

from __future__ import annotations

from rich.console import Console

from raygen.nights.nightly import NightResult
from raygen.number_of import number_of
from raygen.pipeline.summary import class_table, print_looked_up, reason_table


def print_night(night: NightResult, console: Console) -> None:
    """Print what a night took from the landing folder and added to its table."""
    counts = night.counts
    for name in night.settling:
        console.print(f"waits, may still be written: {name}", soft_wrap=True, markup=False)
    if night.record is None:
        console.print("Nothing new to score.")
    else:
        if counts.scored:
            console.print(class_table(counts))
        if counts.rejected:
            console.print(reason_table(counts.rejected))
        console.print(
            f"from {number_of(len(night.files), 'landing file')}: {number_of(counts.alleles_in, 'allele')} in = {counts.scored:,} scored + "
            f"{counts.num_rejected:,} rejected + {counts.already_scored:,} already scored",
            soft_wrap=True,
        )
    if night.run:
        print_looked_up(night.run, console)
    console.print(f"table: {night.table}, {number_of(night.num_rows, 'row')}", soft_wrap=True, markup=False)
    for name, page in night.pages.items():
        console.print(f"{name}: {page}", soft_wrap=True, markup=False)
    if night.record:
        console.print(f"night: {night.record}", soft_wrap=True, markup=False)
