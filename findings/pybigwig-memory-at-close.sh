#!/usr/bin/env bash
# pyBigWig is fed piece by piece, and while it is, its memory stays flat: some 40 MB, however long the contig. At close() it takes some
# 14 bytes for each value that was written, because the zoom levels are then made of all of it at once: 10 million bases 170 MB, 30 million
# 450 MB. A human genome with a value a base (3.1e9) would need over 40 GB in the last second of a job that looked fine for hours.
# Seen with pyBigWig 0.3.29 on Python 3.11, Linux. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 pyBigWig==0.3.29
cd "$folder"
cat > write.py <<'PYTHON'
import json
import resource
import sys

import numpy as np
import pyBigWig

num_bases = int(sys.argv[1])
values = np.random.default_rng(0).normal(size=1 << 14)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


bigwig = pyBigWig.open("track.bw", "w")
bigwig.addHeader([("1", num_bases)])
for start in range(0, num_bases, len(values)):
    bigwig.addEntries("1", start, values=values[: num_bases - start], span=1, step=1)
while_writing = peak_mb()
bigwig.close()
print(json.dumps({"bases": num_bases, "while_writing": while_writing, "after_close": peak_mb()}))
PYTHON
for bases in 10000000 30000000; do
    "$folder/venv/bin/python" write.py $bases | tee -a measured.jsonl
done
"$folder/venv/bin/python" - <<'PYTHON'
import json

few, many = (json.loads(line) for line in open("measured.jsonl"))
assert many["while_writing"] < few["while_writing"] * 1.5, "memory grows while it is fed, too"
a_base = (many["after_close"] - few["after_close"]) * 2**20 / (many["bases"] - few["bases"])
print(f"{a_base:.1f} bytes a base at close")
assert a_base > 8, "close() takes little memory now"
PYTHON
