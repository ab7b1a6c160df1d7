"""A calibration in the terminal: what it was tested on, how well it holds, strengths of evidence, and what it can be used for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from raygen.classes.calibration import Calibration, ReliabilityBin
from raygen.classes.evidence import STRENGTHS
from raygen.evaluation.clusters import count_of
from raygen.evaluation.evaluation_text import say
from raygen.number_of import number_of


def print_calibration(calibration: Calibration, console: Console) -> None:
    """Print a calibration: quality of the fit, reliability, strengths of evidence, and what it can be used for."""
    quality = calibration.quality
    for line in _on_what(calibration):
        say(console, line)
    fewer = calibration.grouping.why_fewer_folds if calibration.grouping else None
    say(
        console,
        f"{calibration.curve.method} fit: Brier score {quality.brier:.4f} on {quality.folds} held-out folds{f' ({fewer})' if fewer else ''} "
        f"(always saying the share of positives: {quality.brier_of_share:.4f})",
    )
    say(console, f"AUROC of the score itself {quality.auroc:.3f}, on all labelled variants")
    console.print(_reliability_table(calibration.reliability))
    console.print(_strength_table(calibration))
    for line in _what_follows(calibration):
        say(console, line)


def _on_what(calibration: Calibration) -> list[str]:
    """What the folds did not part, how many rows are independent, and whether the labels chose something, in sentences."""
    lines = []
    if grouping := calibration.grouping:
        sites = "" if grouping.num_sites is None else f" at {number_of(grouping.num_sites, 'site')}"
        reason = f" ({grouping.why_not_larger})" if grouping.why_not_larger else ""
        clusters = count_of(grouping.num_clusters, grouping.level)
        lines.append(
            f"{number_of(grouping.num_rows, 'row')}{sites}; folds part none of {clusters}, and bounds are drawn by them{reason}"
        )
    if calibration.tuning_warning:
        lines.append(f"warning: {calibration.tuning_warning}.")
    return lines


def _reliability_table(bins: Sequence[ReliabilityBin]) -> Table:
    table = Table("predicted", "observed", "variants", box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for reliability_bin in bins:
        table.add_row(
            f"{reliability_bin.predicted:.3f}", f"{reliability_bin.observed:.3f}", f"{reliability_bin.num_variants:,}"
        )
    return table


def _strength_table(calibration: Calibration) -> Table:
    table = Table("evidence", "likelihood ratio", "PP3 (pathogenic)", "BP4 (benign)", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    outwards = ("≥", "≤") if calibration.higher_is_positive else ("≤", "≥")
    for name in STRENGTHS:
        limits = (calibration.pathogenic.of(name), calibration.benign.of(name))
        cells = [
            "not reached" if limit is None else f"{sign} {limit:.3g}"
            for sign, limit in zip(outwards, limits, strict=True)
        ]
        table.add_row(name.replace("_", " "), f"{calibration.odds[name]:,.2f}", *cells)
    return table


def _what_follows(calibration: Calibration) -> list[str]:
    """Sentences on what the calibration can and cannot be used for."""
    lines = [f"at a prior of {calibration.prior:g}; a probability or a strength holds for that prior alone"]
    if calibration.pathogenic.supporting is None and calibration.benign.supporting is None:
        lines.append("warning: no score is evidence of any strength on these labels: every variant would be vus.")
    elif calibration.pathogenic.supporting is None:
        lines.append("warning: no score is evidence for pathogenicity on these labels.")
    if calibration.quality.auroc < 0.5:
        lines.append("warning: the score points the other way on these labels (AUROC below 0.5).")
    if calibration.fingerprint is None:
        lines.append(
            "note: these scores carry no fingerprint, so the calibration is to look at: score and reclassify refuse it."
        )
    return lines
