import numpy as np
import pyarrow as pa
import pytest

from raygen.classes.classify import CLASSES, class_index, classify, split_rows


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (-40.0, "pathogenic"),
        (-7.0001, "pathogenic"),
        (-7.0, "likely_pathogenic"),
        (-3.0001, "likely_pathogenic"),
        (-3.0, "vus"),
        (-1.0001, "vus"),
        (-1.0, "benign"),
        (0.0, "benign"),
        (1.0, "benign"),
        (1.0001, "gain_of_function"),
    ],
)
def test_the_cut_points_belong_where_the_design_says(delta, expected):
    assert CLASSES[class_index(np.array([delta]))[0]] == expected


def test_cut_points_are_settings():
    assert class_index(np.array([-7.0, -3.0]), (-30, -20, -10, 5)).tolist() == [3, 3]


def scored(rows):
    """Scored rows from dictionaries; what is left out is an ordinary value."""
    usual = {
        "variant_id": "1-5-A-C", "chrom": "1", "pos": 5, "ref": "A", "alt": "C", "window_start": 0, "window_end": 10,
        "flags": [], "too_many_n": False, "ll_wt": -10.0, "ll_mut": -12.0, "delta_llr": -2.0, "delta_fwd": -2.0,
        "delta_rev": None, "num_tokens": 10, "failure": None, "source": "v.parquet:2",
    }  # fmt: skip
    types = {"flags": pa.list_(pa.string()), "delta_rev": pa.float64(), "failure": pa.string()}
    columns = {name: pa.array([{**usual, **row}[name] for row in rows], types.get(name)) for name in usual}
    return pa.table(columns)


def abstained(**row):
    return classify(scored([row]))["abstained"].to_pylist() == [True]


def test_one_strand_or_neighbouring_classes_do_not_make_it_abstain():
    assert not abstained()
    assert not abstained(delta_fwd=-2.0, delta_rev=0.0)


def test_strands_more_than_one_class_apart_make_it_abstain():
    assert abstained(delta_fwd=-8.0, delta_rev=-2.0)


def test_thin_evidence_makes_it_abstain_and_the_class_is_still_given():
    assert abstained(too_many_n=True)
    assert abstained(flags=["same_sequence"])
    assert classify(scored([{"too_many_n": True}]))["classification"].to_pylist() == ["vus"]


def test_failed_rows_become_rejects_and_the_others_scores():
    classified = classify(scored([{}, {"variant_id": "1-6-G-T", "delta_llr": float("nan"), "failure": "not finite"}]))
    scores, rejects = split_rows(classified, "demo", "f" * 16, "run")
    assert scores["variant_id"].to_pylist() == ["1-5-A-C"]
    assert scores["delta_per_base"].to_pylist() == [-0.2]
    assert rejects.select(["chrom", "pos", "source", "reason", "detail"]).to_pylist() == [
        {"chrom": "1", "pos": 5, "source": "v.parquet:2", "reason": "scoring_failed", "detail": "not finite"}
    ]
