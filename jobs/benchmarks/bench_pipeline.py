"""What the pipeline costs without a model: python jobs/benchmarks/bench_pipeline.py [--rows 1000000] [--sleep SECONDS_PER_ROW]

Makes variants (every SNV of a random contig) as raygen ingest would, runs them from Parquet to Parquet through a scorer that
returns zeros, and ends in one JSON line: variants a second after the start of Ray (and from the first shard's scoring to the
last's), CPU seconds of all processes, seconds by stage, the driver's peak memory, and how busy the actors were.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.pipeline.actor_scorer import ResidentScorer
from raygen.pipeline.build import build
from raygen.pipeline.cluster import ActorPlan, session
from raygen.pipeline.dry_scorer import DryScorer, how_busy
from raygen.pipeline.job import Job
from raygen.pipeline.metrics import STAGES
from raygen.pipeline.shards import plan_shards
from raygen.pipeline.stages import ShardSummary
from raygen.sequence.windows import Window
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import VARIANTS

FILE_ROWS, ROW_GROUP_ROWS = 1_048_576, 4096


def main() -> int:
    args = arguments()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch, session(None):
        folder = Path(scratch)
        making = multiprocessing.get_context("spawn").Process(target=make_input, args=(folder, args.rows))
        making.start()  # apart, so that its memory does not count as the driver's
        making.join()
        (folder / "diary").mkdir()
        measured = run(folder, args)
        print(json.dumps(measured))
        return 0 if measured["rows"] == args.rows else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds that the scorer sleeps for each row")
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--folder", help="where input and output are put meanwhile")
    return parser.parse_args()


def make_input(folder: Path, num_rows: int) -> None:
    """All three SNVs of each base of a random contig: ``variants/part-*.parquet`` and ``ref.fa``."""
    codes = np.random.default_rng(0).integers(0, 4, num_rows // 3 + 1)
    letters = np.frombuffer(b"ACGT", np.uint8)[codes].tobytes().decode()
    (folder / "ref.fa").write_text(
        ">1\n" + "\n".join(letters[at : at + 100] for at in range(0, len(letters), 100)) + "\n"
    )
    (folder / "variants").mkdir()
    for number, at in enumerate(range(0, num_rows, FILE_ROWS)):
        rows = np.arange(at, min(at + FILE_ROWS, num_rows))
        ref = codes[rows // 3]
        bases = pa.array(["A", "C", "G", "T"])
        columns = {"chrom": ["1"] * len(rows), "pos": rows // 3 + 1, "ref": bases.take(pa.array(ref))}
        columns |= {"alt": bases.take(pa.array((ref + rows % 3 + 1) % 4)), "id": pa.nulls(len(rows), pa.string())}
        table = pa.table(columns, schema=VARIANTS)
        pq.write_table(table, folder / f"variants/part-{number:05d}.parquet", row_group_size=ROW_GROUP_ROWS)


def run(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """Stream the input through and add up what came out."""
    job = dry_job(folder)
    RunFolder(job.output).prepare()
    shards = plan_shards(folder / "variants", "bench")
    actors = ActorPlan(args.actors, args.actors, 0, 0, 1)
    settings = {"seconds_per_row": args.sleep, "diary": str(folder / "diary")}
    cpu_before = cpu_seconds()
    began, rows, seconds = time.perf_counter(), 0, dict.fromkeys(STAGES, 0.0)
    for batch in build(shards, job, actors, scorer=DryScorer, scorer_settings=settings).iter_batches(
        batch_size=None, batch_format="pyarrow"
    ):
        for summary in ShardSummary.from_table(batch):
            rows += summary.scored
            for stage, spent in summary.stage_seconds.items():
                seconds[stage] += spent
    wall, busy = time.perf_counter() - began, how_busy(str(folder / "diary"))
    cpu = cpu_seconds() - cpu_before
    return {
        "rows": rows,
        "shards": len(shards),
        "seconds": round(wall, 2),
        "variants_per_second": round(rows / wall),
        "variants_per_second_once_running": round(rows / busy.seconds),
        "cpu_seconds": round(cpu, 2),
        "variants_per_core_second": round(rows / cpu),
        "stage_seconds": {stage: round(spent, 2) for stage, spent in seconds.items()},
        "actors_busy": round(busy.share, 4),
        "driver_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def cpu_seconds() -> float:
    """Of this process and of all that Ray started from it: on a busy machine the clock on the wall says less."""
    own, seconds = psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def dry_job(folder: Path) -> Job:
    return Job(
        prescored=None,
        background=None,
        classes_on=None,
        num_uncounted=0,
        run_id="bench",
        output=str(folder / "out"),
        reference=str(folder / "ref.fa"),
        circular=(),
        window=Window(4096, 512, "grid", 2048),
        strand="forward",
        cuts=(-7.0, -3.0, -1.0, 1.0),
        calibration=None,
        extra_columns=(),
        embed=None,
        source_columns=(),
        model="none",
        model_source="none",
        revision=None,
        device="cpu",
        dtype="float32",
        off_label=False,
        allow_unvalidated=False,
        method="fork",
        max_batch_tokens=None,
        state_memory=None,
        threads=1,
        keep_every=60.0,
        identity=Identity("bench", "bench"),
        earlier_files={},
        make_scorer=ResidentScorer,
    )


if __name__ == "__main__":
    sys.exit(main())
