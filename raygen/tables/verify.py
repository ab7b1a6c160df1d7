"""``raygen verify``: everything about a table that can be checked without scoring again, and every fault of it.

    a file       can be read, its checksums hold, its identity, its columns and their types are those of the table
    a row        see score_check.py and position_check.py: order, names, numbers
    the table    nothing twice; what the runs' manifests counted is there; no rows of a run without a manifest
    rejects      can be read, have a reason that there is, and are as many as were counted (see accounts.py)
    Iceberg      where there is a table: the same rows per run

In: a folder of scores or a position table. What both share is in table_check.py.
"""

from __future__ import annotations

from raygen.tables.position_check import PositionCheck
from raygen.tables.position_table import PositionFolder, table_folder
from raygen.tables.score_check import ScoreCheck
from raygen.tables.table_check import Verification


def verify(path: str) -> Verification:
    """Check the table of one folder. Faults are listed, not raised."""
    folder = table_folder(path)
    return (PositionCheck(folder) if isinstance(folder, PositionFolder) else ScoreCheck(folder)).run()
