import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from raygen.classes.statistics import Bootstrap
from raygen.errors import SettingsError
from raygen.evaluation.beside import CONSEQUENCE, POSITION, Rivals, compare_beside
from raygen.evaluation.clusters import choose_clusters
from raygen.evaluation.grouped_folds import grouped_folds
from tests.evaluation.labelled_rows import labelled_table, noisy

QUICK = Bootstrap(100)


def compared(labelled, bootstrap=QUICK):
    return compare_beside(Rivals(labelled, choose_clusters(labelled), bootstrap.seed), bootstrap)


def noisy_table(folder, size=300, **columns):
    risk, positive = noisy(size)
    return labelled_table(folder, positive, delta_llr=-risk, **columns), risk, positive


def test_position_consequence_and_another_score_stand_beside_the_score_on_the_same_rows(tmp_path):
    risk, positive = noisy(300)
    other = np.round(risk + np.random.default_rng(3).normal(size=300), 2)
    consequence = np.where(positive ^ (np.arange(300) % 5 == 0), "stop_gained", "synonymous_variant")
    labelled = labelled_table(
        tmp_path, positive, delta_llr=-risk, CADD=other, consequence=consequence, request={"beside": ["CADD"]}
    )
    beside = compared(labelled)
    assert list(beside.areas) == ["delta_llr", POSITION, CONSEQUENCE, "CADD"]
    cadd = beside.areas["CADD"]
    assert cadd.auroc == pytest.approx(roc_auc_score(positive, other))
    assert cadd.auprc == pytest.approx(average_precision_score(positive, other))
    assert cadd.difference == pytest.approx(roc_auc_score(positive, other) - roc_auc_score(positive, risk))
    assert cadd.difference_interval[0] < cadd.difference < cadd.difference_interval[1]
    assert beside.areas[CONSEQUENCE].auroc == pytest.approx(
        roc_auc_score(positive, consequence == "stop_gained"), abs=0.01
    ), "two values have the same order in every fold"
    assert abs(beside.areas[POSITION].auroc - 0.5) < 0.1, "labels were drawn without regard to position"
    assert (beside.drawn_by, beside.num_clusters, beside.remarks) == ("site", 300, [])


def test_labels_in_stretches_are_told_by_position_alone(tmp_path):
    positive = np.arange(400) // 20 % 2 == 0
    labelled = labelled_table(tmp_path, positive, delta_llr=np.random.default_rng(0).normal(size=400))
    position = compared(labelled).areas[POSITION]
    assert position.auroc > 0.9
    assert position.difference_interval[0] > 0.2


def test_a_score_of_which_lower_is_positive_is_named_so(tmp_path):
    labelled, *_ = noisy_table(tmp_path, other=-noisy(300)[0], request={"beside": ["other:lower"]})
    other = compared(labelled).areas["other"]
    assert (other.difference, other.difference_interval) == (0, (0, 0))


def test_rows_without_a_number_are_counted_and_left_out_of_the_comparison_alone(tmp_path):
    """NaN, null, infinity and text that stands for nothing in four rows of one and one more of the other."""
    risk, positive = noisy(300)
    first = [str(number) for number in risk]
    first[:4] = ["nan", None, "inf", "."]
    second = risk.copy()
    second[[0, 9]] = np.nan
    labelled = labelled_table(tmp_path, positive, delta_llr=-risk, A=first, B=second, request={"beside": ["A", "B"]})
    beside = compared(labelled)
    assert len(labelled.frame) == 300
    assert beside.num_positive + beside.num_negative == 295
    assert beside.remarks == [
        "A is no number in 4 of 300 rows.",
        "B is no number in 2 of 300 rows.",
        "compared on the 295 of 300 rows where all of them have a number.",
    ]
    assert beside.areas["B"].difference == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full(300, np.nan), "other has no number in any positive or negative row: it is not compared."),
        (np.where(noisy(300)[1], 1.0, np.nan), "other has no number in any negative row: it is not compared."),
        (np.full(300, 7.0), "other is 7 in all rows compared: it tells nothing apart."),
    ],
)
def test_a_score_that_cannot_be_compared_is_a_sentence(tmp_path, values, words):
    labelled, *_ = noisy_table(tmp_path, other=values, request={"beside": ["other"]})
    beside = compared(labelled)
    assert words in beside.remarks
    assert beside.num_positive + beside.num_negative == 300
    assert beside.areas.get("other") is None or beside.areas["other"].auroc == 0.5


