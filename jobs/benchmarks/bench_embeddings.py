"""What embeddings cost beside scores, alternating in one run on one thread.

    python jobs/benchmarks/bench_embeddings.py [--family evo1|evo2] [--width 384] [--layers 8] [--rounds 5] [--right 128]

Random weights in float32; seconds are of the CPU, the best of the rounds; a score reads its window up to the last base, embeddings the
last base, too. ``region`` are all SNVs of 60 bases, left and stride 1,000, ``own`` are 24 isolated ones with a window each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from bench_dense import config

from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.scoring.embedding_columns import EmbeddingRequest, Storage
from raygen.scoring.embedding_plan import EmbeddingPlan
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids


class Contig:
    """A reference of one contig in memory."""

    def __init__(self, bases: str) -> None:
        self._bases = np.frombuffer(bases.encode(), np.uint8)

    def bases(self, contig: str) -> np.ndarray:
        return self._bases


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        write_random_checkpoint(Path(scratch) / "model", config(args), seed=1)
        model = load_model(str(Path(scratch) / "model"), device="cpu", dtype="float32")
        for name, positions, window in (
            ("region", range(2000, 2060), Window(1000, args.right, "grid", 1000)),
            ("own", range(2000, 2000 + 24 * 300, 300), Window(1000, args.right)),
        ):
            compare(name, model, positions, window, args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=["evo1", "evo2"], default="evo1")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--right", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def compare(name: str, model: ResidentModel, positions: range, window: Window, args: argparse.Namespace) -> None:
    bases = "".join("ACGT"[code] for code in np.random.default_rng(1).integers(0, 4, 12_000))
    rows = [(pos, bases[pos - 1], alt) for pos in positions for alt in "ACGT" if alt != bases[pos - 1]]
    table = pa.table(
        {"chrom": ["1"] * len(rows), **dict(zip(("pos", "ref", "alt"), zip(*rows, strict=True), strict=True))}
    )
    planned = plan_windows(table.append_column("variant_id", variant_ids(table)), Contig(bases), window)
    middle, all_layers = f"blocks.{args.layers // 2 - 1}", tuple(f"blocks.{layer}" for layer in range(args.layers))
    ways = {
        "scores alone": (None, True),
        f"and {middle}, right:64": ((middle,), True),
        f"and {args.layers} layers, right:64": (all_layers, True),
        f"{middle} alone, right:64": ((middle,), False),
    }
    scorers = {way: VariantScorer(model, Contig(bases), **_wanted(*choice)) for way, choice in ways.items()}
    seconds, tokens = dict.fromkeys(ways, np.inf), dict.fromkeys(ways, 0)
    for _ in range(args.rounds):
        for way, scorer in scorers.items():
            before, began = model.num_tokens_computed, time.process_time()
            scorer.score(planned)
            seconds[way] = min(seconds[way], time.process_time() - began)
            tokens[way] = model.num_tokens_computed - before
    first = next(iter(ways))
    for way in ways:
        speed, alone = tokens[way] / seconds[way], tokens[first] / seconds[first]
        print(
            f"{name:8}{way:32}{speed:10,.0f} tokens/s{speed / alone:7.2f}{len(rows) / seconds[way]:9.1f} variants/s"
            f"{seconds[first] / seconds[way]:7.2f}",
            flush=True,
        )


def _wanted(layers: tuple[str, ...] | None, with_scores: bool) -> dict[str, object]:
    embed = EmbeddingRequest(EmbeddingPlan(layers, ("right:64",)), Storage("float32")) if layers else None
    return {"embed": embed, "with_scores": with_scores}


if __name__ == "__main__":
    main()
