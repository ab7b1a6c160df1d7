"""``raygen diff OLD NEW``: which variants changed class between two runs, and how the scores moved.

In: two folders of scores: another model, window or release. Out: a transition matrix, the variants that changed, those over
most classes first, what only one of them has, and Spearman's correlation. A window of positions of both is joined at a time, and of the
variants that changed only the largest are kept, so memory does not grow with the folders; all of them go to a file when one is
asked for.

The join is a full one, so that what only one folder has is there too. Contigs are matched by the same rule as everywhere
(``chr1`` is ``1``), variants by pos, ref and alt; pairs by their ids, all at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from raygen.classes.classify import CLASSES
from raygen.classes.rank_correlation import rank_correlation
from raygen.errors import InputError, SettingsError
from raygen.finished.diff_tally import CHANGES, PHRED_STEP, SEVERE, PhredMoves, Tally
from raygen.finished.run_facts import RunFacts, run_facts
from raygen.tables.place import put_in_place, refuse_unwritable
from raygen.tables.score_index import ScoreIndex
from raygen.tables.table_files import TableFile, open_table, print_table, refuse_other_kinds
from raygen.variants.contig_names import contig_order, resolve_contig

_PATHOGENIC, _BENIGN = ("pathogenic", "likely_pathogenic"), ("benign", "gain_of_function")
_DIFFERING = ("model", "fingerprint", "window", "strand", "cuts_as_set", "ranked_against", "raygen_version")
_TITLES = {"cuts_as_set": "cuts"}
_ABSENT = {"ranked_against": "nothing"}
OTHER_REFERENCE = "The two runs were made on different references, so the same coordinates may mean different variants."


@dataclass(frozen=True)
class Diff:
    """What changed from the scores of run OLD to those of run NEW.

    Attributes:
        classes: C names, of the rows (old) and columns (new) of ``transitions``, (C, C) int64 counts.
        num_only_old, num_only_new: variants that only one of the runs scored.
        num_crossed: variants that went from (likely) pathogenic to benign or gain of function, or back.
        newly_abstained, no_longer_abstained: variants on which only the new, or only the old run abstained.
        mean_change, mean_absolute_change: new minus old ``delta_llr`` over all variants in both runs, nats.
        spearman: Spearman's correlation of ``delta_llr`` over ``num_ranked`` variants; None where it is not defined.
        by_contig: for each contig the variants in both runs and those that changed class.
        phred: how PHRED moved; None where one of the runs has none.
        largest: rows of CHANGES, those over most classes first, of these the largest in nats, else in genome order.
    """

    old: RunFacts
    new: RunFacts
    classes: tuple[str, ...]
    transitions: np.ndarray
    num_only_old: int
    num_only_new: int
    num_crossed: int
    newly_abstained: int
    no_longer_abstained: int
    mean_change: float
    mean_absolute_change: float
    spearman: float | None
    num_ranked: int
    by_contig: dict[str, tuple[int, int]]
    largest: pa.Table
    same_reference: bool = True
    phred: PhredMoves | None = None

    @property
    def num_both(self) -> int:
        """Variants that both runs scored."""
        return int(self.transitions.sum())

    @property
    def num_changed(self) -> int:
        """Variants in both runs whose class is another one in the new."""
        return self.num_both - int(np.trace(self.transitions))

    @property
    def num_to_pathogenic(self) -> int:
        """Variants that moved to a class nearer to ``pathogenic``: below the diagonal of ``transitions``."""
        return int(np.tril(self.transitions, -1).sum())

    def sentence(self) -> str:
        """What changed, in one or two sentences."""
        if not self.num_changed:
            text = f"No variant changed class: all {self.num_both:,} that are in both runs kept theirs."
        else:
            away = self.num_changed - self.num_to_pathogenic
            text = (
                f"{self.num_changed:,} of {self.num_both:,} variants ({percent(self.num_changed, self.num_both)}) changed class: "
                f"{self.num_to_pathogenic:,} towards pathogenic, {away:,} away from it"
                f"{f'; {self.num_crossed:,} crossed between (likely) pathogenic and benign or beyond' if self.num_crossed else ''}."
            )
        if self.num_only_old or self.num_only_new:
            text += f" Only in the old run: {self.num_only_old:,}; only in the new: {self.num_only_new:,}."
        return text

    def numbers(self) -> list[str]:
        """How the scores moved, a sentence a number."""
        sample = f" (of a sample of {self.num_ranked:,})" if self.num_ranked < self.num_both else ""
        sentences = (
            [] if self.spearman is None else [f"Spearman's correlation of delta_llr: {self.spearman:.4f}{sample}"]
        )
        moved = f"{self.mean_change:+.3f} nats on average, {self.mean_absolute_change:.3f} without the sign"
        sentences.append(f"delta_llr moved by {moved}")
        if self.phred:
            sentences.append(
                f"PHRED moved by {PHRED_STEP} or more: {self.phred.num_far:,}; came to {SEVERE} or above: {self.phred.num_risen:,}; "
                f"fell below: {self.phred.num_fallen:,}"
            )
        if self.newly_abstained or self.no_longer_abstained:
            sentences.append(f"newly abstained on: {self.newly_abstained:,}; no longer: {self.no_longer_abstained:,}")
        return sentences

    def differing_facts(self) -> list[tuple[str, str, str]]:
        """(name, old value, new value) of each fact about the runs that they do not share."""
        return differing_facts(self.old, self.new, _DIFFERING)

    def remarks(self) -> list[str]:
        """Sentences about the two runs that a reader has to know before the numbers."""
        remarks = []
        if not self.same_reference:
            remarks.append(OTHER_REFERENCE)
        if self.old.cuts != self.new.cuts:
            remarks.append("The cut points of the classes differ, so classes change without a change of score.")
        if self.phred and self.old.background["digest"] != self.new.background["digest"]:
            remarks.append(
                "The scores are ranked against different backgrounds, so percentile and PHRED change without a change of score."
            )
        if not self.differing_facts():
            remarks.append("The runs share model, window, strand and cut points.")
        return remarks


def compare_scores(
    old: str,
    new: str,
    *,
    changes_to: str | None = None,
    most: int = 200,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> Diff:
    """Compare the folders ``old`` and ``new``.

    Args:
        changes_to: a file for all changes (.parquet, .csv, .tsv), largest first.
        most: how many of the largest changes the Diff keeps.
        on_progress: called with the number of variants compared so far.

    Raises:
        InputError: one of the folders holds no scores, or they have no variant in common.
        SettingsError: one holds pairs and the other variants, or ``changes_to`` cannot be written.
    """
    if changes_to:
        refuse_other_kinds(changes_to, "--out")
        refuse_unwritable(changes_to)
    indexes = ScoreIndex(old), ScoreIndex(new)
    if len({None in index.contigs for index in indexes}) > 1:
        raise SettingsError(f"One of {old} and {new} holds scores of pairs, the other of variants.")
    with ExitStack() as stack:
        table: TableFile | None = None
        tally = Tally(most)
        if changes_to:
            tally.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raygen-diff-")))
            partial = stack.enter_context(put_in_place(changes_to))
            table = stack.enter_context(open_table(partial, CHANGES))
        num_compared = 0
        for contig, joined in joined_windows(*indexes):
            tally.add(contig, joined)
            num_compared += joined.height
            on_progress(num_compared)
        if not tally.counts:
            raise InputError(
                f"No variant is in both runs, so there is nothing to compare: {tally.only_old:,} only in {indexes[0].path}, "
                f"{tally.only_new:,} only in {indexes[1].path}."
            )
        if table:
            for rows in tally.sorted_changes():
                table.write(rows)
    return _diff(tally, *indexes)


def print_diff(diff: Diff, console: Console, most: int = 20) -> None:
    """Print a comparison: what changed, what differs between the runs, the transition matrix and the largest changes."""
    console.print(diff.sentence(), soft_wrap=True, markup=False)
    for remark in diff.remarks():
        console.print(remark, soft_wrap=True, markup=False)
    print_differing(diff.differing_facts(), console)
    matrix = Table("old \\ new", *map(escape, diff.classes), box=None, pad_edge=False)
    for name, row in zip(diff.classes, diff.transitions.tolist(), strict=True):
        matrix.add_row(escape(name), *(f"{number:,}" if number else "." for number in row))
    for column in matrix.columns[1:]:
        column.justify = "right"
    print_table(matrix, console)
    for line in diff.numbers():
        console.print(line, soft_wrap=True, markup=False)
    if diff.num_changed:
        print_table(_largest_table(diff, most), console)
    if diff.num_changed > most:
        console.print(
            f"the {most:,} largest of {diff.num_changed:,} changes, by classes, then by nats; --out FILE gives all",
            soft_wrap=True,
            markup=False,
        )


def differing_facts(old: RunFacts, new: RunFacts, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(name, old value, new value) of each of these facts about two runs that they do not share."""
    facts = [(_TITLES.get(name, name.replace("_", " ")), getattr(old, name), getattr(new, name)) for name in names]
    absent = [_ABSENT.get(name, "unknown") for name in names]
    return [
        (name, before or none, after or none)
        for (name, before, after), none in zip(facts, absent, strict=True)
        if before != after
    ]


