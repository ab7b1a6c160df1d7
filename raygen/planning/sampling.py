"""How many records an input holds, and stretches of neighbours spread evenly over it, without reading all of it.

In: the paths a user gives. Out: how many records there are, and files to ingest. A small input is its own sample. Of a large
one each stretch is ``STRETCH_RECORDS`` consecutive records, taken where an even share of the records (of the bytes, in a VCF)
lies before it, so dense regions count as much as they weigh. Time is bounded: at 10^8 records as many lines are read as at
10^6.

Counts come from Parquet footers and from the index of a VCF; without an index from the bytes a record takes. Text and bgzip
VCFs are read from the middle; BCF and plain gzip cannot be. Tables without genotypes (``.pvar`` and the like) are small and quick to read:
they are read once, and of their alleles as many stretches kept as are needed, twice as far apart each time there are too many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pysam.bcftools

from raygen.disk_errors import disk_errors
from raygen.errors import InputError
from raygen.planning.bgzf_middle import OpenText
from raygen.variants.alleles import AlleleBatch
from raygen.variants.file_kinds import kind_to_read
from raygen.variants.inputs import InputFile, Inputs, open_readers
from raygen.variants.parquet import stored_names, with_partitions
from raygen.variants.split_ids import split_ids
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns

STRETCH = "RAYGEN_STRETCH"
"""Column of a sample's files: the number of the stretch, from 0."""
NUM_STRETCHES, STRETCH_RECORDS = 64, 1024
WHOLE_RECORDS = 100_000
"""An input of no more records is taken whole."""

_PROBES, _PROBE_RECORDS = (0.1, 0.5, 0.9), 20_000
_COUNTED_BYTES = 2 * 2**20  # so little is read whole, to count its lines
_LEAST_RECORD = 16  # bytes of a record in a compressed file that nobody can look into
_VCF_COLUMNS = 8  # genotypes are left behind
_DECLARED_STRETCH = f'##INFO=<ID={STRETCH},Number=1,Type=Integer,Description="stretch of a sample">\n'
_PVAR_HEADER = (
    "##fileformat=PVARv1.0\n",
    '##INFO=<ID=PR,Number=0,Type=Flag,Description="Provisional reference allele">\n',
    _DECLARED_STRETCH,
    "#CHROM\tPOS\tREF\tALT\tID\tINFO\n",
)


@dataclass(frozen=True)
class InputSample:
    """What to ingest in place of an input.

    Attributes:
        files: what to read; the input itself where it is small.
        num_records: records (VCF) or rows (Parquet) of the input, 0 where the sample is the whole of it.
        counted: where that number comes from, in words.
    """

    files: Inputs | tuple[InputFile, ...]
    num_records: int
    counted: str

    @property
    def is_whole(self) -> bool:
        """Whether the sample is the input itself."""
        return not self.num_records


def sample_input(found: Inputs, scratch: Path, columns: TableColumns = USUAL_COLUMNS) -> InputSample:
    """Count an input and take a sample of it.

    Args:
        scratch: a folder for the sample's files.
        columns: what the settings say of the columns of tables.

    Raises:
        InputError: a file is missing; a large file is BCF, plain gzip or an unsorted table.
    """
    files = [_open(file, columns) for file in found.files]
    total = sum(file.num_records for file in files)
    if total <= WHOLE_RECORDS:
        return InputSample(found, 0, "all of it read")
    for number in range(NUM_STRETCHES):
        file, fraction = _at(files, total * (number + 0.5) / NUM_STRETCHES)
        file.take(number, fraction)
    samples = tuple(
        InputFile(file.write(scratch / f"sample-{index}"), name=str(found.files[index].path))
        for index, file in enumerate(files)
        if file.num_stretches
    )
    return InputSample(samples, total, ", ".join(sorted({file.counted for file in files})))


def _open(file: InputFile, columns: TableColumns) -> _File:
    if not file.path.is_file():
        raise InputError(f"{file.path}: no such file.")
    kind = kind_to_read(file.path, are_columns_given=bool(columns))
    if kind == "Parquet":
        return _ParquetFile(file, columns)
    return _VcfFile(file.path) if kind in ("VCF", "BCF") else _SiteFile(file, columns)


