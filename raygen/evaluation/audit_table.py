"""Labelled rows as a table that `seqleak audit` reads, which looks for what a benchmark gives away without a model.

In: an evaluation and the reference. Out: Parquet, one row a variant:

    id, label, chrom             label 1 or 0; contig as the reference names it (`--group-col`)
    sequence, start, end         the reference's bases around the site (0-based, half-open), the same for all alleles; near a contig end
                                 the window slides
    split                        ``test`` in one of ``FOLDS`` folds that part no cluster, else ``train``
    cluster                      what was drawn again for the intervals
    position, nearest_label      `--distance-cols`: position alone; the share of positives at the nearest other site in ``train``
    score                        larger means positive

A test set whose rows overlap rows of the other folds is reported by it: that is what a split by site is, and by chromosome is not.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.evaluation.baselines import nearest_label
from raygen.evaluation.clusters import Clusters, Places, without_coordinates
from raygen.evaluation.evaluate import Evaluation
from raygen.evaluation.grouped_folds import FOLDS, grouped_folds
from raygen.evaluation.labelled_scores import LabelRequest, reference_of
from raygen.sequence.reference import Reference
from raygen.tables.place import put_in_place
from raygen.variants.contig_names import resolve_contig

FLANK = 100
DISTANCE_COLUMNS = ("position", "nearest_label")


def refuse_without_reference(request: LabelRequest) -> Reference:
    """The reference of a request.

    Raises:
        SettingsError: it names none, and the scores know of none that is still there.
    """
    reference = reference_of(request)
    if reference is None:
        raise SettingsError(
            "--audit needs the bases around each site: give --reference, the FASTA of the variants' assembly."
        )
    return reference


def write_audit_table(evaluation: Evaluation, reference: Reference, path: str) -> None:
    """Write the table of an evaluation.

    Raises:
        InputError: a row lies outside of the reference, or a label is in one cluster only, so that nothing can be split.
        SettingsError, StoppedError: as ``put_in_place``.
    """
    table = audit_table(evaluation, reference)
    with put_in_place(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def audit_table(evaluation: Evaluation, reference: Reference) -> pa.Table:
    """The rows of an evaluation as ``seqleak audit`` reads them; see the head of this file."""
    labelled, choice = evaluation.labelled, evaluation.choice
    if choice.places is None or not choice.places.is_known.all():
        raise InputError(f"--audit needs chrom, pos, ref and alt: {without_coordinates(choice.places)}.")
    positive = labelled.frame["positive"].to_numpy()
    is_test = _test_rows(evaluation, positive)
    contigs = _contigs(choice.places, reference)
    is_insertion = labelled.frame["key"].str.contains("-[0-9]+--").to_numpy()
    start, sequences = _around(choice.places, is_insertion, contigs, reference)
    return pa.table(
        {
            "id": labelled.frame["key"].to_list(),
            "sequence": sequences,
            "label": positive.astype(np.int64),
            "split": np.where(is_test, "test", "train"),
            "chrom": np.array(contigs)[choice.places.contig],
            "start": start,
            "end": start + [len(sequence) for sequence in sequences],
            "cluster": [f"{choice.chosen.level} {number}" for number in choice.chosen.of_row.tolist()],
            "position": choice.places.position,
            "nearest_label": nearest_label(choice.places, positive, ~is_test),
            "score": labelled.risk.to_numpy(),
        }
    )


def report_path(path: str) -> str:
    """Where the command puts its report: beside the table, under a name that is not that of our own numbers."""
    return str(Path(path).with_suffix(".seqleak.json"))


def audit_command(path: str) -> str:
    """The command that audits a table of ``write_audit_table``, for a shell."""
    columns = ",".join(DISTANCE_COLUMNS)
    words = ["--data", path, "--distance-cols", columns, "--group-col", "chrom", "--out", report_path(path)]
    return shlex.join(["seqleak", "audit", *words])


def overlap_note(clusters: Clusters) -> str | None:
    """Why the audit will find overlapping rows, in a sentence; None where the split parts no neighbours."""
    if clusters.level != "site":
        return None
    return (
        f"the {2 * FLANK + 1} bases around neighbouring sites overlap, and a split by site parts neighbours: "
        "the audit will say so (--cluster gene or chromosome does not part them)"
    )


def _test_rows(evaluation: Evaluation, positive: np.ndarray) -> np.ndarray:
    """(R,) Boolean: rows of the first of the folds."""
    clusters = evaluation.choice.chosen
    if clusters.fewest < 2:
        raise InputError(f"--audit cannot split these rows: {clusters.why_no_interval} ({clusters.in_words} in all).")
    is_test = np.zeros(len(positive), bool)
    _, test = next(grouped_folds(positive, clusters, min(FOLDS, clusters.fewest), evaluation.bootstrap.seed))
    is_test[test] = True
    return is_test


def _contigs(places: Places, reference: Reference) -> list[str]:
    names = [resolve_contig(name, reference.contigs) for name in places.contigs]
    if None in names:
        unknown = ", ".join(contig for contig, name in zip(places.contigs, names, strict=True) if name is None)
        raise InputError(f"--audit: {reference.path} has no contig {unknown}. Is it of the assembly of the scores?")
    return [name for name in names if name]


def _around(
    places: Places, is_insertion: np.ndarray, contigs: list[str], reference: Reference
) -> tuple[np.ndarray, list[str]]:
    """(R,) 0-based starts of the windows around the rows' sites, and their bases. An insertion may be behind the last base."""
    starts = np.empty(len(places.position), np.int64)
    sequences = np.empty(len(starts), dtype=object)
    for number, name in enumerate(contigs):
        bases = reference.bases(name)
        rows = np.flatnonzero(places.contig == number)
        if (outside := places.position[rows] > len(bases) + is_insertion[rows]).any():
            raise InputError(
                f"--audit: {name}:{int(places.position[rows][outside][0]):,} lies behind the end of the contig in {reference.path} "
                f"({len(bases):,} bases). Is it of the assembly of the scores?"
            )
        length = min(2 * FLANK + 1, len(bases))
        starts[rows] = np.clip(places.position[rows] - 1 - FLANK, 0, len(bases) - length)
        windows = np.lib.stride_tricks.sliding_window_view(bases, length)[starts[rows]]
        text = windows.tobytes().decode("ascii")
        sequences[rows] = [text[first : first + length] for first in range(0, len(text), length)]
    return starts, sequences.tolist()
