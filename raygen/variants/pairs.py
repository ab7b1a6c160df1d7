"""PAIRS that can be scored: read a user's Parquet, take out what cannot be, write the rest in small row groups.

Sequences are long, so they are streamed; only the ids are kept, for duplicates.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, first_line
from raygen.tables.carried_types import carried_as
from raygen.tables.place import put_folder_in_place
from raygen.tables.schemas import PAIRS, REJECTS, Reason
from raygen.variants.alleles import NOT_UTF8
from raygen.variants.file_kinds import is_parquet
from raygen.variants.folder_contents import look_into
from raygen.variants.ingest import IngestResult
from raygen.variants.parquet import as_utf8, read_batches

_ROWS_AT_ONCE = 256


def ingest_pairs(inputs: Sequence[str], out: Path, context_length: int) -> IngestResult:
    """Check PAIRS and write those that can be scored to ``out/variants``, the others to ``out/rejects``.

    Args:
        inputs: Parquet files or folders of them, with pair_id, wt_sequence and mut_sequence.
        context_length: bases the model can read; longer sequences are rejected.

    Raises:
        InputError: no such file, not Parquet or corrupt, or columns are missing.
    """
    looks = [_parquet_files(Path(path)) for path in inputs]
    files = [file for some, _ in looks for file in some]
    for file in files:
        _check_columns(file)
    counts: dict[str, int] = {}
    num_rows = 0
    digest = hashlib.sha256()
    with put_folder_in_place(out) as scratch:
        with _part(scratch / "variants", PAIRS) as good, _part(scratch / "rejects", REJECTS) as bad:
            for scorable, rejected in _checked(files, context_length):
                num_rows += len(scorable) + len(rejected)
                for reason in rejected["reason"].to_pylist():
                    counts[reason] = counts.get(reason, 0) + 1
                for row in scorable.to_pylist():
                    digest.update("\t".join(row.values()).encode())
                good.write_table(scorable)
                bad.write_table(rejected)
        shutil.rmtree(out, ignore_errors=True)
    return IngestResult(
        num_records=num_rows,
        num_alleles=num_rows,
        num_variants=num_rows - sum(counts.values()),
        rejects=counts,
        warnings=[remark for _, remarks in looks for remark in remarks],
        variants_dir=out / "variants",
        rejects_dir=out / "rejects",
        digest=digest.hexdigest(),
    )


def _part(folder: Path, schema: pa.Schema) -> pq.ParquetWriter:
    folder.mkdir()
    return pq.ParquetWriter(folder / "part-00000.parquet", schema, compression="zstd", write_page_checksum=True)


def _parquet_files(path: Path) -> tuple[list[Path], list[str]]:
    """The files to read at a path, and sentences on what else lies in a folder there."""
    if not path.exists():
        raise InputError(f"No such file or folder: {path}.")
    if not path.is_dir():
        return [path], []
    contents = look_into(path)
    files = [name for name in contents.inputs if is_parquet(path / name)]
    others = [name for name in contents.inputs if name not in files]
    remarks = replace(contents, passed_over=[*contents.passed_over, *others]).remarks(path, "Parquet")
    if not files:
        raise InputError(" ".join([f"{path} holds no Parquet files to read.", *remarks]))
    return [path / name for name in files], remarks


def _check_columns(file: Path) -> None:
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{file} cannot be read as Parquet: {first_line(error)}.") from error
    faults = [f"{name} is missing" for name in PAIRS.names if name not in schema.names]
    faults += [
        f"{name} is {schema.field(name).type}, not a string"
        for name in PAIRS.names
        if name in schema.names and carried_as(schema.field(name).type) != pa.string()
    ]
    if faults:
        raise InputError(f"{file} does not hold pairs: {'; '.join(faults)}.")


def _checked(files: Sequence[Path], context_length: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    earlier_ids: set[str] = set()
    for file in files:
        row = 0
        for batch in read_batches(file, _ROWS_AT_ONCE, PAIRS.names):
            yield _split(batch, earlier_ids, f"{file.name}", row, context_length)
            row += batch.num_rows


def _split(
    batch: pa.RecordBatch, earlier_ids: set[str], source: str, offset: int, context_length: int
) -> tuple[pa.Table, pa.Table]:
    """Rows that can be scored, and rejects. ``earlier_ids`` are those of the rows before, and get those of this batch."""
    rejected = []
    keep = []
    batch, is_damaged = as_utf8(batch)
    table = pa.table([batch.column(name).cast(pa.string()) for name in PAIRS.names], PAIRS.names)
    for number, (row, has_other_bytes) in enumerate(zip(table.to_pylist(), is_damaged, strict=True)):
        pair_id = row["pair_id"]
        if has_other_bytes:
            fault: tuple[Reason, str] | None = Reason.MALFORMED_RECORD, NOT_UTF8
        elif pair_id in earlier_ids:
            fault = Reason.DUPLICATE, "this pair_id came before"
        else:
            fault = _fault(row, context_length)
        if pair_id is not None and not has_other_bytes:
            earlier_ids.add(pair_id)
        keep.append(fault is None)
        if fault is not None:
            place = {"source": f"{source}:{offset + number + 1}", "id": pair_id}
            rejected.append({**place, "reason": fault[0].value, "detail": fault[1]})
    scorable = table.filter(pa.array(keep, pa.bool_())).cast(PAIRS)
    return scorable, pa.Table.from_pylist(rejected, schema=REJECTS)


def _fault(row: dict[str, str | None], context_length: int) -> tuple[Reason, str] | None:
    """Why a pair cannot be scored, or None."""
    if not row["pair_id"]:
        return Reason.MALFORMED_RECORD, "no pair_id"
    for name in ("wt_sequence", "mut_sequence"):
        sequence = row[name]
        if not sequence:
            return Reason.MALFORMED_RECORD, f"{name} is empty"
        other = set(sequence.upper()) - set("ACGTN")
        if other:
            return Reason.NON_ACGT_ALLELE, f"{name} holds {', '.join(repr(letter) for letter in sorted(other))}"
        if len(sequence) > context_length:
            return Reason.OUT_OF_BOUNDS, f"{name} has {len(sequence):,} bases, the model reads {context_length:,}"
    return None
