"""What a script in ``jobs/`` is: one command of raygen, with the script's arguments and the command's exit code.

Every job takes a settings file first. A command that reads a finished run instead (``report``, ``calibrate``) gets the
file's ``output.path`` in its place, so that one file serves all jobs of a run. What ``calibrate`` needs besides and the command line
does not say is taken from the file, too: a calibration goes to ``OUT/calibration.json``, and labels that came along with the
variants are found in the scores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raygen.cli.entry import main
from raygen.errors import RaygenError
from raygen.remote import is_remote
from raygen.settings import Settings, load_settings

_CLINVAR = "CLNSIG"
"""The column of ClinVar's classes, where ``input.source_columns`` carries it."""


def run_job(command: str, on_output: Sequence[str] | None = None) -> None:
    """Run ``raygen COMMAND`` with the arguments of this script.

    Args:
        on_output: the command reads the folder of scores. What stands here goes before the folder's path: ``[]`` where it is
            an argument, ``["--scores"]`` where it is an option.
    """
    arguments = sys.argv[1:]
    if on_output is not None and arguments and arguments[0].endswith((".yaml", ".yml")):
        settings = _settings(arguments[0])
        options = arguments[1:]
        arguments = [*on_output, str(settings.output.path), *options]
        if command == "calibrate":
            arguments += _for_calibration(settings, options)
    sys.argv[1:] = [command, *arguments]
    main()


def _for_calibration(settings: Settings, options: Sequence[str]) -> list[str]:
    """Options of ``raygen calibrate`` that are not given and that the settings answer."""
    option_names = {argument.partition("=")[0] for argument in options}
    more = []
    if "--out" not in option_names and not is_remote(str(settings.output.path)):
        more += ["--out", f"{settings.output.path}/calibration.json"]
    if not option_names & {"--labels", "--label-field", "--label-column"} and _CLINVAR in settings.input.source_columns:
        more += ["--label-column", _CLINVAR]
    return more


def _settings(config: str) -> Settings:
    try:
        return load_settings(config)
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
