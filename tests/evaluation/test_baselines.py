import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raygen.evaluation.baselines import nearest_label, share_of_value
from raygen.evaluation.clusters import Places


def places(contig, position):
    contig, position = np.array(contig), np.array(position)
    site = np.unique(contig * 1000 + position, return_inverse=True)[1]
    return Places(["1", "2", "3"], contig, position, site)


def test_the_nearest_other_site_of_the_contig_says_its_share_of_positives():
    """At 10 two alleles, one of them positive; 12 (negative) is nearer to it than to 20 (positive). Contig 2 has 11 and 19, contig 3
    one site alone, which gets the share of all: 4 of 7. Rows are in no order."""
    risk = nearest_label(
        places([0, 1, 0, 0, 1, 0, 2], [20, 19, 10, 12, 11, 10, 5]),
        np.array([True, True, True, False, False, False, True]),
    )
    assert risk == pytest.approx([0, 0, 0, 0.5, 1, 0, 4 / 7])


def test_two_sites_that_are_as_far_count_one_half_each():
    risk = nearest_label(places([0, 0, 0], [10, 20, 30]), np.array([True, False, False]))
    assert risk.tolist() == [0, 0.5, 0]


def test_only_labels_that_may_be_learnt_are():
    """The site at 30 may not be learnt from, so that at 20 the nearest is 10, and at 40 too."""
    risk = nearest_label(
        places([0] * 4, [10, 20, 30, 40]), np.array([True, False, False, True]), np.array([True, False, False, False])
    )
    assert risk.tolist() == [1, 1, 1, 1]


def test_an_allele_never_learns_from_its_own_site():
    """Labels by site, in turn: neighbours are wrong about every row, while the alleles beside each would be right."""
    position = np.repeat(np.arange(1, 21), 3)
    positive = position % 2 == 0
    assert roc_auc_score(positive, nearest_label(places(np.zeros(60, int), position), positive)) == 0


def test_a_value_has_the_share_of_its_rows_and_rare_ones_are_one():
    """Ten sites of value 0, four rows positive; values 1 and 2 at four and two sites, together three of six."""
    value = np.array([0] * 10 + [1] * 4 + [2] * 2)
    positive = np.array([True] * 4 + [False] * 6 + [True] * 3 + [False] * 3)
    assert share_of_value(value, positive, np.arange(16)) == pytest.approx([0.4] * 10 + [0.5] * 6)


def test_alleles_of_one_site_do_not_make_a_value_frequent():
    value, positive = np.repeat([0, 1], 12), np.arange(24) < 12
    assert set(share_of_value(value, positive, np.repeat([0, 1], 12)).tolist()) == {0.5}
    assert set(share_of_value(value, positive, np.arange(24)).tolist()) == {0.0, 1.0}


def test_a_useless_column_is_near_one_half_and_not_far_below():
    """Learnt with each row left out it would be: every positive lowers the share of its own value."""
    generator = np.random.default_rng(0)
    value, positive, row = generator.integers(0, 4, 2000), generator.random(2000) < 0.3, np.arange(2000)
    assert roc_auc_score(positive, share_of_value(value, positive, row)) == pytest.approx(0.5, abs=0.03)
    rows, positives = np.bincount(value)[value], np.bincount(value, positive)[value]
    assert roc_auc_score(positive, (positives - positive) / (rows - 1)) < 0.4
