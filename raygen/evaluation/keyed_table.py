"""Any table of variants as a frame with one key a row, so that scores and labels of different makers can be joined.

In: a run's folder, Parquet (files or folders), CSV or TSV (plain or gzip), VCF or BCF. Out: a polars frame with ``key``,
``variant_type`` and the columns asked for.

The key is contig, position, REF and ALT after the bases that both alleles share were taken off; ``chr`` is dropped, the
mitochondrion's names are one and PLINK's codes are what they stand for (``23`` to ``26`` only with a reference). With a reference, REF is checked and indels are left-aligned first, exactly as ``ingest`` does;
without one an indel in a repeat joins only where both tables write it in the same place. A run's folder is normalised already.
A table without coordinates is known by ``variant_id`` or ``pair_id``, taken as it is.

Files of one folder whose types of a column differ are read with the wider one (see carried_types.py). Where neither is, and in a
run's folder always, because its files have one type each, they are refused: Arrow would read text as numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from raygen.errors import InputError, SettingsError, first_line
from raygen.remote import resolve
from raygen.sequence.reference import Reference
from raygen.tables.carried_types import carried_as, is_as_wide, widened
from raygen.tables.fingerprints import no_scores, tables_inside
from raygen.tables.identity import refuse_other_types
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import Reason
from raygen.variants.alleles import RAW_ALLELES, SOURCE_PREFIX, AlleleBatch
from raygen.variants.assembly import AssemblyWatch
from raygen.variants.check import AlleleChecker
from raygen.variants.contig_names import name_without_reference
from raygen.variants.file_kinds import VCF_ENDINGS, kind_of
from raygen.variants.folder_contents import partitions_of
from raygen.variants.normalise import trim
from raygen.variants.parquet import as_utf8
from raygen.variants.vcf import VcfReader

KnownBy = Literal["variant", "id"]

_COORDINATES = {
    "chrom": ("chrom", "#chrom", "chromosome", "chr"),
    "pos": ("pos", "position"),
    "ref": ("ref", "reference", "reference_allele"),
    "alt": ("alt", "alternate", "alternate_allele"),
}
_IDS = ("variant_id", "pair_id")
_TEXT_SUFFIXES = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_NOTHING = ["", ".", "NA", "N/A", "NaN", "nan", "null"]
_LONGEST_ALLELE = 1_000_000
_BATCH_ROWS = 131_072
_WITHOUT_COORDINATES = "no usable chrom, pos, ref or alt"


@dataclass
class KeyedTable:
    """The rows of a table that have a key, and how many have none.

    Attributes:
        frame: ``key`` string, ``variant_type`` (null where there are no coordinates), then the columns asked for.
        name: the file's name without its folders.
        num_rows: rows of the table before anything was left out.
        unusable: rows without a key, by reason.
        num_indels: rows whose key can depend on the alignment.
        warnings: sentences on what of the table is likely from another assembly.
    """

    name: str
    frame: pl.DataFrame
    num_rows: int
    unusable: Counter[str] = field(default_factory=Counter)
    num_indels: int = 0
    warnings: list[str] = field(default_factory=list)


class TableSource:
    """One table of variants, looked at and not read yet: its columns, and what its rows can be joined by.

    Raises:
        InputError: ``path`` does not exist, is none of the kinds that can be read, or is a run's folder without scores.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_run = _is_run_folder(path)
        if "://" not in path and not Path(path).exists():
            raise InputError(f"No such file or folder: {path}.")
        self._vcf: VcfReader | None = None
        self._text: pl.DataFrame | None = None
        self._dataset: ds.Dataset | None = None
        if self.is_run:
            self._dataset = RunFolder(path).scores_dataset()
            if not isinstance(self._dataset, ds.FileSystemDataset):
                raise no_scores(path)
        elif _is_vcf(path):
            self._vcf = VcfReader(Path(path), Path(path).name)
        elif separator := _separator(path):
            self._text = _read_text(path, separator)
        elif inside := tables_inside(path):
            raise no_scores(path, inside)
        else:
            self._dataset = _parquet(path)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that can be read."""
        if self._vcf is not None:
            return list(self._vcf.columns)
        if self._text is not None:
            return self._text.columns
        assert self._dataset is not None
        return list(self._dataset.schema.names)

    @property
    def known_by(self) -> list[KnownBy]:
        """What the table's rows can be joined by, the better way first.

        Raises:
            InputError: the table has neither coordinates nor ids.
        """
        ways: list[KnownBy] = []
        if self._vcf is not None or all(self._find(names) for names in _COORDINATES.values()):
            ways.append("variant")
        if self._vcf is None and self._find(_IDS):
            ways.append("id")
        if not ways:
            raise InputError(
                f"{self.path} has neither chrom, pos, ref and alt nor variant_id. Its columns: {', '.join(self.columns)}."
            )
        return ways

    def read(
        self,
        columns: Sequence[str],
        known_by: KnownBy,
        reference: Reference | None = None,
        only: pl.Series | None = None,
    ) -> KeyedTable:
        """Read these columns of the table, with a key for each row.

        Args:
            reference: to check REF and to left-align by; not used for a run's folder, whose variants are normalised.
            only: keys to keep; a table of any size then takes no more memory than they do.

        Raises:
            InputError: the table is of another assembly than the reference, or broken.
        """
        checker = AlleleChecker(reference, _LONGEST_ALLELE) if reference and not self.is_run else None
        watch = AssemblyWatch(checker, [self._vcf] if self._vcf else []) if checker else None
        table = KeyedTable(Path(self.path).name or self.path, pl.DataFrame(), 0)
        parts = []
        for rows in self._batches(columns, known_by):  # at least one, so that the columns are there
            table.num_rows += rows.num_rows
            frame = _by_id(rows) if known_by == "id" else _by_variant(rows, checker, table)
            if watch:
                watch.after_batch()
            parts.append(frame if only is None else frame.filter(pl.col("key").is_in(only.implode())))
        if watch:
            watch.after_file(self._vcf)
            table.warnings += [f"{table.name}: {warning}" for warning in watch.doubtful_contigs()]
        table.frame = pl.concat(parts).rename({SOURCE_PREFIX + name: name for name in columns}, strict=False)
        return table

    def _find(self, names: Sequence[str]) -> str | None:
        return next((name for name in self.columns if name.lower() in names), None)

    def _batches(self, columns: Sequence[str], known_by: KnownBy) -> Iterator[pa.Table]:
        """The table's rows in the form of ``RAW_ALLELES`` with ``source.NAME`` columns; known by id, ``id`` holds it."""
        if self._vcf is not None:
            yield from (batch.table for batch in self._vcf.batches(columns))
            return
        key_columns = self._own_names(known_by)
        names = list(dict.fromkeys([*key_columns.values(), *columns]))
        for rows in self._raw_batches(names):
            yield _as_alleles(rows, key_columns, columns, self.path)

    def _own_names(self, known_by: KnownBy) -> dict[str, str]:
        if known_by == "id":
            return {"id": self._find(_IDS) or ""}
        return {name: self._find(names) or "" for name, names in _COORDINATES.items()}

    def _raw_batches(self, columns: list[str]) -> Iterator[pa.Table]:
        """The table's rows, ``_BATCH_ROWS`` at a time; of a table without rows one batch, which has its columns."""
        try:
            if self._text is not None:
                chosen = self._text.select(columns)
                for start in range(0, max(len(chosen), 1), _BATCH_ROWS):
                    yield chosen.slice(start, _BATCH_ROWS).to_arrow()
            else:
                dataset = self._dataset_of_one_type(columns)
                yield pa.schema([dataset.schema.field(name) for name in columns]).empty_table()
                for batch in dataset.to_batches(columns=columns, batch_size=_BATCH_ROWS):
                    if batch.num_rows:
                        yield pa.Table.from_batches([as_utf8(batch)[0]])
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path} cannot be read: {first_line(error)}.") from error

    def _dataset_of_one_type(self, columns: Sequence[str]) -> ds.Dataset:
        """The Parquet files as one table whose types hold the values of these columns in every file."""
        assert isinstance(self._dataset, ds.FileSystemDataset)
        schema, fragments = self._dataset.schema, list(self._dataset.get_fragments())
        for fragment in fragments:
            of_file = pa.schema([column for column in fragment.physical_schema if column.name in columns])
            if self.is_run:
                refuse_other_types(fragment.path, of_file, schema)
            else:
                schema = _widened(schema, of_file, fragment.path)
        return ds.FileSystemDataset(fragments, schema, self._dataset.format, self._dataset.filesystem)


