"""Commands that read finished scores, and one that looks into a single variant."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Debug, app, say


@app.command()
def report(
    out: Annotated[str, typer.Argument(help="Folder of one or more runs.")],
    run: Annotated[str | None, typer.Option("--run", help="Whose manifest is told; default: the latest run.")] = None,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Of all that the run held, in any currency: adds what it cost.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write one HTML page about a run and the scores of its folder: counts, charts, the most negative variants."""
    from raygen.interpret.report import write_report

    say(f"report: {write_report(out, run, price_per_hour)}")
