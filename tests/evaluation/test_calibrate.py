import json
import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from raygen.classes.calibration import load_calibration
from raygen.classes.classify import CLASSES, class_index
from raygen.classes.evidence import local_evidence, odds_of_pathogenicity, posterior
from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError, SettingsError
from raygen.evaluation.calibration_fit import FitPlan, fit_calibration
from raygen.evaluation.calibration_text import print_calibration
from raygen.evaluation.labelled_scores import LabelRequest, gather

QUICK = FitPlan(replicates=200)


def labelled(folder, scores, positive, fingerprint="f" * 16):
    """Scores and labels as ``gather`` reads them from one table."""
    size = len(scores)
    columns = {"chrom": ["1"] * size, "pos": range(1, size + 1), "ref": ["A"] * size, "alt": ["C"] * size}
    columns |= {"delta_llr": scores, "class": np.where(positive, "P", "B"), "fingerprint": [fingerprint] * size}
    pl.DataFrame(columns).write_parquet(folder / "scores.parquet")
    request = LabelRequest(str(folder / "scores.parquet"), "class", positive=["P"], negative=["B"])
    return gather(request), request


def calibrated(folder, scores, positive, plan=QUICK):
    return fit_calibration(*labelled(folder, scores, positive), plan)


def kinds(num_positive=300, num_negative=1200):
    return np.arange(num_positive + num_negative) < num_positive


def perfect(folder, plan=QUICK):
    """Positives from -12 to -6, negatives from -2 to 4."""
    positive = kinds()
    scores = np.random.default_rng(1).uniform(0, 6, len(positive)) - np.where(positive, 12, 2)
    return calibrated(folder, scores, positive, plan)


def useless(folder, plan=QUICK):
    positive = kinds()
    return calibrated(folder, np.random.default_rng(2).normal(size=len(positive)), positive, plan)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_a_perfect_score_is_strong_evidence_and_its_classes_are_the_labels(tmp_path, method):
    found = perfect(tmp_path, FitPlan(method=method, replicates=200))
    assert found.quality.auroc == 1.0
    assert found.quality.brier < 0.001
    assert -7 < found.pathogenic.strong < -4
    assert -4 < found.benign.moderate < 0
    probability = found.probability(np.array([-9.0, 1.0, math.nan]))
    assert probability[0] > 0.95
    assert probability[1] < 0.01
    assert math.isnan(probability[2])
    said = [CLASSES[at] for at in class_index(np.array([-11.0, -7.0, 0.0, 3.9]), found.cuts)]
    assert said == ["pathogenic", "pathogenic", "benign", "benign"]
    assert [word.split("_")[0] for word in found.evidence(np.array([-11.0, 3.0]))] == ["PP3", "BP4"]


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_a_useless_score_is_no_evidence_and_says_the_prior(tmp_path, method):
    found = useless(tmp_path, FitPlan(method=method, replicates=200))
    assert found.pathogenic.supporting is None and found.benign.supporting is None
    assert found.cuts == (-math.inf, -math.inf, math.inf, math.inf)
    assert set(class_index(np.array([-50.0, 0, 50.0]), found.cuts).tolist()) == {CLASSES.index("vus")}
    assert found.evidence(np.array([-9.0, 0.0])) == ["indeterminate"] * 2
    assert found.probability(np.array([0.0]))[0] == pytest.approx(0.0441, rel=0.3)
    assert found.quality.brier == pytest.approx(found.quality.brier_of_share, rel=0.05)
    console = Console(width=120, record=True)
    print_calibration(found, console)
    said = console.export_text()
    assert "no score is evidence of any strength" in said
    assert f"on 10 held-out folds (always saying the share of positives: {found.quality.brier_of_share:.4f})" in said
    assert f"AUROC of the score itself {found.quality.auroc:.3f}, on all labelled variants" in said


def test_odds_of_each_strength_are_those_published():
    """Tavtigian 2018 at 0.10: 350, 18.7, 4.33, 2.08. Pejaver 2022 at 0.0441: 1,124, 33.53, 5.79, 2.41."""
    at_ten = odds_of_pathogenicity(0.10)
    assert list(at_ten.values()) == pytest.approx([2.08, 4.33, 18.7, 350], rel=2e-3)
    assert list(odds_of_pathogenicity(0.0441).values()) == pytest.approx([2.41, 5.79, 33.53, 1124], rel=7e-3)
    three_quarters = at_ten["strong"] * at_ten["supporting"] ** 2
    assert float(posterior(np.array(three_quarters), 0.10)) == pytest.approx(0.90)


