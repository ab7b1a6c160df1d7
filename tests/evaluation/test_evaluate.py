import io
import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError, SettingsError
from raygen.evaluation.evaluate import as_json, evaluate
from raygen.evaluation.evaluation_text import print_evaluation
from raygen.evaluation.labelled_scores import LabelRequest, gather
from raygen.pages.evaluation_page import as_page
from tests.builders import fasta, shared
from tests.finished_runs import finished_run
from tests.pages.page_reader import read_page

STORED = Path(__file__).parent / "data" / "mt_clinvar_scores.tsv.gz"
QUICK = Bootstrap(replicates=50)


def write(folder, name="scores.tsv", **columns):
    """A table of SNVs at 1-based 1, 2, 3, ... of contig 1, with these columns."""
    (size,) = {len(values) for values in columns.values()}
    place = {"chrom": ["1"] * size, "pos": list(range(1, size + 1)), "ref": ["A"] * size, "alt": ["C"] * size}
    pl.DataFrame({**place, **columns}).write_csv(folder / name, separator="\t")
    return str(folder / name)


def request(scores, **more):
    return LabelRequest(
        **{"scores": scores, "label": "class", "positive": ["LOF"], "negative": ["FUNC", "INT"], **more}
    )


def two_groups(folder):
    """``good`` tells its labels apart, ``bad`` does not, ``single`` has one class."""
    deltas = [-5.0, -4, -3, 1, 2, 3, -5.0, 2, -3, -4, 1, 3, 0.0, 1]
    labels = ["LOF"] * 3 + ["FUNC", "FUNC", "INT"] + ["LOF", "LOF", "LOF", "FUNC", "FUNC", "INT"] + ["LOF"] * 2
    return write(folder, delta_llr=deltas, **{"class": labels, "group": ["good"] * 6 + ["bad"] * 6 + ["single"] * 2})


def test_areas_by_group_with_ties_and_a_group_of_one_class(tmp_path):
    found = as_json(evaluate(request(two_groups(tmp_path), by=["group"]), QUICK))
    by = found["by"]["group"]
    assert by["good"]["auroc"] == 1.0
    assert by["bad"]["auroc"] == pytest.approx(6 / 9)  # of -4, 1 and 3: -5 lies below all, -3 below two, 2 below one
    assert (by["single"]["auroc"], by["single"]["note"]) == (None, "no negative")
    assert (found["overall"]["num_positive"], found["overall"]["num_negative"]) == (8, 6)
    json.dumps(found, allow_nan=False)


def test_the_stored_scores_of_the_mitochondrion_give_the_stored_numbers():
    labels = str(shared("mt/mt.clinvar_20220525.vcf"))
    asked = LabelRequest(scores=str(STORED), label="CLNSIG", labels=labels, by=["GENE"])
    found = as_json(evaluate(asked))
    assert (found["overall"]["num_positive"], found["overall"]["num_negative"]) == (255, 1430)
    assert found["overall"]["auroc"] == pytest.approx(0.5299972576, abs=1e-6)
    assert found["overall"]["auroc_interval"] == pytest.approx([0.5045, 0.5525], abs=2e-3)
    assert (found["clusters"]["level"], found["clusters"]["num_clusters"]) == ("gene", 36)
    assert found["overall"]["auprc"] == pytest.approx(0.1538382659, abs=1e-6)
    assert found["by"]["GENE"]["MT-TL1"]["auroc"] == pytest.approx(0.5966666667, abs=1e-6)
    assert found["risk_coverage"]["abstained"]["num_abstained"] == 720
    assert found["left_out"]["Uncertain_significance"] == 1001


def test_labels_from_another_table_join_by_variant_whatever_the_contig_is_called(tmp_path):
    scores = write(tmp_path, delta_llr=[-5.0, 1, 2, -4])
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "Chromosome,Position,ref,alt,class\nchr1,1,A,C,LOF\nchr1,2,A,C,FUNC\nchr1,3,A,C,INT\nchr1,9,A,C,LOF\n"
    )
    found = gather(request(scores, labels=str(labels)))
    assert found.frame["score"].to_list() == [-5.0, 1, 2]
    assert found.counts == {"rows with labels": 4, "labelled": 4, "without a score": 1}


def test_pairs_join_by_their_ids(tmp_path):
    pl.DataFrame({"variant_id": ["a", "b", "c"], "delta_llr": [-5.0, 1, 2]}).write_parquet(tmp_path / "s.parquet")
    (tmp_path / "labels.csv").write_text("pair_id,class\nb,FUNC\na,LOF\nz,LOF\n")
    found = gather(request(str(tmp_path / "s.parquet"), labels=str(tmp_path / "labels.csv")))
    assert found.frame.select("key", "score", "positive").rows() == [("a", -5.0, True), ("b", 1.0, False)]


