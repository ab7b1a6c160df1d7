"""``raygen verify``: everything about a table that can be checked without scoring again, and every fault of it.

    a file       can be read, its checksums hold, its identity, its columns and their types are those of the table
    a row        lies in its contig, in order of position, is named by what it is, has no empty or infinite number
    the table    no variant twice; what the runs' manifests counted is there; no rows of a run without a manifest
    rejects      can be read, have a reason that there is, and are as many as were counted (see accounts.py)
    Iceberg      where there is a table: the same rows per run

Checksums are those of Parquet's pages (CRC-32), written with every file and compared with each byte of data that is read; they
need no list beside the files that could be lost or grow old. Files of earlier versions have none. Memory is that of one file
or one stretch of a contig at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import first_line
from raygen.number_of import number_of
from raygen.tables.accounts import ROLLED_BACK, Account, Accounts, RejectsIn, Shards, read_account
from raygen.tables.carried_types import other_types
from raygen.tables.damage import read_checked
from raygen.tables.iceberg import open_table, rows_by_run
from raygen.tables.identity import Identity, identity_of
from raygen.tables.layout import RunFolder, ScoreFile, shards_of
from raygen.tables.schemas import REJECTS, SCORES, Reason
from raygen.tables.stretches import Stretches

_STRETCH_ROWS = 1 << 20
_NUMBERS = ("ll_wt", "ll_mut", "delta_llr", "delta_per_base")
_ROUNDING = 1e-9  # of a sum's size, in float64
_SHOWN = 3


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


def verify(path: str) -> Verification:
    """Check the table of one folder. Faults are listed, not raised."""
    return _Check(RunFolder(path)).run()


class _Check:
    """One verification under way."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._verification = Verification(folder.path)
        self._identity: Identity | None = None
        self._carried: dict[str, pa.DataType] | None = None
        self._rows_of: Counter[str] = Counter()
        self._reasons: dict[RejectsIn, Counter[str]] = {}
        self._shards = Shards()

    def run(self) -> Verification:
        files = self._folder.score_files()
        readable = [file for file in files if self._file(file)]
        for chrom in dict.fromkeys(file.chrom for file in readable):
            self._unique(chrom, [file.path for file in readable if file.chrom == chrom])
        for path in self._folder.reject_paths():
            self._rejects(path)
        self._conservation()
        self._verification.num_files = len(files)
        return self._verification

    def _fault(self, where: str, message: str) -> None:
        self._verification.faults.append(Fault(where, message))

    def _file(self, file: ScoreFile) -> bool:
        """Check one file of scores; returns whether it could be read."""
        try:
            with self._folder.filesystem.open_input_file(file.path) as source:
                opened = pq.ParquetFile(source, page_checksum_verification=True)
                self._same_identity(file, opened.schema_arrow)
                if not self._same_columns(file, opened.schema_arrow):
                    return False
                self._same_carried(file, opened.schema_arrow)
                last = None
                self._shards.add(shards_of(opened, file.shard))
                for index in range(opened.num_row_groups):
                    last = self._rows(file, opened.read_row_group(index), last)
        except (OSError, pa.ArrowException) as error:
            self._fault(file.path, f"cannot be read: {first_line(error)}")
            return False
        return True

    def _same_identity(self, file: ScoreFile, schema: pa.Schema) -> None:
        metadata = schema.metadata or {}
        names = [entry.name for entry in fields(Identity) if entry.name != "column_types"]
        absent = [name for name in names if f"raygen.{name}".encode() not in metadata]
        if absent:
            return self._fault(file.path, f"was not written by raygen: it does not say {', '.join(absent)}")
        identity = identity_of(schema)
        declared = metadata.get(b"raygen.column_types", identity.column_types.encode()).decode()
        if declared != identity.column_types:
            self._fault(file.path, f"declares the columns {declared!r} and has {identity.column_types!r}")
        self._identity = self._identity or identity
        for name in names:
            if (value := getattr(identity, name)) != (expected := getattr(self._identity, name)):
                self._fault(file.path, f"its {name} is {value!r}, that of the table {expected!r}")
        return None

    def _same_carried(self, file: ScoreFile, schema: pa.Schema) -> None:
        """Check that the columns after those of SCORES are those of the first file, with its types: who reads the folder as
        one table takes them from there.
        """
        types = {column.name: column.type for column in schema if column.name not in SCORES.names}
        self._carried = types if self._carried is None else self._carried
        if differences := other_types(types, self._carried):
            self._fault(file.path, f"cannot be read as one table with the others: {'; '.join(differences)}")

    def _same_columns(self, file: ScoreFile, schema: pa.Schema) -> bool:
        """Check that a file has the columns of SCORES with their types; without them it cannot be checked further."""
        expected = [column for column in SCORES if column.name != "chrom"]
        absent = [column.name for column in expected if column.name not in schema.names]
        other = [
            column.name
            for column in expected
            if column.name in schema.names and schema.field(column.name).type != column.type
        ]
        if absent:
            self._fault(file.path, f"has no column {', '.join(absent)}")
        if other:
            self._fault(file.path, f"has columns of another type: {', '.join(other)}")
        return not absent and not other

    def _rows(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check the rows of a row group that follows position ``last``; returns the last position in it."""
        if not len(rows):
            return last
        self._verification.num_rows += len(rows)
        for run, number in _counted(rows["run_id"]):
            self._rows_of[run] += number
        for column in SCORES:
            if not column.nullable and column.name in rows.column_names and rows[column.name].null_count:
                self._fault(file.path, f"{number_of(rows[column.name].null_count, 'row')} without {column.name}")
        for name in _NUMBERS:
            if bad := len(rows) - (pc.sum(pc.is_finite(rows[name])).as_py() or 0) - rows[name].null_count:
                self._fault(file.path, f"{number_of(bad, 'row')} whose {name} is not finite")
        apart = pc.abs(pc.subtract(pc.subtract(rows["ll_mut"], rows["ll_wt"]), rows["delta_llr"]))
        allowed = pc.multiply(pc.add(pc.abs(rows["ll_wt"]), 1.0), _ROUNDING)
        if bad := pc.sum(pc.greater(apart, allowed)).as_py():
            self._fault(file.path, f"{number_of(bad, 'row')} whose delta_llr is not ll_mut less ll_wt")
        if self._identity and (
            other := {fingerprint for fingerprint, _ in _counted(rows["fingerprint"])} - {self._identity.fingerprint}
        ):
            self._fault(file.path, f"rows with another fingerprint: {', '.join(sorted(map(str, other)))}")
        return last if file.chrom is None else self._placed(file, rows, last)

    def _placed(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check names and order of the variants in a row group; returns the last position in it."""
        parts = [pa.scalar(file.chrom), rows["pos"].cast(pa.string()), rows["ref"], rows["alt"]]
        name_matches = pc.fill_null(pc.equal(pc.binary_join_element_wise(*parts, "-"), rows["variant_id"]), False)
        if wrong := rows.filter(pc.invert(name_matches)):
            first = wrong["variant_id"][0].as_py()
            self._fault(
                file.path, f"{number_of(len(wrong), 'row')} not named by contig, pos, ref and alt (first: {first})"
            )
        pos = rows["pos"].drop_null().to_numpy()
        if len(pos) and (bool((pos[1:] < pos[:-1]).any()) or (last is not None and pos[0] < last)):
            self._fault(file.path, "not sorted by pos")
        return int(pos[-1]) if len(pos) else last

    def _unique(self, chrom: str | None, paths: Sequence[str]) -> None:
        """Check that no variant is in a contig twice, whichever files it lies in."""
        where = f"contig {chrom}" if chrom is not None else "pairs"
        for ids in self._ids(chrom, paths):
            repeated = ids.group_by("variant_id").len().filter(pl.col("len") > 1).sort("variant_id")
            if repeated.height:
                shown = ", ".join(repeated["variant_id"].head(_SHOWN))
                times = int(repeated["len"].sum()) - repeated.height
                self._fault(
                    where, f"{repeated.height:,} variants are there more than once, {times:,} rows too many ({shown})"
                )

    def _ids(self, chrom: str | None, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
        if chrom is not None:
            for table in Stretches(paths, self._folder.filesystem, _STRETCH_ROWS).tables(["variant_id"]):
                yield pl.DataFrame(pl.from_arrow(table))
        elif paths:
            yield pl.DataFrame(pl.from_arrow(self._folder.scored_ids(paths)))

    def _rejects(self, path: str) -> None:
        try:
            with self._folder.filesystem.open_input_file(path) as source:
                table = read_checked(source)
        except (OSError, pa.ArrowException) as error:
            return self._fault(path, f"cannot be read: {first_line(error)}")
        if table.schema.names != REJECTS.names:
            return self._fault(path, f"has the columns {', '.join(table.schema.names)}")
        self._verification.num_rejects += len(table)
        name = path.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet")
        for source, reason, number in _by_source(table):
            self._reasons.setdefault(RejectsIn(name, source), Counter())[reason] = number
        reasons = set(table["reason"].to_pylist())
        if unknown := sorted(reasons - {reason.value for reason in Reason}):
            self._fault(path, f"has reasons that there are not: {', '.join(unknown)}")
        return None

    def _conservation(self) -> None:
        """Compare what manifests and nights' records say with what is there."""
        runs = self._accounts("runs", "/manifest.json")
        self._verification.num_runs = len(runs)
        self._verification.num_rolled_back = sum(run.status == ROLLED_BACK for run in runs.values())
        is_copy = any(run.is_copy for run in runs.values())
        for run, rows in self._rows_of.items():
            if run not in runs and not is_copy:
                self._fault(f"run {run}", f"{number_of(rows, 'row')}, but no manifest")
        accounts = Accounts(runs, self._rows_of, self._shards, self._reasons)
        for where, message in accounts.faults():
            self._fault(where, message)
        for name, night in self._accounts("nights", ".json").items():
            for message in accounts.of_night(night) if night.status != ROLLED_BACK else ():
                self._fault(f"night {name}", message)
        outputs = [(run.manifest.get("settings") or {}).get("output") or {} for _, run in sorted(runs.items())]
        if self._identity and (iceberg := [output for output in outputs if output.get("table_format") == "iceberg"]):
            self._iceberg(self._identity.fingerprint, iceberg[-1].get("catalog"))

    def _accounts(self, folder: str, ending: str) -> dict[str, Account]:
        """The accounts in the files of a folder that end in ``ending``, by the name before it."""
        accounts = {}
        for name, content in self._folder.read_files(folder, ending).items():
            account = read_account(name.removesuffix(ending), content)
            if isinstance(account, str):
                self._fault(f"{folder}/{name}", account)
            else:
                accounts[account.name] = account
        return accounts

    def _iceberg(self, fingerprint: str, catalog: str | None) -> None:
        """Check that the Iceberg table holds as many rows of each run as the files."""
        table = open_table(self._folder, fingerprint, catalog)
        if table is None:
            return self._fault("Iceberg", f"there is no table for the fingerprint {fingerprint}")
        rows_in_table = rows_by_run(table)
        for run in sorted({*rows_in_table, *self._rows_of}):
            if rows_in_table.get(run, 0) != self._rows_of[run]:
                self._fault(
                    f"Iceberg, run {run}",
                    f"the table has {number_of(rows_in_table.get(run, 0), 'row')}, scores/ has {self._rows_of[run]:,}",
                )
        return None


def _by_source(rejects: pa.Table) -> list[tuple[str, str, int]]:
    """Number of rejects by the file they came from (``source`` without the number of the record) and by reason."""
    files = pc.replace_substring_regex(rejects["source"], pattern=":[^:]*$", replacement="")
    sources_and_reasons = pa.table({"source": pc.fill_null(files, ""), "reason": rejects["reason"]})
    counted = sources_and_reasons.group_by(["source", "reason"]).aggregate([([], "count_all")])
    return [(row["source"], row["reason"], row["count_all"]) for row in counted.to_pylist()]


def _counted(values: pa.ChunkedArray) -> list[tuple[str, int]]:
    return [(item["values"], item["counts"]) for item in pc.value_counts(values).to_pylist()]