def _widened(schema: pa.Schema, of_file: pa.Schema, path: str) -> pa.Schema:
    """The schema with types as wide as those of a file's columns."""
    for column in of_file:
        place = schema.get_field_index(column.name)
        before = schema.field(place).type
        if is_as_wide(before, column.type):
            continue
        types = carried_as(before), carried_as(column.type)
        wider = None if None in types else widened(*types)
        if wider is None:
            raise InputError(
                f"{path} cannot be read as one table with the files before it: {column.name} is {column.type} there and {before} "
                "before, and neither type holds the values of the other. Make the types equal."
            )
        schema = schema.set(place, pa.field(column.name, wider))
    return schema


def _is_run_folder(path: str) -> bool:
    """Whether a path is a run's folder. A run of which all rows were rejected has no scores/, and its rejects are none."""
    if "://" in path:
        return not path.endswith(".parquet")
    return any((Path(path) / part).is_dir() for part in ("scores", "rejects", "runs"))


def _separator(path: str) -> str | None:
    name = path.lower().removesuffix(".gz").removesuffix(".bgz")
    return next((separator for suffix, separator in _TEXT_SUFFIXES.items() if name.endswith(suffix)), None)


def _read_text(path: str, separator: str) -> pl.DataFrame:
    """Read a CSV or TSV; names of contigs, alleles and ids stay text, whatever they look like."""
    try:
        encoding: Literal["utf8-lossy"] = "utf8-lossy"  # a byte that is no UTF-8 is no reason to refuse the other rows
        head = pl.read_csv(
            path, separator=separator, n_rows=1, infer_schema=False, comment_prefix="##", encoding=encoding
        )
        as_text = [*_COORDINATES["chrom"], *_COORDINATES["ref"], *_COORDINATES["alt"], *_IDS]
        overrides = {name: pl.String for name in head.columns if name.lower() in as_text}
        return pl.read_csv(
            path,
            separator=separator,
            schema_overrides=overrides,
            null_values=_NOTHING,
            infer_schema_length=None,
            comment_prefix="##",
            encoding=encoding,
        )
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table: {first_line(error)}.") from error


