"""From the paths a user gives to readers: folders are searched, kinds told apart, source columns agreed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.tables.carried_types import CARRIED_KINDS, carried_as, widened
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, SCORES, VARIANTS
from raygen.variants.alleles import AlleleReader
from raygen.variants.parquet import ParquetReader
from raygen.variants.vcf import VcfReader

VCF_SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
PARQUET_SUFFIXES = (".parquet", ".pq")
_PARQUET_MAGIC = b"PAR1"


def open_readers(inputs: Sequence[str | Path]) -> list[AlleleReader]:
    """A reader for each input file, in order; a folder stands for the VCF, BCF and Parquet files in it, sorted by path.

    SettingsError where ``inputs`` is empty; InputError where a file is missing or of no kind that can be read.
    """
    if not inputs:
        raise SettingsError("No input was given. Name at least one VCF, BCF or Parquet file.")
    paths = input_files(inputs)
    times = Counter(path.name for path in paths)
    return [_reader(path, path.name if times[path.name] == 1 else str(path)) for path in paths]


@dataclass(frozen=True)
class DeclaredColumns:
    """The columns that a table has from earlier inputs, with their types; ``name`` is how messages call the table."""

    name: str
    columns: Mapping[str, pa.DataType]


def agree_on_columns(
    readers: Sequence[AlleleReader], source_columns: Sequence[str], declared: DeclaredColumns | None = None
) -> dict[str, pa.DataType]:
    """The type of each source column: the widest of the inputs that have it and of ``declared`` (see ``carried_types``).

    SettingsError for a column that no input has or that the table already has; InputError where a column cannot be carried,
    or where no type holds the values of two inputs.
    """
    reserved_names = {*VARIANTS.names, *SCORES.names, HAPLOTYPE_MEMBERS}
    if faults := [name for name in source_columns if name in reserved_names]:
        raise SettingsError(
            f"source_columns or haplotype_column: {_listed(faults)} is a name of raygen's own tables. Rename the column in the input."
        )
    if repeated := [name for name, times in Counter(source_columns).items() if times > 1]:
        raise SettingsError(f"source_columns names {_listed(repeated)} twice.")
    available = {name for reader in readers for name in reader.columns}
    if missing := [name for name in source_columns if name not in available]:
        raise SettingsError(
            f"source_columns or haplotype_column: no input has {_listed(missing)}. "
            f"There are: {_listed(sorted(available)) or 'none'}."
        )
    _refuse_not_carried(readers, source_columns)
    sources: list[AlleleReader | DeclaredColumns] = [*([declared] if declared else []), *readers]
    return {name: _agreed_type(sources, name) for name in source_columns}


def _refuse_not_carried(readers: Sequence[AlleleReader], source_columns: Sequence[str]) -> None:
    faults = [
        f"{name} of {reader.name} is {reader.columns[name]}"
        for reader in readers
        for name in source_columns
        if name in reader.columns and carried_as(reader.columns[name]) is None
    ]
    if faults:
        raise InputError(
            f"Some source columns cannot be carried: {'; '.join(faults)}. Carried are {CARRIED_KINDS}; put what you need "
            "of such a column into one of its own."
        )


def _agreed_type(sources: Sequence[AlleleReader | DeclaredColumns], name: str) -> pa.DataType:
    having = [(source.name, carried_as(source.columns[name])) for source in sources if name in source.columns]
    (widest_in, widest), *others = having
    for source, arrow_type in others:
        assert widest is not None and arrow_type is not None, "columns that cannot be carried were refused"
        wider = widened(widest, arrow_type)
        if wider is None:
            raise InputError(
                f"Column {name!r} is {widest} in {widest_in} and {arrow_type} in {source}, and neither type holds the "
                "values of the other. Make the types equal, or keep the two apart: each in an output folder of its own."
            )
        widest_in, widest = (source, wider) if wider != widest else (widest_in, widest)
    assert widest is not None
    return widest


def input_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Every file that the inputs stand for, in order: a file for itself, a folder for what can be read in it."""
    return [file for path in inputs for file in _files_of(Path(path))]


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.name.endswith((*VCF_SUFFIXES, *PARQUET_SUFFIXES))
        and not _is_hidden(file.relative_to(path))
        and file.is_file()
    )
    if not files:
        raise InputError(f"{path} is a folder without any {', '.join((*VCF_SUFFIXES, *PARQUET_SUFFIXES))} file.")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _reader(path: Path, name: str) -> AlleleReader:
    if path.name.endswith(PARQUET_SUFFIXES) or _starts_like_parquet(path):
        return ParquetReader(path, name)
    return VcfReader(path, name)


def _starts_like_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _PARQUET_MAGIC
    except OSError:
        return False  # the VCF reader says what is wrong with it


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
