"""The scores as an Apache Iceberg table beside the Parquet files: each run is one transaction, and can be rolled back.

In: a run's folder. Out: the table ``raygen.scores_<fingerprint>`` in a catalog: SQLite in ``OUT/iceberg`` where none is named, which
needs no server; else one of the user's own pyiceberg configuration. It is written through pyiceberg from the committed files,
because Ray's Iceberg writer loses rows when a run is resumed. So the rows exist twice, and ``scores/`` stays what a
run is resumed from.

What is published is found by looking at the table's own files, whose statistics name the run: a run is published when it has
ended, whole, and never again. Rows of killed runs go with the run that finished their work.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from raygen.disk_errors import disk_errors
from raygen.errors import InputError, SettingsError, StoppedError
from raygen.tables.carried_types import carried_as
from raygen.tables.layout import SHARDS_KEY, RunFolder
from raygen.tables.place import make_folder
from raygen.tables.schemas import SCORES

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_NAMESPACE = "raygen"
_RUNS = "raygen.runs"
_PROPERTIES = {
    "write.metadata.metrics.column.run_id": "full",  # by default a statistic is cut after 16 characters
    "write.target-file-size-bytes": str(128 * 2**20),  # of rows in memory, which bounds it
    "write.parquet.compression-codec": "zstd",
}


@dataclass(frozen=True)
class Published:
    """A transaction: the table and its snapshot, the runs whose rows were added, and the number of rows."""

    table: str
    snapshot_id: int
    runs: tuple[str, ...]
    num_rows: int


def publish(folder: RunFolder, fingerprint: str, catalog: str | None) -> Published | None:
    """Add the rows of all runs that are not in the table yet, in one transaction; None where there are none.

    The caller holds the folder's lock, so that no run is under way.

    Raises:
        InputError: the files cannot be read as one table.
        SettingsError: pyiceberg is not installed, or there is no such catalog.
        StoppedError: the table does not hold as many rows as the files afterwards.
    """
    folder.refuse_mixed_files()
    runs_of = {file.path: _runs_in(folder, file.path) for file in folder.score_files()}
    table = open_table(folder, fingerprint, catalog) or _create(folder, fingerprint, catalog)
    _let_be_null(table)
    missing = sorted(set().union(*runs_of.values()) - set(published_runs(table)))
    if not missing:
        return None
    files = [path for path, runs in runs_of.items() if runs & set(missing)]
    rows = _reader(folder, files, missing, pa.schema(table.schema().as_arrow()))
    with disk_errors(folder.path):
        table.append(rows, snapshot_properties={_RUNS: ",".join(missing)})
    _compare(folder, table)
    snapshot = table.current_snapshot()
    assert snapshot is not None and snapshot.summary is not None
    added = int(snapshot.summary.additional_properties.get("added-records", "0"))
    return Published(".".join(table.name()), snapshot.snapshot_id, tuple(missing), added)


def _let_be_null(table: Table) -> None:
    """Let columns of a table that an earlier version made be null where those of SCORES may be now."""
    fields = table.schema().fields
    if names := [
        field.name
        for field in fields
        if field.required and field.name in SCORES.names and SCORES.field(field.name).nullable
    ]:
        with table.update_schema() as update:
            for name in names:
                update.update_column(name, required=False)


def check_catalog(folder: RunFolder, catalog: str | None) -> None:
    """Look before the work whether there is a catalog.

    Raises:
        SettingsError: pyiceberg is not installed, or there is no such catalog.
    """
    _catalog(folder, catalog)


def refuse_types(folder: RunFolder, fingerprint: str, catalog: str | None, types: Mapping[str, pa.DataType]) -> None:
    """Look before the work whether the Iceberg table can take source columns of these types.

    Raises:
        InputError: Iceberg has no such type, the table that is there has another one, or the files cannot be read as one table.
    """
    folder.refuse_mixed_files()
    if impossible := [f"{name}: {arrow_type}" for name, arrow_type in types.items() if _stored_as(arrow_type) is None]:
        raise InputError(
            f"Iceberg tables cannot hold source columns of these types: {', '.join(impossible)}. Write them as text or as "
            "another type in the input, leave them out, or use output.table_format parquet."
        )
    table = open_table(folder, fingerprint, catalog) if types else None
    schema = pa.schema(table.schema().as_arrow()) if table else pa.schema([])
    stored = {name: (schema.field(name).type, _stored_as(types[name])) for name in types if name in schema.names}
    if other := [f"{name}: {old} there, {new} here" for name, (old, new) in stored.items() if carried_as(old) != new]:
        raise InputError(
            f"The Iceberg table of {folder.path} has source columns of other types: {', '.join(other)}. Make the types of "
            "the input those of the table, or give another output folder."
        )


def _stored_as(arrow_type: pa.DataType) -> pa.DataType | None:
    """The Arrow type of an Iceberg column (format 2) that holds every value of a source column; None where there is none."""
    if pa.types.is_list(arrow_type):
        items = _stored_as(arrow_type.value_type)
        return None if items is None else pa.list_(items)
    if pa.types.is_timestamp(arrow_type):
        return None if arrow_type.unit == "ns" else pa.timestamp("us", "UTC" if arrow_type.tz else None)
    if pa.types.is_time(arrow_type):
        return None if arrow_type == pa.time64("ns") else pa.time64("us")
    if pa.types.is_integer(arrow_type):
        return {pa.int64(): pa.int64(), pa.uint32(): pa.int64(), pa.uint64(): None}.get(arrow_type, pa.int32())
    return None if pa.types.is_null(arrow_type) else carried_as(arrow_type)


def open_table(folder: RunFolder, fingerprint: str, catalog: str | None) -> Table | None:
    """The table of a fingerprint; None where there is none yet."""
    from pyiceberg.exceptions import NoSuchTableError

    try:
        return _catalog(folder, catalog).load_table(_name(fingerprint))
    except NoSuchTableError:
        return None


def published_runs(table: Table) -> set[str]:
    """The runs whose rows the current snapshot holds."""
    field = table.schema().find_field("run_id").field_id
    runs: set[str] = set()
    for task in table.scan().plan_files():
        file = task.file
        low, high = (file.lower_bounds or {}).get(field), (file.upper_bounds or {}).get(field)
        if low is not None and low == high:
            runs.add(low.decode())
        else:  # several runs in one file: someone rewrote it, or a killed run's rows came with another's
            with table.io.new_input(file.file_path).open() as source:
                runs |= set(pc.unique(pq.read_table(source, columns=["run_id"])["run_id"]).to_pylist())
    return runs


def snapshots_from(table: Table, run_id: str) -> list[Snapshot]:
    """The snapshot that added a run and all after it, oldest first; none where no snapshot says that it did."""
    line: list[Snapshot] = []
    snapshot = table.current_snapshot()
    while snapshot is not None:
        line.insert(0, snapshot)
        if run_id in runs_added(snapshot):
            return line
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return []


def runs_added(snapshot: Snapshot) -> list[str]:
    """The runs that a snapshot added, from its own properties."""
    properties = snapshot.summary.additional_properties if snapshot.summary else {}
    return [run for run in properties.get(_RUNS, "").split(",") if run]


def roll_back(table: Table, snapshots: Sequence[Snapshot]) -> None:
    """Make the snapshot before the first of ``snapshots`` the current one; with none before it, empty the table."""
    before = snapshots[0].parent_snapshot_id
    with disk_errors(table.location()):
        if before is None:
            table.delete()
            return
        table.manage_snapshots().set_current_snapshot(snapshot_id=before).commit()


def rows_by_run(table: Table) -> dict[str, int]:
    """The number of rows of each run in the table's current snapshot."""
    rows_of_run: dict[str, int] = {}
    for batch in table.scan(selected_fields=("run_id",)).to_arrow_batch_reader():
        for item in pc.value_counts(batch["run_id"]).to_pylist():
            rows_of_run[item["values"]] = rows_of_run.get(item["values"], 0) + item["counts"]
    return rows_of_run


