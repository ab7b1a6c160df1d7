"""Commands that set finished scores against labels."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Debug, app, say, screen
from raygen.errors import SettingsError
from raygen.interpret.written_files import refuse_unwritable, write_json, write_text

Scores = Annotated[str, typer.Option(help="A run's folder, or Parquet, CSV or TSV, also of another tool.")]
LabelsFile = Annotated[
    str | None, typer.Option("--labels", help="VCF, BCF or table; default: the scores' own columns.")
]
LabelField = Annotated[str | None, typer.Option(help="INFO field of the labels, e.g. CLNSIG.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels, instead of --label-field.")]
Positive = Annotated[
    str, typer.Option(help="Labels that count as positive, by commas; default: ClinVar's pathogenic terms.")
]
Negative = Annotated[
    str, typer.Option(help="Labels that count as negative, by commas; default: ClinVar's benign terms.")
]
Higher = Annotated[bool, typer.Option("--higher-is-positive", help="Default: lower is, as for delta_llr.")]
ScoreColumn = Annotated[str | None, typer.Option(help="Default: delta_llr.")]
By = Annotated[
    list[str] | None, typer.Option("--by", help="Group by a column of either table, or variant_type; may be repeated.")
]
AfColumn = Annotated[str | None, typer.Option(help="Column with allele frequencies: groups by their bins.")]
Reference = Annotated[
    str | None,
    typer.Option("--reference", help="FASTA, to left-align indels by; default: the run's own, if still there."),
]
Replicates = Annotated[int, typer.Option("--bootstrap", min=0, help="Replicates for the intervals.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap and of the folds.")]


@app.command()
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
    cut: Annotated[
        float | None,
        typer.Option(help="Where to call, for the risk-coverage curve; default: the best for these labels."),
    ] = None,
    bootstrap: Replicates = 1000,
    seed: Seed = 0,
    json_file: Annotated[str | None, typer.Option("--json", help="Write the numbers as JSON.")] = None,
    page: Annotated[str | None, typer.Option(help="Write a page (HTML) with the curves.")] = None,
    debug: Debug = False,
) -> None:
    """Measure scores against labels: AUROC and AUPRC with intervals, overall and by group, and risk against coverage."""
    refuse_unwritable([json_file, page])
    from raygen.interpret.discrimination import Bootstrap
    from raygen.interpret.evaluate import as_json, print_evaluation
    from raygen.interpret.evaluate import evaluate as run_evaluation
    from raygen.interpret.evaluation_page import as_page
    from raygen.interpret.labelled_scores import LabelRequest

    request = LabelRequest(
        scores=scores,
        label=_label_name(label_field, label_column),
        labels=labels,
        positive=_listed(positive),
        negative=_listed(negative),
        higher_is_positive=higher_is_positive,
        score_column=score_column,
        by=by or [],
        af_column=af_column,
        reference=reference,
    )
    found = run_evaluation(request, Bootstrap(bootstrap, seed), cut)
    print_evaluation(found, screen)
    if json_file:
        write_json(json_file, as_json(found))
        say(f"numbers: {json_file}")
    if page:
        write_text(page, as_page(found))
        say(f"page: {page}")


def _label_name(label_field: str | None, label_column: str | None) -> str:
    named = [name for name in (label_field, label_column) if name]
    if len(named) != 1:
        raise SettingsError("Name the labels once: --label-field for a VCF (e.g. CLNSIG), --label-column for a table.")
    return named[0]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
