"""Commands that keep a table over many nights."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Config, Debug, ModelOption, Out, Overrides, ReferenceOption, app, say, screen
from raygen.errors import InputError, SettingsError
from raygen.settings import load_settings, refuse_missing_files


@app.command()
def nightly(
    config: Config = None,
    landing: Annotated[str | None, typer.Option(help="Folder into which VCF or Parquet files are put.")] = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score what is new in a landing folder, into a table that grows night by night."""
    given = {"landing.folder": landing, "input.reference": reference, "model.name": model, "output.path": out}
    settings = load_settings(config, overrides or [], given)
    if not settings.landing.folder:
        raise SettingsError("A night needs landing.folder (or --landing): the folder into which new files are put.")
    refuse_missing_files(settings)
    from raygen.interpret.summary import print_night
    from raygen.pipeline.nightly import run_nights

    faults: dict[str, str] = {}
    for night in run_nights(settings, say=say):
        print_night(night, screen)
        faults |= night.set_aside
    if faults:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in faults.items())
        raise InputError(f"{len(faults)} of the landing files could not be used, all others are done:\n{lines}")
