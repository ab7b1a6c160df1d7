"""Classes by consequence, and how well the deltas tell two consequences apart: what a run can be judged by without labels.

In: an Arrow table with the SCORES columns and a column of consequences (Sequence Ontology terms). Out: a table for the
screen, and an AUROC.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from rich.table import Table

from raygen.classes.classify import CLASSES
from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import clusters_of
from raygen.evaluation.discrimination import Discrimination, discriminate

SHORT_NAMES = ("P", "LP", "VUS", "B", "GOF")
"""Short names of ``CLASSES``, in their order, for a table that fits 80 columns."""


def consequence_table(scores: pa.Table, column: str = "consequence") -> Table:
    """A table of one row a consequence, lowest median delta first: variants, median delta (nats), share of each class."""
    frame = pl.from_arrow(scores.select([column, "delta_llr", "classification"]))
    assert isinstance(frame, pl.DataFrame)
    shares = [(pl.col("classification") == name).mean().alias(name) for name in CLASSES]
    rows = frame.group_by(column).agg(pl.len().alias("variants"), pl.col("delta_llr").median(), *shares)
    table = Table(column, "variants", "median", *SHORT_NAMES, box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for place in table.columns[1:]:
        place.justify = "right"
    for row in rows.sort("delta_llr", column).iter_rows(named=True):
        classes = [f"{row[name]:.0%}" for name in CLASSES]
        table.add_row(str(row[column]), f"{row['variants']:,}", f"{row['delta_llr']:.2f}", *classes)
    return table


def tell_apart(
    scores: pa.Table, damaging: str = "stop_gained", harmless: str = "synonymous_variant", column: str = "consequence"
) -> Discrimination:
    """How well a lower delta tells damaging variants (positive) from harmless ones, with an interval from sites drawn again."""
    kinds = np.asarray(scores[column].to_pylist(), dtype=object)
    chosen = (kinds == damaging) | (kinds == harmless)
    positive, pos = kinds[chosen] == damaging, scores["pos"].to_numpy()[chosen]
    contig = scores["chrom"].combine_chunks().dictionary_encode().indices.to_numpy()[chosen]
    clusters = clusters_of("site", contig * (int(pos.max(initial=0)) + 1) + pos, positive)
    return discriminate(-scores["delta_llr"].to_numpy()[chosen], positive, clusters, Bootstrap())
