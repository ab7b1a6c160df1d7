"""On a machine with a GPU: python jobs/benchmarks/gpu_questions.py [--like evo-1-8k-base]; without one: the same with --small.

All that this project wants to know of a GPU, in one run of some minutes on random weights of a published shape (12.9 GB in --scratch):

* which dtype ``auto`` chooses there and why, how long loading takes, and the rate of its matrix products;
* memory, tokens/s and the share of that rate of the WT pass, and of branches that leave a path inside a pass, at right 16, 128 and 512;
* fork against pair on SNVs side by side: seconds of both, and the largest difference of a delta.

What the arithmetic says of the same passes: ``roofline.py``. ``--small`` takes a model of 0.24 million parameters and short windows, to
try the script. Each answer is printed when it is there; the run ends in one JSON line, and with exit code 1 where fork and pair disagree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

sys.path.insert(0, str(Path(__file__).parent))

from bench_model import TOLERANCES, held, product_peak, random_reference, speed, synchronised, timed, told, where

from raygen.errors import RaygenError
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.precision import DTYPES
from raygen.model.random_checkpoint import EVO1_8K, config_like, demo_config, write_random_checkpoint
from raygen.model.state import Marks
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import Reference
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids

RIGHTS = (16, 128, 512)


@dataclass(frozen=True)
class Sizes:
    """How much is read: tokens of the path and of a pass of branches, bases whose SNVs are scored by both methods."""

    window: int = 8192
    pass_tokens: int = 8192
    num_bases: int = 8
    seconds: float = 2.0  # of each timing


SMALL = Sizes(window=600, pass_tokens=1024, num_bases=2, seconds=0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--like", default=EVO1_8K, help=f"{EVO1_8K}, or an Evo 2 checkpoint such as evo2_7b_base")
    parser.add_argument("--model", help="a folder with a checkpoint, instead of random weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scratch", help="where the weights are written; by default the system's folder")
    parser.add_argument("--small", action="store_true", help="a small model and short windows")
    args = parser.parse_args()
    if args.small:
        torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            answers = answer(args, Path(scratch), SMALL if args.small else Sizes())
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(answers))
    return 0 if answers["agrees"] else 1


def answer(args: argparse.Namespace, scratch: Path, sizes: Sizes) -> dict[str, Any]:
    answers: dict[str, Any] = {"torch": torch.__version__, "shape": "small" if args.small else args.model or args.like}
    folder = args.model or write_weights(args, scratch, answers)
    began = time.perf_counter()
    model = load_model(str(folder), device=args.device, dtype="auto")
    facts = model.loaded.facts
    told(answers, "loaded", seconds=time.perf_counter() - began, **where(model), why=facts.dtype_because, **held())
    peak = product_peak(model, sizes.pass_tokens, sizes.seconds)
    told(answers, "product_peak", tflops=peak / 1e12)
    told(answers, "wt", **wt_pass(model, sizes, peak), **held())
    for right in RIGHTS:
        told(answers, f"branches_{right}", **branch_pass(model, sizes, right, peak), **held())
    reference = random_reference(scratch, sizes.window * 2)
    for right in RIGHTS:
        told(answers, f"fork_and_pair_{right}", **fork_and_pair(model, reference, sizes, right))
    tolerance = TOLERANCES[facts.dtype]
    differences = [answers[f"fork_and_pair_{right}"]["largest_difference"] for right in RIGHTS]
    return {**answers, "tolerance": tolerance, "agrees": all(value <= tolerance for value in differences)}


def write_weights(args: argparse.Namespace, scratch: Path, answers: dict[str, Any]) -> Path:
    config, began = demo_config() if args.small else config_like(args.like), time.perf_counter()
    write_random_checkpoint(scratch / "model", config, 1, 5_000_000_000, DTYPES["bfloat16"])
    told(answers, "written", seconds=time.perf_counter() - began)
    return scratch / "model"


def wt_pass(model: ResidentModel, sizes: Sizes, peak: float) -> dict[str, float]:
    """A window read from its start, as one row."""
    return repeated(model, random_tokens(model, 1, sizes.window), None, sizes, peak, context=sizes.window)


@torch.inference_mode()
@exact_arithmetic()
def branch_pass(model: ResidentModel, sizes: Sizes, right: int, peak: float) -> dict[str, float]:
    """As many branches as fill a pass, each ``right`` tokens long, eight of them from each stop, three tokens apart at a path's end."""
    num_stops = max(sizes.pass_tokens // right // 8, 1)
    after = sizes.window - 3 * np.arange(num_stops)[::-1]
    path = random_tokens(model, 1, sizes.window)
    state = model.loaded.network.hidden_states(path, marks=Marks(np.zeros(num_stops, np.int64), after))[1]
    assert state is not None
    tokens = random_tokens(model, num_stops * 8, right)
    # A token attends to the whole path, where ``speed`` counts half of a window.
    return repeated(model, tokens, state.fork(8), sizes, peak, context=2 * sizes.window)


@torch.inference_mode()
@exact_arithmetic()
def repeated(
    model: ResidentModel, tokens_BT: torch.Tensor, state: Any, sizes: Sizes, peak: float, context: int
) -> dict[str, float]:
    """The same pass again and again for a while, the best of all; the first, which makes filters and takes memory, does not count."""
    device, network = model.loaded.device, model.loaded.network
    network.hidden_states(tokens_BT, state)
    best, until = float("inf"), synchronised(device) + sizes.seconds
    while best == float("inf") or synchronised(device) < until:
        began = synchronised(device)
        network.hidden_states(tokens_BT, state)
        best = min(best, synchronised(device) - began)
    return {"rows": len(tokens_BT), **speed(model, best, tokens_BT.numel(), peak, context)}


def random_tokens(model: ResidentModel, rows: int, tokens: int) -> torch.Tensor:
    letters = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), (rows, tokens))
    return torch.from_numpy(letters.astype(np.int64)).to(model.loaded.device)


def fork_and_pair(model: ResidentModel, reference: Reference, sizes: Sizes, right: int) -> dict[str, float]:
    """All SNVs of some bases, by both methods."""
    right = min(right, sizes.window // 2)
    window = Window(sizes.window - right - sizes.num_bases, right, "grid", sizes.num_bases)
    planned = plan_windows(all_snvs(reference, sizes.num_bases), reference, window)
    answers: dict[str, float] = {"variants": len(planned)}
    deltas = {}
    for method in ("fork", "pair"):
        scorer, tables = VariantScorer(model, reference, method=method), []
        seconds, tokens = timed(model, lambda: tables.append(scorer.score(planned)))  # noqa: B023
        answers |= {f"{method}_seconds": seconds, f"{method}_tokens": tokens}
        deltas[method] = tables[0]["delta_llr"].to_numpy()
    return {**answers, "largest_difference": float(np.abs(deltas["fork"] - deltas["pair"]).max())}


def all_snvs(reference: Reference, num_bases: int) -> pa.Table:
    """Three changes at each base behind the middle of the contig."""
    bases = reference.bases("1").tobytes().decode()
    places = [len(bases) // 2 + number for number in range(num_bases)]
    changes = [(place, bases[place - 1], alt) for place in places for alt in "ACGT" if alt != bases[place - 1]]
    pos, refs, alts = zip(*changes, strict=True)
    table = pa.table({"chrom": ["1"] * len(changes), "pos": list(pos), "ref": list(refs), "alt": list(alts)})
    return table.append_column("variant_id", variant_ids(table))


if __name__ == "__main__":
    sys.exit(main())
