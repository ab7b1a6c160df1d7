"""Commands that try a model on one variant, a region or a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from raygen.cli.options import (
    MODEL_HELP,
    AllowUnvalidated,
    Config,
    Debug,
    ModelOption,
    Overrides,
    ReferenceOption,
    VariantsOption,
    command,
    say,
    screen,
    stderr,
)
from raygen.cli.pages import write_run_page
from raygen.errors import InputError, SettingsError
from raygen.settings import Settings, load_settings, refuse_missing_files, refuse_unknown_model


@command("raygen saturate --region 17:43093000-43094000 --reference hg38.fa --model my-checkpoint --out brca1")
def saturate(
    region: Annotated[
        str, typer.Option(metavar="CHROM:START-END", help="Region, 1-based, both ends included, as for samtools.")
    ],
    reference: Annotated[
        str, typer.Option("--reference", metavar="FASTA", help="FASTA of the region's assembly, plain or bgzip.")
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

    given = {"input.reference": reference, "model.name": model}
    done = run_saturation(region, deletions, overrides or [], given, out, say=say)
    print_summary(done.run, screen)
    write_run_page(done.run.output, done.run.run_id)
    print_most_negative(done.saturation, screen)
    say(f"picture: {write_saturation(Path(out), done.saturation, done.facts)}")


@command(
    "raygen compare-windows --variants cohort.vcf.gz --reference hg38.fa --windows 4096+4096,4096+256@2048",
    name="compare-windows",
)
def compare_windows(
    variants: Annotated[
        list[str], typer.Option(metavar="PATH", help="Parquet or VCF, a file or a folder; may be repeated.")
    ],
    reference: Annotated[
        str, typer.Option("--reference", metavar="FASTA", help="FASTA of the variants' assembly, plain or bgzip.")
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help=MODEL_HELP)] = "demo",
    sample: Annotated[
        int, typer.Option(min=2, metavar="N", help="How many variants to score under each window.")
    ] = 200,
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
        Literal["forward", "reverse", "both"], typer.Option(help="Strand to read; both: the mean of the two.")
    ] = "forward",
    circular: Annotated[
        list[str] | None, typer.Option(metavar="CONTIG", help="A contig without ends, e.g. MT; may be repeated.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the random sample; another one draws other variants.")
    ] = 0,
    device: Annotated[
        str, typer.Option(metavar="auto|cuda|cpu", help="Where the model runs; auto: a GPU where there is one.")
    ] = "auto",
    allow_unvalidated: AllowUnvalidated = False,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="JSON file for the table.")] = None,
    debug: Debug = False,
) -> None:
    """Score a sample of variants under several windows: how far ranks and classes agree, and what each costs."""
    from raygen.tables.place import refuse_unwritable
    from raygen.trials.compare_windows import print_comparison
    from raygen.trials.window_comparison import (
        ComparisonRequest,
        run_comparison,
        write_comparison,
    )

    if out:
        refuse_unwritable(out)
    words = [word for word in windows.split(",") if word.strip()]
    request = ComparisonRequest(
        variants,
        reference,
        model,
        words,
        sample,
        seed,
        strand,
        circular or [],
        device,
        allow_unvalidated=allow_unvalidated,
    )
    comparisons = run_comparison(request, say=say)
    print_comparison(comparisons, screen)
    if out:
        write_comparison(comparisons, request, out)
        say(f"table: {out}")


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
    given = {
        "input.variants": variants or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": "not-written",
    }
    settings = load_settings(config, overrides or [], given)
    refuse_missing_files(settings)
    refuse_unknown_model(settings)
    names = [name.strip() for name in modes.split(",") if name.strip()]
    from raygen.evaluation.precision_noise import noise_table
    from raygen.trials.half_precision import measure_half_precision, noise_as_json

    measured = measure_half_precision(settings, names, sample, seed, say=lambda line: stderr.print(escape(line)))
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
    from raygen.trials.explain_text import print_explanation
    from raygen.variants.region import parse_variant

    if out:
        refuse_picture(out)
    given = {"input.reference": reference, "model.name": model}
    settings = load_settings(None, overrides or [], given, complete=False)
    stored = None
    if like:
        settings, stored = _as_in(like, overrides or [], given)
    if not settings.input.reference:
        raise SettingsError("explain needs the FASTA of the variant's assembly: give --reference, or --like a run.")

    from raygen.remote import stage
    from raygen.sequence.reference import open_reference

    opened = open_reference(stage(settings.input.reference))
    unknown = [name for name in settings.input.circular if name not in opened.lengths]
    if unknown:
        raise SettingsError(
            f"input.circular names {', '.join(unknown)}, which {settings.input.reference} does not have."
        )
    row = parse_variant(variant, opened, settings.input.max_allele_length)

    from raygen.model.cards import demo_warning
    from raygen.scoring.fingerprint import fingerprint
    from raygen.scoring.likelihood import load_model
    from raygen.sequence.window_choices import fit_window, window_in_words
    from raygen.trials.explain import explain_variant

    asked, window = settings.model, settings.window
    loaded = load_model(
        asked.name,
        revision=asked.revision,
        device=asked.device,
        dtype=asked.dtype,
        allow_unvalidated=asked.allow_unvalidated,
    )
    fitted = fit_window(window.left, window.right, window.anchor, window.stride, loaded.context_length, asked.name)
    own = fingerprint(loaded.loaded.facts, fitted, window.strand, settings.input.circular)
    about = f"model {loaded.name}, {window_in_words(fitted)}, strand {window.strand}, fingerprint {own}"
    say(about)
    if warning := demo_warning(loaded.name, settings.input.domain):
        say(f"warning: {warning}")
    if stored and stored != own:
        say(
            f"warning: the scores of {like} have the fingerprint {stored}, so theirs may differ from what is shown here."
        )
    classes_of = like if like and not any(text.strip().startswith("classes.") for text in overrides or []) else None
    cuts = _cuts(settings, own, classes_of)
    found = explain_variant(loaded, row, opened, fitted, window.strand, settings.input.circular)
    print_explanation(found, cuts, screen)
    if out:
        write_picture(found, cuts, about, out)
        say(f"picture: {out}")


def _cuts(settings: Settings, own: str, like: str | None) -> tuple[float, ...]:
    """The cut points of the classes: those of a folder's scores, of a calibration, or of the settings.

    Raises:
        InputError, SettingsError: the calibration cannot be read, or is of another fingerprint than ``own``.
    """
    from raygen.classes.calibration import load_calibration
    from raygen.classes.classify import cuts_from_text
    from raygen.tables.layout import RunFolder

    if like and (identity := RunFolder(like).identity()):
        return cuts_from_text(identity.cuts)
    if path := settings.classes.calibration:
        calibration = load_calibration(path)
        calibration.refuse_other(own, path)
        return calibration.cuts
    return settings.classes.cuts


def _as_in(out: str, overrides: list[str], given: dict[str, str | None]) -> tuple[Settings, str]:
    """The settings of the latest run of a folder, with what was given on top; and the run's fingerprint."""
    from raygen.tables.folder_kinds import refuse_no_folder
    from raygen.tables.layout import RunFolder

    refuse_no_folder(out)
    manifest = RunFolder(out).read_manifest()
    if manifest is None:
        raise InputError(f"--like {out}: there is no folder of a run.")
    resolved, of_run = manifest["resolved"], manifest["settings"]
    if resolved["window"] is None:
        raise SettingsError(f"--like {out}: this run scored pairs of sequences, which have no variant to explain.")
    taken: dict[str, Any] = {
        "input.reference": resolved["reference"],
        "input.circular": resolved["circular"],
        "input.domain": of_run["input"].get("domain"),
        "model.name": resolved["model_source"],
        "model.revision": resolved["revision"],
        "model.dtype": of_run["model"]["dtype"],
        "model.allow_unvalidated": of_run["model"].get("allow_unvalidated", False),
        "window.strand": resolved["strand"],
        **{f"window.{name}": value for name, value in resolved["window"].items()},
        **{name: value for name, value in given.items() if value is not None},
    }
    set_by_hand = {text.partition("=")[0].strip() for text in overrides}
    kept = {name: value for name, value in taken.items() if name not in set_by_hand}
    return load_settings(None, overrides, kept, complete=False), manifest["fingerprint"]
