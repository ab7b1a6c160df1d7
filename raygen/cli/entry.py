"""The command line: parse, check, call, print counts, exit code. Nothing is computed here.

Exit codes: 0 done; 1 `diff --fail-on` found as many changes; 2 the command or the settings are wrong; 3 the input cannot be used;
4 the run stopped before everything was done and can be resumed by the same command; 70 a fault of raygen (EX_SOFTWARE of
sysexits.h): one sentence, and the traceback in a file of the system's folder for temporary files, or on the screen with --debug.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from raygen.cli import (  # noqa: F401  (each adds its commands to the app)
    background,
    evaluation,
    finished,
    guide,
    head,
    machine,
    nights,
    pages,
    planning,
    scoring,
    tables,
    tabulate,
    trials,
)
from raygen.cli.options import app, screen, stderr
from raygen.disk_errors import full_disk
from raygen.errors import (
    FAULT_OF_RAYGEN,
    InputError,
    Interrupted,
    RaygenError,
    RunInterrupted,
    SettingsError,
    first_line,
)
from raygen.home import expanded_argument
from raygen.pipeline import events
from raygen.version import __version__

ORDER = [
    "demo",
    "ingest",
    "plan",
    "score",
    "tabulate",
    "saturate",
    "compare-windows",
    "precision-noise",
    "report",
    "explain",
    "query",
    "export",
    "diff",
    "evaluate",
    "calibrate",
    "background",
    "reclassify",
    "card",
    "nightly",
    "verify",
    "compact",
    "rollback",
    "doctor",
    "convert",
    "guide",
]
"""The order of the commands in the help: as a user meets them."""
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
        sys.argv[1:] = map(expanded_argument, sys.argv[1:])
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
    except OSError as error:
        _fail(full_disk(error) or _damage(error) or SettingsError(_in_words(error)), debug)
    except Exception as error:  # noqa: BLE001 - a fault of ours ends the process here, and is told from those a user can put right
        if isinstance(error, SystemError) and _was_interrupted(error):
            _fail(RunInterrupted(_STOPPED), debug)
        if known_error := full_disk(error) or _damage(error):
            _fail(known_error, debug)
        _fail_by_fault(error, debug)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a signal came while compiled code ran that takes it for an error of its own (Ray, while it starts)."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__ or error.__context__
    return error is not None


def _damage(error: Exception) -> InputError | None:
    """What Arrow says of a damaged file that it read among many, and so does not name."""
    from raygen.tables.damage import is_damage

    if not is_damage(error):
        return None
    return InputError(
        f"A file of the scores or of the input is damaged ({first_line(error)}): `raygen verify` on the folder names it."
    )


def _in_words(error: OSError) -> str:
    """An error of the system that no one met where it came up. Arrow's name no file but say it in words, and then again in numbers."""
    message = str(error.strerror or error).partition(" Detail: ")[0].rstrip(".")
    return f"{error.filename}: {message}." if error.filename else f"{message}."


def _interrupt(number: int, frame: FrameType | None) -> None:
    _ignore_signals()  # a second one would break into the stopping; SIGKILL is always there
    raise Interrupted(signal.Signals(number).name)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _fail(error: RaygenError, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    _say_error(str(error), error.exit_code)
    if isinstance(error, RunInterrupted):
        sys.stdout.flush()
        sys.stderr.flush()
        # Ray's threads may be at work, or half started: to end them in order aborts the process. Its other processes
        # notice that this one is gone.
        os._exit(error.exit_code)
    sys.exit(error.exit_code)


def _fail_by_fault(error: Exception, debug: bool) -> NoReturn:
    """End with a sentence about what no one thought of, and its traceback where a report can take it from."""
    message = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
    traceback_path = None if debug else _write_traceback()
    if traceback_path is None:
        traceback.print_exc()
    where = f"The traceback is in {traceback_path}" if traceback_path else "The traceback stands above"
    _say_error(
        f"{message}. This is a fault of raygen, not of your input. {where}; please report it.",
        FAULT_OF_RAYGEN,
        traceback=traceback_path,
    )
    sys.exit(FAULT_OF_RAYGEN)


def _write_traceback() -> str | None:
    """The file with the traceback of the exception at hand, for its user's eyes; None where it cannot be written."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="raygen-traceback-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
            return file.name
    except OSError:
        return None


def _say_error(message: str, exit_code: int, **facts: str | None) -> None:
    """Print an error on standard error; a log of JSON gets the facts, too, because what looks like a variant is taken
    out of a message.
    """
    if os.environ.get(events.VARIABLE) == "json":
        events.EventLog(None).write("error", message=message, exit_code=exit_code, **facts)
    else:
        stderr.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
