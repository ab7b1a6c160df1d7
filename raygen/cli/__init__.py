"""The command line: thin over the rooms. ``main`` is the console script."""

from raygen.cli.entry import main

__all__ = ["main"]
