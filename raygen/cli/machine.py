"""Commands that look without scoring: settings files and the machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from raygen.cli.options import AllowUnvalidated, Config, Debug, Group, Overrides, app, command, say, screen
from raygen.settings import dump_settings, load_settings, refuse_missing_files, refuse_unknown_model

config_app = typer.Typer(help="Look at a settings file without running it.", cls=Group, no_args_is_help=True)
app.add_typer(config_app, name="config")


@command("raygen doctor --model my-checkpoint")
def doctor(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model to try: demo, a folder with a checkpoint, or a hub id.")
    ] = "demo",
    device: Annotated[
        str, typer.Option(metavar="auto|cuda|cpu", help="Where the model runs; auto: a GPU where there is one.")
    ] = "auto",
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


@command("raygen config show run.yaml", name="show", on=config_app)
def config_show(config: Config = None, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print every setting with its description and its value; without a file: the defaults."""
    screen.print(escape(dump_settings(load_settings(config, overrides or [], complete=False))), end="", soft_wrap=True)


@command("raygen config check run.yaml", name="check", on=config_app)
def config_check(
    config: Config = None,
    no_files: Annotated[
        bool,
        typer.Option("--no-files", help="Check the settings only; the files that they name may be on another machine."),
    ] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """List every error in a settings file without running it, and look whether the files that it names are there."""
    settings = load_settings(config, overrides or [])
    if not no_files:
        refuse_missing_files(settings)
        refuse_unknown_model(settings)
    say(f"{config or 'The settings'}: no errors.")
