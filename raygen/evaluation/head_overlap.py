"""Labelled rows that trained a head: on them its log-odds are better than anywhere else, so it is said, and a calibration leaves them out.

Of a column ``head_NAME`` in a run's folder the newest manifest that knows it says which head it is of; the head's file holds digests of
its training sites. All alleles of such a site are meant. Rows of the same genes remain, and still flatter a little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from raygen.classes.head import HEAD_PREFIX, Head, site_digests
from raygen.classes.head_file import read_head
from raygen.errors import InputError, RaygenError, SettingsError
from raygen.evaluation.keyed_table import TableSource
from raygen.evaluation.labelled_scores import LabelledScores, LabelRequest
from raygen.number_of import number_of
from raygen.tables.layout import RunFolder

_SITE = r"^(.+-[0-9]+)-[ACGTN]*-[ACGTN]*$"


def row_sites(keys: pl.Series) -> list[str]:
    """(R,) the site of each row, ``CONTIG-POSITION``, by the keys of a labelled frame; one without coordinates is known by its id."""
    return keys.str.extract(_SITE).fill_null(keys).to_list()


def training_warning(labelled: LabelledScores, request: LabelRequest) -> str | None:
    """A sentence where rows trained the head whose column is looked at, or where that cannot be known; None where none did."""
    column = labelled.score_column
    try:
        head = _head_of_column(column, request.scores, None)
    except RaygenError as error:
        return f"whether these labels trained {column} is not known: {error}"
    number = 0 if head is None else int(_trained(labelled, head).sum())
    if not number:
        return None
    return (
        f"{number:,} of {number_of(len(labelled.frame), 'labelled variant')} are at sites that trained {column}: what it is worth on others "
        "is in `raygen head show`."
    )


def without_training_rows(labelled: LabelledScores, request: LabelRequest, head_path: str | None) -> LabelledScores:
    """Labelled rows of a head's column without those at sites that trained it, and a remark on how many these were.

    Args:
        head_path: the head's file; None: where the run recorded it, and nothing is done for a column of no head.

    Raises:
        SettingsError: the column is of a head, and that is not where the run found it, or ``head_path`` is another one.
        InputError: all rows are at sites that trained it.
    """
    head = _head_of_column(labelled.score_column, request.scores, head_path)
    if head is None:
        return labelled
    trained = _trained(labelled, head)
    number = int(trained.sum())
    if number == len(trained):
        raise InputError(
            f"All {number:,} labelled variants are at sites that trained {labelled.score_column}: calibrate on labels that trained nothing."
        )
    if not number:
        return labelled
    remark = (
        f"{number_of(number, 'labelled variant')} at sites that trained {labelled.score_column} {'is' if number == 1 else 'are'} left out: "
        "a calibration is for what it has not seen."
    )
    frame = labelled.frame.filter(~trained)
    return replace(labelled, frame=frame, remarks=[*labelled.remarks, remark])


def _trained(labelled: LabelledScores, head: Head) -> np.ndarray:
    """(R,) Boolean: the row is at a site that trained the head."""
    return np.isin(site_digests(row_sites(labelled.frame["key"])), head.training_sites)


def _head_of_column(column: str, scores: str, head_path: str | None) -> Head | None:
    recorded = _recorded(column, scores) if column.startswith(HEAD_PREFIX) or head_path else None
    if head_path:
        head = read_head(head_path)
        if recorded and recorded["digest"] != head.digest:
            raise SettingsError(
                f"{head_path} is the head {head.digest}; the column {column} is of {recorded['digest']}."
            )
        return head
    if recorded is None:
        if not column.startswith(HEAD_PREFIX):
            return None
        raise SettingsError(
            f"{scores} does not say which head {column} is of. Name it with --head, so that what trained it can be left out."
        )
    try:
        head = read_head(str(recorded["path"]))
        if head.digest == recorded["digest"]:
            return head
    except RaygenError:
        pass
    raise SettingsError(
        f"The head {recorded['digest']} of {column} is no longer at {recorded['path']}. Name it with --head, so that what trained it can be "
        "left out."
    )


def _recorded(column: str, scores: str) -> Mapping[str, Any] | None:
    """What the newest manifest that knows a head's column says of it; None where none does."""
    if not TableSource(scores).is_run:
        return None
    described = [(manifest.get("heads") or {}).get(column) for manifest in RunFolder(scores).manifests()]
    known = [one for one in described if one]
    return known[-1] if known else None
