"""What half precision costs on your own variants: python jobs/precision_noise.py [CONFIG] [--set key.path=value ...]

Scores a sample of them with the settings' model in float32, bfloat16 and float16, prints how far ``delta_llr`` lies from
float32 (nats) and how many classes change, and ends in one JSON line. Float32 weights must fit the device.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

import raygen
from raygen.evaluation.precision_noise import measure_noise, noise_table
from raygen.scoring.likelihood import ResidentModel
from raygen.sequence.reference import open_reference
from raygen.settings import Settings, load_settings
from raygen.tables.schemas import VARIANTS
from raygen.variants.ingest import ingest


def main() -> int:
    args = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        given = {"input.variants": args.variants, "input.reference": args.reference, "model.name": args.model}
        try:
            settings = load_settings(args.config, args.overrides, {**given, "output.path": scratch})
            rows = sample(read_input(settings, Path(scratch)), args.sample, args.seed)
            noises = measure_noise(lambda mode: score(settings, rows, mode), args.modes, settings.classes.cuts)
        except raygen.RaygenError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    Console().print(noise_table(noises))
    facts = {"model": settings.model.name, "window": settings.window.model_dump(), "method": settings.scoring.method}
    print(json.dumps({**facts, "sample": len(rows), "seed": args.seed, "noise": [asdict(noise) for noise in noises]}))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", help="settings as YAML; flags and --set go over it")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--variants", action="append", help="Parquet or VCF, files or folders")
    parser.add_argument("--reference", help="FASTA of the variants' assembly")
    parser.add_argument("--model", help="demo, a folder with a checkpoint, or a hub id")
    parser.add_argument("--sample", type=int, default=500, help="variants, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modes", nargs="+", default=["bfloat16", "float16"])
    return parser.parse_args()


def read_input(settings: Settings, scratch: Path) -> pa.Table:
    """PAIRS as they are, or variants as ``raygen ingest`` makes them."""
    if settings.input.pairs:
        return pa.concat_tables([pq.read_table(path) for path in settings.input.pairs])
    longest = settings.input.max_allele_length
    reference = open_reference(str(settings.input.reference))
    taken = ingest(settings.input.variants or [], reference, scratch / "ingested", max_allele_length=longest)
    return pq.read_table(taken.variants_dir).select(VARIANTS.names)


def sample(rows: pa.Table, count: int, seed: int) -> pa.Table:
    """``count`` rows at random, in their order; all where there are fewer."""
    chosen = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
    return rows.take(np.sort(chosen))


def score(settings: Settings, rows: pa.Table, dtype: str) -> pa.Table:
    """The rows' SCORES in one mode; the model is given back afterwards."""
    chosen, method = settings.model, settings.scoring.method
    model = raygen.load_model(chosen.name, revision=chosen.revision, device=chosen.device, dtype=dtype)
    scores = raygen.score_pairs(model, rows, method) if settings.input.pairs else score_variants(settings, model, rows)
    if model.num_rescored:
        print(f"{dtype}: {model.num_rescored:,} pairs were not finite and count as in float32", file=sys.stderr)
    return scores


def score_variants(settings: Settings, model: ResidentModel, rows: pa.Table) -> pa.Table:
    window, method = settings.window, settings.scoring.method
    half = model.context_length // 2
    left, right = (half if side is None else side for side in (window.left, window.right))
    placed = raygen.Window(left, right, window.anchor, window.stride)
    reference = str(settings.input.reference)
    return raygen.score_variants(model, rows, reference, method, window.strand, placed, settings.input.circular)


if __name__ == "__main__":
    sys.exit(main())
