"""Scores with labels: two tables joined by variant, or one that holds both, with every row accounted for.

Out: a frame with ``key``, ``score`` (float64, as in the table), ``positive`` (Boolean), the columns to group by as text, gene and
consequence where there are such columns, other tools' scores as ``beside NAME``, and where the table is a run's the windows and the
columns that tell how far the strands agree. What was left out, and why, is in ``counts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from raygen.errors import InputError, SettingsError
from raygen.evaluation.extra_columns import ExtraCandidates, ExtraColumns, find_extra_columns
from raygen.evaluation.keyed_table import KeyedTable, KnownBy, TableSource, refuse_missing_columns
from raygen.evaluation.labels import (
    AF_BIN,
    VARIANT_TYPE,
    Labels,
    add_af_bin,
    as_group,
    as_numbers,
    assign_labels,
    without_lists,
)
from raygen.sequence.reference import Reference, open_reference
from raygen.tables.layout import RunFolder

DEFAULT_SCORE = "delta_llr"
_OF_A_RUN = ("abstained", "delta_fwd", "delta_rev", "window_start", "window_end")
_ONE_VALUE = ("fingerprint", "model")
_LABEL = "label value"


@dataclass(frozen=True)
class LabelRequest:
    """Which scores and labels to join, and how to group them; the names are those of the options.

    ``label`` is the name of the INFO field or column. ``by`` are columns of either table; ``variant_type`` and ``af_bin``
    (frequencies of ``af_column``) can be derived. ``gene_column`` and ``consequence_column`` are looked for by usual names where None;
    ``beside`` are other scores, ``NAME`` or ``NAME:lower``.
    """

    scores: str
    label: str
    labels: str | None = None
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()
    higher_is_positive: bool = False
    score_column: str | None = None
    by: Sequence[str] = ()
    af_column: str | None = None
    reference: str | None = None
    gene_column: str | None = None
    consequence_column: str | None = None
    beside: Sequence[str] = ()

    @property
    def groups(self) -> list[str]:
        """The columns to group by, once each; an allele-frequency column asks for its bins."""
        return list(dict.fromkeys([*self.by, *([AF_BIN] if self.af_column else [])]))


@dataclass(frozen=True)
class LabelledScores:
    """R rows with a score and a label.

    Attributes:
        frame: ``score``, ``positive`` and the columns to group by; see the head of this file.
        counts: numbers of rows of each table and of what became of them, by what they are in words.
        fingerprint, model: those of the scores where all rows share one, else None.
        extra: the columns beside score and label.
        remarks, warnings: sentences that a user should read.
    """

    frame: pl.DataFrame
    score_column: str
    higher_is_positive: bool
    fingerprint: str | None
    model: str | None
    labels: Labels
    counts: dict[str, int]
    extra: ExtraColumns = field(default_factory=ExtraColumns)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def num_positive(self) -> int:
        """Rows with a positive label."""
        return int(self.frame["positive"].sum())

    @property
    def num_negative(self) -> int:
        """Rows with a negative label."""
        return len(self.frame) - self.num_positive

    @property
    def one_value(self) -> str | None:
        """A sentence where all scores are the same, else None."""
        scores = self.frame["score"].to_numpy()
        if scores.min() != scores.max():
            return None
        return f"{self.score_column} is {scores[0]:g} in all {len(self.frame):,} rows: it tells nothing apart."

    @property
    def risk(self) -> pl.Series:
        """(R,) the scores turned so that larger means positive."""
        return self.frame["score"] if self.higher_is_positive else -self.frame["score"]


def gather(request: LabelRequest) -> LabelledScores:
    """Read scores and labels and join them.

    Raises:
        SettingsError: a table lacks a column, or the labels are not told apart.
        InputError: a table cannot be read, or no labelled variant has a score.
    """
    if AF_BIN in request.by and not request.af_column:
        raise SettingsError(f"--by {AF_BIN} needs --af-column, the column that holds the allele frequency.")
    scores = TableSource(request.scores)
    score_column = _score_column(scores, request.score_column)
    if request.labels is None:
        refuse_missing_columns(scores, [request.label], "--label-column")
        return _from_one_table(request, scores, score_column)
    return _from_two_tables(request, scores, TableSource(request.labels), score_column)


def _extra(request: LabelRequest, *tables: TableSource) -> ExtraCandidates:
    extra = find_extra_columns(tables, request.label, request.gene_column, request.consequence_column, request.beside)
    if any(other.column == (request.score_column or DEFAULT_SCORE) for other in extra.others):
        raise SettingsError("--beside names the score itself; name another column.")
    return extra


def _from_one_table(request: LabelRequest, scores: TableSource, score_column: str) -> LabelledScores:
    known_by = scores.known_by[0]
    extra = _extra(request, scores)
    group_columns = _columns_of(scores, request, extra)
    refuse_missing_columns(scores, group_columns, "--by")
    columns = _without_repeats([score_column, request.label, *group_columns, *_run_columns(scores)])
    table = scores.read(columns, known_by, _reference(request, scores))
    _refuse_unusable(table)
    frame, repeats = _first_of_each(table.frame)
    labels = assign_labels(frame[request.label], request.positive, request.negative)
    frame = frame.with_columns(labels.is_positive.alias("positive"))
    counts = {"rows": table.num_rows, **_unusable(table), "repeated rows": repeats}
    return _finished(request, frame, score_column, labels, counts, table, None, extra)


def _from_two_tables(
    request: LabelRequest, scores: TableSource, labels: TableSource, score_column: str
) -> LabelledScores:
    refuse_missing_columns(labels, [request.label], "--label-field" if not labels.is_run else "--label-column")
    known_by = _shared_way(scores, labels)
    reference = _reference(request, scores)
    extra = _extra(request, scores, labels)
    from_scores = [name for name in _columns_of(scores, request, extra) if name in scores.columns]
    from_labels = [name for name in _columns_of(labels, request, extra) if name not in from_scores]
    refuse_missing_columns(labels, from_labels, "--by")

    read = read_labels(
        labels, request.label, from_labels, known_by, reference, positive=request.positive, negative=request.negative
    )
    columns = _without_repeats([score_column, *from_scores, *_run_columns(scores)])
    score_table = scores.read(columns, known_by, reference, only=read.frame["key"])
    _refuse_without_rows(score_table)
    scored, repeats = _first_of_each(score_table.frame)
    joined = scored.join(
        read.frame.drop("variant_type"), on="key", how="inner", suffix=" (labels)", maintain_order="left"
    )
    counts = {
        **read.counts,
        "without a score": len(read.frame) - len(joined),
        "repeated scores": repeats,
    }
    return _finished(request, joined, score_column, read.labels, counts, score_table, read.table, extra, reference)


@dataclass(frozen=True)
class LabelledVariants:
    """The variants of a table that are positive or negative, once each.

    Attributes:
        frame: ``key``, ``variant_type``, the label's value, ``positive`` (Boolean) and the columns asked for.
        counts: numbers of rows of the table and of what became of them, by what they are in words.
    """

    frame: pl.DataFrame
    labels: Labels
    table: KeyedTable
    counts: dict[str, int]


def read_labels(
    labels: TableSource,
    label: str,
    columns: Sequence[str],
    known_by: KnownBy,
    reference: Reference | None,
    *,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
) -> LabelledVariants:
    """Read the labels of a table, one a variant, with these columns of it.

    Args:
        label: the INFO field or column that holds them.
        positive, negative: as for ``assign_labels``.

    Raises:
        SettingsError: the labels are not told apart.
        InputError: the table cannot be read, or no row of it is of a variant that could have a score.
    """
    table = labels.read(_without_repeats([label, *columns]), known_by, reference)
    _refuse_unusable(table)
    every = table.frame.with_columns(pl.col(label).alias(_LABEL))
    meant = assign_labels(every[_LABEL], positive, negative).is_positive
    one_each, num_unclear = _one_label_each(every, meant)
    assigned = assign_labels(one_each[_LABEL], positive, negative)
    labelled = one_each.with_columns(assigned.is_positive.alias("positive")).drop_nulls("positive")
    counts = {
        "rows with labels": table.num_rows,
        **_unusable(table),
        "with labels that contradict each other": num_unclear,
        "labelled": len(labelled),
    }
    return LabelledVariants(labelled, assigned, table, counts)


def _finished(
    request: LabelRequest,
    frame: pl.DataFrame,
    score_column: str,
    labels: Labels,
    counts: dict[str, int],
    scores: KeyedTable,
    label_table: KeyedTable | None,
    candidates: ExtraCandidates,
    reference: Reference | None = None,
) -> LabelledScores:
    frame = frame.drop_nulls("positive")
    frame = frame.with_columns(
        as_numbers(frame[other.column], "--beside").alias(beside_column(other.column)) for other in candidates.others
    )
    frame = frame.with_columns(as_numbers(frame[score_column], "--score-column").alias("score"))
    is_number = frame["score"].is_finite().fill_null(False)
    counts["score is no number"] = len(frame) - int(is_number.sum())
    frame = frame.filter(is_number)
    if frame.is_empty():
        numbers = ", ".join(f"{name}: {count:,}" for name, count in counts.items() if count)
        raise InputError(
            f"No variant with a usable label has a score ({numbers}). Are scores and labels of one assembly?"
        )
    extra = candidates.with_values(frame)
    remarks = _remarks(labels, scores, label_table, reference)
    if request.af_column:
        frequencies, num_lists = without_lists(frame[request.af_column])
        frame = add_af_bin(frame.with_columns(frequencies), request.af_column)
        if num_lists:
            remarks.append(
                f"{request.af_column} lists several numbers in {num_lists:,} row{'' if num_lists == 1 else 's'}, which get no bin: "
                "which one is the allele's is not recorded (it is where the VCF's header says Number=A)."
            )
    for name in request.groups:
        frame = frame.with_columns(as_group(frame[name]))
    shared = {name: _only_value(frame, name) for name in _ONE_VALUE}
    counts = {
        name: count for name, count in counts.items() if count or name in ("rows with labels", "rows", "labelled")
    }
    return LabelledScores(
        frame,
        score_column,
        request.higher_is_positive,
        shared["fingerprint"],
        shared["model"],
        labels,
        counts,
        extra,
        remarks,
        [*scores.warnings, *(_warnings(counts, label_table) if label_table else [])],
    )


def beside_column(name: str) -> str:
    """Name in the frame of another tool's score: its own could be that of a column of ours, such as ``score``."""
    return f"beside {name}"