def print_differing(facts: Sequence[tuple[str, str, str]], console: Console) -> None:
    """Print what two runs do not share, as a table where there is anything."""
    if not facts:
        return
    table = Table("", "old", "new", box=None, pad_edge=False)
    for name, before, after in facts:
        table.add_row(name, escape(before), escape(after))
    print_table(table, console)


def _diff(tally: Tally, old: ScoreIndex, new: ScoreIndex) -> Diff:
    classes = (*CLASSES, *sorted({name for pair in tally.counts for name in pair} - set(CLASSES)))
    transitions = np.array(
        [[tally.counts.get((old_class, new_class), 0) for new_class in classes] for old_class in classes], np.int64
    )
    num_both = int(transitions.sum())
    before, after = tally.sample()
    ends = {(pathogenic, benign) for pathogenic in _PATHOGENIC for benign in _BENIGN}
    return Diff(
        old=run_facts(old),
        new=run_facts(new),
        classes=classes,
        transitions=transitions,
        num_only_old=tally.only_old,
        num_only_new=tally.only_new,
        num_crossed=sum(number for pair, number in tally.counts.items() if {pair, pair[::-1]} & ends),
        newly_abstained=tally.newly_abstained,
        no_longer_abstained=tally.no_longer_abstained,
        mean_change=tally.sum_change / num_both,
        mean_absolute_change=tally.sum_absolute / num_both,
        spearman=rank_correlation(before, after),
        num_ranked=len(before),
        by_contig=tally.by_contig,
        largest=tally.largest.to_arrow().cast(CHANGES),
        same_reference=old.identity.reference_digest == new.identity.reference_digest,
        phred=tally.phred,
    )


