"""Commands about models: published checkpoints to folders that load."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from raygen.cli.options import Debug, command, say, stderr
from raygen.number_of import number_of


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
    from raygen.model.evo2_published import convert_named

    with stderr.status(f"converting {checkpoint}"):
        made = convert_named(checkpoint, Path(to), model=model, like=like, config_file=config, revision=revision)
    files = number_of(made.num_files, "file")
    size = f"{made.num_bytes / 1e9:.1f} GB" if made.num_bytes >= 1e9 else f"{made.num_bytes / 1e6:.1f} MB"
    say(f"{number_of(made.num_tensors, 'tensor')}, {size} in {files}: {made.folder}")
    for remark in made.remarks:
        say(remark)
    say(f"Next: raygen score --model {shlex.quote(str(made.folder))} ...")
