"""Commands that look without scoring: settings files and the machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from raygen.cli.options import AllowUnvalidated, Config, Debug, Overrides, app, say, screen
from raygen.settings import dump_settings, load_settings, refuse_missing_files

config_app = typer.Typer(help="Look at a settings file without running it.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@app.command()
def doctor(
    model: Annotated[str, typer.Option(help="The model to try.")] = "demo",
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    allow_unvalidated: AllowUnvalidated = False,
    debug: Debug = False,
) -> None:
    """Check versions, devices, memory, and whether a model loads and scores a pair."""
    from raygen.doctor import examine

    findings = examine(model, device, allow_unvalidated)
    for finding in findings:
        mark = "[green]ok[/]  " if finding.good else "[red]FAIL[/]"
        screen.print(f"{mark} {finding.what}: {escape(finding.says)}", soft_wrap=True)
    if worst := max(finding.exit_code for finding in findings):
        raise typer.Exit(worst)


@config_app.command("show")
def config_show(config: Config = None, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print the settings with every default written out."""
    screen.print(escape(dump_settings(load_settings(config, overrides or [], complete=False))), end="", soft_wrap=True)


@config_app.command("check")
def config_check(
    config: Config = None,
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Settings only: the files they name may be on another machine.")
    ] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """List every fault of a settings file, without running it; files that it names must be there."""
    settings = load_settings(config, overrides or [])
    if not no_files:
        refuse_missing_files(settings)
    say(f"{config or 'The settings'}: nothing to put right.")
