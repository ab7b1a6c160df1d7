"""The pages of a night: a report on its run, and a diff against the table before, where a new fingerprint began one.

Within one fingerprint a night only adds rows, and its record counts them; a diff says something where a table stands beside
an older one. The scores are whole without their pages, so what goes wrong here is said and fails nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from raygen.errors import RaygenError


def write_pages(table: str, run_id: str, older: str | None, say: Callable[[str], None]) -> dict[str, str]:
    """Write the pages and return their paths by what they are.

    Args:
        older: the table of the fingerprint before, if there is one.
    """
    pages = {}
    wanted: list[tuple[str, Callable[[], str]]] = [("report", lambda: _report(table, run_id))]
    if older:
        wanted.append(("diff", lambda: _diff(older, table, run_id)))
    for name, write in wanted:
        try:
            pages[name] = write()
        except (RaygenError, OSError, ValueError, ImportError) as error:
            say(f"warning: the {name} of the night was not written: {error}")
    return pages


def _report(table: str, run_id: str) -> str:
    return str(_room("report").write_report(table, run_id))


def _diff(older: str, table: str, run_id: str) -> str:
    room = _room("diff")
    return str(room.write_diff_page(room.compare_scores(older, table), f"{table}/runs/{run_id}/diff.html"))


def _room(name: str) -> Any:
    """Imported late: drawing pages loads what a night that finds nothing new does not need."""
    return importlib.import_module(f"raygen.interpret.{name}")
