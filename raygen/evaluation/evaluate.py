"""A score against labels: overall, beside what it must pass, by chromosome and group, and with the least certain variants left out.

Overall numbers hide the mix of what they are made of: a score that only tells stop codons from synonymous changes has a high
overall area. So areas are given by any column, and a group is marked where its whole interval lies below the overall area. Intervals are from
clusters drawn again (see ``clusters``), never from rows as if they were independent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.beside import Beside, Rivals, compare_beside
from raygen.evaluation.by_chromosome import WHY_NOT_POOLED, ByChromosome, areas_by_chromosome
from raygen.evaluation.clusters import ChosenLevel, ClusterChoice, choose_clusters
from raygen.evaluation.discrimination import Discrimination, discriminate
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest, gather
from raygen.evaluation.labels import in_order
from raygen.evaluation.leaks import Leaks, look_for_leaks
from raygen.evaluation.risk_coverage import RiskCoverage, risk_coverage
from raygen.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """A score measured against labels.

    Attributes:
        choice: what is drawn again for the intervals.
        beside: what the score must pass, on all rows; on those of a group or chromosome it goes with the group's areas.
        by: areas of each value of each column to group by.
        by_chromosome: None where fewer than two chromosomes hold both labels.
    """

    labelled: LabelledScores
    request: LabelRequest
    bootstrap: Bootstrap
    choice: ClusterChoice
    overall: Discrimination
    beside: Beside
    by_chromosome: ByChromosome | None
    by: dict[str, dict[str, Discrimination]]
    risk_coverage: RiskCoverage
    leaks: Leaks

    @property
    def warnings(self) -> list[str]:
        """What makes the numbers doubtful, in sentences."""
        sentences = [
            *self.labelled.warnings,
            self.labelled.one_value,
            *self.leaks.warnings,
            self.points_the_other_way(),
        ]
        return [sentence for sentence in sentences if sentence]

    def is_worse(self, group: Discrimination) -> bool:
        """Whether a group's whole interval lies below the overall area."""
        return bool(group.auroc_interval and self.overall.auroc and group.auroc_interval[1] < self.overall.auroc)

    def points_the_other_way(self) -> str | None:
        """A sentence where the overall AUROC is below 0.5, else None."""
        auroc, interval = self.overall.auroc, self.overall.auroc_interval
        if auroc is None or auroc >= 0.5:
            return None
        sentence = f"on these labels the score points the other way (AUROC {auroc:.3f}, below 0.5)"
        if interval and interval[1] >= 0.5:
            return f"{sentence}, though no more than chance can make it."
        other = "without" if self.labelled.higher_is_positive else "with"
        return f"{sentence}; run it {other} --higher-is-positive if that is what it means."

    def shown(self, column: str, most: int) -> list[tuple[str, Discrimination]]:
        """Groups of a column to show where there is room for ``most``: of too many those that are worse come first."""
        groups = list(self.by[column].items())
        return groups if len(groups) <= most else sorted(groups, key=lambda group: not self.is_worse(group[1]))[:most]


def evaluate(
    request: LabelRequest,
    bootstrap: Bootstrap | None = None,
    cut: float | None = None,
    cluster: ChosenLevel = "auto",
) -> Evaluation:
    """Join scores and labels, and measure how well the score tells the labels apart.

    Args:
        bootstrap: how the intervals are made.
        cut: where calls are made for the risk-coverage curve, in the score's unit; None: what tells these labels apart best.
        cluster: level of what is drawn again.

    Raises:
        SettingsError, InputError: see ``gather`` and ``choose_clusters``; InputError where all labelled variants are of one class.
    """
    bootstrap = bootstrap or Bootstrap()
    labelled = gather(request)
    if not labelled.num_positive or not labelled.num_negative:
        lacking = "negative" if labelled.num_positive else "positive"
        raise InputError(
            f"All {len(labelled.frame):,} labelled variants with a score are "
            f"{'positive' if lacking == 'negative' else 'negative'}: without {lacking} ones there is nothing to tell apart."
        )
    choice = choose_clusters(labelled, cluster)
    risk, positive = labelled.risk.to_numpy(), labelled.frame["positive"].to_numpy()
    rivals = Rivals(labelled, choice, bootstrap.seed)
    listed = [*request.groups, *([labelled.extra.consequence] if labelled.extra.consequence else [])]
    return Evaluation(
        labelled=labelled,
        request=request,
        bootstrap=bootstrap,
        choice=choice,
        overall=discriminate(risk, positive, choice.chosen, bootstrap),
        beside=compare_beside(rivals, bootstrap),
        by_chromosome=areas_by_chromosome(risk, positive, choice, bootstrap, rivals),
        by={
            name: _by_value(labelled.frame[name], risk, positive, choice, bootstrap, rivals) for name in request.groups
        },
        risk_coverage=risk_coverage(labelled.frame, labelled.higher_is_positive, cut),
        leaks=look_for_leaks(labelled, list(dict.fromkeys(listed)), choice),
    )


