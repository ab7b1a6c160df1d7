"""The Python interface: load a model and score pairs or variants in a notebook, without Ray."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.interpret.classify import classify, split_rows
from raygen.number_of import number_of
from raygen.scoring.fingerprint import fingerprint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import PairScorer, VariantScorer
from raygen.sequence.reference import open_reference
from raygen.sequence.window_choices import usual_length
from raygen.sequence.windows import Window
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, PAIRS, variant_ids
from raygen.variants.ingest import ingest

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Window", "load_model", "score_pairs", "score_variants"]

_RUN_ID = "interactive"
_ROWS_AT_ONCE = 4096
_INPUT_ROW = "raygen_input_row"


def score_pairs(
    model: ResidentModel,
    pairs: pa.Table | pl.DataFrame | Iterable[tuple[str, str]],
    method: Literal["fork", "pair"] = "fork",
) -> pa.Table:
    """Score wild-type/mutant pairs of sequences.

    Args:
        pairs: a PAIRS table, or (WT, MUT) tuples, whose ids are then their numbers from 0.

    Returns:
        A table with the SCORES columns, in the order of the pairs; ``variant_id`` is the pair's id.

    Raises:
        InputError: a pair has an empty sequence, or one longer than the model's context.
    """
    table = _pairs_table(pairs)
    _check_lengths(table, model)
    scored = PairScorer(model, method).score(table)
    return _finished(scored, model, fingerprint(model.loaded, None, "forward"))


def score_variants(
    model: ResidentModel,
    variants: pa.Table | pl.DataFrame | str | Path,
    reference: str | Path,
    method: Literal["fork", "pair"] = "fork",
    strand: Literal["forward", "reverse", "both"] = "forward",
    window: Window | None = None,
    circular: Sequence[str] = (),
    haplotype_column: str | None = None,
) -> pa.Table:
    """Score variants against a reference, normalised and checked as ``raygen ingest`` does.

    Args:
        variants: a table with chrom, pos, ref and alt, or the path of a VCF, BCF or Parquet.
        reference: a FASTA, plain or bgzip.
        window: default half of the model's context on each side, of at most 8,192 bases.
        circular: contigs without ends.
        haplotype_column: names the haplotype of an allele. Each haplotype of two or more members is one more row, with the
            flag ``haplotype``; the column and ``haplotype_members`` follow those of SCORES.

    Returns:
        A table with the SCORES columns: a table's variants in their order, a file's by contig and position. Alleles that
        cannot be scored are left out, and a warning counts them by reason; ``raygen ingest`` lists them.
    """
    half = usual_length(model.context_length) // 2
    window = window or Window(half, half)
    if window.longest > model.context_length:
        raise SettingsError(f"The window has {window.longest:,} bases, but the model reads {model.context_length:,}.")
    opened = open_reference(str(reference))
    unknown = [name for name in circular if name not in opened.lengths]
    if unknown:
        raise SettingsError(f"circular names {', '.join(unknown)}, which {reference} does not have.")
    with tempfile.TemporaryDirectory() as scratch:
        source, extra = _as_file(variants, Path(scratch))
        taken = ingest(
            [source],
            opened,
            Path(scratch) / "ingested",
            source_columns=extra,
            haplotype_column=haplotype_column,
            max_haplotype_span=window.right,
        )
        normalised = pq.read_table(taken.variants_dir)
    if taken.rejects:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in taken.rejects.items())
        warnings.warn(
            f"{sum(taken.rejects.values()):,} of {number_of(taken.num_alleles, 'allele')} left out: {counts}",
            stacklevel=2,
        )
    if _INPUT_ROW in normalised.column_names:
        normalised = normalised.sort_by(_INPUT_ROW)
    named = normalised.append_column("variant_id", variant_ids(normalised))
    scorer = VariantScorer(model, opened, strand, circular, method)
    # Some thousand at a time: their windows are in memory as sequences while they are scored.
    pieces = [named.slice(at, _ROWS_AT_ONCE) for at in range(0, max(len(named), 1), _ROWS_AT_ONCE)]
    scored = pa.concat_tables([scorer.score(plan_windows(piece, opened, window, strand, circular)) for piece in pieces])
    carried = [haplotype_column, HAPLOTYPE_MEMBERS] if haplotype_column else []
    return _finished(scored, model, fingerprint(model.loaded, window, strand, circular), carried)


def _as_file(variants: pa.Table | pl.DataFrame | str | Path, scratch: Path) -> tuple[Path, list[str]]:
    """Variants as a file that ingest reads, and the columns it has to carry: a table's rows remember their place."""
    if isinstance(variants, str | Path):
        return Path(variants), []
    table = _arrow(variants)
    path = scratch / "variants.parquet"
    pq.write_table(table.append_column(_INPUT_ROW, pa.array(range(len(table)), pa.int64())), path)
    return path, [_INPUT_ROW]


def _arrow(table: Any) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "to_arrow"):
        return table.to_arrow()
    raise SettingsError(f"Give an Arrow table, a polars frame or a path, not a {type(table).__name__}.")


def _pairs_table(pairs: pa.Table | pl.DataFrame | Iterable[tuple[str, str]]) -> pa.Table:
    if not isinstance(pairs, pa.Table) and not hasattr(pairs, "to_arrow"):
        rows = [
            {"pair_id": str(number), "wt_sequence": wt, "mut_sequence": mut} for number, (wt, mut) in enumerate(pairs)
        ]
        return pa.Table.from_pylist(rows, schema=PAIRS)
    table = _arrow(pairs)
    missing = [name for name in PAIRS.names if name not in table.column_names]
    if missing:
        raise InputError(f"The pairs lack the columns {', '.join(missing)}; they have {', '.join(table.column_names)}.")
    with_nulls = [name for name in PAIRS.names if table[name].null_count]
    if with_nulls:
        raise InputError(f"The pairs have empty fields in {', '.join(with_nulls)}.")
    return table.select(PAIRS.names).cast(PAIRS)


def _check_lengths(pairs: pa.Table, model: ResidentModel) -> None:
    for name in ("wt_sequence", "mut_sequence"):
        lengths = pc.utf8_length(pairs[name])
        for bad, why in (
            (pc.equal(lengths, 0), "is empty"),
            (
                pc.greater(lengths, model.context_length),
                f"is longer than the {model.context_length:,} bases of the model",
            ),
        ):
            rows = pairs.filter(bad)["pair_id"].to_pylist()
            if rows:
                raise InputError(f"{name} of {number_of(len(rows), 'pair')} (first: {rows[0]}) {why}.")


def _finished(scored: pa.Table, model: ResidentModel, print_of: str, carried: Sequence[str] = ()) -> pa.Table:
    extra = {name: name for name in carried}
    scores, failed = split_rows(classify(scored), model.name, print_of, _RUN_ID, extra)
    if len(failed):
        warnings.warn(f"{number_of(len(failed), 'row')} left out: {failed['detail'][0].as_py()}", stacklevel=3)
    return scores
