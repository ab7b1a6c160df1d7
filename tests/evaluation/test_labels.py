import polars as pl
import pytest

from raygen.errors import InputError, SettingsError
from raygen.evaluation.labels import UNLABELLED, assign_labels, clinvar_meaning


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("Pathogenic", True),
        ("Likely_pathogenic", True),
        ("Likely pathogenic", True),
        ("Pathogenic/Likely_pathogenic", True),
        ("Pathogenic|drug_response", True),
        ("Likely_pathogenic,_low_penetrance", True),
        ("Pathogenic/Likely_pathogenic/Pathogenic,_low_penetrance|other", True),
        ("Benign", False),
        ("Benign/Likely_benign", False),
        ("Benign|association", False),
        ("Uncertain_significance", None),
        ("Uncertain_significance/Uncertain_risk_allele", None),
        ("Conflicting_interpretations_of_pathogenicity", None),
        ("Conflicting_classifications_of_pathogenicity|risk_factor", None),
        ("Pathogenic/Benign", None),
        ("risk_factor", None),
        ("not_provided", None),
    ],
)
def test_a_clinvar_term_means_what_it_says(value, meaning):
    assert clinvar_meaning(value) is meaning


def test_what_is_left_out_is_counted_by_value():
    labels = assign_labels(pl.Series(["Pathogenic", "Benign", "Uncertain_significance", None, "Benign"]))
    assert labels.is_positive.to_list() == [True, False, None, None, False]
    assert (labels.positive, labels.negative) == (["Pathogenic"], ["Benign"])
    assert labels.left_out == {"Uncertain_significance": 1, UNLABELLED: 1}


def test_values_of_equal_count_come_in_the_order_of_their_names():
    values = [
        "Pathogenic",
        "Likely_pathogenic",
        *(f"other_{number}" for number in range(9, 0, -1)),
        "Likely_benign",
        "Benign",
    ]
    labels = assign_labels(pl.Series("label", values))
    assert labels.positive == ["Likely_pathogenic", "Pathogenic"]
    assert labels.negative == ["Benign", "Likely_benign"]
    assert list(labels.left_out) == [f"other_{number}" for number in range(1, 10)]


def test_named_labels_replace_the_terms_and_numbers_will_do():
    labels = assign_labels(pl.Series([1, 0, 2, 1]), ["1"], ["0"])
    assert labels.is_positive.to_list() == [True, False, None, True]
    assert labels.left_out == {"2": 1}


@pytest.mark.parametrize(
    ("positive", "negative", "words"),
    [
        (["LOF"], [], "go together"),
        (["LOF"], ["LOF"], "cannot be positive and negative"),
        (
            ["LOF"],
            ["FUNCTIONAL", "INT"],
            r"No row has the label FUNCTIONAL or INT. The labels are FUNC \(2\), LOF \(1\)",
        ),
    ],
)
def test_labels_that_cannot_be_are_refused_with_those_that_can(positive, negative, words):
    with pytest.raises(SettingsError, match=words):
        assign_labels(pl.Series(["FUNC", "LOF", "FUNC"]), positive, negative)


def test_labels_of_another_vocabulary_ask_for_a_name():
    with pytest.raises(InputError, match=r"FUNC \(1\).*--positive A,B --negative C,D"):
        assign_labels(pl.Series(["FUNC"]))


def test_a_value_that_no_row_has_is_said_where_others_are_there():
    labels = assign_labels(pl.Series(["FUNC", "LOF"]), ["LOF"], ["FUNC", "INT"])
    assert (labels.negative, labels.unknown) == (["FUNC"], ["INT"])
