"""The command that shows the guide in a terminal: the pages of ``raygen/guide``, which the README links to.

On a terminal a page is rendered and goes through the user's pager, as with ``git help``, because pages are longer than screens (less
shows a short one without waiting: LESS=FRX, as git sets it). Into a pipe or a file goes the text as it is written.
"""

from __future__ import annotations

import difflib
import os
from importlib.resources import files
from typing import Annotated

import typer
from rich.table import Table

from raygen.cli.options import Debug, command, say, screen
from raygen.errors import SettingsError


@command("raygen guide cost")
def guide(
    topic: Annotated[
        str | None,
        typer.Argument(metavar="TOPIC", help="Which page to show; default: the list of them.", show_default=False),
    ] = None,
    debug: Debug = False,
) -> None:
    """Show a page of the guide, or which pages it has."""
    pages = _pages()
    if topic is None:
        screen.print(_contents(pages))
        say("A page: raygen guide TOPIC")
    elif topic not in pages:
        nearest = difflib.get_close_matches(topic, pages, 1)
        meant = f" Did you mean {nearest[0]}?" if nearest else ""
        raise SettingsError(f"The guide has no page {topic!r}.{meant} It has {', '.join(pages)}.")
    elif screen.is_terminal:
        from rich.markdown import Markdown  # and a parser and colours of code, which no other command needs

        os.environ.setdefault("LESS", "FRX")
        with screen.pager(styles=True):
            screen.print(Markdown(pages[topic]))
    else:
        say(pages[topic].rstrip())


def _pages() -> dict[str, str]:
    """The text of each page by its topic, in order."""
    entries = sorted(files("raygen").joinpath("guide").iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".md"): entry.read_text(encoding="utf-8")
        for entry in entries
        if entry.name.endswith(".md")
    }


def _contents(pages: dict[str, str]) -> Table:
    """Topics with the titles of their pages."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for topic, text in pages.items():
        table.add_row(topic, text.partition("\n")[0].removeprefix("# "))
    return table
