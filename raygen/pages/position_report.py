"""The page about a position table: what its run did, and what the model says of all single-base changes. A run's folder in, HTML without
scripts out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from raygen.classes.colours import text_colour, tint
from raygen.finished.run_facts import reference_lengths, run_facts
from raygen.number_of import number_of, rate
from raygen.pages.page import Page, render
from raygen.pages.position_charts import COLOURS, along_contigs, distribution
from raygen.pages.position_tally import PositionTally, Stretch, quantile, tally_positions
from raygen.pages.report_facts import Tile, cost, duration, notices, what_was_run, window_words
from raygen.pages.variant_words import FLAG_WORDS, REASON_WORDS, number
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import BASES, PositionFolder
from raygen.variants.contig_names import contig_order

_CHANGES_A_BASE = len(BASES) - 1
_ALONG_WORDS = {"mean": "mean delta_llr of a base's three changes, nats", "entropy": "entropy of the prediction, nats"}
_LEAST_TINTED = 1.0  # nats: where all medians are smaller, none is the darkest
_OF_CLASSES = ("classes", "cut points")
"""Facts of a run that mean nothing here: a position table has no classes."""


def position_page(path: str, manifest: Mapping[str, Any], price_per_hour: float | None = None) -> str:
    """The page about a run of ``raygen tabulate`` and all bases of its table, as HTML.

    Raises:
        InputError: a file of the table cannot be read.
    """
    table = PositionRows(path) if PositionFolder(path).score_files() else None
    tally = tally_positions(table, _contigs_in_order(table) if table else [])
    return render(
        "positions.html.j2",
        _frame(manifest, tally),
        tiles=_tiles(manifest, tally),
        conservation=_conservation(manifest, tally),
        distribution=distribution(tally) if tally.along else None,
        bases=BASES,
        matrix=list(_matrix(tally)),
        along=along_contigs(tally) if tally.along else [],
        along_note=_along_note(tally),
        along_legend=[(css, _ALONG_WORDS[name]) for name, css in COLOURS.items()],
        stretches=_stretches(tally),
        stretches_note=_stretches_note(tally),
        stretch_heads=[("place", "name"), ("bases", "n side"), ("mean", "n"), ("entropy", "n")],
        command=_command(tally),
        rejects=_accounts(manifest["counts"]["rejected"], REASON_WORDS),
        flags=_accounts(tally.flags, FLAG_WORDS),
        facts=_facts(manifest),
        cost=cost(manifest, price_per_hour, "base", _CHANGES_A_BASE),
        most_entropy=number(float(np.log(len(BASES)))),
    )


def _contigs_in_order(table: PositionRows) -> list[str]:
    """The table's contigs in the order of its reference, where that is at hand, else sorted by their names."""
    places = {chrom: place for place, chrom in enumerate(reference_lengths(table, run_facts(table)))}
    return sorted(table.contigs, key=places.__getitem__ if places.keys() >= set(table.contigs) else contig_order)


