"""Commands that read finished scores, and one that looks into a single variant."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raygen.cli.options import Debug, ModelOption, Overrides, ReferenceOption, command, say, screen
from raygen.errors import InputError, SettingsError
from raygen.settings import Settings, load_settings


@command("raygen report scores --price-per-hour 2.50")
def report(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of one or more runs.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN_ID", help="The run that the page is about; default: the latest one in the folder."
        ),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PRICE",
            help="What all machines of the run cost an hour, in any currency; adds the cost to the page.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write one HTML page about a run and the scores of its folder: counts, charts, the most negative variants."""
    from raygen.pages.report import write_report

    say(f"report: {write_report(out, run, price_per_hour)}")


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
    own = fingerprint(loaded.loaded, fitted, window.strand, settings.input.circular)
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
