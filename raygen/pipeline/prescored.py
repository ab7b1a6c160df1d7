"""Single-base changes that a position table holds need no model: they are looked up while their shard is planned.

In: planned rows and the table that ``scoring.prescored`` names. Out: the same rows, those that the table holds with its numbers. They pass the
actors by; a shard of nothing else is committed before any actor starts, so a run over nothing else loads no model. Which shards these are
is known for most from the alleles' lengths and the table's contigs: one with an insertion, say, is looked up when the actors run, and only then.

A table holds float32 of what a run would compute, under the same fingerprint and reference, and no log-likelihoods of whole windows: ``ll_wt`` and
``ll_mut`` of such a row are null, and it has the flag ``prescored``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.errors import SettingsError
from raygen.finished.position_lookup import PositionTable, open_table
from raygen.model.cards import UNVALIDATED
from raygen.pipeline.job import Job
from raygen.scoring.plan import contig_runs, strands_read
from raygen.scoring.scored_rows import with_flag
from raygen.tables.position_table import flags_of
from raygen.tables.schemas import PRESCORED

_HELD = "held"
_HELD_NUMBERS = {"": "held_delta", "forward": "held_fwd", "reverse": "held_rev"}
_NUMBERS = dict(zip(("delta_llr", "delta_fwd", "delta_rev"), _HELD_NUMBERS.values(), strict=True))
_ROW = "row"


def refuse_other_table(job: Job, table: PositionTable, how_it_differs: str) -> None:
    """Refuse a table whose numbers are not those of this run.

    Raises:
        SettingsError: it has another fingerprint or another reference, or the run asks for what it does not hold.
    """
    where = f"scoring.prescored: {table.path}"
    if job.window is None:
        raise SettingsError(f"{where} holds changes of a reference; pairs are scored as they are. Leave it out.")
    if table.fingerprint != job.identity.fingerprint:
        raise SettingsError(
            f"{where} has the fingerprint {table.fingerprint}; this run's is {job.identity.fingerprint}: {how_it_differs}."
        )
    if table.reference_digest != job.identity.reference_digest:
        raise SettingsError(f"{where} is of another reference than {job.reference}.")
    if job.embed:
        raise SettingsError(f"{where} holds no states of the model. Leave out embed.layers or scoring.prescored.")
    if job.extra_columns:
        raise SettingsError(
            f"{where}: {', '.join(job.extra_columns)} cannot be taken from it. Leave out output.extra_columns or scoring.prescored."
        )


@lru_cache(maxsize=2)
def _table(path: str) -> PositionTable:
    return open_table(path)


def with_held(planned: pa.Table, job: Job) -> pa.Table:
    """Planned rows with what the job's table holds of them: ``held``, the deltas, and the order of the rows."""
    if job.prescored is None:
        return planned
    num_rows, may_be_held = len(planned), _may_be_held(planned, job)
    held, unvalidated = np.zeros(num_rows, bool), np.zeros(num_rows, bool)
    numbers = {name: np.full(num_rows, np.nan, np.float32) for name in _HELD_NUMBERS.values()}
    strands = strands_read(job.strand)
    start = 0
    for chrom, run in contig_runs(planned):
        rows = start + np.flatnonzero(may_be_held[start : start + len(run)])
        start += len(run)
        if not len(rows):
            continue
        snvs = planned.select(["pos", "ref", "alt"]).take(pa.array(rows))
        hits = _table(job.prescored).hits_at(
            chrom, snvs["pos"].to_numpy(), _letters(snvs["ref"]), _letters(snvs["alt"])
        )
        held[rows] = hits.held
        unvalidated[rows] = flags_of(hits.flags)[UNVALIDATED]
        by_strand = {"forward": hits.delta_fwd, "reverse": hits.delta_rev}
        by_strand = {strand: hits.delta if by_strand[strand] is None else by_strand[strand] for strand in strands}
        for name, values in {"": hits.delta, **by_strand}.items():
            numbers[_HELD_NUMBERS[name]][rows] = values
    planned = with_flag(planned, UNVALIDATED, held & unvalidated)
    planned = planned.append_column(_HELD, pa.array(held)).append_column(_ROW, pa.array(np.arange(num_rows)))
    for name, values in numbers.items():
        planned = planned.append_column(name, pa.array(values, mask=np.isnan(values)))
    return planned


def needs_model(planned: pa.Table, job: Job) -> bool:
    """Whether a planned shard has rows that are not scored and that no table can hold, without a look into the job's table."""
    return not (planned["already_scored"].to_numpy() | _may_be_held(planned, job)).all()


def _may_be_held(planned: pa.Table, job: Job) -> np.ndarray:
    """(rows,) bool: changes of one base on a contig of the job's table, but for those that are scored already."""
    assert job.prescored is not None
    one_base = [pc.equal(pc.binary_length(planned[name]), 1).to_numpy() for name in ("ref", "alt")]
    is_on_contig = pc.is_in(planned["chrom"], value_set=pa.array(_table(job.prescored).contigs, pa.string()))
    return one_base[0] & one_base[1] & is_on_contig.to_numpy() & ~planned["already_scored"].to_numpy()


def _letters(alleles: pa.ChunkedArray) -> np.ndarray:
    """Alleles of one letter as ASCII, (R,) uint8."""
    return np.frombuffer("".join(alleles.to_pylist()).encode("ascii", "replace"), np.uint8)


def is_left_out(planned: pa.Table) -> pa.ChunkedArray:
    """Which rows the actors need not see: those that are scored already, and those that a position table holds."""
    already = planned["already_scored"]
    return pc.or_(already, planned[_HELD]) if _HELD in planned.column_names else already


def filled_in(scored: pa.Table, job: Job) -> tuple[pa.Table, int]:
    """Scored rows in their order, those that the table holds with its numbers; and how many these are."""
    if _HELD not in scored.column_names:
        return scored, 0
    scored = scored.sort_by(_ROW)
    for name, arrow_type in _LIKELIHOODS.items():
        if name not in scored.column_names:
            scored = scored.append_column(name, pa.nulls(len(scored), arrow_type))
    for name, from_table in _NUMBERS.items():
        values = pc.coalesce(scored[name], scored[from_table].cast(pa.float64()))
        scored = scored.set_column(scored.schema.get_field_index(name), name, values)
    length = scored[f"length_{strands_read(job.strand)[0]}"]
    num_tokens = pc.coalesce(scored["num_tokens"], pc.subtract(length, job.num_uncounted))
    scored = scored.set_column(scored.schema.get_field_index("num_tokens"), "num_tokens", num_tokens)
    held = scored[_HELD].to_numpy()
    return with_flag(scored, PRESCORED, held), int(held.sum())


_LIKELIHOODS = {
    "ll_wt": pa.float64(),
    "ll_mut": pa.float64(),
    "delta_llr": pa.float64(),
    "delta_fwd": pa.float64(),
    "delta_rev": pa.float64(),
    "num_tokens": pa.int64(),
    "failure": pa.string(),
}