def _refuse_without_rows(table: KeyedTable) -> None:
    """Refuse a table that is nothing but its header, with an InputError."""
    if not table.num_rows:
        raise InputError(f"{table.name} has no rows.")


def _refuse_unusable(table: KeyedTable) -> None:
    """Refuse a table in which no row is of a variant that could have a score: an InputError with the reasons."""
    _refuse_without_rows(table)
    if table.frame.is_empty():
        reasons = ", ".join(f"{reason.replace('_', ' ')}: {count:,}" for reason, count in table.unusable.most_common())
        raise InputError(
            f"None of the {table.num_rows:,} rows of {table.name} is of a variant that can have a score here ({reasons}). "
            "Are scores and labels of one assembly?"
        )


def _remarks(assigned: Labels, scores: KeyedTable, labels: KeyedTable | None, reference: Reference | None) -> list[str]:
    remarks = [f"no row has the label {value}." for value in assigned.unknown]
    if labels and not reference and labels.num_indels and scores.frame["variant_type"].null_count() == 0:
        remarks.append(
            f"{labels.num_indels:,} indels and other longer changes among the labels were joined as they are written: "
            "without --reference they are trimmed and not left-aligned."
        )
    return remarks


def _warnings(counts: dict[str, int], labels: KeyedTable) -> list[str]:
    """Sentences on what makes a join doubtful: most rows of the labels cannot be used, or have no score to be joined to."""
    warnings = list(labels.warnings)
    num_unusable = labels.unusable.total()
    if 2 * num_unusable > labels.num_rows:
        warnings.append(f"most rows of {labels.name} cannot be used: {num_unusable:,} of {labels.num_rows:,}.")
    without, labelled = counts.get("without a score", 0), counts["labelled"]
    if 2 * without > labelled:
        warnings.append(
            f"most labels match no score: {without:,} of {labelled:,}. Are both of one assembly, with positions counted from 1?"
        )
    return warnings


