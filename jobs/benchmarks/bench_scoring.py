"""Tokens and seconds of the public reference, of ``pair`` and of ``fork``: one run measures all and ends in one JSON line.

    python jobs/benchmarks/bench_scoring.py CONFIG.yaml [--variants 200] [--width 384] [--layers 8] [--window 2048]
    python jobs/benchmarks/bench_scoring.py VARIANTS.vcf REFERENCE.fa [the same]

Of a settings file input.variants and input.reference are taken. All score the same variants with the same random weights on this machine's CPU, in float32. The reference is
``score_sequences`` of evo-model over stripedhyena (its attention, which needs flash-attn, through the stand-in in tests/), on
WT and MUT, in the batch size that was fastest in a short trial; where tests/ or these packages are not there, --skip-reference
measures the rest. A run whose numbers do not agree reports no speed and
ends with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from raygen.errors import RaygenError, SettingsError
from raygen.remote import stage
from raygen.scoring.plan import plan_windows, token_pairs
from raygen.sequence.reference import Reference, open_reference
from raygen.sequence.windows import Window
from raygen.settings import load_settings, refuse_missing_files
from raygen.tables.schemas import variant_ids
from raygen.variants.ingest import ingest

if TYPE_CHECKING:  # these import torch, which takes seconds: not before the arguments were looked at
    from raygen.model.evo1 import Evo1Config
    from raygen.scoring.likelihood import ResidentModel

FORK_TOLERANCE = 1e-3  # nats, largest difference of a delta from pair's; float32 over windows of thousands of tokens
REFERENCE_TOLERANCE = 0.05  # nats; the reference sums thousands of nats in float32 and takes their difference


def main() -> int:
    args = arguments()
    try:
        inputs, fasta = input_of(args)
        if not args.skip_reference:
            the_public_reference()  # before minutes of work
        result = bench(args, inputs, fasta)
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result))
    return 0 if result["agrees"] else 1


def bench(args: argparse.Namespace, inputs: list[str], fasta: str) -> dict[str, Any]:
    import torch

    from raygen.model.random_checkpoint import write_random_checkpoint
    from raygen.scoring.likelihood import load_model

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copied = shutil.copy(stage(fasta), folder / "reference.fa")  # its index goes beside the copy
        reference = open_reference(str(copied))
        variants = some_variants(inputs, reference, args.variants, folder)
        write_random_checkpoint(folder / "model", config(args), seed=1)
        model = load_model(str(folder / "model"), device="cpu", dtype="float32")
        return measure(args, model, variants, reference)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="settings as YAML, or a file of variants")
    parser.add_argument("reference", nargs="?", help="FASTA; of a settings file its input.reference")
    parser.add_argument("--variants", type=int, default=200)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--stride", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--skip-reference", action="store_true", help="only pair and fork")
    return parser.parse_args()


def input_of(args: argparse.Namespace) -> tuple[list[str], str]:
    """Files of variants and the FASTA.

    Raises:
        SettingsError: the settings name no variants, or a file of variants stands there without a FASTA.
        InputError: a file is missing.
    """
    if not args.input.endswith((".yaml", ".yml")):
        if args.reference is None:
            raise SettingsError(f"{args.input}: give the FASTA after it, or a settings file (.yaml) that names both.")
        return [args.input], args.reference
    settings = load_settings(args.input)
    if not settings.input.variants or not settings.input.reference:
        raise SettingsError(f"{args.input} names no input.variants with an input.reference, which are measured.")
    refuse_missing_files(settings)
    return [stage(path) for path in settings.input.variants], args.reference or settings.input.reference


def the_public_reference() -> tuple[Callable[..., Any], type, Callable[..., Any]]:
    """``score_sequences``, the tokenizer, and what gives the network; the stand-in for flash-attn is put in place.

    Raises:
        SettingsError: it is not here.
    """
    try:
        from tests.model.stripedhyena_on_cpu import install_stand_in, reference_of

        install_stand_in()
        from evo.scoring import score_sequences
        from stripedhyena.tokenizer import CharLevelTokenizer
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"The public reference cannot be measured: there is no {error.name} (tests/ of a checkout, and the packages of "
            "raygen[dev]). With --skip-reference pair and fork are measured."
        ) from error
    return score_sequences, CharLevelTokenizer, reference_of


def config(args: argparse.Namespace) -> Evo1Config:
    """Width and depth as asked, one attention layer in eight; the rest as the demo's."""
    from raygen.model.evo1 import Evo1Config
    from raygen.model.random_checkpoint import demo_config

    attention = [layer for layer in range(args.layers) if layer % 8 == 4]
    settings = demo_config().keys()
    shape = {
        "hidden_size": args.width,
        "num_layers": args.layers,
        "attn_layer_idxs": attention,
        "hyena_layer_idxs": [layer for layer in range(args.layers) if layer not in attention],
        "num_attention_heads": max(args.width // 64, 1),
        "inner_mlp_size": args.width * 8 // 3 // 16 * 16,
    }
    return Evo1Config(**{**settings, **shape})


def some_variants(inputs: list[str], reference: Reference, count: int, folder: Path) -> pa.Table:
    """The first ``count`` variants that have a whole window around them, named."""
    taken = ingest(inputs, reference, folder / "ingested")
    table = pq.read_table(taken.variants_dir).slice(0, count)
    return table.append_column("variant_id", variant_ids(table))


def measure(args: argparse.Namespace, model: ResidentModel, variants: pa.Table, reference: Reference) -> dict[str, Any]:
    half = args.window // 2
    same, short = Window(half, half), args.window - 256
    windows = {
        "pair": ("pair", same),
        "fork": ("fork", same),
        "fork_grid": ("fork", Window(half, half, "grid", args.stride)),
        "fork_grid_right_256": ("fork", Window(short, 256, "grid", args.stride)),
    }
    measured, deltas = {}, {}
    for name, (method, window) in windows.items():
        deltas[name], measured[name] = timed_scores(model, variants, reference, method, window)
        print(name, measured[name], file=sys.stderr, flush=True)
    # A grid's windows begin elsewhere, so its own pairs are what it must agree with: checked on every eighth variant.
    eighth = variants.take(pa.array(range(0, len(variants), 8)))
    differences = {"fork": float(np.abs(deltas["fork"] - deltas["pair"]).max())}
    for name in ("fork_grid", "fork_grid_right_256"):
        expected, _ = timed_scores(model, eighth, reference, "pair", windows[name][1])
        differences[name] = float(np.abs(deltas[name][::8] - expected).max())
    if not args.skip_reference:
        found, measured["reference"] = reference_scores(model, variants, reference, same)
        differences["reference"] = float(np.abs(found - deltas["pair"]).max())
    return report(args, len(variants), measured, differences)


def timed_scores(
    model: ResidentModel, variants: pa.Table, reference: Reference, method: str, window: Window
) -> tuple[np.ndarray, dict[str, float]]:
    """Deltas, and the tokens and seconds they took; windows are planned and cut within the time."""
    from raygen.scoring.scorer import VariantScorer  # loaded with the model, and no part of the time

    tokens, began = model.num_tokens_computed, time.perf_counter()
    planned = plan_windows(variants, reference, window)
    scored = VariantScorer(model, reference, method=method).score(planned)
    seconds = time.perf_counter() - began
    return scored["delta_llr"].to_numpy(), cost(model.num_tokens_computed - tokens, seconds)


def reference_scores(
    model: ResidentModel, variants: pa.Table, reference: Reference, window: Window
) -> tuple[np.ndarray, dict[str, float]]:
    """Deltas by evo-model's own scoring of WT and MUT."""
    score_sequences, tokenizer, reference_of = the_public_reference()
    network = reference_of(model.loaded.network)
    planned = plan_windows(variants, reference, window)
    pairs = token_pairs(planned, "forward", reference)
    sequences = [tokens.tobytes().decode() for pair in pairs for tokens in pair]

    def score(some: list[str]) -> list[float]:
        return score_sequences(some, network, _Tokenizer(tokenizer(512)), reduce_method="sum", device="cpu")

    batch = fastest_batch(score, sequences)
    began = time.perf_counter()
    scores = [value for at in range(0, len(sequences), batch) for value in score(sequences[at : at + batch])]
    seconds = time.perf_counter() - began
    found = np.array(scores, dtype=np.float64).reshape(-1, 2)
    tokens = sum(len(sequence) + 1 for sequence in sequences)
    return found[:, 1] - found[:, 0], {**cost(tokens, seconds), "batch": batch}


class _Tokenizer:
    """The reference's tokenizer with the numpy call it makes replaced: numpy 2 no longer has it."""

    def __init__(self, own: Any) -> None:
        self.pad_id, self.eod_id = own.pad_id, own.eod_id

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())


