"""The Python interface: load a model and score pairs or variants in a notebook, without Ray."""

from __future__ import annotations

import numbers
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.classes.classify import classify, split_rows
from raygen.disk_errors import disk_errors
from raygen.errors import InputError, SettingsError
from raygen.home import expanded
from raygen.number_of import is_whole, number_of
from raygen.scoring.effects import names_on_strands
from raygen.scoring.fingerprint import fingerprint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows, strands_read
from raygen.scoring.scorer import PairScorer, VariantScorer
from raygen.sequence.reference import open_reference, refuse_unknown_contigs
from raygen.sequence.window_choices import refuse_longer_window, usual_length
from raygen.sequence.windows import Window
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, PAIRS, variant_ids
from raygen.variants.assembly import MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE
from raygen.variants.ingest import ingest
from raygen.variants.parquet import is_text, plain

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl

__all__ = ["Window", "load_model", "score_pairs", "score_variants"]

_RUN_ID = "interactive"
_ROWS_AT_ONCE = 4096
_INPUT_ROW = "raygen_input_row"
_ALLELES = ("chrom", "pos", "ref", "alt")


def score_pairs(
    model: ResidentModel,
    pairs: pa.Table | pl.DataFrame | pd.DataFrame | Iterable[tuple[str, str]],
    method: Literal["fork", "pair"] = "fork",
    extra_columns: str | Sequence[str] = (),
) -> pa.Table:
    """Score wild-type/mutant pairs of sequences.

    Args:
        pairs: a PAIRS table (Arrow, polars or pandas), or (WT, MUT) tuples, whose ids are then their numbers from 0.
        extra_columns: what the same passes say beside the score, null where there is nothing to say. ``site_llr``: ln P(alt) −
            ln P(ref) at the base, of a single substitution; ``entropy``: of the four bases at the first one that differs;
            ``jsd``: mean Jensen-Shannon divergence of WT's and MUT's predictions of the bases after the variant; ``peak``,
            ``peak_offset``: the largest change of a base's log-likelihood, and where. Nats, and bases.

    Returns:
        A table with the SCORES columns, in the order of the pairs; ``variant_id`` is the pair's id.

    Raises:
        InputError: a pair has an empty sequence, or one longer than the model's context; a column is missing or no text.
        SettingsError: the pairs are neither a table nor (WT, MUT) tuples, or there is no such method or column.
    """
    extra_columns = _each_once(extra_columns)
    table = _pairs_table(pairs)
    _check_lengths(table, model)
    scored = PairScorer(model, method, extra_columns=extra_columns).score(table)
    return _finished(
        scored, model, fingerprint(model.loaded.facts, None, "forward"), names_on_strands(extra_columns, 1)
    )


