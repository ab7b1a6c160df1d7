"""The pages of a night: a report on its run, and a diff against the table before, where a new fingerprint began one.

Within one fingerprint a night only adds rows, and its record counts them; a diff says something where a table stands beside
an older one. The scores are whole without their pages, so what goes wrong here is said and fails nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from raygen.errors import RaygenError
from raygen.tables.layout import RunFolder


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
        except (RaygenError, OSError, ValueError) as error:
            say(f"warning: the {name} of the night was not written: {error}")
    return pages


def _report(table: str, run_id: str) -> str:
    from raygen.pages import write_report

    return write_report(table, run_id)


def _diff(older: str, table: str, run_id: str) -> str:
    from raygen.finished.diff import compare_scores
    from raygen.pages.diff_page import as_page

    return RunFolder(table).write_run_file(run_id, "diff.html", as_page(compare_scores(older, table)).encode())
