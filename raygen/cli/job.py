"""What a script in ``jobs/`` is: one command of raygen, with the script's arguments and the command's exit code.

Every job takes a settings file first. A command that reads a finished run instead (``report``, ``calibrate``) gets the
file's ``output.path`` in its place, so that one file serves all jobs of a run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raygen.cli.entry import main
from raygen.errors import RaygenError
from raygen.settings import load_settings


def run_job(command: str, on_output: Sequence[str] | None = None) -> None:
    """Run ``raygen COMMAND`` with the arguments of this script.

    Args:
        on_output: the command reads the folder of scores. What stands here goes before the folder's path: ``[]`` where it is
            an argument, ``["--scores"]`` where it is an option.
    """
    arguments = sys.argv[1:]
    if on_output is not None and arguments and arguments[0].endswith((".yaml", ".yml")):
        arguments = [*on_output, _output_of(arguments[0]), *arguments[1:]]
    sys.argv[1:] = [command, *arguments]
    main()


def _output_of(config: str) -> str:
    try:
        return str(load_settings(config).output.path)
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
