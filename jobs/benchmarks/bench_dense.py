"""Variants a second of this tree's fork engine and of another one's, alternating in one run on one thread, where variants lie densely.

    python jobs/benchmarks/bench_dense.py --other OTHER_CHECKOUT [--chr20 VARIANTS.vcf REFERENCE.fa] [--rounds 3] [--family evo1|evo2]

OTHER_CHECKOUT is a clone of this repository at another commit. Each build scores in a process of its own, with the same random weights
(width 384, 8 layers, one of them attention) in float32; seconds are of the CPU, the best of the rounds. Deltas that differ by more than
1e-4 nats, or where that is more 1e-4 of their standard deviation, end it with exit code 1: random weights spread deltas by 8 nats, and there
fork and pair of one build differ by 1.5e-4. ``regions`` are all SNVs of 200 bases of a random sequence, left and stride 4,000; ``own`` is a
window for each variant. The last lines compare the walk of right 1, which reads its path alone, with a plain forward pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TREE = Path(__file__).parents[2]
TOLERANCE = 1e-4  # of a delta in float32: nats, and of the standard deviation of deltas


def main() -> int:
    args = arguments()
    if args.worker:
        return work(Path(args.worker))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cases = prepare(folder, args)
        builds = {"this": Worker(TREE, folder), "other": Worker(Path(args.other), folder)}
        return compare(builds, cases, args.rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", help="a checkout of another commit")
    parser.add_argument(
        "--chr20", nargs=2, metavar=("VARIANTS", "REFERENCE"), help="real variants, and their reference"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bases", type=int, default=200, help="of the region whose SNVs are scored")
    parser.add_argument("--left", type=int, default=4000)
    parser.add_argument("--family", choices=["evo1", "evo2"], default="evo1")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.worker and not args.other:
        parser.error("--other is needed")
    return args


def prepare(folder: Path, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The model, the inputs and the cases, by name, as a worker takes them."""
    sys.path.insert(0, str(TREE))
    from raygen.model.random_checkpoint import write_random_checkpoint

    write_random_checkpoint(folder / "model", config(args), seed=1)
    left = args.left
    bases = "".join("ACGT"[code] for code in np.random.default_rng(1).integers(0, 4, 2 * left + args.bases + 200))
    (folder / "region.fa").write_text(f">1\n{bases}\n")
    first = left + 1
    rows = [
        f"1\t{pos}\t.\t{bases[pos - 1]}\t{alt}\t.\t.\t."
        for pos in range(first, first + args.bases)
        for alt in "ACGT"
        if alt != bases[pos - 1]
    ]
    head = "##fileformat=VCFv4.3\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "region.vcf").write_text(head + "\n".join(rows) + "\n")
    region = {"variants": str(folder / "region.vcf"), "reference": str(folder / "region.fa")}
    cases: dict[str, dict[str, Any]] = {
        f"region, right {right}": {**region, "window": [left, right, "grid", left]} for right in (1, 16, 128)
    }
    if args.chr20:
        real = dict(zip(("variants", "reference"), args.chr20, strict=True))
        cases["1000 Genomes, right 128"] = {**real, "window": [4096, 128, "grid", 2048], "most": 300}
        cases["1000 Genomes, own"] = {**real, "window": [1024, 128, "variant", None], "most": 60}
    return cases


