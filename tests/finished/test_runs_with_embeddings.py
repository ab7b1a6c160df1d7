"""What reads the folder of a run does so where embeddings and distances lie in it, too."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import raygen as library
from raygen.finished.export import export_scores
from raygen.finished.reclassify import reclassify
from raygen.pages.card import make_card
from raygen.pages.report import write_report
from raygen.pipeline.run import run_score
from raygen.tables.compact import compact
from raygen.tables.iceberg import open_table
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.rollback import rollback
from raygen.tables.verify import verify
from raygen.variants.inputs import find_inputs
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.embedding_scorer import EmbeddingScorer, settings_of_run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

DISTANCES = ["l2_norm_right:8", "l2_norm_right:8_fwd", "l2_norm_right:8_rev"]


def score(folder: Path, *positions, **more):
    embed = {"embed.layers": ["norm"], "embed.pool": ["right:8"], "embed.distances": ["l2"]}
    chosen = settings_of_run(folder, *positions, **{**embed, **more})
    return run_score(chosen, say=lambda line: None, make_scorer=EmbeddingScorer)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a reference, variants and a run with embeddings in ``out``; it is not changed."""
    folder = tmp_path_factory.mktemp("embedded")
    score(folder)
    return folder


def test_distances_are_columns_of_the_scores(run):
    scores = read_scores(str(run / "out"))
    assert scores.column_names[-3:] == DISTANCES
    assert scores[DISTANCES[0]].to_pylist() == [0.5] * 200
    assert not [name for name in scores.column_names if name.startswith(("ref_", "delta_norm", "num_pooled"))]


def test_the_manifest_says_what_is_stored(run):
    (path,) = (run / "out" / "runs").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["settings"]["embed"]["layers"] == ["norm"]
    assert manifest["resolved"]["embed"]["plan"] == {"layers": ["norm"], "pool_names": ["right:8"]}
    assert manifest["resolved"]["identity"]["embeddings"] == (
        "layers norm; pools right:8; strands forward, reverse; store float32"
    )


def test_scores_are_exported_with_distances_and_without_vectors(run, tmp_path):
    export_scores(str(run / "out"), str(tmp_path / "to.parquet"))
    assert set(DISTANCES) <= set(pq.read_schema(tmp_path / "to.parquet").names)
    export_scores(str(run / "out"), str(tmp_path / "to.vcf"), fields=["delta_llr", DISTANCES[0]])
    assert "raygen_l2_norm_right_8=0.5" in (tmp_path / "to.vcf").read_text()


def test_pages_and_cards_are_written(run, tmp_path):
    assert Path(write_report(str(run / "out"))).read_text()
    assert make_card(str(run / "out"))


def test_commands_read_the_folder(raygen, run, tmp_path):  # noqa: F811
    out = str(run / "out")
    scores = read_scores(out)
    (tmp_path / "labels.tsv").write_text(
        "chrom\tpos\tref\talt\tlabel\n"
        + "".join(
            f"1\t{pos}\t{ref}\t{alt}\t{number % 2}\n"
            for number, (pos, ref, alt) in enumerate(
                zip(*(scores[name].to_pylist() for name in ("pos", "ref", "alt")), strict=True)
            )
        )
    )
    assert raygen("query", out, scores["variant_id"][0].as_py())[0] == 0
    assert raygen("diff", out, out)[0] == 0
    assert raygen("verify", out)[0] == 0
    labels = ["--labels", tmp_path / "labels.tsv", "--label-column", "label", "--positive", "1", "--negative", "0"]
    code, said, err = raygen("evaluate", "--scores", out, *labels)
    assert (code, "AUROC" in said) == (0, True), err


def test_reclassified_scores_leave_the_embeddings_where_they_are(run, tmp_path):
    reclassify(str(run / "out"), str(tmp_path / "copy"), cuts=(-8, -4, -2, 2))
    assert not (tmp_path / "copy" / "embeddings").exists()
    assert verify(str(tmp_path / "copy")).faults == []


def test_a_folder_of_a_run_is_no_input_of_another(run):
    found = find_inputs([run])
    assert [file.path.name for file in found.files] == ["variants.vcf"]


@pytest.mark.parametrize("table_format", ["parquet", "iceberg"])
def test_a_compacted_table_is_added_to_and_rolled_back(tmp_path, table_format):
    first = score(tmp_path, range(200, 300, 2), **{"output.table_format": table_format})
    compact(first.output)
    second = score(tmp_path, range(260, 400, 2), **{"output.table_format": table_format})
    assert (second.counts.scored, second.counts.already_scored) == (50, 20)
    compact(first.output, full=True)
    assert verify(first.output).faults == []
    assert len(library.read_embeddings(first.output, strand="reverse").vectors) == 100
    rollback(first.output, second.run_id)
    assert verify(first.output).faults == []
    assert len(library.read_embeddings(first.output, strand="reverse").vectors) == 50
    if table_format == "iceberg":
        table = open_table(RunFolder(first.output), read_scores(first.output)["fingerprint"][0].as_py(), None)
        assert table.scan().to_arrow().num_rows == 50
