"""A run against a background: its columns are those that reclassify gives, and what does not fit is refused before a model is loaded."""

import json
import shutil

import pytest

from raygen.classes.background_file import write_background
from raygen.errors import SettingsError, StoppedError
from raygen.finished.make_background import BackgroundRequest, make_background
from raygen.finished.reclassify import reclassify
from raygen.pipeline.actor_scorer import ResidentScorer
from raygen.pipeline.run import run_score
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from raygen.tables.schemas import SCORES
from tests.builders import fasta
from tests.pipeline.test_run import CONTIGS, WINDOW, score, write_variants

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A folder with a reference, variants and their scores without a background."""
    folder = tmp_path_factory.mktemp("plain")
    score(folder / "out", write_variants(folder, step=10), fasta(folder, CONTIGS))
    return folder


def background_of(plain, path, **request):
    made = make_background(BackgroundRequest([str(plain / "out")], **request)).background
    write_background(made, path)
    return made


def ranked(plain, out, background, **more):
    given = {"classes.background": str(background), **more}
    return score(out, plain / "variants.vcf", plain / "reference.fa", **given)


@pytest.mark.parametrize(
    ("cuts", "on"),
    [((0, 3, 10, 20), "phred"), ((-4, -2, -1, 1), "delta_context")],
    ids=lambda value: str(value),
)
def test_a_run_against_a_background_is_what_reclassifying_gives(plain, tmp_path, cuts, on):
    background = background_of(plain, tmp_path / "b.zip", neutral="all")
    given = {"classes.on": on, "classes.cuts": list(cuts)}
    result = ranked(plain, tmp_path / "out", tmp_path / "b.zip", **given)
    table = read_scores(str(tmp_path / "out"))
    assert table.column_names == [*SCORES.names, *background.columns]
    reclassify(str(plain / "out"), str(tmp_path / "new"), cuts, background=background, on=on)
    other = read_scores(str(tmp_path / "new"))
    for name in ("variant_id", "classification", "abstained", *background.columns):
        assert other[name].to_pylist() == table[name].to_pylist(), name
    assert table["delta_context"].null_count >= 2, "the indels have no context"
    manifest = json.loads((tmp_path / "out/runs" / result.run_id / "manifest.json").read_text())
    assert manifest["background"]["digest"] == manifest["resolved"]["background"] == background.digest
    assert manifest["background"]["num_scores"] == result.counts.scored - 1, "one row has WT and MUT the same"
    again = ranked(plain, tmp_path / "out", tmp_path / "b.zip", **given)
    assert again.counts.scored == 0
    with pytest.raises(SettingsError, match=r"ranked against the background|classes with the cut points"):
        score(tmp_path / "out", plain / "variants.vcf", plain / "reference.fa")


def test_what_does_not_fit_a_run_is_refused_before_a_model_is_loaded(plain, tmp_path):
    background_of(plain, tmp_path / "b.zip")
    with pytest.raises(SettingsError, match="is the background of the fingerprint"):
        ranked(plain, tmp_path / "out", tmp_path / "b.zip", **{"window.left": 48})
    with pytest.raises(SettingsError, match="background knows no contexts"):
        ranked(plain, tmp_path / "out", tmp_path / "b.zip", **{"classes.on": "delta_context"})
    with pytest.raises(SettingsError, match="phred is what the background adds"):
        ranked(plain, tmp_path / "out", tmp_path / "b.zip", **{"input.source_columns": ["phred"]})
    assert not list((tmp_path / "out").glob("scores/*"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"classes.on": "phred", "classes.cuts": [0, 10, 20, 30]}, "classes.on: this needs classes.background"),
        ({"classes.on": "phred", "classes.background": "b"}, "PHRED is never below 0; give classes.cuts in PHRED"),
        ({"classes.on": "delta_context"}, "classes.on: this needs classes.background"),
    ],
)
def test_settings_that_contradict_each_other_are_said(setting, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(None, given={"input.variants": ["v"], "input.reference": "r", "output.path": "o", **setting})


def test_variants_are_ranked_by_a_column_that_goes_along(plain, tmp_path):
    lines = (plain / "variants.vcf").read_text().splitlines()
    header = '##INFO=<ID=EFFECT,Number=1,Type=String,Description="effect">'
    records = [
        f"{line.rsplit(chr(9), 1)[0]}\tEFFECT={'ab'[number % 2]}" for number, line in enumerate(lines) if line[0] != "#"
    ][-60:]
    headers = [line for line in lines if line[0] == "#"]
    (tmp_path / "variants.vcf").write_text("\n".join([*headers[:-1], header, headers[-1], *records]) + "\n")
    carried = {"input.source_columns": ["EFFECT"]}
    score(tmp_path / "out", tmp_path / "variants.vcf", plain / "reference.fa", **carried)
    made = make_background(BackgroundRequest([str(tmp_path / "out")], by="EFFECT")).background
    write_background(made, tmp_path / "b.zip")
    given = {"classes.background": str(tmp_path / "b.zip")}
    score(tmp_path / "ranked", tmp_path / "variants.vcf", plain / "reference.fa", **carried, **given)
    groups = set(read_scores(str(tmp_path / "ranked"))["background_group"].to_pylist())
    assert {"SNV, a", "SNV, b"} < groups
    with pytest.raises(SettingsError, match=r"carry that column along, input\.source_columns=EFFECT"):
        score(tmp_path / "bare", tmp_path / "variants.vcf", plain / "reference.fa", **given)


def test_pairs_are_ranked_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.builders import random_bases

    wts = [random_bases(60, seed) for seed in range(20)]
    muts = [wt[:30] + ("A" if wt[30] != "A" else "C") + wt[31:] for wt in wts]
    table = pa.table({"pair_id": [f"p{n}" for n in range(20)], "wt_sequence": wts, "mut_sequence": muts})
    pq.write_table(table, tmp_path / "pairs.parquet")

    def run(out, **more):
        given = {
            "input.pairs": [str(tmp_path / "pairs.parquet")],
            "output.path": str(tmp_path / out),
            "model.device": "cpu",
        }
        run_score(load_settings(None, given={**given, **more}), say=lambda line: None)

    run("out")
    made = make_background(BackgroundRequest([str(tmp_path / "out")])).background
    write_background(made, tmp_path / "b.zip")
    run("ranked", **{"classes.background": str(tmp_path / "b.zip")})
    rows = read_scores(str(tmp_path / "ranked")).sort_by("delta_llr")
    assert rows["percentile"].to_pylist() == pytest.approx([rank / 20 for rank in range(1, 21)])
    assert set(rows["background_group"].to_pylist()) == {"pair"}


class ReplacesTheBackground(ResidentScorer):
    """Puts another background in the place of the run's while it scores."""

    def score(self, planned):
        shutil.copy(f"{self.background}.new", self.background)
        return super().score(planned)


def replacing(job):
    scorer = ReplacesTheBackground(job)
    scorer.background = job.background.path
    return scorer


def test_a_background_that_changes_while_a_run_goes_on_stops_it(plain, tmp_path):
    background_of(plain, tmp_path / "b.zip")
    background_of(plain, tmp_path / "b.zip.new", neutral="all")
    given = {"input.variants": [str(plain / "variants.vcf")], "input.reference": str(plain / "reference.fa"), **WINDOW}
    given |= {"output.path": str(tmp_path / "out"), "classes.background": str(tmp_path / "b.zip")}
    with pytest.raises(StoppedError, match="changed while the run went on"):
        run_score(load_settings(None, given=given), say=lambda line: None, make_scorer=replacing)