def test_scores_that_never_have_numbers_together_are_not_compared(tmp_path):
    odd = np.arange(300) % 2 == 1
    labelled, *_ = noisy_table(
        tmp_path, A=np.where(odd, 1.0, np.nan), B=np.where(odd, np.nan, 1.0), request={"beside": ["A", "B"]}
    )
    beside = compared(labelled)
    assert list(beside.areas) == ["delta_llr", POSITION]
    assert "no two labels are left where A and B all have numbers: they are not compared." in beside.remarks


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nothing"], "--beside: .* has no column nothing"),
        ([":lower"], "--beside :lower: name a column"),
        (["CADD", "CADD:lower"], "--beside names CADD with both directions"),
        (["delta_llr"], "--beside names the score itself"),
        (["class"], "--beside class: 'B' is no number|--beside class: 'P' is no number"),
    ],
)
def test_other_scores_that_are_not_there_are_refused(tmp_path, names, words):
    with pytest.raises(SettingsError, match=words):
        noisy_table(tmp_path, CADD=np.arange(300.0), request={"beside": names})


def test_another_score_that_is_named_twice_is_compared_once(tmp_path):
    labelled, *_ = noisy_table(tmp_path, CADD=np.arange(300.0), request={"beside": ["CADD", "CADD"]})
    assert list(compared(labelled).areas) == ["delta_llr", POSITION, "CADD"]


def test_a_column_called_score_is_not_taken_for_the_score(tmp_path):
    labelled, _, positive = noisy_table(tmp_path, score=np.arange(300.0), request={"beside": ["score"]})
    assert compared(labelled).areas["score"].auroc == pytest.approx(roc_auc_score(positive, np.arange(300)))


def test_the_column_of_the_labels_is_no_consequence(tmp_path):
    labelled = labelled_table(tmp_path, noisy(300)[1])
    assert labelled.extra.consequence is None
    import polars as pl

    from raygen.evaluation.labelled_scores import LabelRequest, gather

    pl.read_parquet(tmp_path / "rows.parquet").rename({"class": "Consequence"}).write_parquet(tmp_path / "r.parquet")
    read = gather(LabelRequest(str(tmp_path / "r.parquet"), "Consequence", positive=["P"], negative=["B"]))
    assert CONSEQUENCE not in compared(read).areas


@pytest.mark.parametrize("size", [300, 1000])
def test_a_useless_consequence_has_an_area_of_one_half(tmp_path, size):
    """Thirty values drawn at random: learnt from the rows that it is measured on, such a column beats many a real score."""
    areas = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        values = [f"value {number}" for number in generator.integers(0, 30, size)]
        labelled = labelled_table(tmp_path, generator.random(size) < 0.3, consequence=values)
        areas.append(compared(labelled, Bootstrap(0)).areas[CONSEQUENCE].auroc)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_a_telling_consequence_has_a_high_area_and_says_how_it_was_learnt(tmp_path):
    """Thirty values, each of one label in nineteen of twenty rows."""
    generator = np.random.default_rng(0)
    value = generator.integers(0, 30, 1000)
    positive = (value % 2 == 0) ^ (generator.random(1000) < 0.05)
    labelled = labelled_table(tmp_path, positive, consequence=[f"value {number}" for number in value])
    beside = compared(labelled)
    assert beside.areas[CONSEQUENCE].auroc > 0.9
    assert beside.how_learnt == (
        "consequence alone: learnt from the other 4 of 5 folds, which part no site; its areas and differences are means over folds"
    )


def test_the_difference_to_consequence_alone_is_on_the_same_folds(tmp_path):
    """The score is consequence alone itself but for a level in each fold, which makes its pooled area another: no difference."""
    generator = np.random.default_rng(0)
    positive = generator.random(600) < 0.4
    value = np.where(positive ^ (generator.random(600) < 0.2), "stop_gained", "missense_variant")
    clusters = choose_clusters(labelled_table(tmp_path, positive)).chosen
    risk = np.empty(600)
    for level, (_, test) in enumerate(grouped_folds(positive, clusters, 5, QUICK.seed)):
        risk[test] = (value[test] == "stop_gained") + 10.0 * level
    areas = compared(labelled_table(tmp_path, positive, delta_llr=-risk, consequence=value)).areas
    assert abs(areas["delta_llr"].auroc - areas[CONSEQUENCE].auroc) > 0.1
    assert areas[CONSEQUENCE].difference == 0
    assert areas[CONSEQUENCE].difference_interval == (0, 0)


def test_a_label_in_one_cluster_leaves_no_consequence_to_learn(tmp_path):
    positive = np.arange(200) < 100
    labelled = labelled_table(tmp_path, positive, chrom=np.where(positive, "1", "2"), consequence=["a", "b"] * 100)
    beside = compare_beside(Rivals(labelled, choose_clusters(labelled, "chromosome"), 0), QUICK)
    assert CONSEQUENCE not in beside.areas
    assert beside.remarks == [
        "consequence alone is not compared: positives in one chromosome, so nothing is left to learn it from."
    ]


