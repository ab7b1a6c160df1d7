"""From the paths a user gives to readers: folders are searched, kinds told apart, source columns agreed on.

A folder of Parquet may be partitioned as Hive does it: what ``KEY=VALUE`` folders below the one that was given say is a column of
their files, unless these have it themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from raygen.errors import InputError, SettingsError
from raygen.tables.carried_types import CARRIED_KINDS, carried_as, widened
from raygen.tables.schemas import HAPLOTYPE_MEMBERS, REF_SWAPPED, SCORES, VARIANTS
from raygen.variants.alleles import AlleleReader
from raygen.variants.bgi import BgiReader
from raygen.variants.delimited import DelimitedReader
from raygen.variants.file_kinds import KINDS, kind_to_read
from raygen.variants.folder_contents import FolderContents, look_into, partitions_of
from raygen.variants.parquet import ParquetReader
from raygen.variants.pvar import PvarReader
from raygen.variants.table_columns import USUAL_COLUMNS, TableColumns
from raygen.variants.vcf import VcfReader


@dataclass(frozen=True)
class InputFile:
    """A file to read, and what the folders say that it lies in.

    Attributes:
        name: how messages call it, for a file that stands for another one; None for its own name.
    """

    path: Path
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True)
class Inputs:
    """What a user's paths stand for, looked at once: a large folder takes a while.

    Attributes:
        paths: files and folders as they were given.
        files: what is read, in order.
        remarks: sentences on what lies in the folders and is not read.
    """

    paths: Sequence[str | Path]
    files: Sequence[InputFile]
    remarks: Sequence[str] = ()


def open_readers(inputs: Sequence[str | Path | InputFile], columns: TableColumns = USUAL_COLUMNS) -> list[AlleleReader]:
    """A reader for each input file, in order; a folder stands for the files of variants in it, sorted by path.

    SettingsError where ``inputs`` is empty; InputError where a file is missing or of no kind that can be read. ``columns``: what
    the settings say of the columns of tables.
    """
    if not inputs:
        raise SettingsError(f"No input was given. Name at least one file of {KINDS}.")
    files = input_files(inputs)
    times = Counter(file.path.name for file in files)
    return [
        _reader(file, columns, file.name or (file.path.name if times[file.path.name] == 1 else str(file.path)))
        for file in files
    ]


def explained(inputs: Inputs, columns: TableColumns = USUAL_COLUMNS) -> list[str]:
    """A line for each input file, what it was recognised as and how its columns are taken, and sentences on what is not read.

    Raises:
        InputError: as ``open_readers``.
    """
    lines = []
    for reader in open_readers(inputs.files, columns):
        carried = _listed(sorted(name for name, kind in reader.columns.items() if carried_as(kind) is not None))
        could = f"; could be carried: {carried}" if carried else ""
        lines.append(f"{reader.name}: {reader.recognised}{could}")
    return [*lines, *inputs.remarks]


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
    reserved_names = {*VARIANTS.names, *SCORES.names, HAPLOTYPE_MEMBERS, REF_SWAPPED}
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


def find_inputs(inputs: Sequence[str | Path | InputFile]) -> Inputs:
    """Look at the inputs: a file stands for itself, a folder for what can be read in it.

    InputError where a folder has nothing to read.
    """
    paths = [path.path if isinstance(path, InputFile) else path for path in inputs]
    found = [_found(path) for path in inputs]
    return Inputs(paths, [file for files, _ in found for file in files], [text for _, texts in found for text in texts])


def _found(path: str | Path | InputFile) -> tuple[list[InputFile], list[str]]:
    """The files to read at a path, and sentences on what else lies there."""
    if isinstance(path, InputFile):
        return [path], []
    path = Path(path)
    if not path.is_dir():
        return [InputFile(path)], []
    contents = look_into(path)
    if not contents.inputs:
        raise _nothing_in(path, contents)
    return [InputFile(path / name, partitions_of(name)) for name in contents.inputs], contents.remarks(path)


def input_files(inputs: Sequence[str | Path | InputFile]) -> Sequence[InputFile]:
    """Every file that the inputs stand for, in order."""
    return find_inputs(inputs).files


def _nothing_in(path: Path, contents: FolderContents) -> InputError:
    sentences = [f"{path} is a folder without any file of variants to read: {KINDS}.", *contents.remarks(path)]
    if "scores" in contents.outputs:
        sentences.append(f"To score the variants of a finished run again, give {path}/scores.")
    return InputError(" ".join(sentences))


_SITES_OF = {".bgen": ".bgen.bgi", ".pgen": ".pvar"}
"""Files of genotypes, and the end of the name of the file beside them that has their sites."""


def _reader(file: InputFile, columns: TableColumns, name: str) -> AlleleReader:
    if beside := _SITES_OF.get(file.path.suffix.lower()):
        raise InputError(f"{file.path} holds genotypes. Give the file of its sites, {file.path.stem}{beside}.")
    kind = kind_to_read(file.path, are_columns_given=bool(columns))
    if kind == "Parquet":
        return ParquetReader(file.path, name, file.partitions, columns)
    if kind in ("pvar", "bim"):
        return PvarReader(file.path, name, is_bim=kind == "bim")
    if kind == "bgi":
        return BgiReader(file.path, name)
    if kind == "table":
        return DelimitedReader(file.path, name, columns)
    return VcfReader(file.path, name)


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
