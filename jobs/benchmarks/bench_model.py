"""What a model of a published shape does on this machine: memory, tokens/s, share of the matrix-product peak, fork against pair.

    python jobs/benchmarks/bench_model.py [--like evo-1-8k-base] [--dtype bfloat16] [--device auto] [--window 8192]
    python jobs/benchmarks/bench_model.py --model FOLDER [the same]

``--like`` first writes random weights in the shape of a published checkpoint (12.9 GB for Evo 1) into a scratch folder: nothing is
fetched, and speed and memory do not depend on the weights. Then, on random sequence: whole windows, and SNVs scored as pairs and
forked. The peak is measured here too, on products with the model's own widest matrix. Products and attention count as work, filters
and norms do not. Needs neither Ray nor a network. Ends in one JSON line, and with exit code 1 where fork and pair do not agree.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from raygen.errors import RaygenError
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.devices import peak_gpu_memory, peak_host_memory
from raygen.model.precision import DTYPES
from raygen.model.products import linear
from raygen.model.random_checkpoint import EVO1_8K, config_like, write_random_checkpoint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference, open_reference
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids

TOLERANCES = {"float32": 2e-3, "float16": 0.25, "bfloat16": 2.0}
"""Nats that fork may differ from pair by; in half precision as much as the self-test allows two machines."""


def main() -> int:
    args = arguments()
    try:
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            result = bench(args, Path(scratch))
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result))
    return 0 if result["agrees"] else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--like", default=EVO1_8K, help=f"{EVO1_8K}, or an Evo 2 checkpoint such as evo2_7b_base")
    parser.add_argument("--model", help="a folder with a checkpoint, instead of random weights")
    parser.add_argument("--dtype", default="bfloat16", choices=[*DTYPES, "auto"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--window", type=int, default=8192)
    parser.add_argument("--right", type=int, default=256, help="of the window, bases from the variant on")
    parser.add_argument("--windows", type=int, default=4, help="whole windows to read")
    parser.add_argument("--variants", type=int, default=64)
    parser.add_argument("--apart", type=int, default=10, help="bases from one variant to the next")
    parser.add_argument("--stride", type=int, default=1024)
    parser.add_argument("--batch-tokens", type=int, help="of one pass; by default what suits the device")
    parser.add_argument("--skip-pair", action="store_true", help="only fork: pair takes by far the longest")
    parser.add_argument("--scratch", help="where the weights are written; by default the system's folder")
    return parser.parse_args()


def bench(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {key: value for key, value in vars(args).items() if key != "scratch"}
    folder = args.model
    if folder is None:
        folder, began = scratch / "model", time.perf_counter()
        stored = DTYPES["bfloat16" if args.dtype == "auto" else args.dtype]
        write_random_checkpoint(folder, config_like(args.like), seed=1, max_shard_bytes=5_000_000_000, dtype=stored)
        told(facts, "written", seconds=time.perf_counter() - began)
    began = time.perf_counter()
    model = load_model(str(folder), device=args.device, dtype=args.dtype, max_batch_tokens=args.batch_tokens or "auto")
    told(facts, "loaded", seconds=time.perf_counter() - began, **where(model), **held())
    peak = product_peak(model)
    told(facts, "product_peak", tflops=peak / 1e12)

    reference = random_reference(scratch, args.window * 4)
    bases = reference.bases("1").tobytes().decode()
    sequences = [bases[at * 64 : at * 64 + args.window] for at in range(args.windows)]
    model.log_likelihoods([sequences[0][:64]])  # makes filters and takes memory
    seconds, tokens = timed(model, lambda: model.log_likelihoods(sequences))
    told(facts, "whole_windows", **speed(model, seconds, tokens, peak, args.window), **held())

    window = Window(args.window - args.right - args.stride + 1, args.right, "grid", args.stride)
    planned = plan_windows(some_snvs(reference, args), reference, window)
    deltas = {}
    for method in ("fork", "pair")[: 1 if args.skip_pair else 2]:
        scorer, found = VariantScorer(model, reference, method=method), []
        seconds, tokens = timed(model, lambda: found.append(scorer.score(planned)))  # noqa: B023
        deltas[method] = found[0]["delta_llr"].to_numpy()
        told(
            facts,
            method,
            **speed(model, seconds, tokens, peak, args.window),
            **held(),
            variants_per_second=args.variants / seconds,
        )
    if not all(np.isfinite(values).all() for values in deltas.values()):
        return {**facts, "agrees": False}
    if args.skip_pair:
        return {**facts, "agrees": True}
    largest = float(np.abs(deltas["fork"] - deltas["pair"]).max())
    tolerance = TOLERANCES[model.loaded.facts.dtype]
    return {**facts, "fork_from_pair": largest, "agrees": largest <= tolerance, "torch": torch.__version__}


def told(facts: dict[str, Any], what: str, **measured: Any) -> None:
    """Keep what was measured, and say it at once: the rest may take long."""
    facts[what] = {name: round(value, 4) if isinstance(value, float) else value for name, value in measured.items()}
    print(what, facts[what], file=sys.stderr, flush=True)


def where(model: ResidentModel) -> dict[str, Any]:
    device = model.loaded.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    return {
        "device": name,
        "dtype": model.loaded.facts.dtype,
        "batch_tokens": model.budget.max_batch_tokens,
    }


def held() -> dict[str, float]:
    """Most memory so far, GB."""
    return {"gpu_gb": peak_gpu_memory() / 1e9, "host_gb": peak_host_memory() / 1e9}


def synchronised(device: torch.device) -> float:
    """The clock, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(model: ResidentModel, work: Callable[[], Any]) -> tuple[float, int]:
    """Seconds, and tokens read."""
    device, tokens = model.loaded.device, model.num_tokens_computed
    began = synchronised(device)
    work()
    return synchronised(device) - began, model.num_tokens_computed - tokens


