"""Folders of finished runs whose scores are ranked: ``ranked_folder(tmp_path, rows, rule)`` lays them down as ``reclassify`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raygen.classes.background import Background, BackgroundFacts
from raygen.classes.class_rule import ClassRule
from raygen.classes.classify import cuts_as_json
from raygen.classes.contexts import ContextSums, context_codes
from raygen.classes.score_counts import ScoreCounts
from raygen.finished.reclassify import reclassify_rows
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES
from tests.run_folders import RUN, made_manifest

FINGERPRINT, REFERENCE = "0123456789abcdef", "0" * 64
CONTIG = np.frombuffer(b"ACGTTGCA" * 100, np.uint8)
"""The bases of every contig of these folders."""
GENE = pa.field("gene", pa.string())


def background_of(deltas: Sequence[float], neutral: Mapping[int, float] | None = None, **facts: Any) -> Background:
    """A background of SNVs with these deltas; ``neutral`` has deltas of changes to A by position, from which contexts are learnt."""
    described: dict[str, Any] = {
        "raygen": "0",
        "fingerprint": FINGERPRINT,
        "model": "bigram",
        "reference_digest": REFERENCE,
        "contig_lengths": {},
        "neutral": f"{len(neutral)} changes" if neutral else None,
        "sources": (f"made: {len(deltas)} scores",),
        **facts,
    }
    sums = None
    if neutral:
        codes = context_codes(CONTIG, np.array(list(neutral)), np.full(len(neutral), ord("A"), np.uint8))
        sums = ContextSums.of(codes, np.array(list(neutral.values())))
    groups = {"SNV": ScoreCounts.of(np.array(deltas, np.float32))}
    return Background(BackgroundFacts(**described), groups, sums)


def ranked_folder(folder: Path, rows: Sequence[Mapping[str, Any]], rule: ClassRule, name: str = "ranked") -> str:
    """A folder with these rows of one contig, which may have a ``gene``, ranked and classified by a rule, and its manifest."""
    assert rule.background is not None
    has_gene = "gene" in rows[0]
    table = pa.Table.from_pylist(
        [dict(one) for one in rows], schema=pa.schema([*SCORES, *([GENE] if has_gene else [])])
    )
    ranked = reclassify_rows(table, Identity(FINGERPRINT, REFERENCE, "-7, -3, -1, 1"), rule, lambda chrom: CONTIG)
    source = "gene" if has_gene else ""
    identity = Identity(FINGERPRINT, REFERENCE, rule.cuts_text, source, background=rule.background.digest)
    run = RunFolder(str(folder / name))
    run.prepare()
    run.commit_shard("made-000000", rows[0]["chrom"], ranked, REJECTS.empty_table(), identity)
    manifest = made_manifest(len(rows), (), {"background": rule.background.summary})
    manifest["resolved"] |= {"cuts": cuts_as_json(rule.cuts), "classes_on": rule.on}
    run.write_manifest(RUN, manifest)
    return run.path
