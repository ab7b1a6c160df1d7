"""Commands that set finished scores against labels."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from raygen.cli.options import (
    Debug,
    LabelColumn,
    LabelField,
    Negative,
    Positive,
    by_commas,
    command,
    label_name,
    say,
    screen,
)
from raygen.errors import SettingsError
from raygen.tables.place import refuse_unwritable, write_json, write_text

Scores = Annotated[
    str, typer.Option(metavar="PATH", help="Folder of a run; or scores as Parquet, CSV or TSV, also of another tool.")
]
LabelsFile = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="FILE", help="VCF, BCF or table with the labels; default: the scores' own columns."
    ),
]
Higher = Annotated[
    bool,
    typer.Option("--higher-is-positive", help="Higher scores are positive; default: lower ones, as for delta_llr."),
]
ScoreColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column that holds the scores; default: delta_llr.")
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Also measure by group: a column of either table, or variant_type; may be repeated.",
    ),
]
AfColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column with allele frequencies; also measures by bins of them.")
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="FASTA",
        help="FASTA by which indels are left-aligned; default: the run's own, if still there.",
    ),
]
Cluster = Annotated[
    Literal["auto", "chromosome", "gene", "window", "site"],
    typer.Option(
        "--cluster",
        help="What is drawn again for intervals, and not parted by folds; auto: the largest that the rows carry.",
    ),
]
GeneColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column with genes; default: gene, GENEINFO, SYMBOL and the like.")
]
Replicates = Annotated[
    int, typer.Option("--bootstrap", metavar="N", min=0, help="How many bootstrap replicates the intervals are from.")
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of what is drawn at random: bootstrap replicates and folds.")
]


@command("raygen evaluate --scores scores --labels clinvar.vcf.gz --label-field CLNSIG --page evaluation.html")
def evaluate(
    scores: Scores,
    labels: LabelsFile = None,
    label_field: LabelField = None,
    label_column: LabelColumn = None,
    positive: Positive = "",
    negative: Negative = "",
    higher_is_positive: Higher = False,
    score_column: ScoreColumn = None,
    by: By = None,
    af_column: AfColumn = None,
    reference: Reference = None,
    cluster: Cluster = "auto",
    gene_column: GeneColumn = None,
    consequence_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column with consequences; default: consequence, MC and the like."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Another score to compare with, of which higher is positive; NAME:lower where lower is. May be repeated.",
        ),
    ] = None,
    cut: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Score that parts positive from negative calls, for risk against coverage; default: the best for these labels.",
        ),
    ] = None,
    bootstrap: Replicates = 1000,
    seed: Seed = 0,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="File for the numbers as JSON.")
    ] = None,
    page: Annotated[str | None, typer.Option(metavar="FILE", help="HTML file for a page with the curves.")] = None,
    audit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Parquet file that `seqleak audit` reads, which looks for leaks; needs a reference."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure scores against labels: areas with intervals, beside position and consequence alone, and by group."""
    from raygen.classes.statistics import Bootstrap
    from raygen.evaluation.audit_table import (
        audit_command,
        overlap_note,
        refuse_without_reference,
        report_path,
        write_audit_table,
    )
    from raygen.evaluation.evaluate import as_json
    from raygen.evaluation.evaluate import evaluate as run_evaluation
    from raygen.evaluation.evaluation_text import print_evaluation
    from raygen.evaluation.head_overlap import training_warning
    from raygen.evaluation.labelled_scores import LabelRequest
    from raygen.pages.evaluation_page import as_page

    outputs = {"--json": json_file, "--page": page, "--audit": audit}
    outputs |= {"the report of --audit": report_path(audit)} if audit else {}
    _refuse_overwriting(outputs, {"--scores": scores, "--labels": labels, "--reference": reference})
    refuse_unwritable(json_file, page, audit)
    request = LabelRequest(
        scores=scores,
        label=label_name(label_field, label_column),
        labels=labels,
        positive=by_commas(positive),
        negative=by_commas(negative),
        higher_is_positive=higher_is_positive,
        score_column=score_column,
        by=by or [],
        af_column=af_column,
        reference=reference,
        gene_column=gene_column,
        consequence_column=consequence_column,
        beside=beside or [],
    )
    if cut is not None and not math.isfinite(cut):
        raise SettingsError(f"--cut {cut:g} is no score.")
    audit_reference = refuse_without_reference(request) if audit else None
    evaluation = run_evaluation(request, Bootstrap(bootstrap, seed), cut, cluster)
    print_evaluation(evaluation, screen)
    if warning := training_warning(evaluation.labelled, request):
        say(f"warning: {warning}")
    if json_file:
        write_json(json_file, as_json(evaluation))
        say(f"numbers: {json_file}")
    if page:
        write_text(page, as_page(evaluation))
        say(f"page: {page}")
    if audit and audit_reference:
        write_audit_table(evaluation, audit_reference, audit)
        say(f"audit it: {audit_command(audit)}")
        if note := overlap_note(evaluation.choice.chosen):
            say(f"note: {note}")


