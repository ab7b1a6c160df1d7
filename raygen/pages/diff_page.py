"""A comparison of two runs as one page: it starts with what changed, and holds everything it shows.

No script, no font, nothing from a network; every text that comes from data is escaped. A nightly rescoring is read by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from raygen.classes.colours import text_colour, tint
from raygen.finished.run_facts import RunFacts
from raygen.tables.place import put_in_place

if TYPE_CHECKING:
    from raygen.finished.diff import Diff
    from raygen.finished.run_facts import RunFacts

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 1080px; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
.lead { font-size: 1.15rem; max-width: 56rem; } p { max-width: 56rem; }
.remark { border-left: 4px solid #d6604d; padding-left: .7rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; } th { font-weight: 600; color: #555; }
.numbers td, .numbers th { font-variant-numeric: tabular-nums; } .right { text-align: right; }
.numbers td:first-child { white-space: nowrap; }
.matrix td { padding: .35rem .7rem; text-align: right; border: 1px solid #ffffff; } .matrix th { padding: .35rem .7rem; }
.matrix .stayed { background: #eeeeee; } .matrix .none { color: #aaaaaa; background: #fafafa; }
.differs td { font-weight: 600; } code { font-size: .92em; overflow-wrap: anywhere; }
"""


def as_page(diff: Diff) -> str:
    """The page as text."""
    numbers = "".join(f"<li>{escape(line)}</li>" for line in diff.numbers())
    remarks = "".join(f'<p class="remark">{escape(remark)}</p>' for remark in diff.remarks())
    parts = [
        f'<h1>What changed between two runs</h1>\n<p class="lead">{escape(diff.sentence())}</p>\n{remarks}',
        f'<div class="wide"><table>{"".join(_facts(diff))}</table></div>',
        "<h2>Classes</h2>\n<p>Rows are the classes of the old run, columns those of the new one. Grey: the class stayed. Red: "
        "moved towards pathogenic. Blue: moved away from it. The darker, the larger the share of the old class.</p>",
        f'<div class="wide"><table class="matrix">{"".join(_matrix(diff))}</table></div>\n<ul>{numbers}</ul>',
    ]
    if diff.num_changed:
        parts.append(_largest(diff))
    if len(diff.by_contig) > 1:
        parts.append(
            f'<h2>By contig</h2>\n<div class="wide"><table class="numbers">{"".join(_contigs(diff))}</table></div>'
        )
    parts.append(
        "<p>Classes are cut points on a scale. They are labels of a model&#x27;s scores, not findings about patients; a change of class "
        "near a cut point can be a small change of score.</p>"
    )
    title = f"{diff.num_changed:,} of {diff.num_both:,} changed class"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title>\n<style>{_STYLE}</style></head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _facts(diff: Diff) -> Iterator[str]:
    yield "<tr><th></th><th>old</th><th>new</th></tr>"
    for name, old, new in _described(diff.old, diff.new):
        differs = ' class="differs"' if old != new and name not in ("folder", "last run") else ""
        cells = "".join(f"<td><code>{escape(value or 'unknown')}</code></td>" for value in (old, new))
        yield f"<tr{differs}><th>{escape(name)}</th>{cells}</tr>"
    rows = (diff.num_both + diff.num_only_old, diff.num_both + diff.num_only_new)
    yield f"<tr><th>variants</th><td>{rows[0]:,}</td><td>{rows[1]:,}</td></tr>"
    yield f"<tr><th>only there</th><td>{diff.num_only_old:,}</td><td>{diff.num_only_new:,}</td></tr>"


def _described(old: RunFacts, new: RunFacts) -> Iterator[tuple[str, str, str]]:
    for name, attribute in (
        ("folder", "path"),
        ("model", "model"),
        ("fingerprint", "fingerprint"),
        ("window", "window"),
        ("strand", "strand"),
        ("cut points", "cuts"),
        ("raygen", "raygen_version"),
    ):
        yield name, getattr(old, attribute), getattr(new, attribute)
    yield "last run", _last_run(old), _last_run(new)


def _last_run(facts: RunFacts) -> str:
    return facts.runs[-1] if facts.runs else ""


def _matrix(diff: Diff) -> Iterator[str]:
    heads = "".join(f'<th class="right">{escape(name)}</th>' for name in diff.classes)
    yield f"<tr><th>old \\ new</th>{heads}</tr>"
    for row, (name, numbers) in enumerate(zip(diff.classes, diff.transitions.tolist(), strict=True)):
        total = max(sum(numbers), 1)
        cells = "".join(_cell(row, column, number, number / total) for column, number in enumerate(numbers))
        yield f"<tr><th>{escape(name)}</th>{cells}</tr>"


def _cell(row: int, column: int, number: int, share: float) -> str:
    if not number:
        return '<td class="none">0</td>'
    if row == column:
        return f'<td class="stayed">{number:,}</td>'
    strength = 0.12 + 0.7 * share**0.5
    colour = tint(-strength if column < row else strength)
    return f'<td style="background:{colour};color:{text_colour(colour)}" title="{share:.1%} of the row">{number:,}</td>'


def _largest(diff: Diff) -> str:
    shown = diff.largest.num_rows
    which = (
        f"The {shown:,} largest of {diff.num_changed:,} changes, by classes, then by nats"
        if shown < diff.num_changed
        else "All changes, those over most classes first"
    )
    heads = ("variant", "old class", "new class", "old delta_llr", "new delta_llr", "change, nats", "abstained")
    right = {3, 4, 5}
    cells = "".join(f"<th{_right(at in right)}>{head}</th>" for at, head in enumerate(heads))
    rows = []
    for row in diff.largest.to_pylist():
        abstained = [name for name in ("old", "new") if row[f"{name}_abstained"]]
        values = [row["variant_id"], row["old_classification"], row["new_classification"]]
        values += [f"{row[name]:+.3f}" for name in ("old_delta_llr", "new_delta_llr", "change")]
        values.append(" and ".join(abstained))
        rows.append("".join(f"<td{_right(at in right)}>{escape(value)}</td>" for at, value in enumerate(values)))
    lines = "".join(f"<tr>{row}</tr>\n" for row in rows)
    return f'<h2>{which}</h2>\n<div class="wide"><table class="numbers"><tr>{cells}</tr>\n{lines}</table></div>'


def _contigs(diff: Diff) -> Iterator[str]:
    yield "<tr><th>contig</th><th class='right'>in both</th><th class='right'>changed class</th><th class='right'>share</th></tr>"
    for name, (seen, changed) in diff.by_contig.items():
        share = f"{changed / seen:.1%}" if seen else ""
        cells = "".join(f"<td class='right'>{value}</td>" for value in (f"{seen:,}", f"{changed:,}", share))
        yield f"<tr><td>{escape(name)}</td>{cells}</tr>"


def _right(is_number: bool) -> str:
    return ' class="right"' if is_number else ""


def write_diff_page(diff: Diff, path: str) -> str:
    """Write the page and return its path.

    Raises:
        SettingsError: it cannot be written.
    """
    with put_in_place(path) as partial:
        partial.write_text(as_page(diff), encoding="utf-8")
    return path
