"""``raygen diff OLD NEW`` of position tables: how far the numbers of every single-base change moved from one table to another.

In: two position tables, of another model, window, release or machine; or one and a folder of scores, of which the single-base changes
are compared. Out: what both have and what one has alone, how far the deltas lie apart by the base that is changed to, and the
changes that lie farthest apart. A window of positions of both is in memory at a time. A position table has no classes, so nothing is said of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from raygen.classes.rank_correlation import rank_correlation
from raygen.errors import InputError
from raygen.finished.diff import OTHER_REFERENCE, differing_facts, matched_contigs, percent, print_differing
from raygen.finished.position_tally import CHANGED, SAME_WITHIN, Distance, PositionTally
from raygen.finished.run_facts import RunFacts, run_facts
from raygen.finished.single_changes import SingleChanges, joint_windows, single_changes
from raygen.number_of import number_of
from raygen.tables.place import put_in_place, refuse_unwritable
from raygen.tables.position_table import ALTS, BASES
from raygen.tables.table_files import TableFile, open_table, print_table, refuse_other_kinds

WINDOW_ROWS = 1 << 17
"""Rows of one table that are in memory at a time."""
_DIFFERING = ("model", "fingerprint", "window", "strand", "raygen_version")
_WITHIN = f"{SAME_WITHIN:.0e}".replace("e-0", "e-")


@dataclass(frozen=True)
class PositionDiff:
    """What changed from table OLD to table NEW, in single-base changes.

    Attributes:
        num_only_old, num_only_new: changes that one of them has alone.
        num_bases: positions in both; ``num_bases_only_old`` and ``num_bases_only_new`` in one alone.
        num_other_base: positions in both at which the references differ, whose changes are not compared.
        num_left_out: rows of scores that are no single-base changes.
        all_changes: how far the deltas of all changes in both lie apart; ``by_alt`` of those to each base.
        spearman: of the deltas of ``num_ranked`` changes; None where it is not defined.
        by_contig: for each contig the changes in both, and those of them that lie farther apart than ``SAME_WITHIN``.
        largest: rows of CHANGED, those that lie farthest apart first, else in genome order.
    """

    old: RunFacts
    new: RunFacts
    num_only_old: int
    num_only_new: int
    num_bases: int
    num_bases_only_old: int
    num_bases_only_new: int
    num_other_base: int
    num_left_out: int
    all_changes: Distance
    by_alt: dict[str, Distance]
    spearman: float | None
    num_ranked: int
    by_contig: dict[str, tuple[int, int]]
    largest: pa.Table
    same_reference: bool = True

    @property
    def num_both(self) -> int:
        """Changes that both tables have."""
        return self.all_changes.num

    @property
    def num_changed(self) -> int:
        """Changes in both whose deltas lie farther apart than ``SAME_WITHIN``."""
        return self.all_changes.num_changed

    def sentence(self) -> str:
        """What changed, in one or two sentences."""
        if not self.num_changed:
            text = f"No delta moved by more than {_WITHIN} nats: {self.num_both:,} single-base changes are in both."
        else:
            text = (
                f"{self.num_changed:,} of {number_of(self.num_both, 'single-base change')} "
                f"({percent(self.num_changed, self.num_both)}) moved by more than {_WITHIN} nats, the farthest by {self.all_changes.largest:.3g}."
            )
        if self.num_only_old or self.num_only_new:
            text += f" Only in the old: {self.num_only_old:,}; only in the new: {self.num_only_new:,}."
        return text

    def numbers(self) -> list[str]:
        """What is compared and how alike the deltas rank, a sentence a number."""
        bases = (
            f"bases in both: {self.num_bases:,}; only in the old: {self.num_bases_only_old:,}; "
            f"only in the new: {self.num_bases_only_new:,}"
        )
        sample = f" (of a sample of {self.num_ranked:,})" if self.num_ranked < self.num_both else ""
        spearman = (
            [] if self.spearman is None else [f"Spearman's correlation of the deltas: {self.spearman:.6f}{sample}"]
        )
        return [bases, *spearman]

    def distances(self) -> list[tuple[str, ...]]:
        """(base that is changed to, changes in both, mean, root mean square, largest, within, Pearson's correlation) as text."""
        rows = [*self.by_alt.items(), ("all", self.all_changes)]
        return [(name, *_as_text(distance)) for name, distance in rows]

    def differing_facts(self) -> list[tuple[str, str, str]]:
        """(name, old value, new value) of each fact about the two tables that they do not share."""
        return differing_facts(self.old, self.new, _DIFFERING)

    def remarks(self) -> list[str]:
        """Sentences about the two tables that a reader has to know before the numbers."""
        remarks = [] if self.same_reference else [OTHER_REFERENCE]
        if self.num_other_base:
            remarks.append(
                f"At {number_of(self.num_other_base, 'position')} of both the references have other bases: they are not compared."
            )
        if self.num_left_out:
            remarks.append(
                f"Of the scores {number_of(self.num_left_out, 'row')} that are no single-base change are left out."
            )
        if not self.differing_facts():
            remarks.append("Both share model, window and strand.")
        return remarks


DISTANCE_HEADS = ("changed to", "in both", "mean", "RMS", "largest", f"within {_WITHIN}", "Pearson")
"""What ``PositionDiff.distances`` says, in nats."""


def compare_positions(
    old: str,
    new: str,
    *,
    changes_to: str | None = None,
    most: int = 200,
    on_progress: Callable[[int], None] = lambda num_changes: None,
) -> PositionDiff:
    """Compare the position tables ``old`` and ``new``, one of which may be a folder of scores.

    Args:
        changes_to: a file for all changes that moved (.parquet, .csv, .tsv), in genome order.
        most: how many of the largest the PositionDiff keeps.
        on_progress: called with the number of single-base changes compared so far.

    Raises:
        InputError: one of the folders has no rows, or scores of pairs, or the two have no single-base change in common.
        SettingsError: ``changes_to`` cannot be written.
    """
    if changes_to:
        refuse_other_kinds(changes_to, "--out")
        refuse_unwritable(changes_to)
    sides = single_changes(old), single_changes(new)
    tally = PositionTally(most)
    with ExitStack() as stack:
        file: TableFile | None = None
        if changes_to:
            partial = stack.enter_context(put_in_place(changes_to))
            file = stack.enter_context(open_table(partial, CHANGED))
        _compare(*sides, tally, file, on_progress)
        if not tally.sums.distance().num:
            raise InputError(
                f"No single-base change is in both, so there is nothing to compare: {tally.only_old:,} only in {old}, "
                f"{tally.only_new:,} only in {new}."
            )
    return _diff(tally, *sides)


def _compare(
    old: SingleChanges,
    new: SingleChanges,
    tally: PositionTally,
    file: TableFile | None,
    on_progress: Callable[[int], None],
) -> None:
    num_compared = 0
    for contig, old_name, new_name in matched_contigs(old.table.contigs, new.table.contigs):
        assert contig is not None and old_name is not None and new_name is not None, "pairs were refused"
        for first, last in joint_windows(old, old_name, new, new_name, WINDOW_ROWS):
            sides = old.between(old_name, first, last), new.between(new_name, first, last)
            changed = tally.add(contig, *sides, wants_all=file is not None)
            if file is not None and changed is not None:
                file.write(changed)
            num_compared += ALTS * max(len(side.pos) for side in sides)
            on_progress(num_compared)


def _diff(tally: PositionTally, old: SingleChanges, new: SingleChanges) -> PositionDiff:
    before, after = tally.sample.values()
    return PositionDiff(
        old=run_facts(old.table),
        new=run_facts(new.table),
        num_only_old=tally.only_old,
        num_only_new=tally.only_new,
        num_bases=tally.bases,
        num_bases_only_old=tally.bases_only_old,
        num_bases_only_new=tally.bases_only_new,
        num_other_base=tally.other_base,
        num_left_out=old.num_others + new.num_others,
        all_changes=tally.sums.distance(),
        by_alt={base: tally.sums.distance(number) for number, base in enumerate(BASES)},
        spearman=rank_correlation(before, after),
        num_ranked=len(before),
        by_contig=tally.by_contig,
        largest=tally.largest,
        same_reference=old.table.identity.reference_digest == new.table.identity.reference_digest,
    )


def print_position_diff(diff: PositionDiff, console: Console, most: int = 20) -> None:
    """Print a comparison: what changed, what differs between the tables, how far by base, and the largest changes."""
    for line in (diff.sentence(), *diff.remarks()):
        console.print(line, soft_wrap=True, markup=False)
    print_differing(diff.differing_facts(), console)
    distances = Table(*(Column(head, justify="right") for head in DISTANCE_HEADS), box=None, pad_edge=False)
    distances.columns[0].justify = "left"
    for row in diff.distances():
        distances.add_row(*row)
    print_table(distances, console)
    for line in diff.numbers():
        console.print(line, soft_wrap=True, markup=False)
    if diff.num_changed and most:
        print_table(_largest_table(diff, most), console)
    if diff.num_changed > most:
        console.print(
            f"the {most:,} largest of {diff.num_changed:,} changes; --out FILE gives all", soft_wrap=True, markup=False
        )


def _largest_table(diff: PositionDiff, most: int) -> Table:
    numbers = [Column(name, justify="right") for name in ("old", "new", "change")]
    table = Table(Column("variant_id", overflow="fold"), *numbers, box=None, pad_edge=False)
    for row in diff.largest.slice(0, most).to_pylist():
        deltas = (f"{row[name]:+.4g}" for name in ("old_delta_llr", "new_delta_llr", "change"))
        table.add_row(escape(row["variant_id"]), *deltas)
    return table


def _share(part: int, total: int) -> str:
    """A share in hundredths of a percent; neither none nor all is said where it is not."""
    hundredths = part * 10_000 // total
    return "less than 0.01%" if part and not hundredths else f"{hundredths / 100:.2f}%"


def _as_text(distance: Distance) -> tuple[str, ...]:
    share = "-" if not distance.num else _share(distance.num - distance.num_changed, distance.num)
    pearson = "-" if distance.pearson is None else f"{distance.pearson:.6f}"
    sizes = (f"{distance.mean:+.3g}", f"{distance.rms:.3g}", f"{distance.largest:.3g}")
    return (f"{distance.num:,}", *sizes, share, pearson)
