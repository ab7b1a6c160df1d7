import json

import numpy as np
import pytest

from raygen.errors import InputError, SettingsError
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from raygen.trials.sampled_snvs import draw_changes, score_sample, settings_of_sample
from tests.builders import fasta, random_bases

CONTIGS = {"1": "N" * 50 + random_bases(400, 1) + "RYN", "2": random_bases(300, 2)}


@pytest.fixture
def reference(tmp_path):
    return open_reference(str(fasta(tmp_path, CONTIGS)))


STRETCHES = [("1", 1, 453), ("2", 101, 200)]


@pytest.mark.parametrize("number", [1, 40, 240, 500], ids=str)
def test_changes_are_drawn_once_each_from_bases_that_can_be_scored(reference, number):
    changes = draw_changes(reference, STRETCHES, number, 3)
    rows = changes.to_pylist()
    places = [(row["chrom"], row["pos"]) for row in rows]
    assert len(set(places)) == number
    assert places == sorted(places)
    assert all(CONTIGS[row["chrom"]][row["pos"] - 1] == row["ref"] != row["alt"] for row in rows)
    assert {row["alt"] for row in rows} <= set("ACGT")
    assert all(101 <= row["pos"] <= 200 for row in rows if row["chrom"] == "2")
    assert changes.equals(draw_changes(reference, STRETCHES, number, 3))
    if 1 < number < 500:
        assert not changes.equals(draw_changes(reference, STRETCHES, number, 4))


def test_bases_and_their_three_changes_have_the_same_chance(reference):
    drawn = [draw_changes(reference, STRETCHES, 100, seed) for seed in range(300)]
    counts = np.zeros(453)
    alts = {"A": {"C": 0, "G": 0, "T": 0}}
    for changes in drawn:
        for row in changes.to_pylist():
            if row["chrom"] == "1":
                counts[row["pos"] - 1] += 1
            if row["ref"] == "A":
                alts["A"][row["alt"]] += 1
    assert counts[:50].sum() == 0
    assert counts[50:450].mean() == pytest.approx(300 * 100 / 500, rel=0.05)
    assert counts[50:450].std() < 10, "binomial: 6.9"
    assert max(alts["A"].values()) / min(alts["A"].values()) < 1.1


def test_more_than_there_are_is_said(reference):
    with pytest.raises(InputError, match="501 changes were asked for; one of each base can be drawn, and 500 bases"):
        draw_changes(reference, STRETCHES, 501, 0)


def test_few_bases_among_many_that_are_none_are_found(tmp_path):
    contig = "N" * 40_000 + random_bases(300, 1) + "N" * 40_000
    sparse = open_reference(str(fasta(tmp_path, {"1": contig}, "sparse.fa")))
    assert len(draw_changes(sparse, [("1", 1, len(contig))], 250, 0)) == 250


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_sample_is_a_run_that_goes_on_with_the_same_changes(tmp_path, reference):
    given = {"input.reference": reference.path, "model.device": "cpu", "window.left": 32, "window.right": 32}
    given |= {
        "input.variants": ["usual.vcf"],
        "input.source_columns": ["gene"],
        "classes.background": "not-there-yet.zip",
    }
    settings = settings_of_sample(load_settings(None, given=given, complete=False))
    out = str(tmp_path / "sample")
    (tmp_path / "r.bed").write_text("2\t100\t200\n")
    first = score_sample(settings, 30, str(tmp_path / "r.bed"), 5, out, say=lambda line: None)
    assert first.counts.scored == 30
    again = score_sample(settings, 30, str(tmp_path / "r.bed"), 5, out, say=lambda line: None)
    assert (again.counts.scored, again.counts.already_scored) == (0, 30)
    assert all(101 <= pos <= 200 for pos in read_scores(out)["pos"].to_pylist())
    assert json.loads(next((tmp_path / "sample/runs").glob("*/manifest.json")).read_text())["resolved"]["reference"]
    for other in ((31, str(tmp_path / "r.bed"), 5), (30, None, 5), (30, str(tmp_path / "r.bed"), 6)):
        with pytest.raises(SettingsError, match="holds another sample: 30 changes by the seed 5"):
            score_sample(settings, *other, out, say=lambda line: None)


def test_a_sample_without_a_reference_is_refused():
    with pytest.raises(SettingsError, match="give --reference FASTA"):
        settings_of_sample(load_settings(None, complete=False))