def _by_value(
    column: pl.Series,
    risk: np.ndarray,
    positive: np.ndarray,
    choice: ClusterChoice,
    bootstrap: Bootstrap,
    rivals: Rivals,
) -> dict[str, Discrimination]:
    counts = column.value_counts().sort(["count", column.name], descending=[True, False])
    order = np.argsort(column.cast(pl.Categorical).to_physical().to_numpy(), kind="stable")
    by_value = {}
    values = column.to_numpy()[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        rows = order[start:end]
        clusters = choice.within(rows, positive)
        group = discriminate(risk[rows], positive[rows], clusters, bootstrap)
        by_value[str(values[start])] = replace(group, beside=rivals.within(rows, bootstrap))
    return {value: by_value[value] for value in in_order(column.name, counts[column.name].to_list())}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as ``--json`` writes it. Areas are null, with a note, where a group lacks a class."""
    labelled, request = evaluation.labelled, evaluation.request
    return {
        "kind": "raygen evaluation",
        "raygen": __version__,
        "scores": request.scores,
        "labels_from": request.labels or request.scores,
        "label": request.label,
        "positive": labelled.labels.positive,
        "negative": labelled.labels.negative,
        "left_out": labelled.labels.left_out,
        "score_column": labelled.score_column,
        "higher_is_positive": labelled.higher_is_positive,
        "model": labelled.model,
        "fingerprint": labelled.fingerprint,
        "counts": labelled.counts,
        "bootstrap": asdict(evaluation.bootstrap),
        "clusters": _clusters_as_json(evaluation.choice),
        "leaks": asdict(evaluation.leaks),
        "warnings": evaluation.warnings,
        "overall": asdict(evaluation.overall),
        "beside": asdict(evaluation.beside),
        "by_chromosome": _chromosomes_as_json(evaluation),
        "by": {
            column: {
                value: {**asdict(group), "worse_than_overall": evaluation.is_worse(group)}
                for value, group in groups.items()
            }
            for column, groups in evaluation.by.items()
        },
        "risk_coverage": asdict(evaluation.risk_coverage),
    }


def _clusters_as_json(choice: ClusterChoice) -> dict[str, Any]:
    chosen = choice.chosen
    return {
        "level": chosen.level,
        "num_clusters": chosen.num_clusters,
        "num_without_name": chosen.num_unnamed,
        "num_with_positive": chosen.num_with_positive,
        "num_with_negative": chosen.num_with_negative,
        "why_not_larger": choice.reason or None,
    }


def _chromosomes_as_json(evaluation: Evaluation) -> dict[str, Any] | None:
    chromosomes = evaluation.by_chromosome
    if chromosomes is None:
        return None
    areas = {name: {**asdict(area), "base_rate": area.prevalence} for name, area in chromosomes.areas.items()}
    pooled = {"pooled_auroc": evaluation.overall.auroc, "pooled_auprc": evaluation.overall.auprc}
    return {**asdict(chromosomes), "areas": areas, **pooled, "why_not_pooled": WHY_NOT_POOLED}
