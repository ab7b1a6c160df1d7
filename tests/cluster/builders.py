"""One input for runs that are disturbed, and what must hold whatever happened to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from raygen.settings import Settings, load_settings
from raygen.tables.layout import RunFolder, read_scores
from tests.builders import fasta, random_bases, snvs, vcf

BASES = random_bases(900, 1)
NUM_VARIANTS = 800


def write_inputs(folder: Path) -> dict[str, str]:
    """800 SNVs, one record that is rejected, and their reference: paths by the names of the settings."""
    records = [*snvs("1", BASES, range(1, NUM_VARIANTS + 1)), "1 801 . N A"]
    return {
        "input.variants": str(vcf(folder, records)),
        "input.reference": str(fasta(folder, {"1": BASES})),
    }


def settings(inputs: dict[str, str], out: str, **more: Any) -> Settings:
    given = {**inputs, "input.variants": [inputs["input.variants"]], "output.path": out}
    given |= {"window.left": 32, "window.right": 32, "model.device": "cpu"}
    return load_settings(None, given={**given, **more})


def deltas(out: str) -> dict[str, float]:
    """Scores by variant; every file is readable and no variant is there twice."""
    table = read_scores(out)
    ids = table["variant_id"].to_pylist()
    assert len(ids) == len(set(ids))
    return dict(zip(ids, table["delta_llr"].to_pylist(), strict=True))


def assert_whole(out: str, expected: dict[str, float]) -> None:
    """Every allele is in one table, with its score, and nothing unfinished is left."""
    got = deltas(out)
    assert got.keys() == expected.keys()
    np.testing.assert_allclose([got[name] for name in expected], list(expected.values()), atol=1e-4)
    folder = RunFolder(out)
    rejects = ds.dataset(f"{folder._root}/rejects", filesystem=folder._fs).to_table()
    assert rejects["reason"].to_pylist() == ["non_acgt_allele"]
    assert folder.list_work() == []