def _frame(manifest: Mapping[str, Any], tally: PositionTally) -> Page:
    """What stands around the page's sections: headings, links, and what to know first."""
    window, strand = window_words(manifest["resolved"]["window"]), manifest["resolved"]["strand"]
    started = manifest["started"][:16].replace("T", " ")
    title = f"{number_of(int(tally.changes.sum()), 'single-base change')} scored by {manifest['model']['name']}"
    parts = [("summary", "Summary")]
    parts += [("changes", "All changes"), ("along", "Along the contigs")] if tally.along else []
    parts += [("stretches", "Most and least constrained")] if tally.lowest else []
    parts += [("accounts", "Rejects and flags"), ("run", "What was run"), ("reading", "How to read this")]
    return Page(
        command="tabulate",
        title=title,
        heading=title,
        under=f"{window[:1].upper()}{window[1:]}; strand {strand}; fingerprint {manifest['fingerprint']}; run of {started} UTC",
        sections=parts,
        notices=notices(manifest),
        source=f" from {manifest['run_id']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _tiles(manifest: Mapping[str, Any], tally: PositionTally) -> list[Tile]:
    """The few numbers to see first."""
    counts, num_changes = manifest["counts"], int(tally.changes.sum())
    by_this_run = "all by this run" if counts["scored"] == num_changes else f"{counts['scored']:,} by this run"
    tiles = [
        Tile(f"{tally.num_bases:,}", "bases in the table", f"on {number_of(tally.num_contigs, 'contig')}"),
        Tile(f"{num_changes:,}", "single-base changes", by_this_run),
        Tile(f"{counts['num_rejected']:,}", "changes rejected", f"of {counts['alleles_in']:,} that went in"),
    ]
    seconds = manifest["seconds"].get("score", 0.0)
    if seconds and counts["scored"]:
        bases_a_second = counts["scored"] / _CHANGES_A_BASE / seconds
        tiles.append(Tile(rate(bases_a_second), "bases a second", f"over {duration(seconds)}"))
    if (correlation := tally.strands.correlation) is not None:
        tiles.append(Tile(number(correlation), "correlation of the strands", "of delta_llr, forward and reverse"))
    return tiles


def _conservation(manifest: Mapping[str, Any], tally: PositionTally) -> list[str]:
    """What came of each base and each change of the run, and what of the page is about more than the run."""
    counts, num_bases, letters = manifest["counts"], manifest["input"]["bases"], manifest["input"]["other_letters"]
    others = "".join(f" + {count:,} {letter}" for letter, count in sorted(letters.items(), key=lambda item: -item[1]))
    sentences = [
        f"This run: {number_of(num_bases + sum(letters.values()), 'base')} = {num_bases:,} A, C, G or T{others}; "
        f"{number_of(counts['alleles_in'], 'single-base change')} in = {counts['scored']:,} scored + {counts['num_rejected']:,} rejected + "
        f"{counts['already_scored']:,} already scored."
    ]
    if counts["scored"] != int(tally.changes.sum()):
        sentences.append(
            f"Charts, stretches and flags are of all {number_of(tally.num_bases, 'base')} of the table, with one fingerprint; other letters, "
            "rejects and cost are this run's."
        )
    return sentences


def _matrix(tally: PositionTally) -> Iterator[dict[str, Any]]:
    """The median of each change by the reference's base and the one it is changed to, red below 0 and blue above."""
    medians = np.array([[quantile(counts, 0.5) for counts in of_base] for of_base in tally.changes])
    limit = max(float(np.max(np.abs(medians), where=np.isfinite(medians), initial=0)), _LEAST_TINTED)
    for row, base in enumerate(BASES):
        cells = [_cell(tally.changes[row, column], f"{base}>{alt}", limit) for column, alt in enumerate(BASES)]
        yield {"base": base, "cells": cells}


def _cell(counts: np.ndarray, change: str, limit: float) -> dict[str, str]:
    """One change of the matrix, from its counts by bins of deltas."""
    cell = {"text": "", "remark": "", "title": "", "style": "", "css": "none"}
    if not counts.any():
        return cell
    low, median, high = (quantile(counts, share) for share in (0.05, 0.5, 0.95))
    colour = tint(0.6 * median / limit)
    return {
        "text": number(median),
        "remark": f"{number(low, 1)} to {number(high, 1)}",
        "title": f"{change}: {number_of(int(counts.sum()), 'change')}",
        "style": f"background:{colour};color:{text_colour(colour)}",
        "css": "",
    }


def _along_note(tally: PositionTally) -> str:
    """Which contigs are not drawn; empty where all are."""
    if not tally.other_contigs:
        return ""
    return f"{number_of(tally.other_contigs, 'contig')} with fewer bases are not drawn, but are in all other numbers."


def _stretches(tally: PositionTally) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Two tables of stretches with their titles; none where no stretch is full enough."""
    tables = [("Most constrained", tally.lowest), ("Least constrained", tally.highest)]
    return [(title, [_stretch_row(stretch) for stretch in stretches]) for title, stretches in tables if stretches]


def _stretch_row(stretch: Stretch) -> tuple[str, ...]:
    place = f"{stretch.chrom}:{stretch.start:,}-{stretch.end:,}"
    return place, f"{stretch.num_bases:,}", number(stretch.mean), number(stretch.entropy)


def _stretches_note(tally: PositionTally) -> str:
    return (
        f"The table in stretches of {number_of(tally.stretch, 'base')}, by the mean over their bases of the three changes, in nats. Stretches of "
        "which less than half is in the table are left out."
    )


def _command(tally: PositionTally) -> str:
    """How to look into the most constrained stretch; empty where there is none. The folder is no business of the page's readers."""
    if not tally.lowest:
        return ""
    stretch = tally.lowest[0]
    return f"raygen query TABLE --region {shlex.quote(f'{stretch.chrom}:{stretch.start}-{stretch.end}')}"


def _accounts(counts: Mapping[str, int], words: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Names that were counted, what each means, and how often; the most frequent first."""
    order = sorted((name for name in counts if counts[name]), key=lambda name: (-counts[name], name))
    return [(name, words.get(name, ""), f"{counts[name]:,}") for name in order]


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What was run, by name; which part of the reference, where it was not all of it."""
    facts = {name: value for name, value in what_was_run(manifest).items() if name not in _OF_CLASSES}
    part = manifest["input"]
    chosen = {"contigs": ", ".join(part["contigs"]), "regions": PurePosixPath(part["regions"] or "").name}
    return facts | {name: value for name, value in chosen.items() if value}