def _score_column(scores: TableSource, requested: str | None) -> str:
    name = requested or DEFAULT_SCORE
    refuse_missing_columns(scores, [name], "--score-column")
    return name


def _columns_of(source: TableSource, request: LabelRequest, extra: ExtraCandidates) -> list[str]:
    """Columns beside score and label that a table must give: those that it has, or that cannot be derived."""
    names = [name for name in request.groups if name in source.columns or name not in (VARIANT_TYPE, AF_BIN)]
    return _without_repeats([*names, *([request.af_column] if request.af_column else []), *extra.names])


def _run_columns(scores: TableSource) -> list[str]:
    return [name for name in (*_OF_A_RUN, *_ONE_VALUE) if name in scores.columns]


def _without_repeats(names: Sequence[str]) -> list[str]:
    """Names of columns to read, once each; ``variant_type`` comes with every table and is not asked for."""
    return [name for name in dict.fromkeys(names) if name != VARIANT_TYPE]


def _shared_way(scores: TableSource, labels: TableSource) -> KnownBy:
    for way in scores.known_by:
        if way in labels.known_by:
            return way
    raise InputError(
        f"{scores.path} is known by {scores.known_by[0]} and {labels.path} by {labels.known_by[0]}: they have nothing to be "
        "joined by. Give both chrom, pos, ref and alt, or both variant_id."
    )


