"""A comparison of two position tables as a page: it starts with what moved. A ``PositionDiff`` in, HTML without scripts out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raygen.finished.position_diff import DISTANCE_HEADS, PositionDiff
from raygen.pages.diff_page import count_of_both, facts_of_runs
from raygen.pages.page import Page, render
from raygen.tables.place import write_text

_DESCRIBED = (
    ("folder", "path"),
    ("model", "model"),
    ("fingerprint", "fingerprint"),
    ("window", "window"),
    ("strand", "strand"),
    ("raygen", "raygen_version"),
)


def as_page(diff: PositionDiff) -> str:
    """The page about a comparison, as HTML."""
    sections = [("tables", "The two tables"), ("distances", "How far the deltas moved")]
    sections += [("changes", "Largest changes")] * bool(diff.num_changed)
    sections += [("contigs", "By contig")] * (len(diff.by_contig) > 1)
    page = Page(
        command="diff",
        title=f"{diff.num_changed:,} of {diff.num_both:,} moved",
        heading="What changed between two tables",
        under=diff.sentence(),
        sections=sections,
        notices=diff.remarks(),
    )
    return render(
        "position_diff.html.j2",
        page,
        facts=list(_facts(diff)),
        heads=[(head, "n" if number else "") for number, head in enumerate(DISTANCE_HEADS)],
        distances=diff.distances(),
        numbers=diff.numbers(),
        largest_title=_largest_title(diff),
        changes=list(_changes(diff)),
        contigs=list(_contigs(diff)) if len(diff.by_contig) > 1 else [],
    )


def _facts(diff: PositionDiff) -> Iterator[dict[str, Any]]:
    yield from facts_of_runs(diff.old, diff.new, _DESCRIBED)
    both, only_old, only_new = diff.num_both, diff.num_only_old, diff.num_only_new
    yield count_of_both("single-base changes", (both + only_old, both + only_new))
    yield count_of_both("only there", (only_old, only_new))


def _largest_title(diff: PositionDiff) -> str:
    shown = diff.largest.num_rows
    return (
        f"The {shown:,} largest of {diff.num_changed:,} changes"
        if shown < diff.num_changed
        else "All changes, the largest first"
    )


def _changes(diff: PositionDiff) -> Iterator[tuple[str, ...]]:
    for row in diff.largest.to_pylist():
        yield row["variant_id"], *(f"{row[name]:+.4g}" for name in ("old_delta_llr", "new_delta_llr", "change"))


def _contigs(diff: PositionDiff) -> Iterator[tuple[str, ...]]:
    for name, (num_both, changed) in diff.by_contig.items():
        yield name, f"{num_both:,}", f"{changed:,}", f"{changed / num_both:.1%}" if num_both else ""


def write_position_diff_page(diff: PositionDiff, path: str) -> str:
    """Write the page about a comparison to ``path``, and return it.

    Raises:
        SettingsError: the page cannot be written.
    """
    write_text(path, as_page(diff))
    return path