def test_labels_that_contradict_each_other_are_left_out_and_counted(tmp_path):
    scores = write(tmp_path, delta_llr=[-5.0, 1, 2])
    labels = tmp_path / "labels.csv"
    rows = ["1,1,A,C,LOF", "1,1,A,C,FUNC", "1,2,A,C,FUNC", "1,2,A,C,FUNC", "1,3,A,C,LOF"]
    labels.write_text("chrom,pos,ref,alt,class\n" + "\n".join(rows) + "\n")
    found = gather(request(scores, labels=str(labels)))
    assert found.counts["with labels that contradict each other"] == 1
    assert found.frame["positive"].to_list() == [False, True]


def test_labels_that_mean_the_same_or_are_missing_contradict_nothing(tmp_path):
    scores = write(tmp_path, delta_llr=[-5.0, 1, 2, 3], pos=[1, 2, 3, 4])
    labels = tmp_path / "labels.csv"
    pairs = [
        ("Pathogenic", "Likely_pathogenic"),
        ("Benign", ""),
        (".", "Benign"),
        ("Pathogenic", "Uncertain_significance"),
    ]
    rows = [f"1,{pos},A,C,{label}" for pos, both in enumerate(pairs, start=1) for label in both]
    labels.write_text("chrom,pos,ref,alt,class\n" + "\n".join(rows) + "\n")
    found = gather(request(scores, labels=str(labels), positive=(), negative=()))
    assert found.frame["positive"].to_list() == [True, False, False]
    assert found.counts["with labels that contradict each other"] == 1


def test_a_frequency_that_is_no_number_is_none(tmp_path):
    scores = write(tmp_path, delta_llr=[-1.0, 1, -1], AF=[0.0, float("nan"), 0.2], **{"class": ["LOF", "FUNC", "LOF"]})
    assert list(evaluate(request(scores, af_column="AF"), QUICK).by["af_bin"]) == ["AF 0", "AF above 0.05", "(none)"]


def test_scores_of_one_strand_as_csv_have_no_curve_by_strands(tmp_path):
    scores = write(
        tmp_path,
        delta_llr=[-5.0, -4, 1, 2],
        delta_fwd=[-5.0, -4, 1, 2],
        delta_rev=["", "", "", ""],
        **{"class": ["LOF", "LOF", "FUNC", "FUNC"]},
    )
    assert evaluate(request(scores), QUICK).risk_coverage.by_strands == []


def test_scores_that_are_no_numbers_are_left_out_and_counted(tmp_path):
    scores = write(tmp_path, delta_llr=[-5.0, None, float("inf"), 2.0], **{"class": ["LOF", "LOF", "FUNC", "FUNC"]})
    found = gather(request(scores))
    assert found.counts["score is no number"] == 2
    assert len(found.frame) == 2


def test_frequencies_are_binned_with_the_upper_edge_included(tmp_path):
    scores = write(
        tmp_path,
        delta_llr=[-1.0, 1, -1, 1, -1],
        AF=[0.0, 0.01, 0.0100001, 1.0, None],
        **{"class": ["LOF", "FUNC", "LOF", "FUNC", "LOF"]},
    )
    found = evaluate(request(scores, af_column="AF"), QUICK)
    assert list(found.by["af_bin"]) == ["AF 0", "AF to 0.01", "AF to 0.05", "AF above 0.05", "(none)"]


def test_frequencies_that_a_run_carries_as_text_are_binned(tmp_path):
    """A run keeps what it carries as text; ``.`` and empty are missing, and a list does not say whose value is whose."""
    texts = {"1-1-A-C": "0.0005", "1-2-A-C": ".", "1-3-A-C": "", "1-4-A-C": "1e-3", "1-5-A-C": "0.2,0.1"}
    labels = dict(zip(texts, ["LOF", "FUNC", "LOF", "FUNC", "LOF"], strict=True))
    run = finished_run(tmp_path / "run", dict.fromkeys(texts, -1.0), columns={"AF": texts, "class": labels})
    found = evaluate(request(run, af_column="AF"), QUICK)
    counts = {name: group.num_positive + group.num_negative for name, group in found.by["af_bin"].items()}
    assert counts == {"AF to 0.001": 2, "(none)": 3}
    assert any("AF lists several numbers in 1 row," in remark for remark in found.labelled.remarks)


