"""What all commands share: the app, the two consoles, and the options that more than one of them takes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

app = typer.Typer(
    help="Rescore genomic variants with DNA language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

screen = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)

Config = Annotated[str | None, typer.Argument(help="Settings as YAML; flags and --set go over it.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="One setting, e.g. --set window.left=1024.")]
Out = Annotated[str | None, typer.Option("--out", help="Folder for the results.")]
ReferenceOption = Annotated[
    str | None, typer.Option("--reference", help="FASTA of the variants' assembly, plain or bgzip.")
]
VariantsOption = Annotated[
    list[str] | None, typer.Option("--variants", help="Parquet or VCF, files or folders; may be repeated.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="demo, a folder with a checkpoint, or a hub id.")]
AllowUnvalidated = Annotated[
    bool, typer.Option("--allow-unvalidated", help="Take a model whose published numbers need FP8, too.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def number_of(count: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def say(line: str) -> None:
    """Print one line as it is."""
    screen.print(escape(line), soft_wrap=True)
