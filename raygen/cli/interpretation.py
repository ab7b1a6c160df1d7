"""Commands that set finished scores against labels."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from raygen.cli.options import Debug, app, say, screen, stderr
from raygen.errors import SettingsError
from raygen.interpret.written_files import refuse_unwritable, write_json, write_text
from raygen.settings import ClassSettings

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
    from raygen.interpret.evaluate import as_json, print_evaluation
    from raygen.interpret.evaluate import evaluate as run_evaluation
    from raygen.interpret.evaluation_page import as_page
    from raygen.interpret.labelled_scores import LabelRequest
    from raygen.interpret.resampling import Bootstrap

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


@app.command()
def calibrate(
    scores: Scores,
    out: Annotated[str, typer.Option("--out", help="JSON file for the calibration.")],
    labels: LabelsFile = None,
    label_field: LabelField = None,
    label_column: LabelColumn = None,
    positive: Positive = "",
    negative: Negative = "",
    higher_is_positive: Higher = False,
    score_column: ScoreColumn = None,
    reference: Reference = None,
    method: Annotated[
        Literal["isotonic", "logistic"], typer.Option(help="logistic: two numbers, for few labels.")
    ] = "isotonic",
    prior: Annotated[
        float, typer.Option(help="Probability of being pathogenic before the score is known (Pejaver et al. 2022).")
    ] = 0.0441,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 10,
    min_window: Annotated[int, typer.Option(min=10, help="Labelled variants around a score, for its evidence.")] = 100,
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=100, help="Replicates for the bounds.")] = 1000,
    seed: Seed = 0,
    debug: Debug = False,
) -> None:
    """Learn from labelled variants what a score means: probability, PP3/BP4 evidence, and the cuts of the classes."""
    refuse_unwritable([out])
    if not 0 < prior < 0.9:
        raise SettingsError(f"--prior {prior:g}: a probability above 0 and below 0.9, such as 0.0441 or 0.1.")
    from raygen.interpret.calibration_fit import FitPlan, fit_calibration, print_calibration
    from raygen.interpret.evaluate import print_join
    from raygen.interpret.labelled_scores import LabelRequest, gather

    request = LabelRequest(
        scores=scores,
        label=_label_name(label_field, label_column),
        labels=labels,
        positive=_listed(positive),
        negative=_listed(negative),
        higher_is_positive=higher_is_positive,
        score_column=score_column,
        reference=reference,
    )
    labelled = gather(request)
    print_join(labelled, screen)
    found = fit_calibration(labelled, request, FitPlan(method, prior, folds, seed, min_window, bootstrap))
    print_calibration(found, screen)
    write_json(out, found.model_dump(mode="json"))
    say(f"calibration {found.digest}: {out}")


@app.command()
def reclassify(
    run: Annotated[str, typer.Argument(help="Folder of a finished run.", metavar="OUT")],
    out: Annotated[str, typer.Option("--out", help="Folder for the same scores with other classes.")],
    cuts: Annotated[str | None, typer.Option(help="Four ascending cut points in nats, e.g. -7,-3,-1,1.")] = None,
    calibration: Annotated[str | None, typer.Option(help="File of raygen calibrate, for this fingerprint.")] = None,
    debug: Debug = False,
) -> None:
    """Give finished scores other classes, without a model."""
    if (cuts is None) == (calibration is None):
        raise SettingsError("Give either --cuts or --calibration.")
    points = _cut_points(cuts) if cuts is not None else None
    from raygen.interpret.calibrate import load_calibration
    from raygen.interpret.reclassify import print_reclassified
    from raygen.interpret.reclassify import reclassify as run_reclassify

    loaded = load_calibration(calibration) if calibration else None
    with stderr.status("reclassifying") as status:
        done = run_reclassify(
            run,
            out,
            points,
            loaded,
            calibration or "",
            on_progress=lambda count: status.update(f"reclassifying: {count:,} rows"),
        )
    print_reclassified(done, screen)


@app.command()
def card(
    run: Annotated[str, typer.Argument(help="Folder of a run.", metavar="OUT")],
    run_id: Annotated[str | None, typer.Option("--run", help="Which run; default: the last one.")] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="File of evaluate --json or of calibrate; may be repeated.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="Markdown file; default: the screen.")] = None,
    debug: Debug = False,
) -> None:
    """Print a page about a run's scores: intended use, model, what they were checked on, what not, limits."""
    refuse_unwritable([out])
    from raygen.interpret.card import make_card

    text = make_card(run, run_id, check or [])
    if out:
        write_text(out, text)
        say(f"card: {out}")
    else:
        say(text.rstrip())


def _cut_points(text: str) -> tuple[float, ...]:
    try:
        return ClassSettings.model_validate({"cuts": [float(word) for word in text.split(",")]}).cuts
    except ValueError as error:  # no number, not four, or not ascending
        raise SettingsError(f"--cuts {text}: give four ascending numbers by commas, e.g. -7,-3,-1,1.") from error


def _label_name(label_field: str | None, label_column: str | None) -> str:
    named = [name for name in (label_field, label_column) if name]
    if len(named) != 1:
        raise SettingsError("Name the labels once: --label-field for a VCF (e.g. CLNSIG), --label-column for a table.")
    return named[0]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
