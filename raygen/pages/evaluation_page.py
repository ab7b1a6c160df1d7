"""One self-contained page about an evaluation: the curves, the groups, and what was left out. No script, nothing from a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from raygen.evaluation.discrimination import Discrimination
from raygen.evaluation.evaluate import Evaluation, describe_risk
from raygen.evaluation.risk_coverage import CoveragePoint, RiskCoverage
from raygen.pages.svg_chart import Axes, Line, bar_chart, interval_chart, line_chart, padded
from raygen.version import __version__

_MOST_POINTS = 400
_MOST_ROWS = 60
_BINS = 40
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 1.5rem auto; max-width: 1020px; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; color: #555; } .numbers td + td, .numbers th + th { text-align: right; }
.numbers td:last-child, .numbers th:last-child { text-align: left; }
.numbers td { font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; } p { max-width: 48rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { color: #555; max-width: 28rem; } .worse { color: #a33b00; font-weight: 600; }
"""


def as_page(evaluation: Evaluation) -> str:
    """The page as HTML."""
    body = "\n".join(_body(evaluation))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Evaluation of scores</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _body(evaluation: Evaluation) -> Iterator[str]:
    overall = evaluation.overall
    yield "<h1>How well the scores tell the labels apart</h1>"
    yield f"<div class='wide'>{facts_table(_facts(evaluation))}</div>"
    for warning in [*evaluation.labelled.warnings, evaluation.points_the_other_way()]:
        if warning:
            yield f"<p class='worse'>{escape(warning[0].upper() + warning[1:])}</p>"
    yield f"<p><strong>AUROC {_with_interval(overall.auroc, overall.auroc_interval)}</strong>, AUPRC "
    yield f"{_with_interval(overall.auprc, overall.auprc_interval)} (a useless score has 0.5 and {overall.prevalence:.3f}).</p>"
    yield "<div class='charts'>"
    yield from (_figure(*picture) for picture in _pictures(evaluation))
    yield "</div>"
    for name, groups in evaluation.by.items():
        yield from _groups(evaluation, name, groups)
    yield "<h2>Risk and coverage</h2>"
    yield "".join(f"<p>{escape(line.strip().capitalize())}.</p>" for line in describe_risk(evaluation.risk_coverage))
    yield "<h2>What was left out</h2>"
    left_out = [(value, f"{count:,}") for value, count in evaluation.labelled.labels.left_out.items()]
    table = numbers_table(["label", "variants"], left_out)
    yield f"<div class='wide'>{table}</div>" if left_out else "<p>Nothing.</p>"
    yield "<p>Labels come from what is known already, often with computed predictions among the evidence, and from the"
    yield " people who were studied: an area here is no measure of use in care, and none for groups that the labels lack.</p>"


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


def _pictures(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """(SVG, caption) of each chart."""
    risk, positive = evaluation.labelled.risk.to_numpy(), evaluation.labelled.frame["positive"].to_numpy()
    false_rate, true_rate, _ = roc_curve(positive, risk)
    chance = Line("chance", (0, 1), (0, 1), dashed=True)
    roc = Line("score", *_thinned(false_rate, true_rate))
    yield line_chart([roc, chance], Axes("false positive rate", "true positive rate"), "ROC curve"), "ROC curve"
    precision, recall, _ = precision_recall_curve(positive, risk, drop_intermediate=True)
    useless = Line("share of positives", (0, 1), (evaluation.overall.prevalence,) * 2, dashed=True)
    curve = Line("score", *_thinned(recall[:-1], precision[:-1]))  # the last point is no threshold
    yield line_chart([curve, useless], Axes("recall", "precision"), "Precision-recall"), "Precision against recall"
    yield _distribution(evaluation), "Where the two kinds lie; the outermost 1% on each side are in the last bars"
    yield _risk(evaluation.risk_coverage), "Share of wrong calls when the least certain variants are not called"


def _distribution(evaluation: Evaluation) -> str:
    frame = evaluation.labelled.frame
    scores, positive = frame["score"].to_numpy(), frame["positive"].to_numpy()
    low, high = padded(*np.percentile(scores, [1, 99]).tolist())
    edges = np.linspace(low, high, _BINS + 1)
    held = np.clip(scores, low, high)
    shares = [
        (name, (np.histogram(held[chosen], edges)[0] / max(int(chosen.sum()), 1)).tolist())
        for name, chosen in (("negative", ~positive), ("positive", positive))
    ]
    top = max(max(values) for _, values in shares)
    axes = Axes(evaluation.labelled.score_column, "share of the kind", (low, high), (0, top * 1.05))
    return bar_chart(edges.tolist(), shares, axes, "Distribution of the score")


def _risk(found: RiskCoverage) -> str:
    lines = [Line("farthest from the cut first", *_columns(found.by_margin))]
    if found.by_strands:
        lines.append(Line("strands that agree first", *_columns(found.by_strands)))
    if found.abstained and found.abstained.num_abstained and found.abstained.error is not None:
        lines.append(Line("all but abstained", (found.abstained.coverage,), (found.abstained.error,), is_points=True))
    top = max(max(line.y) for line in lines)
    return line_chart(
        lines, Axes("coverage", "share of wrong calls", (0, 1), (0, max(top * 1.1, 0.01))), "Risk-coverage"
    )


def _columns(points: list[CoveragePoint]) -> tuple[list[float], list[float]]:
    return [point.coverage for point in points], [point.error for point in points]


def _groups(evaluation: Evaluation, name: str, groups: dict[str, Discrimination]) -> Iterator[str]:
    yield f"<h2>By {escape(name)}</h2>"
    shown = evaluation.shown(name, _MOST_ROWS)
    drawn = [
        (value, group.auroc_interval[0], group.auroc, group.auroc_interval[1])
        for value, group in shown
        if group.auroc is not None and group.auroc_interval
    ]
    marked = [evaluation.is_worse(groups[row[0]]) for row in drawn]
    if drawn:
        overall = evaluation.overall.auroc or 0.5
        yield f"<div class='wide'>{interval_chart(drawn, 'AUROC; the dashed line is the overall one', name, overall, marked)}</div>"
    rows = [
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
    yield f"<div class='wide'>{numbers_table([name, 'positive', 'negative', 'AUROC', 'AUPRC', 'note'], rows)}</div>"
    if len(groups) > len(shown):
        yield f"<p>And {len(groups) - len(shown):,} more.</p>"


def facts_table(facts: dict[str, str]) -> str:
    """Names and values, a row each."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>"


def numbers_table(heads: list[str], rows: Sequence[tuple[str, ...]]) -> str:
    """A table whose first column is words and whose others are numbers."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class='numbers'><tr>{head}</tr>{body}</table>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """At most so many points, evenly along the curve, both ends kept."""
    if len(x) <= _MOST_POINTS:
        return x.tolist(), y.tolist()
    along = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
    at = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _MOST_POINTS)))
    at = np.unique(np.clip([0, *at.tolist(), len(x) - 1], 0, len(x) - 1))
    return x[at].tolist(), y[at].tolist()


def _with_interval(value: float | None, low_high: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({low_high[0]:.3f} to {low_high[1]:.3f})" if low_high else "")
