import numpy as np
import pytest

from raygen.evaluation.clusters import choose_clusters
from raygen.evaluation.leaks import look_for_leaks
from tests.evaluation.labelled_rows import alleles, labelled_table, noisy


def looked(labelled, *columns):
    return look_for_leaks(labelled, columns, choose_clusters(labelled))


def test_sites_with_several_alleles_and_with_both_labels_are_counted(tmp_path):
    """Twenty sites of three alleles, five more of one. Two sites have both labels."""
    one = {"pos": np.arange(25 - 20) * 10 + 1001, "alt": ["C"] * 5}
    three = alleles(20)
    positive = np.append(np.repeat(np.arange(20) % 2 == 0, 3), [True] * 5)
    positive[[1, 4]] ^= True
    rows = {name: [*three[name], *one[name]] for name in one}
    leaks = looked(labelled_table(tmp_path, positive, **rows))
    assert (leaks.num_rows, leaks.num_sites, leaks.num_repeated_sites, leaks.num_two_label_sites) == (65, 25, 20, 2)
    assert leaks.in_words == "65 rows at 25 sites; 20 sites with several alleles, 2 with both labels"
    assert leaks.warnings == []


def test_a_column_of_pure_values_gives_the_label_away(tmp_path):
    positive = np.arange(200) % 4 == 0
    labelled = labelled_table(
        tmp_path,
        positive,
        review=np.where(positive, np.where(np.arange(200) % 8, "a", "b"), "c"),
        request={"by": ["review"]},
    )
    leaks = looked(labelled, "review")
    assert leaks.gives_away["review"].auroc == 1
    assert leaks.warnings == [
        "review alone gives the label away: AUROC 1.000, and each of its 3 values has one label only. An area over all its "
        "values shows little beyond it."
    ]


def test_a_column_that_nearly_tells_is_reported_with_its_area_and_one_that_does_not_is_none(tmp_path):
    """Three of a hundred on the wrong side: area 0.97. A tenth on the wrong side: 0.9."""
    positive = np.arange(1000) % 2 == 0
    wrong = {name: np.arange(1000) // 2 % step == 0 for name, step in (("near", 34), ("far", 10))}
    columns = {name: np.where(positive ^ flipped, "x", "y") for name, flipped in wrong.items()}
    leaks = looked(labelled_table(tmp_path, positive, **columns, request={"by": ["near", "far"]}), "near", "far")
    assert list(leaks.gives_away) == ["near"]
    assert leaks.gives_away["near"].auroc == pytest.approx(0.97, abs=0.001)
    assert not leaks.gives_away["near"].is_pure


def test_ids_and_noise_give_nothing_away(tmp_path):
    """An id is pure, and tells nothing of a row that it was not learnt from."""
    positive = noisy(400, share=0.05)[1]
    columns = {"id": [f"rs{row}" for row in range(400)], "pair": [f"p{row // 2}" for row in range(400)]}
    leaks = looked(labelled_table(tmp_path, positive, **columns, request={"by": ["id", "pair"]}), "id", "pair")
    assert leaks.gives_away == {}