def _at(files: Sequence[_File], record: float) -> tuple[_File, float]:
    """The file that holds a record of all, and the fraction of the file that lies before it."""
    for file in files:
        if record < file.num_records:
            return file, record / file.num_records
        record -= file.num_records
    return files[-1], 1.0


class _ParquetFile:
    """A user's table, or a file that ``raygen ingest`` wrote."""

    counted = "counted in Parquet footers"

    def __init__(self, file: InputFile, columns: TableColumns) -> None:
        self._columns = columns
        try:
            self._file = pq.ParquetFile(file.path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{file.path} cannot be read as Parquet; it may be truncated or another kind of file."
            ) from error
        self._path, self._partitions = file.path, file.partitions
        self.num_records = self._file.metadata.num_rows
        self._taken: list[pa.Table] = []

    @property
    def num_stretches(self) -> int:
        return len(self._taken)

    def take(self, number: int, fraction: float) -> None:
        rows = self._rows(min(int(fraction * self.num_records), max(self.num_records - STRETCH_RECORDS, 0)))
        chrom, pos = self._places(rows)
        steps = zip(zip(chrom, pos, strict=True), zip(chrom[1:], pos[1:], strict=True), strict=False)
        if any(
            contig == next_contig and (before or 0) > (after or 0) for (contig, before), (next_contig, after) in steps
        ):
            raise InputError(
                f"{self._path} is not sorted by chrom and pos, so a sample does not show how dense it is. "
                "`raygen ingest` makes a sorted table of it; plan on that."
            )
        self._taken.append(rows.append_column(STRETCH, pa.array([number] * len(rows), pa.int64())))

    def _places(self, rows: pa.Table) -> tuple[list[Any], list[Any]]:
        """Contigs and positions of rows; of ids that hold both, those of the ids."""
        names = stored_names(str(self._path), rows.column_names, self._columns)
        if not self._columns.id_column:
            return tuple(rows[names.get(name, name)].to_pylist() for name in ("chrom", "pos"))
        split = split_ids(rows[self._columns.id_column].combine_chunks().cast(pa.string()), self._columns.id_column)
        return split["chrom"].to_pylist(), split["pos"].cast(pa.int64()).to_pylist()

    def _rows(self, first: int) -> pa.Table:
        """``STRETCH_RECORDS`` rows from ``first`` on, of as few row groups as hold them."""
        groups: list[int] = []
        before = start = 0
        for index in range(self._file.num_row_groups):
            size = self._file.metadata.row_group(index).num_rows
            if before + size > first and before < first + STRETCH_RECORDS:
                start = start if groups else before
                groups.append(index)
            before += size
        rows = self._file.read_row_groups(groups).slice(first - start, STRETCH_RECORDS)
        return with_partitions(rows, self._partitions)

    def write(self, path: Path) -> Path:
        path = path.with_suffix(".parquet")
        with disk_errors(path.parent):
            pq.write_table(pa.concat_tables(self._taken), path)
        return path


class _SiteFile:
    """A file of sites alone, read once from end to end; its records are its alleles. The sample is a ``.pvar``, which can say of a REF that
    it is provisional.
    """

    counted = "counted by reading all sites"

    def __init__(self, file: InputFile, columns: TableColumns) -> None:
        [reader] = open_readers([file], columns)
        self.num_records, self.num_stretches = 0, 0
        self._kept: list[list[str]] = []
        self._taken: list[str] = []
        self._step = STRETCH_RECORDS
        for batch in reader.batches([]):
            self._keep(batch)

    def _keep(self, batch: AlleleBatch) -> None:
        """Keep a stretch of lines from each ``_step``-th allele on; every other one is dropped when there are too many."""
        size = batch.table.num_rows
        first = -self.num_records % self._step
        for start in range(first, size, self._step):
            self._kept.append(_pvar_lines(batch, start, min(start + STRETCH_RECORDS, size)))
        self.num_records += size
        while len(self._kept) > 4 * NUM_STRETCHES:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def take(self, number: int, fraction: float) -> None:
        lines = self._kept[int(fraction * len(self._kept))]
        self._taken += [f"{line}{STRETCH}={number}\n" for line in lines]
        self.num_stretches += 1

    def write(self, path: Path) -> Path:
        path = path.with_suffix(".pvar")
        with disk_errors(path.parent):
            path.write_text("".join([*_PVAR_HEADER, *self._taken]))
        return path


