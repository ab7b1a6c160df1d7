"""The home folder: what ``~`` stands for in every path, and one for processes that have none.

In a container HOME may be unset and the user's number without an entry. Libraries then stop where they are imported (Altair), or make
a folder named ``~`` where the process happens to be (whoever expands ``~`` and goes on). They are given the folder in the machine's
temporary directory that the cache would be in; a path that a user writes with ``~`` is refused then.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from raygen.errors import SettingsError


def ensure_home() -> None:
    """Set HOME where the process has no home folder. What is set stays, whether it can be written or not."""
    if os.path.expanduser("~") == "~":  # noqa: PTH111 - Path.home() raises
        os.environ["HOME"] = _stand_in()


def _stand_in() -> str:
    return str(Path(tempfile.gettempdir()) / f"raygen-{os.getuid()}")


def expanded(path: str) -> str:
    """The path with ``~`` or ``~user`` at its start as the home folder that it stands for; a URI as it is.

    Raises:
        SettingsError: there is no such user, or the process has no home folder: results must not end in a folder named ``~`` or
            among temporary files.
    """
    if not path.startswith("~") or "://" in path:
        return path
    whole = os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser() raises RuntimeError
    user, slash, _ = path.partition("/")
    if user == "~" and os.environ.get("HOME") == _stand_in():
        raise SettingsError(f"{path}: there is no home folder here, since HOME is not set. Write the whole path.")
    if slash and whole == path:
        raise SettingsError(f"{path}: there is no user {user[1:]} on this machine, whose home {user} would be.")
    return whole


def expanded_argument(argument: str) -> str:
    """An argument of a command with its path expanded: ``~/x``, and ``--name=~/x``, which shells leave as it is."""
    name, equals, value = argument.partition("=")
    if equals and name.startswith("--") and value.startswith("~"):
        return f"{name}={expanded(value)}"
    return expanded(argument)
