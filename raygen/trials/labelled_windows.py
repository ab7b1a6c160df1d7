"""Windows measured against labels: the area of each, its difference to the first, and the cheapest that is not worse.

Not worse is a claim about the difference, not about two areas that look alike: the lower end of its paired interval must lie
above minus the margin. Labels that cannot show this mark no window: too few clusters for an interval to mean anything, or a
first window whose area is not above chance, where any other would do as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import FEW
from raygen.evaluation.discrimination import Interval
from raygen.evaluation.paired_areas import PairedArea, clusters_of_fewer_class, paired_areas
from raygen.number_of import number_of
from raygen.trials.compare_windows import WindowComparison
from raygen.trials.labelled_sample import LabelledSample, refuse_one_class


@dataclass(frozen=True)
class LabelledWindow:
    """One window against labels.

    Attributes:
        auroc, auroc_interval: a lower delta counts as positive.
        difference, difference_interval: to the area of the first window, paired.
        seconds_per_variant: of this trial, on this machine.
        not_worse: whether the interval of the difference lies above minus the margin.
        cheapest: whether it reads the fewest tokens of all that are not worse.
    """

    auroc: float
    auroc_interval: Interval | None
    difference: float
    difference_interval: Interval | None
    seconds_per_variant: float
    not_worse: bool
    cheapest: bool


@dataclass(frozen=True)
class LabelledComparison:
    """Windows against the labels of one sample, in the order of the windows.

    Attributes:
        num_positive, num_negative: variants that every window could score.
        clusters: what was drawn again for the intervals, ``gene`` or ``site``; ``num_clusters`` of them.
        unmarked: a sentence on why no window is marked; None where one is.
    """

    windows: list[LabelledWindow]
    num_positive: int
    num_negative: int
    clusters: str
    num_clusters: int
    margin: float
    bootstrap: Bootstrap
    unmarked: str | None


def compare_with_labels(
    comparisons: Sequence[WindowComparison],
    deltas: Sequence[np.ndarray],
    sample: LabelledSample,
    margin: float,
    bootstrap: Bootstrap,
) -> LabelledComparison:
    """Measure each window's (V,) deltas against the labels of the sample, on the variants that all windows could score.

    Raises:
        InputError: those variants are of one class.
    """
    scored = np.isfinite(np.stack(deltas)).all(axis=0)
    positive = sample.positive[scored]
    refuse_one_class(positive, "labelled variants that every window could score")
    kind, clusters = _clusters(sample, scored)
    areas = paired_areas(-np.stack(deltas)[:, scored], positive, clusters, bootstrap)
    unmarked = _unmarked(areas[0], comparisons[0].window, clusters_of_fewer_class(positive, clusters), kind)
    not_worse = [not unmarked and (number == 0 or _is_above(area, -margin)) for number, area in enumerate(areas)]
    return LabelledComparison(
        windows=_marked(comparisons, areas, not_worse, len(sample.positive)),
        num_positive=int(positive.sum()),
        num_negative=int((~positive).sum()),
        clusters=kind,
        num_clusters=len(set(clusters)),
        margin=margin,
        bootstrap=bootstrap,
        unmarked=unmarked,
    )


def labels_as_json(labelled: LabelledComparison) -> dict[str, Any]:
    """What the labels of a comparison were, without what each window gave."""
    return {name: value for name, value in asdict(labelled).items() if name != "windows"}


def print_labelled(comparisons: Sequence[WindowComparison], labelled: LabelledComparison, console: Console) -> None:
    """Print a row a window, the first being the baseline, with tokens and milliseconds for a variant; then which to take."""
    interval = f"{labelled.bootstrap.confidence:.0%} interval"
    table = Table("window", "AUROC", "difference", interval, "tokens", "ms", "", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:-1]:
        column.justify = "right"
    for number, (comparison, window) in enumerate(zip(comparisons, labelled.windows, strict=True)):
        table.add_row(
            comparison.window,
            f"{window.auroc:.3f}",
            *(
                ("baseline", "")
                if number == 0
                else (f"{window.difference:+.3f}", _in_words(window.difference_interval))
            ),
            f"{comparison.tokens_per_variant:,.0f}",
            f"{1000 * window.seconds_per_variant:,.0f}",
            "cheapest" if window.cheapest else "not worse" if window.not_worse and number else "",
        )
    console.print(table)
    for line in _verdict(comparisons, labelled):
        console.print(line, soft_wrap=True, markup=False)


def _clusters(sample: LabelledSample, scored: np.ndarray) -> tuple[str, list[str]]:
    """What is drawn again for the intervals: genes where enough of them hold either class, else sites."""
    columns = (sample.variants[name].to_pylist() for name in ("chrom", "pos"))
    sites = [f"{chrom}:{pos}" for chrom, pos in zip(*columns, strict=True)]
    genes = [gene or site for gene, site in zip(sample.genes, sites, strict=True)]
    positive = sample.positive[scored]
    by_gene, by_site = ([names[row] for row in np.flatnonzero(scored)] for names in (genes, sites))
    if sample.gene_column and clusters_of_fewer_class(positive, by_gene) >= FEW:
        return "gene", by_gene
    return "site", by_site


def _unmarked(baseline: PairedArea, window: str, num_clusters: int, kind: str) -> str | None:
    """Why these labels cannot tell which window is not worse; None where they can."""
    if num_clusters < FEW:
        return (
            f"the rarer label is in {number_of(num_clusters, kind)} only, and a choice needs {FEW}: take a larger --sample, or "
            "more labels"
        )
    if baseline.auroc_interval is None:
        return "there are no intervals"
    if baseline.auroc_interval[0] <= 0.5:
        return f"the AUROC of {window} is {baseline.auroc:.3f} ({_in_words(baseline.auroc_interval, '.3f')}), not above chance"
    return None


def _is_above(area: PairedArea, limit: float) -> bool:
    return area.difference_interval is not None and area.difference_interval[0] > limit


def _marked(
    comparisons: Sequence[WindowComparison], areas: Sequence[PairedArea], not_worse: Sequence[bool], num_variants: int
) -> list[LabelledWindow]:
    candidates = [number for number, enough in enumerate(not_worse) if enough]
    cheapest = min(candidates, key=lambda number: comparisons[number].tokens_per_variant, default=None)
    return [
        LabelledWindow(
            auroc=area.auroc,
            auroc_interval=area.auroc_interval,
            difference=area.difference,
            difference_interval=area.difference_interval,
            seconds_per_variant=comparison.seconds / num_variants,
            not_worse=not_worse[number],
            cheapest=number == cheapest,
        )
        for number, (comparison, area) in enumerate(zip(comparisons, areas, strict=True))
    ]


def _verdict(comparisons: Sequence[WindowComparison], labelled: LabelledComparison) -> list[str]:
    pairs = f"{labelled.num_positive:,} positive, {labelled.num_negative:,} negative"
    drawn = f"intervals are paired, from {number_of(labelled.num_clusters, labelled.clusters)} drawn again"
    lines = [f"{pairs}; {drawn}; tokens and ms are for one variant"]
    if labelled.unmarked:
        return [*lines, f"no window is marked: {labelled.unmarked}."]
    cheapest = next(number for number, window in enumerate(labelled.windows) if window.cheapest)
    chosen, baseline = comparisons[cheapest], comparisons[0]
    limit = f"not worse than {baseline.window} by {labelled.margin:g} or more"
    if not cheapest:
        return [*lines, f"no cheaper window is shown to be {limit}."]
    tokens = f"{chosen.tokens_per_variant:,.0f} tokens a variant in place of {baseline.tokens_per_variant:,.0f}"
    return [*lines, f"cheapest that is {limit}: {chosen.window}, {tokens}"]


def _in_words(interval: Interval | None, number: str = "+.3f") -> str:
    return "-" if interval is None else f"{interval[0]:{number}} to {interval[1]:{number}}"