@torch.inference_mode()
@exact_arithmetic()
def product_peak(model: ResidentModel, num_rows: int = 8192, seconds: float = 2.0) -> float:
    """Operations a second of the model's widest product, the best of several."""
    layers = [layer for layer in model.loaded.network.modules() if isinstance(layer, nn.Linear)]
    weight_CD, device = max((layer.weight for layer in layers), key=lambda weight: weight.numel()), model.loaded.device
    x_MD = torch.randn(num_rows, weight_CD.shape[1], device=device).to(weight_CD.dtype)
    best, until = float("inf"), time.perf_counter() + seconds
    linear(x_MD, weight_CD)
    while time.perf_counter() < until:
        began = synchronised(device)
        for _ in range(10 if device.type == "cuda" else 1):
            linear(x_MD, weight_CD)
        best = min(best, (synchronised(device) - began) / (10 if device.type == "cuda" else 1))
    return 2 * num_rows * weight_CD.numel() / best


def speed(model: ResidentModel, seconds: float, tokens: int, peak: float, window: int) -> dict[str, float]:
    """``share_of_peak``: operations of products and attention, each token seeing half of a window on average, by seconds and peak."""
    network = model.loaded.network
    config, unembedding = network.config, network.get_input_embeddings().weight
    products = 2 * (
        sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear)) + unembedding.numel()
    )
    attention = 2 * 2 * config.hidden_size * window / 2 * len(config.attn_layer_idxs)
    share = (products + attention) * tokens / seconds / peak
    return {"seconds": seconds, "tokens": tokens, "tokens_per_second": tokens / seconds, "share_of_peak": share}


def random_reference(folder: Path, length: int) -> Reference:
    bases = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes().decode()
    (folder / "reference.fa").write_text(f">1\n{bases}\n")
    return open_reference(str(folder / "reference.fa"))


def some_snvs(reference: Reference, args: argparse.Namespace) -> pa.Table:
    """One change at each place, in the middle of the contig."""
    bases = reference.bases("1").tobytes().decode()
    places = [len(bases) // 2 + number * args.apart for number in range(args.variants)]
    refs = [bases[place - 1] for place in places]
    alts = ["ACGT"["CGTA".index(base)] for base in refs]
    table = pa.table({"chrom": ["1"] * len(places), "pos": places, "ref": refs, "alt": alts})
    return table.append_column("variant_id", variant_ids(table))


if __name__ == "__main__":
    sys.exit(main())
