import json
from pathlib import Path

import pytest

from raygen.errors import SettingsError
from raygen.pipeline.estimate import estimate
from raygen.pipeline.run import run_score
from raygen.settings import load_settings
from tests.builders import fasta, random_bases, snvs, vcf

BASES = random_bases(3000, 8)


def settings(folder: Path, **more):
    variants = vcf(folder, snvs("1", BASES, range(200, 2800, 9)))
    given = {"input.variants": [str(variants)], "input.reference": str(fasta(folder, {"1": BASES}))}
    given |= {"output.path": str(folder / "out"), "model.device": "cpu", "cluster.actors": 1}
    return load_settings(None, given={**given, "window.left": 64, "window.right": 32, **more})


@pytest.mark.ray
@pytest.mark.parametrize("grid", [{}, {"window.anchor": "grid", "window.stride": 64}])
@pytest.mark.parametrize("method", ["pair", "fork"])
def test_a_run_computes_what_was_planned_within_a_fifth(tmp_path, grid, method):
    chosen = settings(tmp_path, **grid, **{"window.strand": "both", "scoring.method": method})
    planned = estimate(chosen)
    done = run_score(chosen, say=lambda line: None)
    expected = planned.fork_tokens if method == "fork" else planned.pair_tokens
    assert planned.num_variants == done.counts.scored
    assert expected == pytest.approx(done.tokens, rel=0.2)
    tokens = json.loads(Path(done.manifest).read_text())["tokens"]
    assert tokens == {
        "computed": done.tokens,
        "by_two_passes": planned.pair_tokens,
        "saved": planned.pair_tokens - done.tokens,
    }


def test_a_grid_saves_more_than_windows_of_their_own(tmp_path):
    own, grid = (estimate(settings(tmp_path, **more)) for more in ({}, {"window.anchor": "grid", "window.stride": 256}))
    assert grid.times_fewer > 2 * own.times_fewer > 2


def test_pairs_are_not_planned(tmp_path):
    chosen = load_settings(None, given={"input.pairs": ["p.parquet"], "output.path": str(tmp_path)})
    with pytest.raises(SettingsError, match="pairs cost two passes"):
        estimate(chosen)
