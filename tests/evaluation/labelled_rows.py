"""Labelled rows for tests: a table on disk, read as ``gather`` reads it, and noise that tells labels apart."""

import numpy as np
import polars as pl

from raygen.evaluation.labelled_scores import LabelRequest, gather


def noisy(size: int, share: float = 0.2, shift: float = 1.0, seed: int = 1):
    """(R,) risks and labels: ``share`` of the rows is positive and lies ``shift`` higher, in units of the noise."""
    generator = np.random.default_rng(seed)
    positive = generator.random(size) < share
    return generator.normal(size=size) + shift * positive, positive


def labelled_table(folder, positive, **columns):
    """Rows with these labels, SNVs at 1, 2, 3, ... of contig 1 unless ``chrom`` and ``pos`` say otherwise, as ``gather`` reads them.

    ``request`` holds options of ``LabelRequest``.
    """
    size = len(positive)
    options = columns.pop("request", {})
    frame = {"chrom": ["1"] * size, "pos": range(1, size + 1), "ref": ["A"] * size, "alt": ["C"] * size}
    frame |= {
        "delta_llr": np.where(positive, -1.0, 1.0) + np.arange(size) / size,
        "class": np.where(positive, "P", "B"),
    }
    pl.DataFrame(frame | columns).write_parquet(folder / "rows.parquet")
    asked = LabelRequest(str(folder / "rows.parquet"), "class", positive=["P"], negative=["B"], **options)
    return gather(asked)


def alleles(num_sites, of_each=3):
    """``pos`` and ``alt`` of so many alleles at each of so many sites."""
    return {
        "pos": np.repeat(np.arange(num_sites) * 10 + 1, of_each),
        "alt": [
            "C" * (1 + number % of_each) if of_each > 3 else "CGT"[number % of_each]
            for number in range(num_sites * of_each)
        ],
    }