def _pvar_lines(batch: AlleleBatch, start: int, end: int) -> list[str]:
    """Alleles as lines of a ``.pvar``, up to what INFO says of the stretch."""
    rows = batch.table.slice(start, end - start)
    is_provisional = batch.has_provisional_ref
    marks = ["PR;" if is_provisional is not None and is_provisional[row] else "" for row in range(start, end)]
    columns = [rows[name].to_pylist() for name in ("chrom", "pos", "ref", "alt")]
    return [
        "\t".join(["." if value in (None, "") else str(value) for value in values]) + f"\t.\t{mark}"
        for mark, *values in zip(marks, *columns, strict=True)
    ]


class _VcfFile:
    """A VCF as text or bgzip; what cannot be read from its middle must be small."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: list[bytes] = []
        self._text: OpenText | None = None
        self.num_stretches = 0
        size = path.stat().st_size
        indexed = _indexed_records(path)
        if indexed is not None:
            self.num_records, self.counted = indexed, "counted by the index"
            return
        try:
            self.num_records, self.counted = self._guess(), "estimated from bytes a record, there is no index"
        except InputError:  # cannot be read from its middle: small enough to be read whole, or refused in ``take``
            self.num_records, self.counted = size // _LEAST_RECORD, "estimated from its size"

    def _guess(self) -> int:
        with OpenText(self._path) as text:
            if text.body_bytes <= _COUNTED_BYTES:
                return len(text.stretch(0, sys.maxsize).lines)
            records = [text.stretch(fraction, _PROBE_RECORDS) for fraction in _PROBES]
        lines, num_bytes = sum(len(stretch.lines) for stretch in records), sum(stretch.num_bytes for stretch in records)
        return round(text.body_bytes * lines / max(num_bytes, 1))

    def take(self, number: int, fraction: float) -> None:
        text = self._open_text()
        lines = text.stretch(fraction, STRETCH_RECORDS, apart=True).lines
        self._taken += [_shortened(line, number) for line in lines]
        self.num_stretches += 1

    def _open_text(self) -> OpenText:
        """The VCF as lines, kept open so that a stretch knows where the one before it ended."""
        self._text = self._text or OpenText(self._path)
        return self._text

    def write(self, path: Path) -> Path:
        path = path.with_suffix(".vcf")
        with self._open_text() as text, disk_errors(path.parent):
            path.write_bytes(b"".join([*_declared(text.header), *self._taken]))
        return path


_File = _ParquetFile | _VcfFile | _SiteFile


def _declared(header: Sequence[bytes]) -> Iterator[bytes]:
    *about, names = header
    yield from about
    yield _DECLARED_STRETCH.encode()
    yield b"\t".join(names.rstrip(b"\r\n").split(b"\t")[:_VCF_COLUMNS]) + b"\n"


def _shortened(line: bytes, number: int) -> bytes:
    """A record without genotypes that says which stretch it is of; what is no record stays as it is."""
    columns = line.rstrip(b"\r\n").split(b"\t", _VCF_COLUMNS)[:_VCF_COLUMNS]
    if len(columns) == _VCF_COLUMNS:
        info = b"" if columns[-1] in (b".", b"") else columns[-1] + b";"
        columns[-1] = info + f"{STRETCH}={number}".encode()
    return b"\t".join(columns) + b"\n"


def _indexed_records(path: Path) -> int | None:
    """Records by the index beside a VCF.gz or BCF; None without an index that knows."""
    if not any(Path(f"{path}{suffix}").exists() for suffix in (".csi", ".tbi")):
        return None
    try:
        return int(pysam.bcftools.index("-n", str(path)))
    except (pysam.SamtoolsError, ValueError):
        return None
