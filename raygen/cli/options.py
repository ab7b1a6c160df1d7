"""What all commands share: the app, how a command's help looks, the two consoles, and the options that more than one takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from raygen.errors import SettingsError
from raygen.settings import LandingSettings, Settings, load_settings, refuse_missing_files, refuse_unknown_model

EXIT_CODES = (
    "Exit codes: 0 done; 2 the command or the settings are wrong; 3 the input cannot be used; 4 stopped before everything was "
    "done, and the same command goes on from there; 70 a fault of raygen."
)
SETTINGS = "`raygen config show` lists every setting that a settings file and --set can hold, with its default."


class _FlagsWithoutValues:
    """``--debug <bool>`` would say that a value follows, which would then be taken for the next argument."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class _Command(_FlagsWithoutValues, TyperCommand):
    pass


class Group(_FlagsWithoutValues, TyperGroup):
    """A command that has commands."""


app = typer.Typer(
    help="Rescore genomic variants with DNA language models.",
    epilog="Start with `raygen demo`; `raygen COMMAND --help` has an example of each command.",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

screen = Console(highlight=False, emoji=False)  # :100: in a variant is no picture
stderr = Console(stderr=True, highlight=False, emoji=False)

Config = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG.yaml", help="Settings as YAML; what flags and --set say holds over it.", show_default=False
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, e.g. --set window.left=1024 or --set input.circular=MT; may be repeated.",
    ),
]
Out = Annotated[str | None, typer.Option("--out", metavar="FOLDER", help="Folder for the results.")]
ReferenceOption = Annotated[
    str | None,
    typer.Option("--reference", metavar="FASTA", help="FASTA of the variants' assembly, plain, gzip or bgzip."),
]
VariantsOption = Annotated[
    list[str] | None,
    typer.Option("--variants", metavar="PATH", help="Parquet or VCF, a file or a folder; may be repeated."),
]
MODEL_HELP = "demo (for trying the software), a folder with a checkpoint, or a hub id."
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help=MODEL_HELP + r" \[default: demo]", show_default=False),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cuda|cpu",
        help="Where the model runs; auto, the default: a GPU where there is one.",
        show_default=False,
    ),
]
AllowUnvalidated = Annotated[
    bool,
    typer.Option(
        "--allow-unvalidated", help="Also take a model whose published numbers need FP8; every row is flagged."
    ),
]
LabelField = Annotated[str | None, typer.Option(metavar="NAME", help="INFO field that holds the labels, e.g. CLNSIG.")]
LabelColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column that holds the labels, instead of --label-field.")
]
Positive = Annotated[
    str,
    typer.Option(
        metavar="LABELS",
        show_default=False,
        help="Labels that count as positive, by commas; default: ClinVar's pathogenic terms.",
    ),
]
Negative = Annotated[
    str,
    typer.Option(
        metavar="LABELS",
        show_default=False,
        help="Labels that count as negative, by commas; default: ClinVar's benign terms.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def command(example: str, name: str | None = None, on: typer.Typer = app) -> Callable[[Callable[..., None]], Any]:
    """Register a command whose help ends with an example, the exit codes and where all settings are listed."""

    def register(function: Callable[..., None]) -> Any:
        takes_settings = "overrides" in inspect.signature(function).parameters
        parts = [f"Example: {example}", EXIT_CODES, *([SETTINGS] if takes_settings else [])]
        return on.command(name, cls=_Command, epilog="\n\n".join(parts))(function)

    return register


def settings_of_trial(config: str | None, overrides: Sequence[str], flags: Mapping[str, Any], trial: str) -> Settings:
    """The settings of a command that looks at an input and adds nothing to a table.

    With a night's settings these are its variants: those of the flag, else all that lies in the landing folder.

    Args:
        trial: what the command makes of the input, for the line that says the latter.
    """
    not_a_night = {"landing.folder": ""} if flags["input.variants"] else {}
    settings = load_settings(config, overrides, {**flags, **not_a_night})
    refuse_missing_files(settings)
    refuse_unknown_model(settings)
    if not (folder := settings.landing.folder):
        return settings
    stderr.print(
        f"The {trial} is of all that lies in landing.folder {escape(folder)}, scored before or not.", soft_wrap=True
    )
    input_settings = settings.input.model_copy(update={"variants": [folder]})
    return settings.model_copy(update={"input": input_settings, "landing": LandingSettings()})


def by_commas(text: str) -> list[str]:
    """The parts of ``a, b,c``; none of them is empty."""
    return [part.strip() for part in text.split(",") if part.strip()]


def say(line: str) -> None:
    """Print one line as it is."""
    screen.print(escape(line), soft_wrap=True)


def label_name(label_field: str | None, label_column: str | None) -> str:
    """The one INFO field or column that holds the labels; SettingsError where none or both are named."""
    names = [name for name in (label_field, label_column) if name]
    if len(names) != 1:
        raise SettingsError("Name the labels once: --label-field for a VCF (e.g. CLNSIG), --label-column for a table.")
    return names[0]
