"""Commands that read finished scores, and one that looks into a single variant."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Debug, command, say
from raygen.errors import Interrupted
from raygen.tables.place import refuse_unwritable, write_text


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
    """Write one HTML page about a run and the scores of its folder, or its position table: counts, charts, the most negative variants or
    stretches.
    """
    from raygen.pages.report import write_report

    say(f"report: {write_report(out, run, price_per_hour)}")


@command("raygen card scores --check evaluation.json --out card.md")
def card(
    run: Annotated[str, typer.Argument(help="Folder of a run.", metavar="OUT")],
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN_ID", help="The run that the page is about; default: the latest one in the folder."
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="File of evaluate --json or of calibrate, to be told on the page; may be repeated."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Markdown file for the page; default: the screen.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print a page about a run's scores: intended use, model, what they were checked on and what not, limits."""
    refuse_unwritable(out)
    from raygen.pages.card import make_card

    text = make_card(run, run_id, check or [])
    if out:
        write_text(out, text)
        say(f"card: {out}")
    else:
        say(text.rstrip())


def write_run_page(output: str, run_id: str) -> None:
    """Write the run's page. The scores are whole without it, so whatever goes wrong here is said and fails nothing, a signal
    to stop included: a scheduler that sent one would start again a run that has nothing left to do.
    """
    from raygen.pages.report import write_report

    try:
        say(f"report: {write_report(output, run_id)}")
    except Interrupted as signal_name:
        say(f"warning: the report was not written: {signal_name} stopped it. `raygen report {output}` writes it.")
    except Exception as error:  # noqa: BLE001
        say(f"warning: the report was not written: {error} `raygen report {output}` tries again.")
