"""The command that says what a run would cost."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from raygen.cli.options import (
    Config,
    Debug,
    ModelOption,
    Overrides,
    ReferenceOption,
    VariantsOption,
    command,
    screen,
    stderr,
)
from raygen.settings import LandingSettings, Settings, load_settings, refuse_missing_files, refuse_unknown_model


@command("raygen plan --variants cohort.vcf.gz --reference hg38.fa --model togethercomputer/evo-1-8k-base")
def plan(
    config: Config = None,
    variants: VariantsOption = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FOLDER", help="Folder of the run's results; a plan writes nothing into it."),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Time a few batches on this machine first, and keep the speed for later plans."),
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, metavar="DOLLARS", help="US dollars that one device costs an hour.")
    ] = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Say what a run would cost before it is run: tokens, memory, hours, money, and what cheaper windows would save."""
    flags = {
        "input.variants": variants or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": out or (None if config else "not-written"),
        **({"landing.folder": ""} if variants else {}),  # a night's settings, but for these variants
    }
    settings = load_settings(config, overrides or [], flags)
    refuse_missing_files(settings)
    refuse_unknown_model(settings)
    if folder := settings.landing.folder:
        stderr.print(
            f"The plan is of all that lies in landing.folder {escape(folder)}, scored before or not.", soft_wrap=True
        )
        settings = _of_landing(settings)
    from raygen.planning.cost_table import print_estimate
    from raygen.planning.estimate import estimate, measure_on_input

    with stderr.status("planning") as status:
        if measure:
            measure_on_input(settings, say=lambda line: status.update(line))
        planned = estimate(settings, price)
    others = [(other.window, planned.tokens_read(other)) for other in planned.alternatives]
    print_estimate(planned, others, screen)


def _of_landing(settings: Settings) -> Settings:
    """A night's settings as those of a run over its landing folder."""
    input_settings = settings.input.model_copy(update={"variants": [str(settings.landing.folder)]})
    return settings.model_copy(update={"input": input_settings, "landing": LandingSettings()})
