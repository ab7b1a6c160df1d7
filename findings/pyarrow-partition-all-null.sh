#!/usr/bin/env bash
# A Hive-partitioned table whose partition column is null in every row is written by pyarrow.dataset without a word, and cannot be read
# back by it, nor by pyarrow.parquet and pandas above it: "No non-null segments were available for field". One row with a value
# is enough to make it readable, so a test on mixed data does not show it. Read with the partition's type declared it is right.
# Seen with pyarrow 26.0.1 on Python 3.11. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

folder = sys.argv[1]
by_chrom = ds.partitioning(pa.schema([("chrom", pa.string())]), flavor="hive")


def written(name, chroms):
    path = f"{folder}/{name}"
    table = pa.table({"row": list(range(len(chroms))), "chrom": pa.array(chroms, pa.string())})
    ds.write_dataset(table, path, format="parquet", partitioning=by_chrom)
    return path


def read(reader, path):
    try:
        return reader(path).num_rows
    except pa.ArrowInvalid as error:
        return str(error)


readers = {
    "pyarrow.dataset": lambda path: ds.dataset(path, partitioning="hive").to_table(),
    "pyarrow.parquet": pq.read_table,
    "declared type": lambda path: ds.dataset(path, partitioning=by_chrom).to_table(),
}
all_null, one_value = written("all-null", [None, None]), written("one-value", [None, "7"])
seen = {name: (read(reader, all_null), read(reader, one_value)) for name, reader in readers.items()}
for name, (of_nulls, of_mixed) in seen.items():
    print(f"pyarrow {pa.__version__}, {name}: all null: {of_nulls}; one value: {of_mixed} rows")
refused = "No non-null segments were available for field 'chrom'"
as_written_down = all(str(seen[name][0]).startswith(refused) and seen[name][1] == 2 for name in list(readers)[:2])
sys.exit(not (as_written_down and seen["declared type"] == (2, 2)))
PYTHON