def test_higher_is_positive_turns_the_area_around(tmp_path):
    scores = two_groups(tmp_path)
    lower = evaluate(request(scores), QUICK).overall.auroc
    assert evaluate(request(scores, higher_is_positive=True), QUICK).overall.auroc == pytest.approx(1 - lower)


def test_a_score_that_points_the_other_way_is_said(tmp_path):
    scores = write(tmp_path, other=[float(n) for n in range(40)], **{"class": ["FUNC"] * 20 + ["LOF"] * 20})
    console = Console(width=200, record=True, file=io.StringIO())
    print_evaluation(evaluate(request(scores, score_column="other"), QUICK), console)
    assert (
        "points the other way (AUROC 0.000, below 0.5); run it with --higher-is-positive"
        in console.export_text().replace("\n  ", " ")
    )


@pytest.mark.parametrize("bootstrap", [QUICK, Bootstrap(0)])
def test_below_one_half_is_said_with_and_without_an_interval(tmp_path, bootstrap):
    """Of six pairs the first positive wins none and the second two: 2 / 6, of which chance alone is enough."""
    scores = write(tmp_path, delta_llr=[3.0, 1.0, 0.0, 2.0, 2.5], **{"class": ["LOF", "LOF", "FUNC", "FUNC", "FUNC"]})
    found = evaluate(request(scores, negative=["FUNC"]), bootstrap)
    assert "AUROC 0.333, below 0.5" in found.points_the_other_way()
    assert ("chance" in found.points_the_other_way()) == bool(bootstrap.replicates)
    assert "AUROC 0.333, below 0.5" in as_page(found)


@pytest.mark.parametrize(("shift", "warned"), [(0, []), (2, ["most labels match no score: 4 of 5."])])
def test_that_most_labels_match_no_score_is_a_warning(tmp_path, shift, warned):
    """Scores at 1 to 3, labels at 1 to 5 or, of other coordinates, at 3 to 7."""
    labels = tmp_path / "labels.csv"
    rows = [f"1,{pos + shift},A,C,{'LOF' if pos % 2 else 'FUNC'}\n" for pos in range(1, 6)]
    labels.write_text("chrom,pos,ref,alt,class\n" + "".join(rows))
    found = gather(request(write(tmp_path, delta_llr=[1.0, 2, 3]), labels=str(labels), negative=["FUNC"]))
    assert [warning.split(" Are ")[0] for warning in found.warnings] == warned


def test_that_most_labels_cannot_be_used_is_a_warning(tmp_path):
    scores = write(tmp_path, delta_llr=[1.0, 2])
    labels = tmp_path / "labels.csv"
    labels.write_text("chrom,pos,ref,alt,class\n1,1,A,C,LOF\n1,2,A,C,FUNC\n" + "1,1,A,<DEL>,LOF\n" * 3)
    found = gather(request(scores, labels=str(labels), negative=["FUNC"]))
    assert found.warnings == ["most rows of labels.csv cannot be used: 3 of 5."]
    console = Console(width=200, record=True, file=io.StringIO())
    print_evaluation(evaluate(request(scores, labels=str(labels), negative=["FUNC"]), QUICK), console)
    assert "warning: most rows of labels.csv cannot be used: 3 of 5." in console.export_text().replace("\n  ", " ")


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"label": "klass"}, SettingsError, "has no column klass. It has: .*class"),
        ({"score_column": "cadd"}, SettingsError, "--score-column: .* has no column cadd"),
        ({"by": ["gene"]}, SettingsError, "--by: .* has no column gene"),
        ({"by": ["af_bin"]}, SettingsError, "needs --af-column"),
        ({"af_column": "group"}, SettingsError, "--af-column group: 'good' is no number, the first of 14 such"),
        ({"score_column": "group"}, SettingsError, "--score-column group: 'good' is no number"),
        ({"af_column": "delta_llr"}, InputError, "-5 to 3; a frequency lies between 0 and 1"),
        ({"positive": ["FUNC"], "negative": ["INT"], "label": "klass"}, SettingsError, "klass"),
    ],
)
def test_what_is_not_there_is_refused_in_words(tmp_path, more, error, words):
    with pytest.raises(error, match=words):
        evaluate(request(two_groups(tmp_path), **more), QUICK)


def test_labels_of_one_class_only_are_refused(tmp_path):
    scores = write(tmp_path, delta_llr=[1.0, 2, None], **{"class": ["LOF", "LOF", "FUNC"]})
    with pytest.raises(InputError, match="All 2 labelled variants with a score are positive"):
        evaluate(request(scores, negative=["FUNC"]), QUICK)


