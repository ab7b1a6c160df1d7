"""Heads give a run the columns that they give its stored states."""

import numpy as np
import pyarrow as pa
import pytest

from raygen.classes.head_file import read_heads
from raygen.finished.reclassify import reclassify
from raygen.pipeline.run import run_score
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases, snvs, vcf
from tests.classes.heads import made_head

BASES = random_bases(900, 8)
WIDTH = 192  # of the demo's model
STORED = {"embed.layers": ["blocks.1", "blocks.4"], "embed.pool": ["right:8"]}


def score(folder, out, **more):
    """Scores of 60 SNVs on both strands, one of them beside a deletion, by the demo's model."""
    records = [*snvs("1", BASES, range(200, 500, 5)), f"1 500 . {BASES[499:503]} {BASES[499]}"]
    given = {
        "input.variants": [str(vcf(folder, records))],
        "input.reference": str(fasta(folder, {"1": BASES})),
        "output.path": str(folder / out),
        "model.device": "cpu",
        "window.left": 64,
        "window.right": 32,
        "window.strand": "both",
        "cluster.actors": 1,
    }
    run_score(load_settings(None, given=given | more), say=lambda line: None)
    return str(folder / out)


@pytest.mark.parametrize("store", ["float32", "float16", "projection:16"])
def test_a_head_gives_the_same_numbers_while_scoring_and_from_stored_states(tmp_path, store):
    stored = score(tmp_path, "stored", **STORED, **{"embed.store": store})
    identity = RunFolder(stored).identity()
    for name, inputs in {"one": {"with_delta": True}, "two": {"layer": "blocks.4", "feature": "absdiff"}}.items():
        width = 16 if store == "projection:16" else WIDTH
        made_head(
            tmp_path, name, fingerprint=identity.fingerprint, embeddings=identity.embeddings, width=width, **inputs
        )
    heads = [str(tmp_path / name) for name in ("one", "two")]
    reclassify(stored, str(tmp_path / "from-stored"), heads=read_heads(heads))
    scored = score(tmp_path, "while-scoring", **{"classes.heads": heads})
    first, second = read_scores(str(tmp_path / "from-stored")), read_scores(scored)
    assert first.column_names == second.column_names
    assert first["variant_id"].equals(second["variant_id"])
    for name in ("head_one", "head_two"):
        assert second[name].type == pa.float64() and not second[name].null_count
        np.testing.assert_allclose(first[name].to_numpy(), second[name].to_numpy(), atol=1e-5)
    assert not (tmp_path / "while-scoring/embeddings").exists()
    assert not verify(scored).faults