def _name(fingerprint: str) -> tuple[str, str]:
    return _NAMESPACE, f"scores_{fingerprint}"


def _catalog(folder: RunFolder, catalog: str | None) -> Catalog:
    try:
        from pyiceberg.catalog import load_catalog
        from pyiceberg.catalog.sql import SqlCatalog
    except ImportError as error:
        raise SettingsError("output.table_format iceberg needs pyiceberg: pip install 'raygen[iceberg]'.") from error
    if catalog is not None:
        try:
            return load_catalog(catalog)
        except ValueError as error:
            raise SettingsError(
                f"output.catalog {catalog!r} is not in your pyiceberg configuration: {error}"
            ) from error
    if folder.local_root is None:
        raise SettingsError(
            "The embedded Iceberg catalog is a SQLite file, which cannot lie on object storage. Name a catalog of your "
            "pyiceberg configuration in output.catalog."
        )
    place = folder.local_root / "iceberg"
    make_folder(place)
    with disk_errors(place):
        uri = f"sqlite:///{place}/catalog.db"
        embedded = SqlCatalog(_NAMESPACE, uri=uri, warehouse=place.as_uri(), init_catalog_tables="false")
        weakref.finalize(embedded, embedded.engine.dispose)  # tables keep it; where the disk is full, it closes too
        embedded.create_tables()
    return embedded


