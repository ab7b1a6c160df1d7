#!/usr/bin/env bash
# A column of lists of one fixed size that holds a null is written to Parquet by pyarrow 25 without a word, and cannot be read back by
# it: "Expected all lists to be of size=2 but index 2 had size=0". pyarrow 26 reads the very same file. So a table of embeddings or
# of per-haplotype pairs with one missing value looks corrupt to every tool on the older release, and is whole.
# Seen with pyarrow 25.0.0 and 26.0.1 on Python 3.11. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 25.0.0 26.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pyarrow==$version"
done
"$folder/25.0.0/bin/python" - "$folder/lists.parquet" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

values = [[1.0, 2.0], None, [3.0, 4.0]]
pq.write_table(pa.table({"pair": pa.array(values, pa.list_(pa.float64(), 2))}), sys.argv[1])
try:
    read = pq.read_table(sys.argv[1])["pair"].to_pylist()
except pa.ArrowInvalid as error:
    print(f"pyarrow {pa.__version__}: {error}")
else:
    sys.exit(f"pyarrow {pa.__version__} reads {read}")
PYTHON
"$folder/26.0.1/bin/python" - "$folder/lists.parquet" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

read = pq.read_table(sys.argv[1])["pair"].to_pylist()
print(f"pyarrow {pa.__version__}: {read}")
assert read == [[1.0, 2.0], None, [3.0, 4.0]]
PYTHON
