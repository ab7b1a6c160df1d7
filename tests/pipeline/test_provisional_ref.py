"""A .bim whose alleles are the wrong way round through a run, on a local Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from raygen.pipeline.run import run_score
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from tests.builders import fasta, random_bases, snvs, vcf

pytestmark = pytest.mark.ray

BASES = random_bases(500, 9)
POSITIONS = range(100, 140, 4)


def scores(tmp_path: Path, variants: Path) -> dict[str, dict[str, object]]:
    given = {
        "input.variants": [str(variants)],
        "input.reference": str(fasta(tmp_path, {"1": BASES})),
        "output.path": str(tmp_path / f"of-{variants.suffix[1:]}"),
        "window.left": 40,
        "window.right": 30,
        "model.device": "cpu",
        "cluster.actors": 1,
    }
    run_score(load_settings(None, given=given), say=lambda line: None)
    return {row["variant_id"]: row for row in read_scores(given["output.path"]).to_pylist()}


def test_a_swapped_bim_has_the_scores_of_the_vcf_and_a_flag(tmp_path: Path) -> None:
    records = snvs("1", BASES, POSITIONS)
    of_vcf = scores(tmp_path, vcf(tmp_path, records))
    lines = []
    for number, record in enumerate(records):
        chrom, pos, _, ref, alt = record.split(" ")
        first, second = (alt, ref) if number % 2 else (ref, alt)
        lines.append(f"{chrom}\t.\t0\t{pos}\t{first}\t{second}\n")
    bim = tmp_path / "cohort.bim"
    bim.write_text("".join(lines))
    of_bim = scores(tmp_path, bim)
    deltas = {name: row["delta_llr"] for name, row in of_vcf.items()}
    assert len(deltas) == len(POSITIONS)
    assert {name: row["delta_llr"] for name, row in of_bim.items()} == deltas
    assert [row["flags"] for row in of_bim.values()] == [["ref_swapped"], []] * (len(POSITIONS) // 2)
    assert list(next(iter(of_bim.values()))) == list(next(iter(of_vcf.values())))
