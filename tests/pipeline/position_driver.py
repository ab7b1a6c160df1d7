"""A position run in a process of its own, to be killed: ``python -m tests.pipeline.position_driver REFERENCE OUT RAY_ADDRESS``."""

from __future__ import annotations

import sys
from functools import partial

from raygen.pipeline.tabulate import run_tabulate, with_positions_window
from raygen.settings import Settings, load_settings
from tests.pipeline.faults import faulty_position_scorer


def in_pieces(reference: str, out: str, **more) -> Settings:
    """Settings of a run that keeps a piece of every 64 bases."""
    given = {"input.reference": reference, "output.path": out, "model.name": "demo", "model.device": "cpu"}
    given |= {"window.left": 64, "cluster.actors": 1, "scoring.keep_every": 1e-6}
    return with_positions_window(load_settings(None, given={**given, **more}, complete=False))


if __name__ == "__main__":
    reference, out, address = sys.argv[1:]
    slow = partial(faulty_position_scorer, seconds_a_row=0.01)
    run_tabulate(in_pieces(reference, out, **{"cluster.address": address}), make_scorer=slow)