def score_variants(
    model: ResidentModel,
    variants: pa.Table | pl.DataFrame | pd.DataFrame | str | Path,
    reference: str | Path,
    method: Literal["fork", "pair"] = "fork",
    strand: Literal["forward", "reverse", "both"] = "forward",
    window: Window | None = None,
    circular: str | Sequence[str] = (),
    haplotype_column: str | None = None,
    max_mismatch_share: float = MAX_MISMATCH_SHARE,
    max_unknown_share: float = MAX_UNKNOWN_SHARE,
    extra_columns: str | Sequence[str] = (),
) -> pa.Table:
    """Score variants against a reference, normalised and checked as ``raygen ingest`` does.

    Args:
        variants: a table (Arrow, polars or pandas) with chrom, pos, ref and alt, or the path of a VCF, BCF or Parquet.
        reference: a FASTA, plain, gzip or bgzip.
        window: default half of the model's context on each side, of at most 8,192 bases.
        circular: contigs without ends.
        haplotype_column: names the haplotype of an allele. Each haplotype of two or more members is one more row, with the
            flag ``haplotype``; the column and ``haplotype_members`` follow those of SCORES.
        max_mismatch_share: of a contig's REF alleles; more that differ from the reference are another assembly's.
        max_unknown_share: of a file's alleles; more on contigs that the reference lacks are another assembly's. 1 scores the
            rest alone, e.g. of a genome on the FASTA of one chromosome.
        extra_columns: of ``site_llr``, ``entropy``, ``jsd``, ``peak`` and ``peak_offset``, which follow (see ``score_pairs``); with
            both strands the first two also under ``_fwd`` and ``_rev``.

    Returns:
        A table with the SCORES columns: a table's variants in their order, a file's by contig and position. Alleles that
        cannot be scored are left out, and a warning counts them by reason; ``raygen ingest`` lists them.

    Raises:
        InputError: the variants or the reference cannot be read, or do not belong together.
        SettingsError: a method, strand, window, share or contig that there is not.
    """
    half = usual_length(model.context_length) // 2
    window = Window(half, half) if window is None else _checked_window(window)
    _check_shares(max_mismatch_share=max_mismatch_share, max_unknown_share=max_unknown_share)
    circular, extra_columns = _each_once(circular), _each_once(extra_columns)
    refuse_longer_window(window, model.context_length, model.name)
    opened = open_reference(expanded(str(reference)))
    refuse_unknown_contigs(circular, opened, "circular", reference)
    scorer = VariantScorer(model, opened, strand, circular, method, extra_columns=extra_columns)
    with tempfile.TemporaryDirectory() as scratch:
        source, extra = _as_file(variants, Path(scratch), haplotype_column)
        with _named_as_given(source, extra):
            ingested = ingest(
                [source],
                opened,
                Path(scratch) / "ingested",
                source_columns=extra,
                haplotype_column=haplotype_column,
                max_haplotype_span=window.right,
                max_mismatch_share=max_mismatch_share,
                max_unknown_share=max_unknown_share,
            )
        normalised = pq.read_table(ingested.variants_dir)
    for remark in ingested.warnings:
        warnings.warn(remark, stacklevel=2)
    if ingested.rejects:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in ingested.rejects.items())
        warnings.warn(
            f"{sum(ingested.rejects.values()):,} of {number_of(ingested.num_alleles, 'allele')} left out: {counts}",
            stacklevel=2,
        )
    if _INPUT_ROW in normalised.column_names:
        normalised = normalised.sort_by(_INPUT_ROW)
    identified = normalised.append_column("variant_id", variant_ids(normalised))
    # Some thousand at a time: their windows are in memory as sequences while they are scored.
    pieces = [identified.slice(start, _ROWS_AT_ONCE) for start in range(0, max(len(identified), 1), _ROWS_AT_ONCE)]
    scored = pa.concat_tables([scorer.score(plan_windows(piece, opened, window, strand, circular)) for piece in pieces])
    carried = [haplotype_column, HAPLOTYPE_MEMBERS] if haplotype_column else []
    carried += names_on_strands(extra_columns, len(strands_read(strand)))
    return _finished(scored, model, fingerprint(model.loaded.facts, window, strand, circular), carried)