def config(args: argparse.Namespace) -> Any:
    """Width and depth as asked, one attention layer in eight."""
    from raygen.model.evo1 import Evo1Config
    from raygen.model.evo2 import Evo2Config
    from raygen.model.random_checkpoint import demo_config

    attention = [layer for layer in range(args.layers) if layer % 8 == 4]
    others = [layer for layer in range(args.layers) if layer not in attention]
    shape = {
        "hidden_size": args.width,
        "num_layers": args.layers,
        "attn_layer_idxs": attention,
        "num_attention_heads": max(args.width // 64, 1),
        "inner_mlp_size": args.width * 8 // 3 // 16 * 16,
        "max_seqlen": 16_384,
    }
    if args.family == "evo1":
        return Evo1Config(**{**demo_config().keys(), **shape, "hyena_layer_idxs": others})
    kinds = {f"{kind}_layer_idxs": others[place::3] for place, kind in enumerate(("hcs", "hcm", "hcl"))}
    filters = {"hcs_filter_length": 7, "hcm_filter_length": 128, "state_size": 16, "short_filter_length": 3}
    groups = {"hcs_filter_groups": args.width // 16, "hcm_filter_groups": args.width // 16}
    flags = {"short_filter_bias": False, "qkv_proj_bias": False, "mha_out_proj_bias": True, "hyena_out_proj_bias": True}
    rest = {"vocab_size": 512, "mlp_activation": "gelu", "evo2_style_activations": True, "eps": 1e-6}
    rotary = {"rotary_emb_base": 10_000, "tie_embeddings": True, "use_fp8_input_projections": False}
    return Evo2Config(**shape, **kinds, **filters, **groups, **flags, **rest, **rotary)


class Worker:
    """A process that scores with one build."""

    def __init__(self, tree: Path, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--worker", str(folder)]
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("A build ended before it answered; its errors stand above.")
        return dict(json.loads(line))


def work(folder: Path) -> int:
    """Answer each case that comes in, one JSON line for another."""
    import pyarrow.parquet as pq
    import torch

    from raygen.scoring.likelihood import load_model
    from raygen.scoring.plan import plan_windows
    from raygen.scoring.scorer import VariantScorer
    from raygen.sequence.reference import open_reference
    from raygen.sequence.windows import Window
    from raygen.tables.schemas import variant_ids
    from raygen.variants.ingest import ingest

    torch.set_num_threads(1)
    model = load_model(str(folder / "model"), device="cpu", dtype="float32")
    for line in sys.stdin:
        case = json.loads(line)
        if "forward" in case:
            rows = ["ACGT" * (case["forward"] // 4)]
            began = time.process_time()
            model.log_likelihoods(rows)
            print(json.dumps({"seconds": time.process_time() - began, "tokens": len(rows[0])}), flush=True)
            continue
        reference = open_reference(case["reference"])
        with tempfile.TemporaryDirectory() as scratch:
            ingested = ingest([case["variants"]], reference, Path(scratch) / "ingested")
            variants = pq.read_table(ingested.variants_dir).slice(0, case.get("most"))
        variants = variants.append_column("variant_id", variant_ids(variants))
        left, right, anchor, stride = case["window"]
        planned = plan_windows(variants, reference, Window(left, right, anchor, stride))
        scorer = VariantScorer(model, reference)
        scorer.score(planned.slice(0, 1))
        tokens, began = model.num_tokens_computed, time.process_time()
        scored = scorer.score(planned)
        seconds, tokens = time.process_time() - began, model.num_tokens_computed - tokens
        deltas = scored["delta_llr"].to_pylist()
        print(json.dumps({"seconds": seconds, "tokens": tokens, "deltas": deltas}), flush=True)
    return 0


def compare(builds: dict[str, Worker], cases: dict[str, dict[str, Any]], rounds: int) -> int:
    agree = True
    print(
        f"{'case':26}{'variants/s':>12}{'other':>8}{'times':>7}{'tokens a variant':>18}{'other':>8}{'largest difference':>20}"
    )
    answers: dict[str, dict[str, Any]] = {}
    for name, case in cases.items():
        best: dict[str, dict[str, Any]] = {}
        for _ in range(rounds):
            for build, worker in builds.items():
                answer = worker.ask(case)
                if build not in best or answer["seconds"] < best[build]["seconds"]:
                    best[build] = answer
        this, other = best["this"], best["other"]
        answers[name] = this
        count = len(this["deltas"])
        difference = float(np.abs(np.array(this["deltas"]) - np.array(other["deltas"])).max())
        agree &= difference <= TOLERANCE * max(1.0, float(np.std(this["deltas"])))
        speeds = [count / build["seconds"] for build in (this, other)]
        tokens = [build["tokens"] / count for build in (this, other)]
        print(
            f"{name:26}{speeds[0]:12.1f}{speeds[1]:8.1f}{speeds[0] / speeds[1]:7.2f}{tokens[0]:18.1f}{tokens[1]:8.1f}{difference:20.1e}",
            flush=True,
        )
    walk = answers["region, right 1"]
    plain = min(
        (builds["this"].ask({"forward": walk["tokens"]}) for _ in range(rounds)), key=lambda one: one["seconds"]
    )
    walk_speed, plain_speed = walk["tokens"] / walk["seconds"], plain["tokens"] / plain["seconds"]
    print(
        f"right 1: {walk_speed:,.0f} tokens/s; a plain forward pass: {plain_speed:,.0f}; share {walk_speed / plain_speed:.2f}"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
