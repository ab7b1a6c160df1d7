"""Commands about models: published checkpoints to folders that load."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from raygen.cli.options import Debug, app, say, stderr


@app.command()
def convert(
    checkpoint: Annotated[
        str, typer.Argument(help="A .pt file, the first of its parts, a folder that holds one, or a hub id.")
    ],
    to: Annotated[str, typer.Option("--to", help="Folder to write: config.json and safetensors.")],
    model: Annotated[
        str | None, typer.Option(help="Which published checkpoint it is, e.g. evo2_7b; default by its name.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="The published checkpoint that it was fine-tuned from and is built like.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="The configuration as YAML or JSON, with the keys of the public reference.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id.")] = None,
    debug: Debug = False,
) -> None:
    """Turn a published Evo 2 checkpoint (.pt) into a folder that --model takes."""
    from raygen.model.evo2_published import convert_named

    with stderr.status(f"converting {checkpoint}"):
        made = convert_named(checkpoint, Path(to), model=model, like=like, config_file=config, revision=revision)
    files = "1 file" if made.num_files == 1 else f"{made.num_files} files"
    size = f"{made.num_bytes / 1e9:.1f} GB" if made.num_bytes >= 1e9 else f"{made.num_bytes / 1e6:.1f} MB"
    say(f"{made.num_tensors:,} tensors, {size} in {files}: {made.folder}")
    for remark in made.remarks:
        say(remark)
    say(f"Next: raygen score --model {shlex.quote(str(made.folder))} ...")
