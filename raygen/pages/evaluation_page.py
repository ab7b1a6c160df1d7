"""A page about an evaluation: the curves, the groups, and what was left out. An ``Evaluation`` in, HTML without scripts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raygen.evaluation.beside import Beside
from raygen.evaluation.by_chromosome import WHY_NOT_POOLED
from raygen.evaluation.discrimination import Discrimination, Interval
from raygen.evaluation.evaluate import Evaluation
from raygen.evaluation.evaluation_text import (
    describe_beside,
    describe_clusters,
    describe_fewer_rows,
    describe_risk,
    note_of,
    signed,
)
from raygen.pages.evaluation_charts import areas_figure, beside_figure, groups_figure, overall_figures
from raygen.pages.page import Page, render
from raygen.version import __version__

_MOST_ROWS = 60


def as_page(evaluation: Evaluation) -> str:
    """The page about an evaluation, as HTML."""
    groups = [
        _groups(evaluation, number, name, values)
        for number, (name, values) in enumerate(evaluation.by.items(), start=1)
    ]
    chromosomes = _chromosomes(evaluation)
    sections = [("curves", "Curves"), ("beside", "Beside it"), *[("chromosomes", "By chromosome")] * bool(chromosomes)]
    sections += [
        *((group["id"], group["title"]) for group in groups),
        ("risk", "Risk and coverage"),
        ("left-out", "What was left out"),
        ("run", "What was evaluated"),
    ]
    page = Page(
        command="evaluate",
        title="Evaluation of scores",
        heading="How well the scores tell the labels apart",
        under=_areas(evaluation),
        sections=sections,
        notices=[_sentence(warning) for warning in evaluation.warnings],
    )
    left_out = evaluation.labelled.labels.left_out
    return render(
        "evaluation.html.j2",
        page,
        figures=overall_figures(evaluation),
        beside=_beside(evaluation),
        chromosomes=chromosomes,
        groups=groups,
        risk=[_sentence(line.strip()) for line in describe_risk(evaluation.risk_coverage)],
        left_out=[(value, f"{count:,}") for value, count in left_out.items()],
        facts=_facts(evaluation),
    )


def _areas(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    return (
        f"AUROC {_with_interval(overall.auroc, overall.auroc_interval)}, "
        f"AUPRC {_with_interval(overall.auprc, overall.auprc_interval)} "
        f"(a useless score has 0.5 and {overall.prevalence:.3f})."
    )


def _facts(evaluation: Evaluation) -> dict[str, str]:
    labelled, request = evaluation.labelled, evaluation.request
    meaning = "higher means positive" if labelled.higher_is_positive else "lower means positive"
    facts = {
        "scores": request.scores,
        "score": f"{labelled.score_column}, {meaning}",
        "model": labelled.model or "not recorded",
        "fingerprint": labelled.fingerprint or "none",
        "labels": f"{request.label} of {request.labels or request.scores}",
        "positive": f"{labelled.num_positive:,} ({', '.join(labelled.labels.positive)})",
        "negative": f"{labelled.num_negative:,} ({', '.join(labelled.labels.negative)})",
    }
    facts |= {name: f"{count:,}" for name, count in labelled.counts.items()}
    boot = evaluation.bootstrap
    facts |= {"sites": sites} if (sites := evaluation.leaks.in_words) else {}
    chosen, reason = evaluation.choice.chosen, evaluation.choice.reason
    if chosen.why_no_interval or not boot.replicates:
        facts["intervals"] = f"none: {chosen.why_no_interval or 'not asked for'}"
    else:
        facts["intervals"] = f"{boot.confidence:.0%}, {boot.replicates:,} bootstrap replicates, seed {boot.seed}"
        facts["drawn again"] = chosen.in_words
    facts |= {"why no larger ones": reason} if reason else {}
    return facts | {"written by": f"raygen {__version__}"}


def _beside(evaluation: Evaluation) -> dict[str, Any]:
    """The score beside what it must pass: a chart, a table, and what cannot be compared."""
    beside = evaluation.beside
    heads = ("AUROC", "less the score's", "AUPRC", "less the score's")
    rows = [
        (
            name,
            _with_interval(area.auroc, area.auroc_interval),
            signed(area.difference, area.difference_interval) if number else "",
            _with_interval(area.auprc, area.auprc_interval),
            signed(area.auprc_difference, area.auprc_difference_interval) if number else "",
        )
        for number, (name, area) in enumerate(beside.areas.items())
    ]
    return {
        "figure": beside_figure(beside),
        "heads": [("on the same rows", "name"), *((head, "n interval") for head in heads)],
        "rows": rows,
        "notes": [_sentence(line.removeprefix("note: ")) for line in describe_beside(beside)],
        "clusters": [_sentence(line) for line in describe_clusters(evaluation)],
    }


def _chromosomes(evaluation: Evaluation) -> dict[str, Any] | None:
    """A section of areas by chromosome with their mean; None where fewer than two hold both labels."""
    chromosomes = evaluation.by_chromosome
    if chromosomes is None:
        return None
    overall = evaluation.overall
    heads = ("positive", "negative", "AUROC", "AUPRC", "base rate")
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{area.num_positive:,}",
            f"{area.num_negative:,}",
            _with_interval(area.auroc, area.auroc_interval),
            _with_interval(area.auprc, area.auprc_interval),
            f"{area.prevalence:.3f}",
            note_of(evaluation, area),
        )
        for name, area in chromosomes.areas.items()
    ]
    for name, auroc, auprc, base_rate in (
        (
            "weighted mean",
            _with_interval(chromosomes.mean_auroc, chromosomes.mean_auroc_interval),
            _with_interval(chromosomes.mean_auprc, chromosomes.mean_auprc_interval),
            chromosomes.mean_base_rate,
        ),
        (
            "pooled",
            _with_interval(overall.auroc, overall.auroc_interval),
            _with_interval(overall.auprc, overall.auprc_interval),
            overall.prevalence,
        ),
    ):
        rows.append((name, "", "", auroc, auprc, f"{base_rate:.3f}", ""))
    return {
        "figure": areas_figure("AUROC by chromosome", chromosomes.areas, overall.auroc, evaluation.is_worse),
        "heads": [("chromosome", "name"), *((head, "n") for head in heads), ("note", "")],
        "rows": rows[:_MOST_ROWS] if len(rows) <= _MOST_ROWS else [*rows[: _MOST_ROWS - 2], *rows[-2:]],
        "note": _sentence(WHY_NOT_POOLED),
        "beside": _beside_groups(evaluation, "chromosome", list(chromosomes.areas.items()), chromosomes.beside),
        "num_more": f"{len(rows) - _MOST_ROWS:,}" if len(rows) > _MOST_ROWS else "",
    }


def _groups(evaluation: Evaluation, number: int, name: str, groups: dict[str, Discrimination]) -> dict[str, Any]:
    """A section of groups: its chart where there is one, its table, and how many groups have no place."""
    shown = evaluation.shown(name, _MOST_ROWS)
    return {
        "id": f"groups-{number}",
        "title": f"By {name}",
        "figure": groups_figure(evaluation, name, shown),
        "heads": [
            (name, "name"),
            *((head, "n") for head in ("positive", "negative", "AUROC", "AUPRC")),
            ("note", ""),
        ],
        "rows": _group_rows(evaluation, shown),
        "beside": _beside_groups(evaluation, name, shown),
        "num_more": f"{len(groups) - len(shown):,}" if len(groups) > len(shown) else "",
    }


def _group_rows(evaluation: Evaluation, shown: Sequence[tuple[str, Discrimination]]) -> list[tuple[str, ...]]:
    return [
        (
            value,
            f"{group.num_positive:,}",
            f"{group.num_negative:,}",
            _with_interval(group.auroc, group.auroc_interval),
            _with_interval(group.auprc, group.auprc_interval),
            note_of(evaluation, group),
        )
        for value, group in shown
    ]


def _beside_groups(
    evaluation: Evaluation, head: str, groups: Sequence[tuple[str, Discrimination]], mean: Beside | None = None
) -> dict[str, Any] | None:
    """A table of what the score must pass in each group; None where nothing was compared in any."""
    names = list(evaluation.beside.areas)[1:]
    besides = [(value, group.beside) for value, group in groups[:_MOST_ROWS] if group.beside]
    if not names or not besides:
        return None
    besides += [("weighted mean", mean)] if mean else []
    return {
        "heads": [(head, "name"), *((f"AUROC of {name}, less the score's", "n interval") for name in names)],
        "rows": [(value, *_beside_cells(beside, names)) for value, beside in besides],
        "note": describe_fewer_rows(evaluation),
    }


def _beside_cells(beside: Beside, names: Sequence[str]) -> list[str]:
    """AUROC of what stands beside the score, and what it is less the score's; nothing of what was not compared."""
    areas = beside.areas
    return [
        f"{areas[name].auroc:.3f}, {signed(areas[name].difference, areas[name].difference_interval)}"
        if name in areas
        else "-"
        for name in names
    ]


def _sentence(line: str) -> str:
    """A line as a sentence; names in it stay as they are."""
    return f"{line[0].upper()}{line[1:].removesuffix('.')}."


def _with_interval(value: float | None, low_high: Interval | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({low_high[0]:.3f} to {low_high[1]:.3f})" if low_high else "")
