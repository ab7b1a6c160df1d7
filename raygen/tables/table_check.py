"""What is checked of every table, whatever its rows are: files, identity, columns, rejects, and conservation.

In: a run's folder. Out: what was looked at, and its faults. What a row has to be says the check of its kind of table
(``ScoreCheck``, ``PositionCheck``).

Checksums are those of Parquet's pages (CRC-32), written with every file and compared with each byte of data that is read; they
need no list beside the files that could be lost or grow old. Files of earlier versions have none. Memory is that of one file
or one stretch of a contig at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import first_line
from raygen.number_of import number_of
from raygen.tables.accounts import ROLLED_BACK, Account, Accounts, RejectsIn, Shards, read_account
from raygen.tables.carried_types import other_types
from raygen.tables.damage import read_checked
from raygen.tables.identity import Identity, identity_of
from raygen.tables.layout import RunFolder, ScoreFile, shards_of
from raygen.tables.schemas import REJECTS, Reason

NUM_SHOWN = 3
"""Examples that a fault names."""


@dataclass(frozen=True)
class Fault:
    """Where in a table something is wrong, and a sentence about it."""

    where: str
    what: str


@dataclass
class Verification:
    """What was looked at in a table, and its faults. Of the ``num_runs`` manifests some may be of runs that were
    rolled back.
    """

    path: str
    num_files: int = 0
    num_rows: int = 0
    num_rejects: int = 0
    num_runs: int = 0
    num_rolled_back: int = 0
    faults: list[Fault] = field(default_factory=list)


class TableCheck(ABC):
    """One verification under way.

    Attributes:
        unit: what the runs' manifests count, and ``units_a_row``, how many of them a row is.
        most_rows: of a file that are read at a time, where a row group has no more.
        rows_of: rows of the table by the run that wrote them.
    """

    unit: ClassVar[str] = "row"
    units_a_row: ClassVar[int] = 1
    most_rows: ClassVar[int] = 1

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.identity: Identity | None = None
        self.rows_of: Counter[str] = Counter()
        self._verification = Verification(folder.path)
        self._carried: dict[str, pa.DataType] | None = None
        self._reasons: dict[RejectsIn, Counter[str]] = {}
        self._shards = Shards()

    @abstractmethod
    def columns_of(self, schema: pa.Schema) -> pa.Schema:
        """The columns that a file with this schema has to have."""

    @abstractmethod
    def check_rows(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check the rows of a file that follow position ``last``; returns the last position in them."""

    @abstractmethod
    def check_contig(self, chrom: str | None, paths: Sequence[str]) -> None:
        """Check what hangs on all readable files of a contig, after each was checked."""

    def check_file(self, file: ScoreFile, opened: pq.ParquetFile) -> None:  # noqa: B027 - not every kind has more to check
        """Check what a file says of itself beyond its columns and rows."""

    def run(self) -> Verification:
        """Look at everything."""
        files = self.folder.score_files()
        readable = [file for file in files if self._file(file)]
        for chrom in dict.fromkeys(file.chrom for file in readable):
            self.check_contig(chrom, [file.path for file in readable if file.chrom == chrom])
        for path in self.folder.reject_paths():
            self._rejects(path)
        self.conservation()
        self._verification.num_files = len(files)
        return self._verification

    def fault(self, where: str, message: str) -> None:
        """List a fault."""
        self._verification.faults.append(Fault(where, message))

    def count_if(self, file: ScoreFile, number: int, words: str) -> None:
        """List a fault of so many rows of a file where there are any."""
        if number:
            self.fault(file.path, f"{number_of(number, 'row')} {words}")

    def check_finite(self, file: ScoreFile, rows: pa.Table, name: str) -> None:
        """List a fault where numbers of a column are neither finite nor null."""
        num_finite = pc.sum(pc.is_finite(rows[name])).as_py() or 0
        self.count_if(file, len(rows) - rows[name].null_count - num_finite, f"whose {name} is not finite")

    def check_order(self, file: ScoreFile, pos: np.ndarray, last: int | None) -> int | None:
        """List a fault where positions do not ascend from ``last`` on, the last in the rows before; returns the last of all."""
        if not len(pos):
            return last
        if bool((pos[1:] < pos[:-1]).any()) or (last is not None and pos[0] < last):
            self.fault(file.path, "not sorted by pos")
        return int(pos[-1])

    def _file(self, file: ScoreFile) -> bool:
        """Check one file of the table; returns whether it could be read."""
        try:
            with self.folder.filesystem.open_input_file(file.path) as source:
                opened = pq.ParquetFile(source, page_checksum_verification=True)
                self._same_identity(file, opened.schema_arrow)
                if not self._same_columns(file, opened.schema_arrow):
                    return False
                self._same_carried(file, opened.schema_arrow)
                self._shards.add(shards_of(opened, file.shard))
                self.check_file(file, opened)
                last = None
                for groups in _groups_by_rows(opened.metadata, self.most_rows):
                    last = self._rows(file, opened.read_row_groups(groups), last)
        except (OSError, pa.ArrowException) as error:
            self.fault(file.path, f"cannot be read: {first_line(error)}")
            return False
        return True

    def _rows(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        if not len(rows):
            return last
        self._verification.num_rows += len(rows)
        for column in self.columns_of(rows.schema):
            if not column.nullable:
                self.count_if(file, rows[column.name].null_count, f"without {column.name}")
        return self.check_rows(file, rows, last)

    def _same_identity(self, file: ScoreFile, schema: pa.Schema) -> None:
        metadata = schema.metadata or {}
        names = [entry.name for entry in fields(Identity) if entry.name != "column_types"]
        absent = [name for name in names if f"raygen.{name}".encode() not in metadata and name != "embeddings"]
        if absent:
            return self.fault(file.path, f"was not written by raygen: it does not say {', '.join(absent)}")
        identity = identity_of(schema)
        declared = metadata.get(b"raygen.column_types", identity.column_types.encode()).decode()
        if declared != identity.column_types:
            self.fault(file.path, f"declares the columns {declared!r} and has {identity.column_types!r}")
        self.identity = self.identity or identity
        for name in names:
            if (value := getattr(identity, name)) != (expected := getattr(self.identity, name)):
                self.fault(file.path, f"its {name} is {value!r}, that of the table {expected!r}")
        return None

    def _same_carried(self, file: ScoreFile, schema: pa.Schema) -> None:
        """Check that the columns after those of every row are those of the first file, with its types: who reads the folder as
        one table takes them from there.
        """
        own = self.folder.columns.names
        types = {column.name: column.type for column in schema if column.name not in own}
        self._carried = types if self._carried is None else self._carried
        if differences := other_types(types, self._carried):
            self.fault(file.path, f"cannot be read as one table with the others: {'; '.join(differences)}")

    def _same_columns(self, file: ScoreFile, schema: pa.Schema) -> bool:
        """Check that a file has the columns of a row with their types; without them it cannot be checked further."""
        expected = self.columns_of(schema)
        absent = [column.name for column in expected if column.name not in schema.names]
        other = [
            column.name
            for column in expected
            if column.name in schema.names and schema.field(column.name).type != column.type
        ]
        if absent:
            self.fault(file.path, f"has no column {', '.join(absent)}")
        if other:
            self.fault(file.path, f"has columns of another type: {', '.join(other)}")
        return not absent and not other

    def _rejects(self, path: str) -> None:
        try:
            with self.folder.filesystem.open_input_file(path) as source:
                table = read_checked(source)
        except (OSError, pa.ArrowException) as error:
            return self.fault(path, f"cannot be read: {first_line(error)}")
        if table.schema.names != REJECTS.names:
            return self.fault(path, f"has the columns {', '.join(table.schema.names)}")
        self._verification.num_rejects += len(table)
        name = path.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet")
        for source, reason, number in _by_source(table):
            self._reasons.setdefault(RejectsIn(name, source), Counter())[reason] = number
        reasons = set(table["reason"].to_pylist())
        if unknown := sorted(reasons - {reason.value for reason in Reason}):
            self.fault(path, f"has reasons that there are not: {', '.join(unknown)}")
        return None

    def conservation(self) -> tuple[Mapping[str, Account], Accounts]:
        """Compare what the runs' manifests say with what is there; returns what they say."""
        runs = self.accounts_in("runs", "/manifest.json")
        self._verification.num_runs = len(runs)
        self._verification.num_rolled_back = sum(run.status == ROLLED_BACK for run in runs.values())
        is_copy = any(run.is_copy for run in runs.values())
        for run, rows in self.rows_of.items():
            if run not in runs and not is_copy:
                self.fault(f"run {run}", f"{number_of(rows, 'row')}, but no manifest")
        units_of = {run: self.units_a_row * rows for run, rows in self.rows_of.items()}
        accounts = Accounts(runs, units_of, self._shards, self._reasons, self.unit)
        for where, message in accounts.faults():
            self.fault(where, message)
        return runs, accounts

    def accounts_in(self, folder: str, ending: str) -> dict[str, Account]:
        """The accounts in the files of a folder that end in ``ending``, by the name before it."""
        accounts = {}
        for name, content in self.folder.read_files(folder, ending).items():
            account = read_account(name.removesuffix(ending), content)
            if isinstance(account, str):
                self.fault(f"{folder}/{name}", account)
            else:
                accounts[account.name] = account
        return accounts


def _groups_by_rows(footer: pq.FileMetaData, most_rows: int) -> list[list[int]]:
    """The numbers of a file's row groups, as many together as have ``most_rows`` rows, or each by itself."""
    batches: list[list[int]] = []
    num_rows = 0
    for number in range(footer.num_row_groups):
        rows = footer.row_group(number).num_rows
        if not batches or num_rows + rows > most_rows:
            batches.append([])
            num_rows = 0
        batches[-1].append(number)
        num_rows += rows
    return batches


def _by_source(rejects: pa.Table) -> list[tuple[str, str, int]]:
    """Number of rejects by the file they came from (``source`` without the number of the record) and by reason."""
    files = pc.replace_substring_regex(rejects["source"], pattern=":[^:]*$", replacement="")
    sources_and_reasons = pa.table({"source": pc.fill_null(files, ""), "reason": rejects["reason"]})
    counted = sources_and_reasons.group_by(["source", "reason"]).aggregate([([], "count_all")])
    return [(row["source"], row["reason"], row["count_all"]) for row in counted.to_pylist()]


def counted(values: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Each value and how often it is there."""
    return [(item["values"], item["counts"]) for item in pc.value_counts(values).to_pylist()]