def test_a_group_is_measured_beside_what_was_learnt_of_all_rows(tmp_path):
    """Odd rows are of the group. Position of a row is told by its even neighbours; another score is measured on the group's rows alone."""
    positive = np.arange(400) // 20 % 2 == 0
    generator = np.random.default_rng(0)
    risk, other = generator.normal(size=(2, 400))
    labelled = labelled_table(tmp_path, positive, delta_llr=-risk, CADD=other, request={"beside": ["CADD"]})
    rivals = Rivals(labelled, choose_clusters(labelled), 0)
    group = np.arange(1, 400, 2)
    beside = rivals.within(group, QUICK)
    assert beside.num_positive + beside.num_negative == 200
    assert beside.areas["CADD"].auroc == pytest.approx(roc_auc_score(positive[group], other[group]))
    assert beside.areas["CADD"].auroc != pytest.approx(roc_auc_score(positive, other), abs=1e-3)
    assert beside.areas[POSITION].auroc > 0.95
    assert rivals.within(np.flatnonzero(positive), QUICK) is None


def test_within_a_consequence_the_consequence_tells_nothing(tmp_path):
    """It is nearly the label itself, over all rows; among those of one value it ties."""
    positive = noisy(400)[1]
    value = np.where(positive ^ (np.arange(400) % 7 == 0), "stop_gained", "synonymous_variant")
    labelled = labelled_table(tmp_path, positive, delta_llr=-noisy(400)[0], consequence=value)
    rivals = Rivals(labelled, choose_clusters(labelled), 0)
    assert compare_beside(rivals, QUICK).areas[CONSEQUENCE].auroc > 0.7
    for name in ("stop_gained", "synonymous_variant"):
        assert rivals.within(np.flatnonzero(value == name), QUICK).areas[CONSEQUENCE].auroc == 0.5


def test_the_mean_over_parts_is_that_of_their_areas(tmp_path):
    risk, positive = noisy(300)
    other = risk + np.random.default_rng(3).normal(size=300)
    labelled = labelled_table(tmp_path, positive, delta_llr=-risk, CADD=other, request={"beside": ["CADD"]})
    rivals = Rivals(labelled, choose_clusters(labelled), 0)
    part = np.where(np.arange(300) < 250, np.arange(300) // 100, -1)
    areas, pairs = [], []
    for number in range(3):
        rows = np.flatnonzero(part == number)
        areas.append(roc_auc_score(positive[rows], other[rows]))
        pairs.append(positive[rows].sum() * (~positive[rows]).sum())
    mean = rivals.mean_over(part, QUICK).areas["CADD"]
    assert mean.auroc == pytest.approx(np.average(areas, weights=pairs))
    assert mean.difference_interval[0] < mean.difference < mean.difference_interval[1]
    one_class = np.where(positive, 0, -1)
    assert rivals.mean_over(one_class, QUICK) is None


def test_a_score_without_numbers_in_a_group_does_not_take_the_others_with_it(tmp_path):
    """As one of missense changes alone, in the group of all others."""
    risk, positive = noisy(400)
    is_missense = np.arange(400) % 2 == 0
    labelled = labelled_table(
        tmp_path,
        positive,
        delta_llr=-risk,
        CADD=risk,
        missense_score=np.where(is_missense, risk, np.nan),
        request={"beside": ["CADD", "missense_score"]},
    )
    group = np.flatnonzero(~is_missense)
    beside = Rivals(labelled, choose_clusters(labelled), 0).within(group, QUICK)
    assert list(beside.areas) == ["delta_llr", POSITION, "CADD"]
    assert beside.areas["CADD"].auroc == pytest.approx(roc_auc_score(positive[group], risk[group]))
    assert beside.num_positive + beside.num_negative == 200
    assert beside.remarks == ["missense_score has no number in any positive or negative row: it is not compared."]


def test_the_mean_keeps_position_where_another_score_has_both_labels_in_no_part(tmp_path):
    risk, positive = noisy(200)
    part = np.arange(200) // 100
    other = np.where(positive == (part == 0), risk, np.nan)
    labelled = labelled_table(tmp_path, positive, delta_llr=-risk, CADD=other, request={"beside": ["CADD"]})
    mean = Rivals(labelled, choose_clusters(labelled), 0).mean_over(part, QUICK)
    assert list(mean.areas) == ["delta_llr", POSITION]
    assert mean.remarks == ["no two labels are left where CADD all have numbers: they are not compared."]


@pytest.mark.parametrize(
    ("asked", "value", "shown"), [("CADD", -3.0, "-3"), ("CADD:lower", 3.0, "3"), ("CADD:lower", 0.0, "0")]
)
def test_one_value_of_another_score_is_said_with_its_sign(tmp_path, asked, value, shown):
    positive = noisy(60)[1]
    labelled = labelled_table(tmp_path, positive, CADD=np.full(60, value), request={"beside": [asked]})
    assert compared(labelled).remarks == [f"CADD is {shown} in all rows compared: it tells nothing apart."]
