"""A comparison of two runs as a page: it starts with what changed. A ``Diff`` in, HTML without scripts out.

A nightly rescoring is read by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from raygen.classes.classify import CLASSES
from raygen.classes.colours import text_colour, tint
from raygen.finished.run_facts import RunFacts
from raygen.pages.page import Page, render
from raygen.pages.palette import css_class
from raygen.tables.place import write_text

if TYPE_CHECKING:
    from raygen.finished.diff import Diff

_DESCRIBED = (
    ("folder", "path"),
    ("model", "model"),
    ("fingerprint", "fingerprint"),
    ("window", "window"),
    ("strand", "strand"),
    ("cut points", "cuts_as_set"),
    ("raygen", "raygen_version"),
)
_MAY_DIFFER = ("folder", "last run")


def as_page(diff: Diff) -> str:
    """The page about a comparison, as HTML."""
    sections = [("runs", "The two runs"), ("classes", "Classes")]
    sections += [("changes", "Largest changes")] * bool(diff.num_changed)
    sections += [("contigs", "By contig")] * (len(diff.by_contig) > 1)
    page = Page(
        command="diff",
        title=f"{diff.num_changed:,} of {diff.num_both:,} changed class",
        heading="What changed between two runs",
        under=diff.sentence(),
        sections=sections,
        notices=diff.remarks(),
    )
    return render(
        "diff.html.j2",
        page,
        facts=list(_facts(diff)),
        classes=[(name, _dot(name)) for name in diff.classes],
        matrix=list(_matrix(diff)),
        numbers=diff.numbers(),
        largest_title=_largest_title(diff),
        changes=list(_changes(diff)),
        contigs=list(_contigs(diff)) if len(diff.by_contig) > 1 else [],
    )


def _facts(diff: Diff) -> Iterator[dict[str, Any]]:
    """Facts about both runs: a name, the old value, the new one, and whether a reader should mind that they differ."""
    yield from facts_of_runs(diff.old, diff.new, _DESCRIBED)
    ranked = [run.ranked_against or "nothing" for run in (diff.old, diff.new)]
    if diff.old.background or diff.new.background:
        yield {"name": "ranked against", "values": ranked, "differs": ranked[0] != ranked[1], "is_code": True}
    counts = {
        "variants": (diff.num_both + diff.num_only_old, diff.num_both + diff.num_only_new),
        "only there": (diff.num_only_old, diff.num_only_new),
    }
    for name, pair in counts.items():
        yield count_of_both(name, pair)


def facts_of_runs(old: RunFacts, new: RunFacts, described: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Facts about two runs, ``described`` by a name and its name in ``RunFacts``, and which run was the last."""
    values = [(name, getattr(old, attribute), getattr(new, attribute)) for name, attribute in described]
    for name, before, after in [*values, ("last run", _last_run(old), _last_run(new))]:
        differs = before != after and name not in _MAY_DIFFER
        yield {"name": name, "values": (before or "unknown", after or "unknown"), "differs": differs, "is_code": True}


def count_of_both(name: str, counts: Sequence[int]) -> dict[str, Any]:
    """What is counted of both runs, as a fact about them."""
    return {"name": name, "values": [f"{count:,}" for count in counts], "differs": False, "is_code": False}


def _last_run(facts: RunFacts) -> str:
    return facts.runs[-1] if facts.runs else ""


def _matrix(diff: Diff) -> Iterator[dict[str, Any]]:
    for row, (name, numbers) in enumerate(zip(diff.classes, diff.transitions.tolist(), strict=True)):
        total = max(sum(numbers), 1)
        cells = [_cell(row, column, number, number / total) for column, number in enumerate(numbers)]
        yield {"name": name, "dot": _dot(name), "cells": cells}


def _cell(row: int, column: int, number: int, share: float) -> dict[str, str]:
    """A count of the matrix: its colour says which way the variants moved, its strength which share of the row they are."""
    cell = {"text": f"{number:,}", "css": "", "style": "", "title": f"{share:.1%} of the row" if number else ""}
    if not number:
        return cell | {"css": "none"}
    if row == column:
        return cell | {"css": "stayed"}
    strength = 0.12 + 0.7 * share**0.5
    colour = tint(-strength if column < row else strength)
    return cell | {"style": f"background:{colour};color:{text_colour(colour)}"}


def _largest_title(diff: Diff) -> str:
    shown = diff.largest.num_rows
    if shown < diff.num_changed:
        return f"The {shown:,} largest of {diff.num_changed:,} changes, by classes, then by nats"
    return "All changes, those over most classes first"


def _changes(diff: Diff) -> Iterator[dict[str, Any]]:
    for row in diff.largest.to_pylist():
        abstained = [name for name in ("old", "new") if row[f"{name}_abstained"]]
        yield {
            "variant": row["variant_id"],
            "classes": [
                (row[f"{name}_classification"], _dot(row[f"{name}_classification"])) for name in ("old", "new")
            ],
            "numbers": [f"{row[name]:+.3f}" for name in ("old_delta_llr", "new_delta_llr", "change")],
            "abstained": " and ".join(abstained),
        }


def _contigs(diff: Diff) -> Iterator[tuple[str, ...]]:
    for name, (num_both, changed) in diff.by_contig.items():
        yield name, f"{num_both:,}", f"{changed:,}", f"{changed / num_both:.1%}" if num_both else ""


def _dot(class_name: str) -> str:
    """The class of CSS of the colour of a class of variants; a name that another version gave has none."""
    return css_class(class_name) if class_name in CLASSES else ""


def write_diff_page(diff: Diff, path: str) -> str:
    """Write the page about a comparison to ``path``, and return it.

    Raises:
        SettingsError: the page cannot be written.
    """
    write_text(path, as_page(diff))
    return path