def _refuse_overwriting(outputs: Mapping[str, str | None], inputs: Mapping[str, str | None]) -> None:
    """SettingsError where an output is another one or an input, by what the options are called; nothing of files not named."""
    named = [(option, path) for option, path in (*inputs.items(), *outputs.items()) if path]
    for number, (option, path) in enumerate(named):
        for other, other_path in named[:number]:
            if option in outputs and os.path.realpath(path) == os.path.realpath(other_path):
                raise SettingsError(f"{option} and {other} are the same file, {path}: give another name.")


@command("raygen calibrate --scores scores --labels clinvar.vcf.gz --label-field CLNSIG --out calibration.json")
def calibrate(
    scores: Scores,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="JSON file for the calibration.")],
    labels: LabelsFile = None,
    label_field: LabelField = None,
    label_column: LabelColumn = None,
    positive: Positive = "",
    negative: Negative = "",
    higher_is_positive: Higher = False,
    score_column: ScoreColumn = None,
    reference: Reference = None,
    cluster: Cluster = "auto",
    gene_column: GeneColumn = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD",
            help="Head whose column is calibrated, where it is no longer where the run found it: what trained it is left out.",
        ),
    ] = None,
    tuned_on: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What these labels also chose (the model, the window): kept, and said wherever this is shown.",
        ),
    ] = None,
    method: Annotated[
        Literal["isotonic", "logistic"],
        typer.Option(help="How scores become probabilities; logistic: two numbers, for few labels."),
    ] = "isotonic",
    prior: Annotated[
        float,
        typer.Option(
            metavar="P", help="Probability of being pathogenic before the score is known (Pejaver et al. 2022)."
        ),
    ] = 0.0441,
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="How many folds the cross-validation has.")] = 10,
    min_window: Annotated[
        int,
        typer.Option(
            min=10, metavar="N", help="How many labelled variants around a score its evidence is from, at least."
        ),
    ] = 100,
    bootstrap: Annotated[
        int,
        typer.Option("--bootstrap", metavar="N", min=100, help="How many bootstrap replicates the bounds are from."),
    ] = 1000,
    seed: Seed = 0,
    debug: Debug = False,
) -> None:
    """Learn from labelled variants what a score means: probability, PP3/BP4 evidence, and the cuts of the classes."""
    _refuse_overwriting({"--out": out}, {"--scores": scores, "--labels": labels, "--reference": reference})
    refuse_unwritable(out)
    if not 0 < prior < 0.9:
        raise SettingsError(f"--prior {prior:g}: a probability above 0 and below 0.9, such as 0.0441 or 0.1.")
    from raygen.evaluation.calibration_fit import FitPlan, fit_calibration
    from raygen.evaluation.calibration_text import print_calibration
    from raygen.evaluation.evaluation_text import print_join
    from raygen.evaluation.head_overlap import without_training_rows
    from raygen.evaluation.labelled_scores import LabelRequest, gather

    request = LabelRequest(
        scores=scores,
        label=label_name(label_field, label_column),
        labels=labels,
        positive=by_commas(positive),
        negative=by_commas(negative),
        higher_is_positive=higher_is_positive,
        score_column=score_column,
        reference=reference,
        gene_column=gene_column,
    )
    labelled = without_training_rows(gather(request), request, head)
    print_join(labelled, screen)
    plan = FitPlan(method, prior, folds, seed, min_window, bootstrap, cluster, tuned_on)
    calibration = fit_calibration(labelled, request, plan)
    print_calibration(calibration, screen)
    write_json(out, calibration.model_dump(mode="json"))
    say(f"calibration {calibration.digest}: {out}")