def test_a_local_ratio_worked_out_by_hand():
    """Twenty scores 0 to 19, the upper ten positive. Around 19 the smallest window of 4 is 16 to 19: four of ten positives, no
    negative; with half a variant added, (4.5 / 11) / (0.5 / 11) = 9. Around 0 the inverse. Around 9 (window 8 to 10, then 7 to
    11 for four): two of each, ratio (2.5 / 11) / (3.5 / 11)."""
    local = local_evidence(np.arange(20.0), np.arange(20) >= 10, np.arange(20), 4, Bootstrap(100))
    ratio = dict(zip(local.risk.tolist(), local.ratio.tolist(), strict=True))
    assert ratio[19.0] == pytest.approx(9)
    assert ratio[0.0] == pytest.approx(1 / 9)
    assert ratio[9.0] == pytest.approx(2.5 / 3.5)
    assert (local.lower <= local.ratio).all() and (local.ratio <= local.upper).all()


def test_ties_are_in_a_window_whole():
    risk = np.array([0.0] * 30 + [1.0] * 30)
    local = local_evidence(risk, np.arange(60) % 2 == 0, np.arange(60), 10, Bootstrap(100))
    assert local.risk.tolist() == [0.0, 1.0]
    assert local.ratio == pytest.approx([1.0, 1.0])


def test_probabilities_of_a_known_model_come_out_at_the_stated_prior(tmp_path):
    """Two normals of spread 1, at -1 and 1: the log likelihood ratio of a score s is -2 s, whatever the share of labels."""
    generator = np.random.default_rng(3)
    positive = kinds(4000, 8000)
    scores = generator.normal(size=len(positive)) + np.where(positive, -1, 1)
    found = calibrated(tmp_path, scores, positive, FitPlan(method="logistic", prior=0.1, replicates=100))
    at = np.array([-1.5, 0.0, 1.0])
    expected = posterior(np.exp(-2 * at), 0.1)
    assert found.probability(at) == pytest.approx(expected, rel=0.15)
    reached = posterior(np.exp(-2 * np.array([found.pathogenic.moderate])), 0.1)
    assert reached[0] > posterior(np.array([found.odds["moderate"]]), 0.1)  # bounds are on the careful side


def test_the_reliability_table_counts_every_variant_once_and_is_of_unseen_folds(tmp_path):
    positive = kinds()
    scores = np.random.default_rng(4).normal(size=len(positive)) - positive
    found = calibrated(tmp_path, scores, positive)
    assert sum(one.num_variants for one in found.reliability) == len(positive)
    assert all(abs(one.predicted - one.observed) < 0.12 for one in found.reliability)
    assert found.quality.auroc == pytest.approx(roc_auc_score(positive, -scores))
    assert 0.1 < found.quality.brier < found.quality.brier_of_share


def test_a_file_reads_back_as_it_was_and_is_plain_json(tmp_path):
    found = useless(tmp_path)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(found.model_dump(mode="json"), allow_nan=False))
    again = load_calibration(str(path))
    assert again == found
    assert again.digest == found.digest


@pytest.mark.parametrize("content", [None, "", "{}", '{"kind": "something else"}', "[1, 2]", b"\xff\xfe\x00"])
def test_what_is_no_calibration_is_refused_in_words(tmp_path, content):
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"c\.json"):
        load_calibration(str(path))


def test_another_fingerprint_or_another_score_is_refused(tmp_path):
    found = useless(tmp_path)
    found.refuse_other("f" * 16, "c.json")
    with pytest.raises(
        SettingsError, match=r"c\.json was made with scores of the fingerprint ffffffffffffffff; these are 0000"
    ):
        found.refuse_other("0" * 16, "c.json")
    with pytest.raises(SettingsError, match=r"fingerprint \(none\)"):
        found.model_copy(update={"fingerprint": None}).refuse_other("f" * 16, "c.json")
    with pytest.raises(SettingsError, match="calibrates cadd; classes are made from delta_llr"):
        found.model_copy(update={"score_column": "cadd"}).refuse_other("f" * 16, "c.json")


def test_too_few_labels_are_refused_with_the_numbers(tmp_path):
    positive = kinds(5, 400)
    with pytest.raises(InputError, match=r"5 positive and 400 negative.*10 folds need at least 10 of each"):
        calibrated(tmp_path, np.arange(405.0), positive)
    positive = kinds(20, 100)
    with pytest.raises(InputError, match="at least 200, twice --min-window"):
        calibrated(tmp_path, np.arange(120.0), positive)


def test_columns_are_appended_and_evidence_agrees_with_the_classes(tmp_path):
    found = perfect(tmp_path)
    edges = [found.pathogenic.strong, found.pathogenic.supporting, found.benign.supporting]
    scores = np.sort([*edges, *(edge + step for edge in edges for step in (-1e-9, 1e-9)), -20.0, 20.0])
    rows = found.append_columns(pa.table({"delta_llr": scores}))
    assert rows.column_names == ["delta_llr", "probability", "evidence"]
    of_class = {"PP3_strong": 0, "PP3_very_strong": 0, "PP3_supporting": 1, "PP3_moderate": 1, "indeterminate": 2}
    expected = [of_class.get(word, 3) for word in rows["evidence"].to_pylist()]
    assert class_index(scores, found.cuts).tolist() == expected
