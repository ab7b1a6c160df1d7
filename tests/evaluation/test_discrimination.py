import numpy as np
import pytest

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.clusters import clusters_of
from raygen.evaluation.discrimination import discriminate
from tests.evaluation.labelled_rows import noisy
from tests.evaluation.test_counted_areas import by_hand


def by_rows(risk, positive, bootstrap):
    """Each row a site of its own."""
    return discriminate(risk, positive, clusters_of("site", np.arange(len(risk)), positive), bootstrap)


def test_areas_with_ties_are_those_worked_out_by_hand():
    risk, positive, auroc, auprc = by_hand()
    measured = by_rows(risk, positive, Bootstrap(replicates=0))
    assert measured.auroc == pytest.approx(auroc, abs=1e-15)
    assert measured.auprc == pytest.approx(auprc, abs=1e-15)
    assert measured.auroc_interval is None


def test_the_interval_is_that_of_clusters_put_one_after_the_other():
    """Forty clusters of ten rows that share half of their noise, drawn in plain NumPy and measured pair by pair."""
    generator = np.random.default_rng(5)
    cluster = np.repeat(np.arange(40), 10)
    positive = generator.random(400) < 0.3
    risk = generator.normal(size=400) + generator.normal(size=40)[cluster] + positive
    measured = discriminate(risk, positive, clusters_of("gene", cluster, positive), Bootstrap(replicates=2000))
    again = []
    for _ in range(1500):
        rows = np.concatenate([np.flatnonzero(cluster == name) for name in generator.integers(0, 40, 40)])
        ups, downs = risk[rows][positive[rows]], risk[rows][~positive[rows]]
        again.append(np.mean(ups[:, None] > downs[None, :]))
    assert measured.auroc_interval == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.01)
    assert measured.auprc_interval[0] < measured.auprc < measured.auprc_interval[1]
    assert (measured.drawn_by, measured.num_clusters) == ("gene", 40)
    width = np.ptp(measured.auroc_interval)
    assert np.ptp(by_rows(risk, positive, Bootstrap(2000)).auroc_interval) < 0.9 * width


def test_the_same_seed_gives_the_same_interval_and_another_another():
    risk, positive = noisy(300)
    first, again, other = (by_rows(risk, positive, Bootstrap(200, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first.auroc_interval != other.auroc_interval


@pytest.mark.parametrize(("positive", "note"), [([True, True], "no negative"), ([False, False], "no positive")])
def test_one_class_alone_gives_a_word_and_no_number(positive, note):
    measured = by_rows(np.array([1.0, 2.0]), np.array(positive), Bootstrap())
    assert (measured.auroc, measured.auprc, measured.auroc_interval, measured.note) == (None, None, None, note)


def test_few_of_a_class_are_noted():
    risk, positive = noisy(500)
    kept = ~positive | (np.cumsum(positive) <= 3)
    assert by_rows(risk[kept], positive[kept], Bootstrap(50)).note == "only 3 positive"
    assert by_rows(risk, positive, Bootstrap(50)).note is None


@pytest.mark.parametrize(
    ("cluster", "note"),
    [
        (np.zeros(200, int), "all in one chromosome"),
        (np.where(np.arange(200) < 40, 0, np.arange(200)), "positives in one chromosome"),
        (np.where(np.arange(200) < 40, np.arange(200), 99), "negatives in one chromosome"),
    ],
)
def test_what_does_not_vary_between_samples_has_no_interval_and_a_word_why(cluster, note):
    positive = np.arange(200) < 40
    risk = np.random.default_rng(0).normal(size=200) + positive
    measured = discriminate(risk, positive, clusters_of("chromosome", cluster, positive), Bootstrap(50))
    assert measured.auroc > 0.5
    assert (measured.auroc_interval, measured.auprc_interval, measured.note) == (None, None, note)


def test_few_clusters_have_an_interval_and_are_noted():
    positive, cluster = np.arange(200) % 2 == 0, np.arange(200) // 50
    risk = np.random.default_rng(0).normal(size=200) + positive
    measured = discriminate(risk, positive, clusters_of("gene", cluster, positive), Bootstrap(50))
    assert measured.auroc_interval
    assert measured.note == "pos. in 4 genes"
