"""A run's folder with labels and stored states, laid down without a model: ``embedded_folder(tmp_path)``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.evaluation.labelled_scores import LabelRequest
from tests.run_folders import row, run_folder

WIDTH = 6
LAYER, POOL = "blocks.1", "right:8"
ENDS = ("fwd", "rev")


def telling_states(positive: np.ndarray, strength: float, seed: int, width: int = WIDTH) -> dict[str, np.ndarray]:
    """(R, D) states by column: noise, and in the first number of each difference the label, ``strength`` high."""
    generator = np.random.default_rng(seed)
    shape = (len(positive), width)
    states = {f"{kind}_{LAYER}_{POOL}_{end}": generator.normal(size=shape) for kind in ("ref", "delta") for end in ENDS}
    for end in ENDS:
        states[f"delta_{LAYER}_{POOL}_{end}"][:, 0] += strength * positive
    return {name: part.astype(np.float32) for name, part in states.items()}


def write_embeddings(folder: str, states: dict[str, np.ndarray], missing: Sequence[int] = ()) -> None:
    """States of the rows of a folder in the order of its files; ``missing`` rows have none."""
    start = 0
    for file in sorted(Path(folder).glob("scores/*/*.parquet")):
        ids = pq.ParquetFile(file).read(["variant_id"])["variant_id"]
        columns: dict[str, Any] = {"variant_id": ids}
        absent = np.isin(np.arange(start, start + len(ids)), missing)
        for name, part in states.items():
            values = pa.array(part[start : start + len(ids)].ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(values, part.shape[1], mask=pa.array(absent))
        for end in ENDS:
            columns[f"num_pooled_{POOL}_{end}"] = pa.array(np.where(absent, 0, 8))
        target = Path(str(file).replace("/scores/", "/embeddings/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), target)
        start += len(ids)


def embedded_folder(
    folder: Path,
    num_genes: int = 12,
    of_each: int = 30,
    strength: float = 2.0,
    zero_shot: float = 0.5,
    missing: Sequence[int] = (),
    seed: int = 0,
    layers: Sequence[str] = (LAYER,),
    **columns: Any,
) -> str:
    """Labelled SNVs of genes on one contig, two alleles a site: a third is ``P``; states and ``delta_llr`` tell it, one more than the other.

    Args:
        columns: further columns of text by name, or other values of ``label`` and ``gene``.
    """
    size = num_genes * of_each
    generator = np.random.default_rng(seed)
    positive = generator.random(size) < 1 / 3
    delta = generator.normal(size=size) - zero_shot * positive
    texts = {
        "label": np.where(positive, "P", "B"),
        "gene": [f"G{number // of_each}" for number in range(size)],
        **columns,
    }
    rows = [
        row("1", number // 2 * 10 + 101, "A", "CG"[number % 2], float(delta[number]))
        | {k: str(v[number]) for k, v in texts.items()}
        for number in range(size)
    ]
    path = run_folder(folder, rows, rows_a_file=100)
    states = telling_states(positive, strength, seed + 1)
    every = {name.replace(LAYER, layer): part for layer in layers for name, part in states.items()}
    write_embeddings(path, every, missing)
    return path


def request_of(folder: str, **other: Any) -> LabelRequest:
    """The labels of such a folder."""
    return LabelRequest(folder, "label", positive=["P"], negative=["B"], **other)