def _is_vcf(path: str) -> bool:
    kind = kind_of(path)
    return kind in ("VCF", "BCF") or (kind is None and path.lower().endswith(VCF_ENDINGS))


def _parquet(path: str) -> ds.Dataset:
    """A file, or a folder as one table: what ``KEY=VALUE`` folders in it say is text, where its files have no such column."""
    filesystem, root = resolve(path.rstrip("/"))
    try:
        plain = ds.dataset(root, filesystem=filesystem, format="parquet")
        keys = dict.fromkeys(key for file in plain.files for key in partitions_of(file.removeprefix(f"{root}/")))
        fields = [pa.field(key, pa.string()) for key in keys if key not in plain.schema.names]
        if not fields or plain.files == [root]:
            return plain
        return ds.dataset(
            plain.files,
            filesystem=filesystem,
            format="parquet",
            schema=pa.schema([*plain.schema, *fields]),
            partitioning=ds.partitioning(pa.schema(fields), flavor="hive"),
            partition_base_dir=root,
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is no table that can be read. Give a run's folder, Parquet, CSV or TSV, or for labels a VCF or BCF."
        ) from error


def _as_alleles(rows: pa.Table, key_columns: dict[str, str], columns: Sequence[str], path: str) -> pa.Table:
    arrays = {}
    for name in ("chrom", "pos", "id", "ref", "alt"):
        arrow_type = RAW_ALLELES.field(name).type
        arrays[name] = (
            _cast(rows[key_columns[name]], arrow_type, f"{path}: the column {key_columns[name]}")
            if name in key_columns
            else pa.nulls(len(rows), arrow_type)
        )
    arrays |= {name: pa.nulls(len(rows), RAW_ALLELES.field(name).type) for name in ("record", "span", "fault")}
    table = pa.table({name: arrays[name] for name in RAW_ALLELES.names})
    for name in columns:
        table = table.append_column(SOURCE_PREFIX + name, rows[name])
    return table


