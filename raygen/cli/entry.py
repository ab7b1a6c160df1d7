"""The command line: parse, check, call, print counts, exit code. Nothing is computed here.

Exit codes: 0 done; 2 the command or the settings are wrong; 3 the input cannot be used; 4 the run stopped before
everything was done and can be resumed by the same command.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from raygen.cli import finished, interpretation, machine, models, planning, reading, scoring, tables  # noqa: F401  (each adds its commands to the app)
from raygen.cli.options import app, screen, stderr
from raygen.errors import Interrupted, RaygenError, RunInterrupted, SettingsError
from raygen.pipeline import events
from raygen.version import __version__

ORDER = [
    "demo",
    "ingest",
    "plan",
    "score",
    "saturate",
    "compare-windows",
    "report",
    "explain",
    "query",
    "export",
    "diff",
    "evaluate",
    "calibrate",
    "reclassify",
    "card",
    "nightly",
    "verify",
    "compact",
    "rollback",
    "doctor",
    "convert",
]
"""Of the commands in the help: as a user meets them."""
app.registered_commands.sort(
    key=lambda command: ORDER.index(str(command.name or getattr(command.callback, "__name__", "")))
)


_STOPPED = "Stopped. What is committed stays; nothing else was written. The same command starts again from there."


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        screen.print(f"raygen {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script: turns every error a user can meet into a sentence and an exit code."""
    debug = "--debug" in sys.argv
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        try:
            app()
        finally:  # what is done is done: a signal while the interpreter ends would change the exit code
            _ignore_signals()
    except RaygenError as error:
        _fail(error, debug)
    except Interrupted:
        _fail(RunInterrupted(_STOPPED), debug)
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:  # Ray's own answer to SIGTERM, while it starts
            raise
        _fail(RunInterrupted(_STOPPED), debug)
    except SystemError as error:
        if not _was_interrupted(error):
            raise
        _fail(RunInterrupted(_STOPPED), debug)
    except OSError as error:
        _fail(SettingsError(f"{error.filename or 'A file'}: {error.strerror or error}."), debug)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a signal came while compiled code ran that takes it for an error of its own (Ray, while it starts)."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__ or error.__context__
    return error is not None


def _interrupt(number: int, frame: FrameType | None) -> None:
    _ignore_signals()  # a second one would break into the stopping; SIGKILL is always there
    raise Interrupted(signal.Signals(number).name)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _fail(error: RaygenError, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    if os.environ.get(events.VARIABLE) == "json":
        events.EventLog(None).write("error", message=str(error), exit_code=error.exit_code)
    else:
        stderr.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    if isinstance(error, RunInterrupted):
        sys.stdout.flush()
        sys.stderr.flush()
        # Ray's threads may be at work, or half started: to end them in order aborts the process. Its other processes
        # notice that this one is gone.
        os._exit(error.exit_code)
    sys.exit(error.exit_code)
