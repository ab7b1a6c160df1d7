"""A run with a calibration: its columns follow the others, its classes hold, and one of another fingerprint is refused."""

import json
from pathlib import Path

import pytest

from raygen.classes.calibration import load_calibration
from raygen.errors import SettingsError
from raygen.finished.reclassify import reclassify
from raygen.pages.report import write_report
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import SCORES
from tests.builders import fasta
from tests.evaluation.test_calibrate import useless
from tests.pipeline.test_run import CONTIGS, score, write_variants

pytestmark = pytest.mark.ray


def calibration_file(folder, fingerprint):
    """A calibration of the fingerprint: below -4 is strong evidence, above 3 supporting benign."""
    found = useless(folder)
    strong = found.pathogenic.model_copy(update={"supporting": 0.0, "moderate": -2.0, "strong": -4.0})
    benign = found.benign.model_copy(update={"supporting": 3.0})
    made = found.model_copy(update={"fingerprint": fingerprint, "pathogenic": strong, "benign": benign})
    path = folder / f"{fingerprint}.json"
    path.write_text(made.model_dump_json())
    return str(path)


def test_a_run_with_a_calibration_is_what_reclassifying_gives(tmp_path):
    reference, variants = fasta(tmp_path, CONTIGS), write_variants(tmp_path, step=20)
    score(tmp_path / "plain", variants, reference)
    fingerprint = RunFolder(str(tmp_path / "plain")).identity().fingerprint
    path = calibration_file(tmp_path, fingerprint)
    result = score(tmp_path / "out", variants, reference, **{"classes.calibration": path})
    table = read_scores(str(tmp_path / "out"))
    assert table.column_names == [*SCORES.names, "probability", "evidence"]
    assert table["evidence"].null_count == 0
    manifest = json.loads((tmp_path / "out/runs" / result.run_id / "manifest.json").read_text())
    assert manifest["calibration"]["fingerprint"] == fingerprint
    assert manifest["resolved"]["cuts"][3] == "inf"
    assert "none nats" in Path(write_report(str(tmp_path / "out"))).read_text()
    reclassify(str(tmp_path / "plain"), str(tmp_path / "new"), calibration=load_calibration(path))
    other = read_scores(str(tmp_path / "new"))
    for name in ("variant_id", "classification", "abstained", "evidence", "probability"):
        assert other[name].to_pylist() == table[name].to_pylist(), name
    page = Path(write_report(str(tmp_path / "new"))).read_text()
    assert "given again to the scores of run" in page
    assert "tokens computed" not in page, "no run, no cost"
    with pytest.raises(SettingsError, match=r"cut points .*calibration"):
        score(tmp_path / "out", variants, reference)
    with pytest.raises(SettingsError, match="evidence is what the calibration adds"):
        taken = {"classes.calibration": path, "input.source_columns": ["evidence"]}
        score(tmp_path / "more", variants, reference, **taken)


def test_a_calibration_of_another_fingerprint_stops_a_run_before_it_starts(tmp_path):
    reference, variants = fasta(tmp_path, CONTIGS), write_variants(tmp_path, step=100)
    path = calibration_file(tmp_path, "0" * 16)
    with pytest.raises(SettingsError, match="was made with scores of the fingerprint 0000000000000000"):
        score(tmp_path / "out", variants, reference, **{"classes.calibration": path})
    assert not (tmp_path / "out").exists()
