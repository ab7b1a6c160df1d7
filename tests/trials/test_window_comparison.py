from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

import raygen
from raygen.errors import SettingsError
from raygen.sequence.windows import Window
from raygen.settings import load_settings
from raygen.trials import window_comparison
from raygen.trials.labelled_sample import LabelsFile
from raygen.trials.stretches import STRETCH
from raygen.trials.window_comparison import ComparisonRequest, run_comparison, sample_variants, try_windows
from raygen.variants.ingest import ingest
from tests.builders import InMemoryReference, random_bases, shared, snvs, vcf

CONTIGS = {"1": random_bases(2000, 1), "2": random_bases(300, 2)}


@pytest.fixture
def ingested(tmp_path):
    """2,300 SNVs of two contigs, in row groups of 100."""
    records = [record for name, bases in CONTIGS.items() for record in snvs(name, bases, range(1, len(bases) + 1))]
    taken = ingest(
        [vcf(tmp_path, records, contigs=("1", "2"))], InMemoryReference(CONTIGS), tmp_path / "in", row_group_rows=100
    )
    return taken.variants_dir


def places(table):
    return list(zip(table["chrom"].to_pylist(), table["pos"].to_pylist(), strict=True))


def test_a_sample_is_stretches_of_neighbours_in_order(ingested):
    sample = sample_variants(ingested, 100, seed=3)
    found = places(sample)
    assert len(found) == len(set(found)) == 100
    assert found == sorted(found)
    breaks = sum(b[0] != a[0] or b[1] != a[1] + 1 for a, b in pairwise(found))
    assert 1 <= breaks <= 100 // STRETCH


def test_a_seed_gives_one_sample_and_another_seed_another(ingested):
    assert places(sample_variants(ingested, 60, 1)) == places(sample_variants(ingested, 60, 1))
    assert places(sample_variants(ingested, 60, 1)) != places(sample_variants(ingested, 60, 2))


@pytest.mark.parametrize("size", [2300, 10_000])
def test_a_small_input_is_taken_whole(ingested, size):
    assert len(sample_variants(ingested, size)) == 2300


def test_only_the_row_groups_of_the_sample_are_read(ingested, monkeypatch):
    read = []
    whole = window_comparison.pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        window_comparison.pq.ParquetFile, "read_row_group", lambda *a, **k: read.append(1) or whole(*a, **k)
    )
    sample_variants(ingested, 20)
    assert 1 <= len(read) <= 2


def test_a_trial_gives_the_scores_and_the_tokens_of_each_window():
    model, reference = raygen.load_model("demo", device="cpu"), InMemoryReference(CONTIGS)
    bases = CONTIGS["1"]
    pos = list(range(500, 510))
    variants = pa.table(
        {
            "chrom": ["1"] * 10,
            "pos": pos,
            "ref": [bases[at - 1] for at in pos],
            "alt": ["ACGT"["CGTA".index(bases[at - 1])] for at in pos],
        }
    )
    windows = [Window(64, 64), Window(64, 16, "grid", 64)]
    wide, grid = try_windows(model, variants, reference, windows)
    alone = try_windows(model, variants, reference, windows[1:])[0]
    np.testing.assert_allclose(grid.delta, alone.delta, atol=1e-4)
    assert np.isfinite(wide.delta).all()
    assert wide.num_tokens > 3 * grid.num_tokens > 0


def test_a_window_that_the_model_cannot_read_is_refused_before_anything_is_scored():
    model, reference = raygen.load_model("demo", device="cpu"), InMemoryReference(CONTIGS)
    with pytest.raises(SettingsError, match="4096\\+4000@200 reads up to 8,296 bases"):
        try_windows(model, pa.table({}), reference, [Window(8, 8), Window(4096, 4000, "grid", 200)])


def test_the_labels_of_the_mitochondrion_tell_windows_apart_by_genes():
    """60 labelled SNVs of the real file under two short windows: joined, scored, and drawn again by gene or by site."""
    variants, reference = shared("mt/mt.clinvar_20220525.vcf"), shared("mt/rCRS.NC_012920.1.fa")
    flags = {"input.variants": [str(variants)], "input.reference": str(reference), "output.path": "not-written"}
    settings = load_settings(None, ["input.circular=MT", "model.device=cpu"], flags)
    labels = LabelsFile(str(variants), "CLNSIG")
    request = ComparisonRequest(settings, ["32+16@64", "32+1@64"], 60, labels=labels)
    lines = []
    comparison = run_comparison(request, say=lines.append)
    assert "labelled: 1,685, of them in the input: 1,685, in the sample: 60" in lines[0]
    labelled = comparison.labelled
    assert labelled.num_positive + labelled.num_negative == 60
    assert comparison.windows[1].tokens_per_variant < comparison.windows[0].tokens_per_variant
    assert all(0 < window.auroc < 1 and window.auroc_interval for window in labelled.windows)
