"""The command that scores what is new, run after run."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import (
    Config,
    Debug,
    ModelOption,
    Out,
    Overrides,
    ReferenceOption,
    command,
    say,
    screen,
)
from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.settings import load_settings, refuse_missing_files, refuse_unknown_model


@command("raygen nightly nightly.yaml --landing incoming --out table")
def nightly(
    config: Config = None,
    landing: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder into which new files of variants are put.")
    ] = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score what is new in a landing folder, into a table that grows night by night."""
    flags = {"landing.folder": landing, "input.reference": reference, "model.name": model, "output.path": out}
    if not load_settings(config, overrides or [], flags, complete=False).landing.folder:
        raise SettingsError("A night needs landing.folder (or --landing): the folder into which new files are put.")
    settings = load_settings(config, overrides or [], flags)
    refuse_missing_files(settings)
    refuse_unknown_model(settings)
    from raygen.nights.night_summary import print_night
    from raygen.nights.nightly import run_nights

    faults: dict[str, str] = {}
    for night in run_nights(settings, say=say):
        print_night(night, screen)
        faults |= night.set_aside
    if faults:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in faults.items())
        raise InputError(f"{number_of(len(faults), 'landing file')} could not be used, all others are done:\n{lines}")
