"""The errors a user can meet, and the exit code each one means.

    RaygenError
    ├── SettingsError   2   the command or the settings are wrong
    ├── InputError      3   the input cannot be used: no such file, wrong reference, broken checkpoint
    └── StoppedError    4   the run stopped before everything was done; the same command resumes it
        └── RunInterrupted  by Ctrl-C or SIGTERM

    Interrupted         4   Ctrl-C or SIGTERM
    any other          70   a fault of raygen (EX_SOFTWARE of sysexits.h); 1 stays what diff(1) means by it

A message is one or two sentences: what, where, how much, what to do. A bad *row* is no error: it is a row of REJECTS.
"""

from __future__ import annotations

FAULT_OF_RAYGEN = 70


class RaygenError(Exception):
    """Something a user can put right. ``exit_code`` is what the command line returns."""

    exit_code = 1


class SettingsError(RaygenError):
    """The command or the settings are wrong."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without a full stop; the name of its type where it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class InputError(RaygenError):
    """The input cannot be used."""

    exit_code = 3


class StoppedError(RaygenError):
    """The run stopped before everything was done and can be resumed by the same command."""

    exit_code = 4


class RunInterrupted(StoppedError):
    """Ctrl-C or SIGTERM stopped a run. Its Ray is still at work and ends with the process."""


class Interrupted(BaseException):
    """Ctrl-C or a scheduler's SIGTERM. No ``Exception``, so that nothing on the way takes it for a fault of its own."""
