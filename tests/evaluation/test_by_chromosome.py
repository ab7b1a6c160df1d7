import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.by_chromosome import areas_by_chromosome
from raygen.evaluation.clusters import choose_clusters
from tests.evaluation.labelled_rows import labelled_table
from tests.evaluation.plain_areas import plain_auprc, plain_auroc


def by_chromosome(folder, risk, positive, chrom):
    labelled = labelled_table(folder, positive, chrom=chrom, delta_llr=-risk)
    return areas_by_chromosome(risk, positive, choose_clusters(labelled), Bootstrap(50))


def test_the_mean_is_weighted_by_what_each_area_is_a_mean_over(tmp_path):
    """Chromosome 10: one positive above one negative, area 1, one pair. Chromosome 2: positives 1 and 3 among negatives 0, 2, 4: of
    six pairs three are right; precision 1/2 at 3 and 2/4 at 1. Contig X has one label. Weighted (1 + 3) / 7 and (1 + 2 · 1/2) / 3."""
    chrom = ["10"] * 2 + ["2"] * 5 + ["X"]
    risk = np.array([1.0, 0, 1, 3, 0, 2, 4, 9])
    positive = np.array([True, False, True, True, False, False, False, True])
    areas = by_chromosome(tmp_path, risk, positive, chrom)
    assert list(areas.areas) == ["2", "10"]
    assert [area.auroc for area in areas.areas.values()] == [0.5, 1]
    assert areas.areas["2"].prevalence == 0.4
    assert areas.mean_auroc == pytest.approx(4 / 7)
    assert areas.mean_auprc == pytest.approx(2 / 3)
    assert areas.mean_base_rate == pytest.approx((0.5 + 2 * 0.4) / 3)
    assert areas.num_left_out == 1


def test_a_shift_between_chromosomes_moves_the_pooled_number_and_not_the_mean(tmp_path):
    """Within each chromosome the score is perfect; the levels are such that pooled half of the pairs are wrong."""
    positive = np.tile([True, False], 60)
    chrom = np.repeat(["1", "2"], 60)
    risk = positive + 10.0 * (chrom == "2")
    areas = by_chromosome(tmp_path, risk, positive, chrom)
    assert (areas.mean_auroc, areas.mean_auprc) == (1, 1)
    assert roc_auc_score(positive, risk) == 0.75
    assert average_precision_score(positive, risk) < 0.9


@pytest.mark.parametrize("level", ["site", "chromosome"])
def test_the_interval_of_the_mean_is_that_of_clusters_put_one_after_the_other(tmp_path, level):
    """Plain: sites or whole chromosomes are drawn, each chromosome measured by the definition, those drawn twice counted twice."""
    generator = np.random.default_rng(2)
    positive = generator.random(600) < 0.3
    chrom = generator.integers(1, 13, 600)
    risk = positive + generator.normal(size=600) + chrom
    labelled = labelled_table(tmp_path, positive, chrom=chrom.astype(str), delta_llr=-risk)
    measured = areas_by_chromosome(risk, positive, choose_clusters(labelled, level), Bootstrap(2000))
    means: list[tuple[float, float]] = []
    for _ in range(600):
        if level == "site":
            sample = generator.integers(0, 600, 600)
            parts = [sample[chrom[sample] == name] for name in range(1, 13)]
        else:
            parts = [np.flatnonzero(chrom == name) for name in generator.integers(1, 13, 12)]
        aurocs = [plain_auroc(positive[rows], risk[rows]) for rows in parts]
        auprcs = [plain_auprc(positive[rows], risk[rows]) for rows in parts]
        pairs = [positive[rows].sum() * (~positive[rows]).sum() for rows in parts]
        positives = [positive[rows].sum() for rows in parts]
        means.append((np.average(aurocs, weights=pairs), np.average(auprcs, weights=positives)))
    auroc, auprc = np.quantile(means, [0.025, 0.975], axis=0).T
    assert measured.mean_auroc_interval == pytest.approx(auroc, abs=0.015)
    assert measured.mean_auprc_interval == pytest.approx(auprc, abs=0.025)


def test_one_chromosome_has_no_mean(tmp_path):
    positive = np.arange(40) % 2 == 0
    assert by_chromosome(tmp_path, positive * 1.0, positive, ["1"] * 40) is None
    assert by_chromosome(tmp_path, positive * 1.0, positive, ["1"] * 39 + ["2"]) is None


def test_intervals_within_a_chromosome_are_from_its_sites(tmp_path):
    generator = np.random.default_rng(0)
    positive = generator.random(400) < 0.4
    chrom = [str(1 + row % 20) for row in range(400)]
    areas = by_chromosome(tmp_path, positive + generator.normal(size=400), positive, chrom)
    first = areas.areas["1"]
    assert (first.drawn_by, first.num_clusters) == ("site", 20)
    assert first.auroc_interval[0] < first.auroc < first.auroc_interval[1]