def _each_once(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names; one of them stands for a list of one."""
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _checked_window(window: Any) -> Window:
    if not isinstance(window, Window):
        raise SettingsError(f"window is {window!r}; give raygen.Window(left=..., right=...).")
    sizes = {"left": window.left, "right": window.right, "stride": window.stride}
    for name, size in sizes.items():
        if (size is not None or name != "stride") and not is_whole(size):
            raise SettingsError(f"window.{name} is {size!r}, not a whole number of bases.")
    stride = None if window.stride is None else int(window.stride)
    return Window(int(window.left), int(window.right), window.anchor, stride)


def _check_shares(**shares: Any) -> None:
    for name, share in shares.items():
        if not (isinstance(share, numbers.Real) and 0 <= float(share) <= 1):
            raise SettingsError(f"{name} is {share!r}, not a share from 0 to 1.")


# Variants -----------------------------------------------------------------------------------------------------------


def _as_file(variants: Any, scratch: Path, haplotype_column: str | None) -> tuple[Path, list[str]]:
    """Variants as a file that ingest reads, and the columns it has to carry: a table's rows remember their place."""
    if isinstance(variants, str | Path):
        return Path(expanded(str(variants))), []
    if haplotype_column == _INPUT_ROW:
        raise SettingsError(f"haplotype_column is {_INPUT_ROW}, which is used for something else: rename the column.")
    needed = [*_ALLELES, haplotype_column] if haplotype_column else _ALLELES
    table = _alleles(_arrow(variants, "variants", needed, others=["id"]))
    path = scratch / "table.parquet"
    with disk_errors(scratch):
        pq.write_table(table.append_column(_INPUT_ROW, pa.array(range(len(table)), pa.int64())), path)
    return path, [_INPUT_ROW]


def _alleles(table: pa.Table) -> pa.Table:
    """The table with contigs as text: frames guess 7 to be a number."""
    if pa.types.is_integer(plain(table["chrom"].type)):
        table = _with_column(table, "chrom", table["chrom"].cast(pa.string()))
    if not len(table):  # then a frame does not know what its columns would hold
        types = {name: pa.int64() if name == "pos" else pa.string() for name in _ALLELES}
        return pa.table({name: pa.nulls(0, types.get(name, table[name].type)) for name in table.column_names})
    return table


def _with_column(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


@contextmanager
def _named_as_given(source: Path, extra: Collection[str]) -> Iterator[None]:
    """Errors call settings as the arguments are called, and do not name the file that a table in memory was written to."""
    try:
        yield
    except (InputError, SettingsError) as error:
        message = str(error).replace("input.max_", "max_")
        if extra:
            message = message.replace(str(source), "the table").replace(source.name, "the table")
            message = message.replace("the table", "The table", message.startswith("the table"))
        raise type(error)(message) from None


# Tables -------------------------------------------------------------------------------------------------------------


def _is_table(value: Any) -> bool:
    return isinstance(value, pa.RecordBatch) or any(
        hasattr(value, name) for name in ("to_arrow", "__arrow_c_stream__", "iloc", "collect")
    )


def _arrow(table: Any, noun: str, needed: Sequence[str], others: Sequence[str] = ()) -> pa.Table:
    """The columns ``needed``, and those of ``others`` that are there, of an Arrow table, a polars or a pandas frame.

    Raises:
        SettingsError: it is no table.
        InputError: a column is missing, is there twice, or holds what Arrow cannot hold.
    """
    is_pandas = hasattr(table, "iloc") and hasattr(table, "columns")
    frame = table if is_pandas else _whole(table)
    names = [str(name) for name in frame.columns] if is_pandas else frame.column_names
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(f"The {noun} lack the columns {', '.join(missing)}; they have {', '.join(names) or 'none'}.")
    columns = [name for name in dict.fromkeys([*needed, *others]) if name in names]
    repeated = [name for name in columns if names.count(name) > 1]
    if repeated:
        raise InputError(f"The {noun} have the columns {', '.join(repeated)} more than once.")
    if not is_pandas:
        return frame.select(columns)
    try:  # pandas columns can hold anything
        return pa.Table.from_pandas(table[columns], preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"The {noun} cannot be read: {': '.join(map(str, error.args))}.") from None


def _whole(table: Any) -> pa.Table:
    if hasattr(table, "collect"):
        raise SettingsError(f"A {type(table).__name__} has not been read yet: give what its collect() returns.")
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    arrow_table = table.to_arrow() if hasattr(table, "to_arrow") else table
    if not isinstance(arrow_table, pa.Table) and hasattr(arrow_table, "__arrow_c_stream__"):
        try:
            arrow_table = pa.table(arrow_table)
        except (pa.ArrowException, TypeError, ValueError):
            arrow_table = None  # a stream of one column
    if not isinstance(arrow_table, pa.Table):
        raise SettingsError(f"Give an Arrow table, a polars or a pandas frame, not {type(table).__name__}.")
    return arrow_table


# Pairs --------------------------------------------------------------------------------------------------------------


def _pairs_table(pairs: Any) -> pa.Table:
    if isinstance(pairs, str | bytes | Path):
        raise SettingsError(
            f"Give pairs, not {type(pairs).__name__}: a file is read with pyarrow.parquet.read_table, and one pair is "
            "[(wt, mut)]."
        )
    if _is_table(pairs):
        return _pairs_of_table(_arrow(pairs, "pairs", PAIRS.names))
    if isinstance(pairs, Mapping) or not isinstance(pairs, Iterable):
        raise SettingsError(
            f"Give (WT, MUT) tuples, or a table with {', '.join(PAIRS.names)}, not {type(pairs).__name__}."
        )
    rows = []
    for number, pair in enumerate(pairs):
        _check_pair(number, pair)
        rows.append({"pair_id": str(number), "wt_sequence": pair[0], "mut_sequence": pair[1]})
    return pa.Table.from_pylist(rows, schema=PAIRS)


def _check_pair(number: int, pair: Any) -> None:
    is_tuple = isinstance(pair, tuple | list)
    if is_tuple and len(pair) == 2 and all(isinstance(sequence, str) for sequence in pair):
        return
    description = f"a {type(pair).__name__}"
    if is_tuple:
        description = f"({', '.join(type(item).__name__ for item in pair)})"
    raise SettingsError(
        f"Pair {number} is {description}, not a tuple of two sequences (str). One pair alone is [(wt, mut)]."
    )


def _pairs_of_table(table: pa.Table) -> pa.Table:
    with_nulls = [name for name in PAIRS.names if table[name].null_count]
    if with_nulls:
        raise InputError(f"The pairs have empty fields in {', '.join(with_nulls)}.")
    wrong = [
        f"{name} is {table[name].type}, not string"
        for name in PAIRS.names
        if len(table)
        and not is_text(table[name].type)
        and not (name == "pair_id" and pa.types.is_integer(plain(table[name].type)))
    ]
    if wrong:
        raise InputError(f"The pairs cannot be scored: {'; '.join(wrong)}.")
    return pa.table([table[name].cast(pa.string()) for name in PAIRS.names], schema=PAIRS)


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