def reference_of(request: LabelRequest) -> Reference | None:
    """The reference that rows are joined by, where there is one: the request's, else the run's own if it is still there."""
    return _reference(request, TableSource(request.scores))


def _reference(request: LabelRequest, scores: TableSource) -> Reference | None:
    """The reference that the request names, else the one the run was made with where it is still there and unchanged."""
    if request.reference:
        return open_reference(request.reference)
    if not scores.is_run:
        return None
    folder = RunFolder(request.scores)
    manifest, identity = folder.read_manifest(), folder.identity()
    path = (manifest or {}).get("resolved", {}).get("reference")
    if not path or identity is None or not Path(path).is_file():
        return None
    reference = open_reference(path)
    return reference if reference.digest == identity.reference_digest else None


def _first_of_each(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The first row of each variant of a frame, and how many more rows there were."""
    first_rows = frame.unique("key", keep="first", maintain_order=True)
    return first_rows, len(frame) - len(first_rows)


def _one_label_each(frame: pl.DataFrame, meant: pl.Series) -> tuple[pl.DataFrame, int]:
    """One row a variant, and the number of variants left out because their labels mean different things.

    A row without a label contradicts no other.
    """
    meaning = meant.cast(pl.String).fill_null("neither").alias("meaning")
    is_label = ~frame[_LABEL].cast(pl.String).str.strip_chars().fill_null("").is_in(["", "."])
    labelled = frame.select("key", meaning).filter(is_label)
    differing = labelled.group_by("key").agg(pl.col("meaning").n_unique()).filter(pl.col("meaning") > 1)
    in_order = pl.concat([frame.filter(is_label), frame.filter(~is_label)])
    clear = in_order.join(differing, on="key", how="anti", maintain_order="left")
    return clear.unique("key", keep="first", maintain_order=True), len(differing)


def _unusable(table: KeyedTable) -> dict[str, int]:
    return {f"{table.name}: {reason}": count for reason, count in table.unusable.items() if count}


def _only_value(frame: pl.DataFrame, name: str) -> str | None:
    """The value of a column that all rows share; None where there is none.

    Raises:
        SettingsError: the column has several values, so the scores are of several models.
    """
    if name not in frame.columns:
        return None
    values = frame[name].drop_nulls().unique().to_list()
    if len(values) > 1:
        raise SettingsError(
            f"The scores have {len(values)} values of {name} ({', '.join(map(str, values[:4]))}): not to be mixed."
        )
    return str(values[0]) if values else None
