"""In-silico mutagenesis as a run, on a local Ray."""

import csv

import numpy as np
import pytest

import raygen
from raygen.errors import InputError, SettingsError
from raygen.pages.saturation_page import write_saturation
from raygen.settings import load_settings
from raygen.trials.saturate import on_a_grid, run_saturation
from tests.builders import fasta, random_bases

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

BASES = random_bases(300, 8)
WINDOW = ["window.left=60", "window.right=20", "window.stride=64", "model.device=cpu", "cluster.actors=1"]


@pytest.fixture
def reference(tmp_path):
    return fasta(tmp_path, {"1": BASES, "n": "N" * 50})


def saturate(tmp_path, reference, region="1:100-129", overrides=WINDOW):
    given = {"input.reference": str(reference), "model.name": "demo"}
    return run_saturation(region, True, overrides, given, str(tmp_path / "out"), say=lambda line: None)


def test_the_table_holds_the_scores_of_the_python_interface_and_a_second_run_scores_nothing(tmp_path, reference):
    done = saturate(tmp_path, reference)
    assert done.run.counts.scored == done.run.counts.alleles_in >= 90 + 15
    assert write_saturation(tmp_path / "out", done.saturation, done.facts).read_text().count("<circle") == 30
    expected = raygen.score_variants(
        raygen.load_model("demo", device="cpu"),
        tmp_path / "out/input/variants.parquet",
        reference,
        window=raygen.Window(60, 20, "grid", 64),
    )
    by_id = dict(zip(expected["variant_id"].to_pylist(), expected["delta_llr"].to_pylist(), strict=True))
    with (tmp_path / "out/saturation.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert "".join(row["ref"] for row in rows) == BASES[99:129]
    assert all(row["deletion"] for row in rows)
    for row in rows:
        for alt in set("ACGT") - {row["ref"]}:
            np.testing.assert_allclose(float(row[alt]), by_id[f"1-{row['pos']}-{row['ref']}-{alt}"], atol=1e-3)
    again = saturate(tmp_path, reference)
    assert again.run.counts.scored == 0
    np.testing.assert_array_equal(again.saturation.delta, done.saturation.delta)


def test_a_second_region_goes_into_the_same_folder(tmp_path, reference):
    saturate(tmp_path, reference, "1:100-103")
    second = saturate(tmp_path, reference, "1:102-105")
    assert second.run.counts.already_scored >= 6
    assert np.isfinite(second.saturation.delta).sum() == 4 * 4


@pytest.mark.parametrize(("region", "error"), [("n:1-9", InputError), ("1:9-1", SettingsError), ("2:1-9", InputError)])
def test_a_region_without_variants_is_refused_and_leaves_nothing(tmp_path, reference, region, error):
    with pytest.raises(error):
        saturate(tmp_path, reference, region)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (2048, 256, "grid", 1024)),
        (["window.right=64"], (2048, 64, "grid", 1024)),
        (["window.anchor=variant", "window.right=64"], (None, 64, "variant", None)),
    ],
)
def test_the_window_is_on_a_grid_unless_the_settings_say_otherwise(overrides, expected):
    given = {"input.variants": ["v.parquet"], "input.reference": "r.fa", "output.path": "out"}
    window = on_a_grid(load_settings(None, overrides, given)).window
    assert (window.left, window.right, window.anchor, window.stride) == expected
