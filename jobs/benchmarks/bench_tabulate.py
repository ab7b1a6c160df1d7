"""What `raygen tabulate` costs beside the model's own work: its path against a plain forward pass, and the pipeline without a model.

    python jobs/benchmarks/bench_tabulate.py path [--width 384] [--layers 8] [--left 1024] [--windows 8] [--rounds 3]
    python jobs/benchmarks/bench_tabulate.py pipeline [--bases 1000000 10000000 100000000]

``path``: all bases of some windows (left + left bases, right 1), as the table scores them and as one plain forward pass a window does, in turns; the
demo's model and random weights of the width. ``pipeline``: a whole run whose scorer answers noise; bases a second from the first
committed shard to the last, and the driver's memory; another process lays the reference down before, which takes three bytes a base of the
longest contig. One line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from raygen.settings import load_settings

LETTERS = np.frombuffer(b"ACGT", np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    path = what.add_parser("path")
    path.add_argument("--width", type=int, default=384)
    path.add_argument("--layers", type=int, default=8)
    path.add_argument("--left", type=int, default=1024)
    path.add_argument("--windows", type=int, default=8)
    path.add_argument("--rounds", type=int, default=3)
    pipeline = what.add_parser("pipeline")
    pipeline.add_argument("--bases", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.what == "path":
            for result in path_against_forward(args, Path(scratch)):
                print(json.dumps(result), flush=True)
        else:
            for num_bases in args.bases:
                print(json.dumps(run_without_model(num_bases, Path(scratch) / str(num_bases))), flush=True)


def path_against_forward(args: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    import torch

    from jobs.benchmarks.bench_scoring import config
    from raygen.model.random_checkpoint import write_random_checkpoint
    from raygen.scoring.likelihood import load_model
    from raygen.scoring.positions import PositionScorer, plan_bases
    from raygen.sequence.windows import Window

    torch.set_num_threads(2)
    write_random_checkpoint(scratch / "model", config(argparse.Namespace(width=args.width, layers=args.layers)), seed=1)
    contig = np.random.default_rng(1).choice(LETTERS, args.left * (args.windows + 1))
    window = Window(args.left, 1, "grid", args.left)

    class OneContig:
        def bases(self, contig_name: str) -> np.ndarray:
            return contig

    results = []
    for name, folder in (("demo", "demo"), (f"width {args.width}", str(scratch / "model"))):
        model = load_model(folder, device="cpu", dtype="float32")
        scorer = PositionScorer(model, OneContig(), window)
        rows = plan_bases("1", np.arange(args.left, len(contig)), OneContig(), window, "forward", False)
        starts = range(0, len(contig) - args.left, args.left)
        speeds: dict[str, list[float]] = {"table": [], "forward": []}
        for _ in range(args.rounds):
            for kind in speeds:
                before, began = model.num_tokens_computed, time.perf_counter()
                if kind == "table":
                    scorer.score(rows)
                else:
                    for start in starts:
                        model.token_log_probs([contig[start : start + 2 * args.left]], [args.left])
                speeds[kind].append((model.num_tokens_computed - before) / (time.perf_counter() - began))
        best = {kind: max(values) for kind, values in speeds.items()}
        results.append(
            {
                "model": name,
                "tokens_a_base": round(2 * args.left * len(starts) / len(rows), 3),
                **{f"{kind}_tokens_per_second": round(value) for kind, value in best.items()},
                "share": round(best["table"] / best["forward"], 3),
            }
        )
    return results


def run_without_model(num_bases: int, folder: Path) -> dict[str, Any]:
    from raygen.model.devices import peak_host_memory
    from raygen.pipeline.dry_scorer import DryPositionScorer
    from raygen.pipeline.tabulate import run_tabulate, with_positions_window

    folder.mkdir()
    rng = np.random.default_rng(num_bases)
    with (folder / "reference.fa").open("wb") as fasta:
        fasta.write(b">1\n")
        for start in range(0, num_bases, 6_000_000):
            letters = rng.choice(LETTERS, min(6_000_000, num_bases - start))
            fasta.write(
                b"\n".join(letters[first : first + 60].tobytes() for first in range(0, len(letters), 60)) + b"\n"
            )
    lay_down = "import sys; from raygen.sequence.reference import open_reference; open_reference(sys.argv[1])"
    subprocess.run([sys.executable, "-c", lay_down, folder / "reference.fa"], cwd=Path(__file__).parents[2], check=True)
    given = {
        "input.reference": str(folder / "reference.fa"),
        "output.path": str(folder / "out"),
        "model.name": "demo",
        "model.device": "cpu",
    }
    settings = with_positions_window(load_settings(None, ["window.left=2047"], given, complete=False))
    result = run_tabulate(settings, say=lambda line: None, make_scorer=DryPositionScorer)
    files = list((folder / "out" / "positions").rglob("*.parquet"))
    manifest = json.loads(Path(result.run.manifest).read_text())
    (began, first, _), *_, (ended, last, _) = manifest["pace"]
    assert result.run.counts.scored == 3 * num_bases
    return {
        "bases": num_bases,
        "seconds": round(result.run.seconds, 1),
        "scoring_seconds": round(result.run.scoring_seconds, 1),
        "bases_per_second": round((last - first) / 3 / (ended - began)),
        "stage_seconds": manifest["metrics"]["raygen_stage_seconds"],
        "shards": len(files),
        "driver_peak_mb": round(peak_host_memory() / 2**20),
        "driver_mapped_mb": mapped_mb(),
    }


def mapped_mb() -> int | None:
    """Pages of mapped files that this process has in memory, the reference's among them; None where /proc does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("RssFile")), None)


if __name__ == "__main__":
    main()