def fastest_batch(score: Callable[[list[str]], Any], sequences: list[str]) -> int:
    """The batch size with the most sequences a second, of 1, 2, 4 and 8, each tried once after a warm-up."""
    score(sequences[:1])
    seconds = {}
    for batch in (1, 2, 4, 8):
        began = time.perf_counter()
        score(sequences[:batch])
        seconds[batch] = (time.perf_counter() - began) / batch
    return min(seconds, key=lambda batch: seconds[batch])


def cost(tokens: int, seconds: float) -> dict[str, float]:
    return {"tokens": tokens, "seconds": round(seconds, 2), "tokens_per_second": round(tokens / seconds)}


def report(
    args: argparse.Namespace, num_variants: int, measured: dict[str, Any], differences: dict[str, float]
) -> dict[str, Any]:
    import torch

    agrees = all(
        value <= (REFERENCE_TOLERANCE if name == "reference" else FORK_TOLERANCE) for name, value in differences.items()
    )
    result = {"agrees": agrees, "largest_difference": differences, "variants": num_variants, **vars(args)}
    if not agrees:
        return result
    for base in ("reference", "pair"):
        if base in measured:
            ratios = {name: round(measured[base]["seconds"] / one["seconds"], 2) for name, one in measured.items()}
            result[f"times_the_speed_of_{base}"] = ratios
    return {**result, "measured": measured, "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
