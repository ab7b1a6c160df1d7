"""What went wrong in a worker, as a sentence and an exit code."""

from __future__ import annotations

import re

from ray.exceptions import RayError

from raygen.errors import InputError, RaygenError, SettingsError, StoppedError

_OWN_ERROR = re.compile(r"\braygen\.errors\.(\w+): (.+)")
_ANY_ERROR = re.compile(r"(?!ray\.exceptions)[\w.]*(Error|Exception|Exit)\b.*")


def in_our_words(error: BaseException, so_far: str) -> RaygenError:
    """The error that a stage raised, without Ray's layers around it.

    An error travels from a worker as text; its own line names its class. Ray gives it the class of its cause besides its own.
    """
    if isinstance(error, RaygenError) and not isinstance(error, RayError):
        return error
    lines = [line.strip() for line in str(error).splitlines()]
    own = [found for line in lines if (found := _OWN_ERROR.search(line))]
    if own:
        kind = {one.__name__: one for one in (SettingsError, InputError, StoppedError)}.get(own[-1][1], StoppedError)
        return kind(f"{own[-1][2]} {so_far}")
    other = [line for line in lines if _ANY_ERROR.match(line)]
    what = other[-1].rstrip(".") if other else type(error).__name__
    return StoppedError(f"The run stopped on an error that it did not expect: {what}. {so_far}")
