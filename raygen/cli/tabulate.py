"""The command that scores every base of a reference."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Config, Debug, ModelOption, Out, Overrides, ReferenceOption, command, say, screen
from raygen.cli.pages import write_run_page
from raygen.settings import load_settings, refuse_missing_files, refuse_unknown_model


@command("raygen tabulate --reference hg38.fa --model arcinstitute/evo2_7b_base --contig chr22 --out positions")
def tabulate(
    config: Config = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    contig: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A contig to score; may be repeated. Default: all.")
    ] = None,
    regions: Annotated[
        str | None, typer.Option(metavar="BED", help="Score the bases of these regions alone.", show_default=False)
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would cost, and score nothing: tokens, memory, hours, money.")
    ] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score every single-base change of a reference once, into a table that is looked up from then on.

    Unless settings say otherwise a window ends with the base that is changed (window.right 1), on a grid whose stride is as long as what is
    read before it: then a base costs about two tokens a strand.
    """
    flags = {"input.reference": reference, "model.name": model, "output.path": out}
    settings = load_settings(config, overrides or [], flags, complete=False)
    refuse_missing_files(settings)  # before torch and ray are imported, which takes seconds
    refuse_unknown_model(settings)
    from raygen.pipeline.tabulate import Parts, in_words, run_tabulate, with_positions_window

    if plan:
        from raygen.planning.cost_table import print_estimate
        from raygen.planning.position_estimate import estimate_positions

        print_estimate(estimate_positions(settings, Parts(contig or (), regions)), [], screen)
        return
    result = run_tabulate(with_positions_window(settings), Parts(contig or (), regions), say=say)
    for line in in_words(result):
        say(line)
    write_run_page(result.run.output, result.run.run_id)