def _cast(column: pa.ChunkedArray, arrow_type: pa.DataType, where: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return column.cast(arrow_type)
    except pa.ArrowException as error:
        expected = "whole numbers" if pa.types.is_integer(arrow_type) else "text"
        raise InputError(f"{where} has to hold {expected} and holds {_first_other(column, arrow_type)!r}.") from error


def _first_other(column: pa.ChunkedArray, arrow_type: pa.DataType) -> object:
    """The first value of a column that cannot be cast to this type."""
    for value in column:
        try:
            value.cast(arrow_type)
        except pa.ArrowException:
            return value.as_py()
    return str(column.type)


def _by_id(rows: pa.Table) -> pl.DataFrame:
    frame = _sources(rows)
    key = pl.Series("key", rows["id"].to_pylist(), pl.String)
    return frame.insert_column(0, key).insert_column(1, pl.Series("variant_type", [None] * len(key), pl.String))


def _by_variant(rows: pa.Table, checker: AlleleChecker | None, table: KeyedTable) -> pl.DataFrame:
    """The rows that have coordinates and alleles, with their key; the others are counted in ``table.unusable``."""
    if checker:
        checked = checker.check(AlleleBatch(rows, rows.num_rows), "table")
        table.unusable.update(reason.value for _, reason, _ in checked.refused)
        table.unusable.update([Reason.REFERENCE_BLOCK.value] * len(checked.blocks))
        names = pa.array(list(checker.contig_index)).take(pa.array(checked.contig))
        alleles = pa.table({"chrom": names, "pos": checked.pos, "ref": checked.ref, "alt": checked.alt})
        rows = rows.take(pa.array(checked.rows))
    else:
        usable = _usable(rows)
        num_rows, rows = rows.num_rows, rows.filter(usable)
        table.unusable.update({_WITHOUT_COORDINATES: num_rows - rows.num_rows})
        alleles = rows.select(["chrom", "pos", "ref", "alt"])
    keyed = _named(pl.DataFrame(alleles))
    table.num_indels += int((keyed["variant_type"] != "snv").sum())
    return pl.concat([keyed, _sources(rows)], how="horizontal")


def _usable(rows: pa.Table) -> pa.ChunkedArray:
    """(R,) Boolean: rows that can have a key without a reference: well-formed, alleles in bases, REF unlike ALT."""
    if not len(rows):
        return pa.chunked_array([pa.array([], pa.bool_())])
    usable = pc.and_(pc.is_null(rows["fault"]), pc.and_(pc.is_valid(rows["chrom"]), pc.is_valid(rows["pos"])))
    for name in ("ref", "alt"):
        usable = pc.and_(usable, pc.fill_null(pc.match_substring_regex(rows[name], "^[ACGTNacgtn]+$"), False))
    return pc.and_(usable, pc.fill_null(pc.not_equal(pc.utf8_upper(rows["ref"]), pc.utf8_upper(rows["alt"])), False))


def _named(alleles: pl.DataFrame) -> pl.DataFrame:
    """``key`` and ``variant_type`` of each row of alleles; single bases all at once, the others one by one."""
    chrom = pl.col("chrom").replace({name: name_without_reference(name) for name in alleles["chrom"].unique()})
    plain = alleles.select(chrom, "pos", pl.col("ref", "alt").str.to_uppercase())
    is_snv = (plain["ref"].str.len_bytes() == 1) & (plain["alt"].str.len_bytes() == 1)
    keyed = plain.select(
        pl.format("{}-{}-{}-{}", "chrom", "pos", "ref", "alt").alias("key"),
        pl.lit("snv").alias("variant_type"),
    )
    others = (~is_snv).arg_true()
    if not len(others):
        return keyed
    pairs = [_trimmed_name(*row) for row in plain[others].iter_rows()]
    keys, kinds = zip(*pairs, strict=True)
    return keyed.with_columns(keyed["key"].scatter(others, keys), keyed["variant_type"].scatter(others, kinds))


def _trimmed_name(chrom: str, pos: int, ref: str, alt: str) -> tuple[str, str]:
    start, ref, alt = trim(pos - 1, ref, alt)
    key = f"{chrom}-{start + 1}-{ref}-{alt}"
    if not ref or not alt:
        return key, "deletion" if ref else "insertion"
    if len(ref) == len(alt):
        return key, "snv" if len(ref) == 1 else "mnv"
    return key, "delins"


def _sources(rows: pa.Table) -> pl.DataFrame:
    names = [name for name in rows.column_names if name.startswith(SOURCE_PREFIX)]
    frame = pl.DataFrame(rows.select(names))
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(",") for name in lists)


def refuse_missing_columns(source: TableSource, columns: Sequence[str], setting: str) -> None:
    """Refuse columns that a table lacks; ``setting`` is the option that names them.

    Raises:
        SettingsError: the table lacks a column; the message lists those it has.
    """
    if missing := [name for name in columns if name not in source.columns]:
        shown = ", ".join(source.columns[:40])
        raise SettingsError(f"{setting}: {source.path} has no column {', '.join(missing)}. It has: {shown}.")