def _create(folder: RunFolder, fingerprint: str, catalog: str | None) -> Table:
    iceberg_catalog = _catalog(folder, catalog)
    with disk_errors(folder.path):
        iceberg_catalog.create_namespace_if_not_exists(_NAMESPACE)
        return iceberg_catalog.create_table(_name(fingerprint), schema=_schema(folder), properties=_PROPERTIES)


def _schema(folder: RunFolder) -> pa.Schema:
    """Columns of the Iceberg table: those of SCORES, then source columns; ``chrom`` is a column here and no folder."""
    schema = folder.scores_dataset().schema
    extra = [schema.field(name) for name in schema.names if name not in SCORES.names]
    return pa.schema([*SCORES, *(field.with_type(_stored_as(field.type) or field.type) for field in extra)])


def _runs_in(folder: RunFolder, path: str) -> set[str]:
    """The runs whose rows a file of scores holds, from its footer where that says it."""
    with folder.filesystem.open_input_file(path) as source:
        file = pq.ParquetFile(source)
        if SHARDS_KEY not in (file.schema_arrow.metadata or {}) and file.metadata.num_rows:
            statistics = file.metadata.row_group(0).column(file.schema_arrow.names.index("run_id")).statistics
            if file.metadata.num_row_groups == 1 and statistics is not None and statistics.min == statistics.max:
                return {statistics.min}
        return set(pc.unique(file.read(["run_id"])["run_id"]).to_pylist())


def _reader(folder: RunFolder, files: Sequence[str], runs: Sequence[str], schema: pa.Schema) -> pa.RecordBatchReader:
    """The rows of some runs as a stream, contig after contig."""
    dataset = folder.scores_dataset(files)
    columns = [field.name for field in schema]

    def batches() -> Iterator[pa.RecordBatch]:
        is_of_runs = ds.field("run_id").isin(list(runs))
        for batch in dataset.to_batches(columns=columns, filter=is_of_runs, batch_readahead=2, fragment_readahead=2):
            if batch.num_rows:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _compare(folder: RunFolder, table: Table) -> None:
    rows_in_table, rows_in_files = int(table.scan().count()), int(folder.scores_dataset().count_rows())
    if rows_in_table != rows_in_files:
        raise StoppedError(
            f"The Iceberg table {'.'.join(table.name())} holds {rows_in_table:,} rows, scores/ {rows_in_files:,}. "
            "`raygen verify` says more."
        )
