"""Nights that keep embeddings beside their table."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from raygen.finished.embeddings import read_embeddings
from raygen.nights import nightly
from raygen.nights.nightly import run_nights
from raygen.pipeline.run import run_score
from raygen.settings import load_settings
from raygen.tables.compact import compact
from raygen.tables.rollback import rollback
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases, snvs, vcf
from tests.embedding_scorer import EmbeddingScorer, vectors_of

BASES = random_bases(300, 1)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_nights_add_embeddings_to_a_table_that_is_compacted_and_rolled_back(tmp_path, monkeypatch):
    monkeypatch.setattr(nightly, "run_score", partial(run_score, make_scorer=EmbeddingScorer))
    (tmp_path / "land").mkdir()
    given = {
        "landing.folder": str(tmp_path / "land"),
        "landing.settle_seconds": 0,
        "input.reference": str(fasta(tmp_path, {"1": BASES})),
        "output.path": str(tmp_path / "out"),
        "window.left": 16,
        "window.right": 16,
        "model.device": "cpu",
        "cluster.actors": 1,
        "embed.layers": ["norm"],
        "embed.pool": ["right:8"],
    }
    nights = []
    for number, positions in enumerate((range(20, 60), range(50, 90), range(90, 100))):
        vcf(tmp_path / "land", snvs("1", BASES, positions), f"{number}.vcf")
        nights += run_nights(load_settings(None, given=given), say=lambda line: None)
        if number == 1:
            compact(nights[-1].table)
    table = nights[-1].table
    assert_right(table, 80)
    second = sorted(path.parent.name for path in Path(table).glob("runs/*/manifest.json"))[1]
    rollback(table, second)
    assert_right(table, 40)


def assert_right(table: str, num_rows: int) -> None:
    ids, vectors = read_embeddings(table)
    assert len(ids) == num_rows
    np.testing.assert_array_equal(vectors, vectors_of(ids.to_pylist(), "delta", "norm", "right:8", "fwd"))
    assert verify(table).faults == []
