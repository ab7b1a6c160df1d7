"""Commands that try a model on one variant, a region or a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from raygen.cli.options import (
    AllowUnvalidated,
    Config,
    Debug,
    DeviceOption,
    LabelColumn,
    LabelField,
    ModelOption,
    Negative,
    Overrides,
    Positive,
    ReferenceOption,
    VariantsOption,
    by_commas,
    command,
    label_name,
    say,
    screen,
    settings_of_trial,
    stderr,
)
from raygen.cli.pages import write_run_page
from raygen.errors import SettingsError


@command("raygen saturate --region 17:43093000-43094000 --reference hg38.fa --model my-checkpoint --out brca1")
def saturate(
    region: Annotated[
        str, typer.Option(metavar="CHROM:START-END", help="Region, 1-based, both ends included, as for samtools.")
    ],
    reference: Annotated[
        str, typer.Option("--reference", metavar="FASTA", help="FASTA of the region's assembly, plain, gzip or bgzip.")
    ],
    model: ModelOption = None,
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Folder for the results.")] = "raygen-saturation",
    deletions: Annotated[bool, typer.Option("--deletions", help="Score every deletion of one base, too.")] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score every change of one base in a region, and draw position by base."""
    from raygen.pages.saturation_page import write_saturation
    from raygen.pipeline.summary import print_summary
    from raygen.trials.saturate import run_saturation
    from raygen.trials.saturation import print_most_negative

    flags = {"input.reference": reference, "model.name": model}
    saturated = run_saturation(region, deletions, overrides or [], flags, out, say=say)
    print_summary(saturated.run, screen)
    write_run_page(saturated.run.output, saturated.run.run_id)
    print_most_negative(saturated.saturation, screen)
    say(f"picture: {write_saturation(Path(out), saturated.saturation, saturated.facts)}")


@command(
    "raygen compare-windows --variants cohort.vcf.gz --reference hg38.fa --windows 4096+4096,4096+256@2048",
    name="compare-windows",
)
def compare_windows(
    config: Config = None,
    variants: VariantsOption = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="How many variants to score under each window, in stretches of neighbours, by default 200; with --labels of "
            "those that have a label, by default 1000.",
            show_default=False,
        ),
    ] = None,
    windows: Annotated[
        str,
        typer.Option(
            metavar="WINDOWS",
            help="Windows to compare, by commas: left+right, or left+right@stride on a grid, e.g. 4096+4096,4096+256@2048; "
            "the first is the baseline. Default: some that suit the model.",
            show_default=False,
        ),
    ] = "",
    strand: Annotated[
        Literal["forward", "reverse", "both"] | None,
        typer.Option(help="Strand to read, by default forward; both: the mean of the two.", show_default=False),
    ] = None,
    circular: Annotated[
        list[str] | None, typer.Option(metavar="CONTIG", help="A contig without ends, e.g. MT; may be repeated.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the random sample; another one draws other variants.")
    ] = 0,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="VCF, BCF or table with labels of the variants: adds the AUROC of each window, and marks the cheapest that is "
            "not worse than the first. Only variants with a label are scored then.",
        ),
    ] = None,
    label_field: LabelField = None,
    label_column: LabelColumn = None,
    positive: Positive = "",
    negative: Negative = "",
    margin: Annotated[
        float,
        typer.Option(
            metavar="AUROC",
            help="With --labels: a window is not worse where the whole 95% interval of its AUROC less that of the first, paired "
            "and drawn by gene (by site where too few genes are named), lies above minus this.",
        ),
    ] = 0.01,
    device: DeviceOption = None,
    allow_unvalidated: AllowUnvalidated = False,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="JSON file for the table.")] = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score a sample under several windows: how far ranks and classes agree, costs, and AUROC where there are labels."""
    from raygen.tables.place import refuse_unwritable

    if out:
        refuse_unwritable(out)
    _refuse_labels_without_file(labels, label_field or label_column or positive or negative)
    if not 0 <= margin < 0.5:
        raise SettingsError(f"--margin {margin:g}: a difference of two AUROCs, from 0 to below 0.5, such as 0.01.")
    label = label_name(label_field, label_column) if labels else ""
    flags = {
        "input.variants": variants or None,
        "input.reference": reference,
        "input.circular": circular or None,
        "model.name": model,
        "model.device": device,
        "model.allow_unvalidated": allow_unvalidated or None,
        "window.strand": strand,
        "output.path": "not-written",
    }
    settings = settings_of_trial(config, overrides or [], flags, "comparison")
    from raygen.trials.compare_windows import print_comparison
    from raygen.trials.labelled_sample import LabelsFile
    from raygen.trials.labelled_windows import print_labelled
    from raygen.trials.window_comparison import ComparisonRequest, run_comparison, write_comparison

    labels_file = LabelsFile(labels, label, by_commas(positive), by_commas(negative)) if labels else None
    request = ComparisonRequest(settings, by_commas(windows), sample, seed, labels_file, margin)
    comparison = run_comparison(request, say=say)
    print_comparison(comparison.windows, screen)
    if comparison.labelled:
        print_labelled(comparison.windows, comparison.labelled, screen)
    if out:
        write_comparison(comparison, request, out)
        say(f"table: {out}")


def _refuse_labels_without_file(labels: str | None, named: str | None) -> None:
    if named and not labels:
        raise SettingsError("--label-field, --label-column, --positive and --negative go with --labels FILE.")


@command("raygen precision-noise run.yaml --sample 500", name="precision-noise")
def precision_noise(
    config: Config = None,
    variants: VariantsOption = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    sample: Annotated[int, typer.Option(min=1, metavar="N", help="How many variants to score, drawn at random.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the random sample; another one draws other variants.")
    ] = 0,
    modes: Annotated[
        str, typer.Option(metavar="NAMES", help="Precisions to compare with float32, by commas.")
    ] = "bfloat16,float16",
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score a sample in half precision and in float32: how far scores lie apart, and how many classes change."""
    flags = {
        "input.variants": variants or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": "not-written",
    }
    settings = settings_of_trial(config, overrides or [], flags, "sample")
    from raygen.evaluation.precision_noise import noise_table
    from raygen.trials.half_precision import measure_half_precision, noise_as_json

    measured = measure_half_precision(
        settings, by_commas(modes), sample, seed, say=lambda line: stderr.print(escape(line))
    )
    screen.print(noise_table(measured.noises))
    say(json.dumps(noise_as_json(measured, settings, seed)))


@command("raygen explain 17-43094464-T-C --like scores --out explained.svg")
def explain(
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="Variant as chrom-pos-ref-alt, e.g. MT-3243-A-G.")],
    reference: ReferenceOption = None,
    model: ModelOption = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="OUT", help="Folder of a run whose model, reference, window and strand are taken."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Picture to write: FILE.svg or FILE.png.")
    ] = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Show where in its window one variant's delta comes from, and what every other change at its site scores."""
    from raygen.pages.explain_picture import refuse_picture, write_picture

    if out:
        refuse_picture(out)
    from raygen.trials.explain_request import ExplainRequest, run_explanation
    from raygen.trials.explain_text import print_explanation

    flags = {"input.reference": reference, "model.name": model}
    explained = run_explanation(ExplainRequest(variant, overrides or [], flags, like), say=say)
    print_explanation(explained.explanation, explained.cuts, screen)
    if out:
        write_picture(explained.explanation, explained.cuts, explained.about, out)
        say(f"picture: {out}")
