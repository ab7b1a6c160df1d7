"""A calibration is tested on clusters that it has not seen, and says what its labels also chose."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import GroupKFold, StratifiedKFold

from raygen.classes.calibration import load_calibration, summary
from raygen.classes.evidence import local_evidence, pathogenic_thresholds
from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError
from raygen.evaluation.calibration_fit import FitPlan, fit_calibration
from raygen.evaluation.calibration_text import print_calibration
from raygen.evaluation.labelled_scores import LabelRequest
from tests.evaluation.labelled_rows import alleles, labelled_table

BEFORE_GROUPING = Path(__file__).parent / "data" / "calibration_without_grouping.json"
DIGEST_BEFORE_GROUPING = "a7ca35255ac25c3f"
QUICK = FitPlan(replicates=100, min_window=10)


def fitted(labelled, plan=QUICK):
    request = LabelRequest("rows.parquet", "class", positive=["P"], negative=["B"])
    return fit_calibration(labelled, request, plan)


def printed(calibration):
    console = Console(width=200, record=True, file=io.StringIO())
    print_calibration(calibration, console)
    return console.export_text().replace("\n  ", " ")


def by_site(num_sites=60, of_each=20, seed=0):
    """Alleles that share the label of their site and nearly its score, both drawn at random: the score says nothing of the label."""
    generator = np.random.default_rng(seed)
    positive = np.repeat(generator.random(num_sites) < 0.5, of_each)
    score = np.repeat(generator.normal(size=num_sites), of_each) + 1e-6 * generator.normal(size=num_sites * of_each)
    return positive, score


def brier_of(folds, positive, score, groups=None):
    """The Brier score of an isotonic fit on folds that were left out, by scikit-learn."""
    unseen = np.empty(len(score))
    for train, test in folds.split(score, positive, groups):
        fit = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(score[train], positive[train])
        unseen[test] = fit.predict(score[test])
    return brier_score_loss(positive, unseen)


def test_held_out_folds_are_those_of_sites_and_not_of_rows(tmp_path):
    positive, score = by_site()
    site = np.repeat(np.arange(60), 20)
    grouped = [brier_of(GroupKFold(10, shuffle=True, random_state=seed), positive, score, site) for seed in range(5)]
    by_rows = brier_of(StratifiedKFold(10, shuffle=True, random_state=0), positive, score)
    calibration = fitted(labelled_table(tmp_path, positive, delta_llr=score, **alleles(60, 20)))
    assert min(grouped) - by_rows > 0.03, "rows of a site on both sides of a fold make a useless score look good"
    assert calibration.quality.brier == pytest.approx(np.mean(grouped), abs=0.02)
    assert calibration.quality.brier > calibration.quality.brier_of_share
    assert f"Brier score {calibration.quality.brier:.4f} on 10 held-out folds" in printed(calibration)


def test_the_number_of_sites_stands_beside_that_of_rows(tmp_path):
    positive, score = by_site()
    calibration = fitted(labelled_table(tmp_path, positive, delta_llr=score, **alleles(60, 20)))
    grouping = calibration.grouping
    assert (grouping.level, grouping.num_clusters, grouping.num_rows, grouping.num_sites) == ("site", 60, 1200, 60)
    assert (
        "1,200 rows at 60 sites; folds part none of 60 sites, and bounds are drawn by them (1 chromosome is too few"
        in (printed(calibration))
    )


def test_copies_of_a_site_make_no_evidence(tmp_path):
    """Forty alleles for each: drawn one by one, the bounds of a useless score pass; drawn by site they do not."""
    positive, score = by_site(60, 40, seed=3)
    risk, site = -score, np.repeat(np.arange(60), 40)
    by_sites = local_evidence(risk, positive, site, 100, Bootstrap(500))
    by_rows = local_evidence(risk, positive, np.arange(2400), 100, Bootstrap(500))
    wide = np.log(by_sites.upper / by_sites.lower)
    assert (wide > 1.5 * np.log(by_rows.upper / by_rows.lower)).all()
    assert (by_sites.ratio == by_rows.ratio).all()


def test_a_gene_is_in_one_fold_where_there_are_enough(tmp_path):
    """A score that knows the gene and not the label of any other: over genes it is no better than the share of positives."""
    generator = np.random.default_rng(1)
    gene = np.repeat(np.arange(40), 30)
    positive = (generator.random(40) < 0.5)[gene]
    labelled = labelled_table(
        tmp_path,
        positive,
        delta_llr=generator.normal(size=40)[gene] + 1e-3 * np.arange(1200) % 0.01,
        gene=[f"G{n}" for n in gene],
    )
    by_gene, by_site = (fitted(labelled, replace(QUICK, cluster=level)) for level in ("auto", "site"))
    assert (by_gene.grouping.level, by_site.grouping.level) == ("gene", "site")
    assert by_gene.quality.brier > by_gene.quality.brier_of_share > by_site.quality.brier


def test_fewer_clusters_than_folds_are_as_many_folds(tmp_path):
    positive = np.arange(200) < 100
    chrom = [str(1 + row % 4) for row in range(200)]
    calibration = fitted(labelled_table(tmp_path, positive, chrom=chrom), replace(QUICK, cluster="chromosome"))
    assert calibration.quality.folds == 4
    assert "on 4 held-out folds (10 were asked for, and positives are in 4 chromosomes only)" in printed(calibration)


def test_a_label_in_one_cluster_is_refused(tmp_path):
    positive = np.arange(200) < 100
    chrom = np.where(positive, "1", np.where(np.arange(200) % 2, "1", "2"))
    with pytest.raises(InputError, match=r"All positive variants are in one chromosome \(2 chromosomes in all\)"):
        fitted(labelled_table(tmp_path, positive, chrom=chrom), replace(QUICK, cluster="chromosome"))


def test_one_score_for_all_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(
        InputError, match="delta_llr is 2 in all 200 rows: it tells nothing apart, and there is nothing to calib"
    ):
        fitted(labelled_table(tmp_path, np.arange(200) < 100, delta_llr=[2.0] * 200))


def test_what_the_labels_also_chose_is_kept_and_warned_of(tmp_path):
    labelled = labelled_table(tmp_path, np.arange(200) % 2 == 0)
    plain, tuned = (fitted(labelled, replace(QUICK, tuned_on=words)) for words in (None, "the window"))
    sentence = "these labels also chose the window: the quality and the bounds of this calibration flatter it"
    assert sentence in printed(tuned)
    assert "also chose" not in printed(plain)
    assert plain.digest != tuned.digest
    path = tmp_path / "c.json"
    path.write_text(tuned.model_dump_json())
    assert load_calibration(str(path)) == tuned
    assert summary(path.read_text())["tuned_on"] == "the window"


def test_a_file_from_before_loads_with_its_digest():
    """Written by the version whose folds parted sites; the digest is what that version printed."""
    calibration = load_calibration(str(BEFORE_GROUPING))
    assert (calibration.grouping, calibration.tuned_on) == (None, None)
    assert calibration.digest == DIGEST_BEFORE_GROUPING
    assert {"grouping", "tuned_on"}.isdisjoint(summary(BEFORE_GROUPING.read_text()))
    assert "Brier score" in printed(calibration)


def test_the_label_in_fewer_clusters_is_named_and_not_the_rarer_one(tmp_path):
    """Sixty negatives on twelve chromosomes, and 140 positives on three."""
    row = np.arange(200)
    chrom = np.where(row < 60, row % 12, row % 3).astype(str)
    calibration = fitted(labelled_table(tmp_path, row >= 60, chrom=chrom), replace(QUICK, cluster="chromosome"))
    assert calibration.grouping.why_fewer_folds == "10 were asked for, and positives are in 3 chromosomes only"


def test_no_line_of_a_calibration_is_wider_than_100_columns(tmp_path):
    labelled = labelled_table(tmp_path, np.arange(200) < 100, chrom=[str(1 + row % 4) for row in range(200)])
    calibration = fitted(
        labelled, replace(QUICK, cluster="chromosome", tuned_on="the model, the window and the strand")
    )
    console = Console(width=200, record=True, file=io.StringIO())
    print_calibration(calibration, console)
    assert max(len(line) for line in console.export_text().splitlines()) <= 100


def test_bounds_of_a_calibration_are_drawn_by_cluster(tmp_path):
    """What ``local_evidence`` gives of sites is what the calibration holds; of rows the bounds would be narrower."""
    positive, score = by_site(60, 40, seed=3)
    calibration = fitted(
        labelled_table(tmp_path, positive, delta_llr=score, **alleles(60, 40)), replace(QUICK, min_window=100)
    )
    by_sites, by_rows = (
        local_evidence(-score, positive, numbers, 100, Bootstrap(QUICK.replicates, QUICK.seed))
        for numbers in (np.repeat(np.arange(60), 40), np.arange(2400))
    )
    lower = {-risk: bound for risk, bound in zip(by_sites.risk, by_sites.lower, strict=True)}
    points = calibration.local_evidence
    assert [point.lower for point in points] == pytest.approx([lower[point.score] for point in points])
    assert (by_rows.lower > by_sites.lower).mean() > 0.9
    assert calibration.pathogenic.supporting == -pathogenic_thresholds(by_sites, calibration.odds)["supporting"]
    assert calibration.pathogenic.supporting != -pathogenic_thresholds(by_rows, calibration.odds)["supporting"]


def test_the_least_number_of_clusters_is_that_of_the_folds(tmp_path):
    """Twelve chromosomes are enough for ten folds and too few for fifteen."""
    labelled = labelled_table(tmp_path, np.arange(240) // 12 % 2 == 0, chrom=[str(1 + row % 12) for row in range(240)])
    ten, fifteen = (fitted(labelled, replace(QUICK, folds=folds)) for folds in (10, 15))
    assert (ten.grouping.level, fifteen.grouping.level) == ("chromosome", "site")
    assert fifteen.grouping.why_not_larger == "12 chromosomes are too few, 15 are needed"
    assert (ten.quality.folds, fifteen.quality.folds) == (10, 15)


def test_sites_without_a_gene_are_said_not_to_be_genes(tmp_path):
    genes = [f"G{row // 2}" if row < 60 else None for row in range(235)]
    calibration = fitted(labelled_table(tmp_path, np.arange(235) % 2 == 0, gene=genes))
    assert calibration.grouping.why_not_larger.endswith("175 of the 205 without a name of their own")