def test_tables_without_a_common_variant_are_refused_with_the_numbers(tmp_path):
    scores = write(tmp_path, delta_llr=[1.0, 2])
    labels = tmp_path / "labels.csv"
    labels.write_text("chrom,pos,ref,alt,class\n2,1,A,C,LOF\n2,2,A,C,FUNC\n")
    with pytest.raises(InputError, match="without a score: 2"):
        evaluate(request(scores, labels=str(labels), negative=["FUNC"]), QUICK)


def test_a_table_without_rows_is_refused_by_name(tmp_path):
    full = write(tmp_path, delta_llr=[1.0, 2], **{"class": ["LOF", "FUNC"]})
    (tmp_path / "empty.csv").write_text("chrom,pos,ref,alt,delta_llr,class\n")
    pl.read_csv(full, separator="\t").clear().write_parquet(tmp_path / "empty.parquet")
    for empty in (str(tmp_path / "empty.csv"), str(tmp_path / "empty.parquet")):
        for asked in (request(empty), request(empty, labels=full), request(full, labels=empty)):
            with pytest.raises(InputError, match=rf"^{Path(empty).name} has no rows"):
                gather(asked)


def test_one_value_among_the_scores_that_is_no_number_is_named(tmp_path):
    scores = write(tmp_path, other=["1.5", "x", "2", "y"], **{"class": ["LOF", "LOF", "FUNC", "FUNC"]})
    with pytest.raises(
        SettingsError, match="--score-column other: 'x' is no number, the first of 2 such values in 4 rows"
    ):
        gather(request(scores, score_column="other"))


def test_labels_of_another_genome_are_refused_with_the_reason(tmp_path):
    """Before it is asked what the labels mean: none of them is left to have a meaning."""
    reference = fasta(tmp_path, {"1": "A" * 60})
    labels = tmp_path / "labels.csv"
    labels.write_text("chrom,pos,ref,alt,class\n7,1,A,C,LOF\n7,2,A,C,FUNC\n1,99,A,C,FUNC\n")
    asked = request(write(tmp_path, delta_llr=[1.0, 2]), labels=str(labels), positive=[], negative=[])
    with pytest.raises(
        InputError, match=r"None of the 3 rows of labels.csv .* \(unknown contig: 2, out of bounds: 1\)"
    ):
        gather(replace(asked, reference=str(reference)))


def test_scores_of_two_models_are_not_mixed(tmp_path):
    scores = write(tmp_path, delta_llr=[1.0, 2], fingerprint=["a", "b"], **{"class": ["LOF", "FUNC"]})
    with pytest.raises(SettingsError, match="2 values of fingerprint"):
        evaluate(request(scores, negative=["FUNC"]), QUICK)


def test_a_column_of_many_numbers_makes_no_groups(tmp_path):
    numbers = [float(n) for n in range(60)]
    scores = write(tmp_path, delta_llr=numbers, AF=numbers, **{"class": ["LOF", "FUNC"] * 30})
    with pytest.raises(SettingsError, match=r"60 different numbers make no groups.*--af-column AF"):
        evaluate(request(scores, negative=["FUNC"], by=["AF"]), QUICK)


def test_the_page_is_whole_and_asks_for_nothing(tmp_path):
    page = as_page(evaluate(request(two_groups(tmp_path), by=["group"], negative=["FUNC"]), QUICK))
    assert page.count("<svg") == 6  # four curves, what stands beside the score, and the groups
    assert "no negative" in page
    tables = re.findall(r'<div class="scroll[^>]*><table', page)
    assert len(tables) == page.count("<table") == 4  # each is wider than a phone; the facts are a list, which is not
    assert read_page(page).holds_all_it_shows()
    assert "<script" not in page and "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "nan" not in page.lower()


def test_of_too_many_groups_the_worse_ones_are_shown(tmp_path):
    """Twelve groups of 60 tell their labels apart; the smallest, which is listed last, gets them the wrong way round."""
    rows = [(float(n % 2), "FUNC" if n % 2 else "LOF", f"g{n // 60:02}") for n in range(720)]
    rows += [(float(n % 2), "LOF" if n % 2 else "FUNC", "turned") for n in range(40)]
    deltas, labels, groups = zip(*rows, strict=True)
    found = evaluate(request(write(tmp_path, delta_llr=deltas, **{"class": labels, "g": groups}), by=["g"]), QUICK)
    assert list(found.by["g"])[-1] == "turned"
    assert [name for name, _ in found.shown("g", 3)] == ["turned", "g00", "g01"]
    assert len(found.shown("g", 13)) == 13
