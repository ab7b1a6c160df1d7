"""Heads that were not trained: ``made_head(folder)`` writes one with numbers drawn at random, and reads it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from raygen.classes.calibration import LabelSet
from raygen.classes.head import Compared, ComparedRows, Head, HeadFacts, HeadFolds, HeadInputs, site_digests
from raygen.classes.head_file import read_head, write_head

WIDTH = 4
AREA = Compared(
    auroc=0.7,
    auroc_interval=(0.6, 0.8),
    difference=0.0,
    difference_interval=(0.0, 0.0),
    auprc=0.5,
    auprc_interval=None,
    auprc_difference=0.0,
    auprc_difference_interval=None,
)


def head_facts(fingerprint: str = "0123456789abcdef", embeddings: str = "", **inputs: Any) -> HeadFacts:
    """Facts of a head on ``blocks.1`` and ``right:8`` of four numbers, of both strands; ``inputs`` overrides what it reads."""
    reads: dict[str, Any] = {
        "layer": "blocks.1",
        "pool": "right:8",
        "strands": ("forward", "reverse"),
        "strand_use": "mean",
        "feature": "concat",
        "width": WIDTH,
    }
    return HeadFacts(
        raygen="0",
        fingerprint=fingerprint,
        model="bigram",
        embeddings=embeddings,
        inputs=HeadInputs(**(reads | inputs)),
        penalty=0.1,
        penalties=(1.0, 0.1),
        folds=HeadFolds(
            level="gene",
            groups="12 genes",
            why_not_larger=None,
            num_folds=5,
            num_inner_folds=5,
            random_rows=False,
            seed=0,
        ),
        labels=LabelSet(
            source="labels.vcf",
            label="CLNSIG",
            positive=("Pathogenic",),
            negative=("Benign",),
            num_positive=20,
            num_negative=30,
            left_out={},
        ),
        labels_licence=None,
        result=ComparedRows(areas={"head": AREA}, num_positive=20, num_negative=30, num_groups=12),
        by_consequence={},
        verdict=("head is not better than zero-shot.",),
        remarks=(),
    )


def made_head(folder: Path, name: str = "made", sites: tuple[str, ...] = ("1-5",), **inputs: Any) -> Head:
    """A head of random numbers, written to ``folder/name`` and read from there."""
    facts = head_facts(**inputs)
    generator = np.random.default_rng(3)
    centre, scale, weight = generator.normal(size=(3, facts.inputs.num_features))
    write_head(folder / name, facts, centre, np.abs(scale) + 0.1, weight, 0.25, site_digests(sites))
    return read_head(str(folder / name))
