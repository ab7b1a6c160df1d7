"""What a background costs: python jobs/benchmarks/bench_background.py [--bases 33400000] [--rows 10000000]

A position table of random deltas (three a base: 10^8 scores) is counted into a background with contexts, in a process of its own; then its columns
are added to rows in memory as a shard has them, 16,384 at a time. Prints seconds, the most memory, and the bytes of the file, as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))

from raygen.classes.background_file import read_background
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from tests.position_tables import write_positions

SHARD_ROWS = 16_384
MAKE = """
import sys, time, json, resource
from raygen.classes.background_file import write_background
from raygen.finished.make_background import BackgroundRequest, make_background
began = time.monotonic()
made = make_background(BackgroundRequest([sys.argv[1]], neutral=sys.argv[3] or None)).background
write_background(made, sys.argv[2])
seconds = time.monotonic() - began
print(json.dumps({"seconds": round(seconds, 1), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                  "rank_error": made.every.rank_error, "scores": made.every.num_scores}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=int, default=33_400_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        letters = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), args.bases)
        fasta = folder / "reference.fa"
        fasta.write_bytes(b">1\n" + letters.tobytes() + b"\n")
        reference = open_reference(str(fasta))
        identity = Identity("f" * 16, reference.digest)
        table = write_positions(folder / "table", {"1": letters.tobytes().decode()}, identity=identity, reference=fasta)
        result = {"bases": args.bases}
        for name, neutral in (("counts", ""), ("with_contexts", "all")):
            file = folder / f"{name}.zip"
            command = [sys.executable, "-c", MAKE, table, str(file), neutral]
            done = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
            result[name] = {**json.loads(done.stdout), "file_mb": round(file.stat().st_size / 1e6, 2)}
            result[name]["seconds_to_add_columns"] = round(seconds_to_add(file, reference, args.rows), 1)
        print(json.dumps({**result, "rows": args.rows}))


def seconds_to_add(file: Path, reference, rows: int) -> float:
    """Seconds for the columns of ``rows`` single-base changes."""
    random = np.random.default_rng(1)
    bases = reference.bases("1")
    background = read_background(file)
    seconds = 0.0
    for _ in range(0, rows, SHARD_ROWS):
        pos = np.sort(random.integers(1, len(bases) + 1, SHARD_ROWS))
        ref = pa.array(list(bases[pos - 1].tobytes().decode()))
        alt = pa.array([{"A": "C", "C": "T", "G": "A", "T": "G"}[base] for base in ref.to_pylist()])
        columns = {"chrom": pa.repeat("1", SHARD_ROWS), "pos": pos, "ref": ref, "alt": alt}
        shard = pa.table({**columns, "delta_llr": random.normal(size=SHARD_ROWS)})
        began = time.monotonic()
        background.append_columns(shard, None, reference.bases)
        seconds += time.monotonic() - began
    return seconds


if __name__ == "__main__":
    main()
