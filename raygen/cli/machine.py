"""Commands that look or prepare without scoring: settings files, the machine, and checkpoints to folders that load."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from raygen.cli.options import (
    AllowUnvalidated,
    Config,
    Debug,
    DeviceOption,
    Group,
    Overrides,
    app,
    command,
    say,
    screen,
    stderr,
)
from raygen.number_of import number_of
from raygen.settings import dump_settings, load_settings, refuse_missing_files, refuse_unknown_model

config_app = typer.Typer(help="Look at a settings file without running it.", cls=Group, no_args_is_help=True)
app.add_typer(config_app, name="config")


@command("raygen doctor --model my-checkpoint")
def doctor(
    config: Config = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=r"The model to try: demo, a folder with a checkpoint, or a hub id. \[default: demo]",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = None,
    allow_unvalidated: AllowUnvalidated = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Check versions, devices, memory, and whether a model loads and scores a pair.

    With a settings file: its model, and whether that was trained on what its reference holds.
    """
    from raygen.doctor import examine

    flags = {"model.name": model, "model.device": device}
    settings = load_settings(config, overrides or [], flags, complete=False)
    allowed = allow_unvalidated or settings.model.allow_unvalidated
    findings = examine(
        settings.model.name, settings.model.device, allowed, settings.input.reference, settings.input.domain
    )
    for finding in findings:
        mark = "[yellow]warn[/]" if finding.warning else "[green]ok[/]  " if finding.good else "[red]FAIL[/]"
        screen.print(f"{mark} {finding.check}: {escape(finding.says)}", soft_wrap=True)
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


@command("raygen convert evo2_7b.pt --to evo2_7b")
def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="A .pt file, the first of its parts, a folder that holds one, or a hub id."
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="FOLDER", help="Folder for what is written: config.json and safetensors.")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which published checkpoint it is, e.g. evo2_7b; default: by its name."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The published checkpoint that it was fine-tuned from and is built like."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Its configuration, as YAML or JSON, with the keys of the public reference."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="Revision (branch, tag or commit) of a hub id.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Turn a published Evo 2 checkpoint (.pt) into a folder that --model takes."""
    from raygen.model.convert import convert_named

    with stderr.status(f"converting {checkpoint}"):
        conversion = convert_named(checkpoint, Path(to), model=model, like=like, config_file=config, revision=revision)
    files = number_of(conversion.num_files, "file")
    size = (
        f"{conversion.num_bytes / 1e9:.1f} GB"
        if conversion.num_bytes >= 1e9
        else f"{conversion.num_bytes / 1e6:.1f} MB"
    )
    say(f"{number_of(conversion.num_tensors, 'tensor')}, {size} in {files}: {conversion.folder}")
    for remark in conversion.remarks:
        say(remark)
    say(f"Next: raygen score --model {shlex.quote(str(conversion.folder))} ...")
