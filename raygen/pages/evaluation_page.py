"""A page about an evaluation: the curves, the groups, and what was left out. An ``Evaluation`` in, HTML without scripts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raygen.evaluation.discrimination import Discrimination
from raygen.evaluation.evaluate import Evaluation, describe_risk
from raygen.pages.evaluation_charts import groups_figure, overall_figures
from raygen.pages.page import Page, render
from raygen.version import __version__

_MOST_ROWS = 60


def as_page(evaluation: Evaluation) -> str:
    """The page about an evaluation, as HTML."""
    groups = [
        _groups(evaluation, number, name, values)
        for number, (name, values) in enumerate(evaluation.by.items(), start=1)
    ]
    sections = [("curves", "Curves"), *((group["id"], group["title"]) for group in groups)]
    sections += [("risk", "Risk and coverage"), ("left-out", "What was left out"), ("run", "What was evaluated")]
    warnings = [*evaluation.labelled.warnings, evaluation.points_the_other_way()]
    page = Page(
        command="evaluate",
        title="Evaluation of scores",
        heading="How well the scores tell the labels apart",
        under=_areas(evaluation),
        sections=sections,
        notices=[warning[0].upper() + warning[1:] for warning in warnings if warning],
    )
    left_out = evaluation.labelled.labels.left_out
    return render(
        "evaluation.html.j2",
        page,
        figures=overall_figures(evaluation),
        groups=groups,
        risk=[f"{line.strip().capitalize()}." for line in describe_risk(evaluation.risk_coverage)],
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
    facts["intervals"] = f"{boot.confidence:.0%}, {boot.replicates:,} bootstrap replicates, seed {boot.seed}"
    return facts | {"written by": f"raygen {__version__}"}


def _groups(evaluation: Evaluation, number: int, name: str, groups: dict[str, Discrimination]) -> dict[str, Any]:
    """A section of groups: its chart where there is one, its table, and how many groups have no place."""
    shown = evaluation.shown(name, _MOST_ROWS)
    return {
        "id": f"groups-{number}",
        "title": f"By {name}",
        "figure": groups_figure(evaluation, name, shown),
        "heads": [(name, "name"), *((head, "n") for head in ("positive", "negative", "AUROC", "AUPRC")), ("note", "")],
        "rows": _group_rows(evaluation, shown),
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
            group.note or ("below overall" if evaluation.is_worse(group) else ""),
        )
        for value, group in shown
    ]


def _with_interval(value: float | None, low_high: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({low_high[0]:.3f} to {low_high[1]:.3f})" if low_high else "")
