"""The command that says what a run would cost."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import (
    Config,
    Debug,
    ModelOption,
    Overrides,
    ReferenceOption,
    VariantsOption,
    command,
    screen,
    settings_of_trial,
    stderr,
)


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
    }
    settings = settings_of_trial(config, overrides or [], flags, "plan")
    from raygen.planning.cost_table import print_estimate
    from raygen.planning.estimate import estimate, measure_on_input

    with stderr.status("planning") as status:
        if measure:
            measure_on_input(settings, say=lambda line: status.update(line))
        planned = estimate(settings, price)
    others = [(other.window, planned.tokens_read(other)) for other in planned.alternatives]
    print_estimate(planned, others, screen)
