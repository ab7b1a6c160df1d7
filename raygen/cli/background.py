"""The command that makes what scores are ranked against."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Debug, ModelOption, Overrides, ReferenceOption, command, say, screen, stderr
from raygen.errors import SettingsError
from raygen.settings import load_settings, refuse_missing_files, refuse_unknown_model
from raygen.tables.place import refuse_unwritable


@command("raygen background positions --neutral repeats.bed --out background.zip")
def background(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Position tables, folders of finished runs, or backgrounds, of one fingerprint. With --sample: a settings file, or nothing.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="File for the background.")] = "background.zip",
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also rank by the values of a column of runs, e.g. the consequence."),
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(metavar="BED", help="Also rank by kind of region, the fourth column of a BED file.")
    ] = None,
    regions: Annotated[str | None, typer.Option(metavar="BED", help="Count what lies in these regions alone.")] = None,
    neutral: Annotated[
        str | None,
        typer.Option(
            metavar="BED|COLUMN=VALUE|all",
            help="Learn what context makes likely (delta_context) from the single-base changes of these regions or rows, or from all.",
        ),
    ] = None,
    reference: ReferenceOption = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Draw N bases of the reference and score one change of each; their scores stay in FILE.sample.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the changes that are drawn.")] = 0,
    model: ModelOption = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Make what scores are ranked against: how the scores of one model, window and strand are spread, and what context makes likely."""
    refuse_unwritable(out)
    from raygen.finished.make_background import ALL, BackgroundRequest, make_background, refuse_unreadable_regions

    if not sample and not sources:
        raise SettingsError(
            "Name position tables or folders of finished runs, or let --sample N draw and score changes of a reference."
        )
    if not sample and (model or overrides):
        raise SettingsError("--model and --set are for --sample alone; a finished table has its own.")
    if sample:
        if sources and len(sources) > 1:
            raise SettingsError("With --sample one settings file can be given, and no tables.")
        if by or "=" in (neutral or ""):
            raise SettingsError(
                "A sample that is drawn has no columns of its own: leave --by and --neutral COLUMN=VALUE out."
            )
        flags = {"input.reference": reference, "model.name": model}
        loaded = load_settings(sources[0] if sources else None, overrides or [], flags, complete=False)
        from raygen.trials.sampled_snvs import score_sample, settings_of_sample

        settings = settings_of_sample(loaded)
        refuse_missing_files(settings)
        refuse_unknown_model(settings)
        reference = settings.input.reference
        refuse_unreadable_regions(str(reference), kinds, None if neutral == ALL else neutral)
        score_sample(settings, sample, regions, seed, f"{out}.sample", say)
        sources, regions = [f"{out}.sample"], None
    from raygen.classes.background_file import write_background
    from raygen.finished.background_words import print_background

    request = BackgroundRequest(sources or (), by, kinds, regions, neutral, reference)
    num_counted = 0
    with stderr.status("counting") as status:

        def count(more: int) -> None:
            nonlocal num_counted
            num_counted += more
            status.update(f"counting: {num_counted:,} scores")

        made = make_background(request, count)
    write_background(made.background, out)
    print_background(made, screen)
    say(f"background {made.background.digest}: {out}")