def _largest_table(diff: Diff, most: int) -> Table:
    table = Table(
        Column("variant_id", overflow="fold"),
        "old class",
        "new class",
        "old",
        "new",
        "change",
        box=None,
        pad_edge=False,
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for row in diff.largest.slice(0, most).to_pylist():
        deltas = (f"{row[name]:+.2f}" for name in ("old_delta_llr", "new_delta_llr", "change"))
        texts = (escape(row[name]) for name in ("variant_id", "old_classification", "new_classification"))
        table.add_row(*texts, *deltas)
    return table


def percent(part: int, total: int) -> str:
    """A share as text; one that would read as none is said to be small."""
    share = part / total
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


WINDOW_ROWS = 1 << 17
"""Rows of one run that are in memory at a time."""
_VALUES = ("delta_llr", "classification", "abstained")


def joined_windows(old: ScoreIndex, new: ScoreIndex) -> Iterator[tuple[str, pl.DataFrame]]:
    """Two folders of scores joined, a window of positions at a time: (contig by NEW's name, or ``pairs``; rows).

    The rows have ``variant_id`` (NEW's where it has one) and ``delta_llr``, ``classification`` and ``abstained`` with the
    prefixes ``old_`` and ``new_``, null where that run has no such variant; where both are ranked ``phred``, too. They come in genome order; pairs
    by their ids.
    """
    are_ranked = all(index.identity.background and "phred" in index.schema.names for index in (old, new))
    values = [*_VALUES, *(["phred"] if are_ranked else [])]
    for contig, old_name, new_name in matched_contigs(old.contigs, new.contigs):
        for first, last in _windows(old, old_name, new, new_name):
            sides = _side(old, old_name, first, last, values), _side(new, new_name, first, last, values)
            yield contig or "pairs", _joined(*sides, values, by_name=contig is None)


def matched_contigs(
    old: Sequence[str | None], new: Sequence[str | None]
) -> Iterator[tuple[str | None, str | None, str | None]]:
    """(name, OLD's name, NEW's name) of each contig of either, by the name that NEW uses; "" where one has none.

    A name of None stands for pairs on both sides.
    """
    if None in old:
        yield None, None, None
        return
    new_names = [name for name in new if name is not None]
    matched = set()
    for name in sorted(map(str, old), key=contig_order):
        match = resolve_contig(name, new_names)
        matched.add(match)
        yield match or name, name, match or ""
    for name in sorted(new_names, key=contig_order):
        if name not in matched:
            yield name, "", name


def _windows(old: ScoreIndex, old_name: str | None, new: ScoreIndex, new_name: str | None) -> Iterator[tuple[int, int]]:
    """Windows of positions, first to last, in which neither run has many more than ``WINDOW_ROWS`` rows."""
    for first, last in old.windows(old_name, WINDOW_ROWS):
        yield from new.windows(new_name, WINDOW_ROWS, first, last)


def _side(index: ScoreIndex, chrom: str | None, first: int, last: int, values: Sequence[str]) -> pl.DataFrame:
    frame = pl.from_arrow(index.rows_between(chrom, first, last, ["variant_id", "pos", "ref", "alt", *values]))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _joined(old: pl.DataFrame, new: pl.DataFrame, names: Sequence[str], *, by_name: bool) -> pl.DataFrame:
    """A full join of the rows of two runs; ``variant_id`` is NEW's where it has the row."""
    keys = ["variant_id"] if by_name else ["pos", "ref", "alt"]
    sides = []
    for prefix, side in (("old_", old), ("new_", new)):
        values = [pl.col(name).alias(prefix + name) for name in names]
        sides.append(side.select(*keys, pl.col("variant_id").alias(f"{prefix}variant_id"), *values))
    joined = sides[0].join(sides[1], on=keys, how="full", coalesce=True)
    return joined.with_columns(variant_id=pl.coalesce("new_variant_id", "old_variant_id")).sort(keys)
