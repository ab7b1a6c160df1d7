"""A table on the screen, or whole in a pipe or file: there nobody can widen a window, and what is folded cannot be searched."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_WIDE = 1_000_000  # columns; a table takes no more of them than its text


def print_table(table: Table, console: Console) -> None:
    """On a terminal fitted to its width; elsewhere no cell is cut or folded."""
    if not console.is_terminal:
        for column in table.columns:
            column.no_wrap = True
        console = Console(file=console.file, width=_WIDE, highlight=False, emoji=False)
    console.print(table)
