"""Comparing two runs, with answers worked out by hand."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raygen.classes.class_rule import class_rule
from raygen.classes.classify import CLASSES
from raygen.errors import InputError, SettingsError
from raygen.finished import diff as diff_module
from raygen.finished import diff_tally
from raygen.finished.diff import compare_scores, print_diff
from raygen.pages.diff_page import write_diff_page
from tests.finished_runs import finished_run
from tests.pages.page_reader import read_page
from tests.ranked_folders import background_of, ranked_folder
from tests.run_folders import row as scored
from tests.run_folders import run_folder

OLD = {"1-5-A-C": -8.0, "1-5-A-G": -5.0, "1-9-T-C": 0.0, "2-3-G-A": 2.0, "3-1-A-C": -2.0, "1-90-A-C": 1.0}
NEW = {
    "1-5-A-C": -7.5,
    "1-5-A-G": -7.25,
    "1-9-T-C": -4.0,
    "2-3-G-A": -9.0,
    "3-1-A-C": -0.5,
    "4-1-G-T": 0.0,
    "1-1-A-T": 0.0,
}


@pytest.fixture
def folders(tmp_path):
    old = finished_run(tmp_path / "old", OLD, abstained={"1-5-A-C": True})
    return old, finished_run(tmp_path / "new", NEW, fingerprint="e" * 16, abstained={"2-3-G-A": True, "1-9-T-C": True})


def test_the_matrix_counts_each_variant_of_both(folders):
    diff = compare_scores(*folders)
    assert diff.classes == ("pathogenic", "likely_pathogenic", "vus", "benign", "gain_of_function")
    assert diff.transitions.tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert (diff.num_both, diff.num_changed, diff.num_to_pathogenic, diff.num_crossed) == (5, 4, 3, 2)
    assert (diff.num_only_old, diff.num_only_new) == (1, 2)
    assert (diff.newly_abstained, diff.no_longer_abstained) == (2, 1)
    assert diff.by_contig == {"1": (3, 2), "2": (1, 1), "3": (1, 1), "4": (0, 0)}


def test_the_numbers_are_those_by_hand(folders):
    diff = compare_scores(*folders)
    assert diff.mean_change == pytest.approx((0.5 - 2.25 - 4 - 11 + 1.5) / 5)
    assert diff.mean_absolute_change == pytest.approx((0.5 + 2.25 + 4 + 11 + 1.5) / 5)
    # ranks of old: 1 2 4 5 3, of new: 2 3 4 1 5; squared differences 1 1 0 16 4
    assert diff.spearman == pytest.approx(1 - 6 * 22 / (5 * 24))


def test_the_largest_change_comes_first(folders):
    rows = compare_scores(*folders).largest.to_pylist()
    assert [row["variant_id"] for row in rows] == ["2-3-G-A", "1-9-T-C", "1-5-A-G", "3-1-A-C"]
    assert rows[0] == {
        "variant_id": "2-3-G-A",
        "old_classification": "gain_of_function",
        "new_classification": "pathogenic",
        "old_delta_llr": 2.0,
        "new_delta_llr": -9.0,
        "change": -11.0,
        "old_abstained": False,
        "new_abstained": True,
    }


def test_the_sentence_says_what_changed(folders):
    assert compare_scores(*folders).sentence() == (
        "4 of 5 variants (80.0%) changed class: 3 towards pathogenic, 1 away from it; 2 crossed between (likely) pathogenic "
        "and benign or beyond. Only in the old run: 1; only in the new: 2."
    )


def test_a_run_and_itself_do_not_differ(folders):
    diff = compare_scores(folders[0], folders[0])
    assert diff.sentence() == "No variant changed class: all 6 that are in both runs kept theirs."
    assert diff.num_changed == diff.largest.num_rows == 0
    assert diff.spearman == pytest.approx(1)


def test_runs_without_a_common_variant_are_not_compared_and_nothing_is_written(tmp_path, folders):
    other = finished_run(tmp_path / "other", {"X-1-A-C": 1.0})
    with pytest.raises(InputError, match=r"No variant is in both runs.*: 6 only in .*, 1 only in .*other\."):
        compare_scores(folders[0], other, changes_to=str(tmp_path / "changes.tsv"))
    assert not [path for path in tmp_path.iterdir() if "changes" in path.name]


def test_contig_names_of_either_kind_meet(tmp_path):
    old = finished_run(tmp_path / "old", {"chr1-5-A-C": -8.0, "chrM-5-A-C": 0.0})
    new = finished_run(tmp_path / "new", {"1-5-A-C": 0.0, "MT-5-A-C": 0.0})
    diff = compare_scores(old, new)
    assert (diff.num_both, diff.num_only_old, diff.num_only_new) == (2, 0, 0)
    assert diff.largest["variant_id"].to_pylist() == ["1-5-A-C"]


def test_small_windows_and_a_sample_give_the_same_counts(tmp_path, monkeypatch):
    old = finished_run(
        tmp_path / "old", {f"1-{pos}-A-C": (pos * 7 % 19) - 12.0 for pos in range(1, 200)}, shard_rows=30
    )
    new = finished_run(
        tmp_path / "new", {f"1-{pos}-A-C": (pos * 5 % 17) - 11.0 for pos in range(50, 300, 2)}, shard_rows=30
    )
    whole = compare_scores(old, new)
    monkeypatch.setattr(diff_module, "WINDOW_ROWS", 6)
    monkeypatch.setattr(diff_tally, "SPEARMAN_ROWS", 20)
    parts = compare_scores(old, new)
    assert parts.transitions.tolist() == whole.transitions.tolist()
    assert (parts.num_only_old, parts.num_only_new) == (whole.num_only_old, whole.num_only_new) == (124, 50)
    assert parts.largest.equals(whole.largest)
    assert (whole.num_ranked, parts.num_ranked) == (75, 20)
    assert "of a sample of 20" in parts.numbers()[0]


def _moves(frame):
    """(id, classes between, change) of each row."""
    for row in frame.iter_rows(named=True):
        before, after = (CLASSES.index(row[f"{side}_classification"]) for side in ("old", "new"))
        yield row["variant_id"], abs(after - before), row["change"]


def test_with_other_cut_points_alone_the_farthest_moves_come_first_then_the_genome_order(tmp_path):
    deltas = dict.fromkeys(["10-1-A-C", "2-100-A-C", "2-9-A-C", "2-11-A-C", "X-1-A-C"], -2.0)
    moved = dict.fromkeys(deltas, "benign") | {"2-11-A-C": "gain_of_function"}
    old = finished_run(tmp_path / "old", deltas)
    new = finished_run(tmp_path / "new", deltas, classification=moved)
    names = compare_scores(old, new).largest["variant_id"].to_pylist()
    assert names == ["2-11-A-C", "2-9-A-C", "2-100-A-C", "10-1-A-C", "X-1-A-C"]


@pytest.mark.parametrize("name", ["changes.parquet", "changes.tsv", "changes.csv"])
def test_all_changes_go_to_a_file_in_the_order_of_the_largest(tmp_path, name, monkeypatch):
    old = finished_run(
        tmp_path / "old", {f"1-{pos}-A-C": (pos * 7 % 19) - 12.0 for pos in range(1, 200)}, shard_rows=30
    )
    new = finished_run(
        tmp_path / "new", {f"1-{pos}-A-C": (pos * 5 % 17) - 11.0 for pos in range(1, 200)}, shard_rows=30
    )
    monkeypatch.setattr(diff_module, "WINDOW_ROWS", 20)
    diff = compare_scores(old, new, changes_to=str(tmp_path / name), most=3)
    path = tmp_path / name
    frame = (
        pl.from_arrow(pq.read_table(path))
        if name.endswith("parquet")
        else pl.read_csv(path, separator="\t" if "tsv" in name else ",")
    )
    assert frame.height == diff.num_changed > 100
    place = [
        {"steps": steps, "size": abs(change), "pos": int(name.split("-")[1])} for name, steps, change in _moves(frame)
    ]
    assert place == sorted(place, key=lambda one: (-one["steps"], -one["size"], one["pos"]))
    assert len({one["steps"] for one in place}) == 4
    assert frame["variant_id"][:3].to_list() == diff.largest["variant_id"].to_pylist()


def test_pairs_are_compared_by_their_ids(tmp_path):
    old = finished_run(tmp_path / "old", {"one": -8.0, "two": 0.0, "three": 0.0})
    new = finished_run(tmp_path / "new", {"two": 0.5, "one": 0.0, "four": 0.0})
    diff = compare_scores(old, new)
    assert (diff.num_both, diff.num_changed, diff.num_only_old, diff.num_only_new) == (2, 1, 1, 1)


def test_pairs_and_variants_are_not_compared(tmp_path, folders):
    pairs = finished_run(tmp_path / "pairs", {"one": -8.0})
    with pytest.raises(SettingsError, match="pairs, the other of variants"):
        compare_scores(folders[0], pairs)


def test_a_folder_without_scores_is_an_input_error(tmp_path, folders):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no scores"):
        compare_scores(folders[0], str(tmp_path / "nothing"))


def test_the_screen_starts_with_the_sentence(folders):
    diff = compare_scores(*folders)
    console = Console(file=io.StringIO(), width=120)
    print_diff(diff, console, most=2)
    text = console.file.getvalue()
    assert text.startswith(diff.sentence())
    assert "eeeeeeeeeeeeeeee" in text
    assert "the 2 largest of 4 changes" in text


def test_the_page_starts_with_the_sentence_and_holds_everything_itself(tmp_path, folders):
    diff = compare_scores(*folders)
    path = write_diff_page(diff, str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    assert path == str(tmp_path / "page.html")
    page = read_page(text)
    assert page.lines[1:4] == ["raygen diff", "What changed between two runs", diff.sentence()]
    assert page.holds_all_it_shows()
    assert page.scripts == []
    assert not {"script", "img", "iframe"} & set(page.tags)
    assert "url(" not in text


def test_the_page_escapes_what_comes_from_data(tmp_path):
    names = "<img src=x onerror=alert(1)>-5-A-C"
    old = finished_run(tmp_path / "old<b>&", {names: -8.0, "1-1-A-C": 0.0})
    new = finished_run(tmp_path / "new", {names: 0.0, "1-1-A-C": 0.0})
    write_diff_page(compare_scores(old, new), str(tmp_path / "page.html"))
    page = read_page((tmp_path / "page.html").read_text())
    assert page.holds_all_it_shows()
    assert "img" not in page.tags
    assert "b" not in page.tags
    assert "&lt;img src=x" in (tmp_path / "page.html").read_text()


def test_different_references_are_said(tmp_path, folders):
    from tests.builders import fasta

    other = finished_run(tmp_path / "other", NEW, reference=fasta(tmp_path, {"1": "ACGT"}))
    assert "different references" in compare_scores(folders[0], other).remarks()[0]


def test_runs_that_are_ranked_say_how_phred_moved_and_against_what(tmp_path):
    rows = [scored("1", 10 + at, "A", "C", -100.0 + at) for at in range(20)]
    near, far = background_of(np.arange(-100.0, 0.0)), background_of(np.arange(-1000.0, 0.0))
    on_phred = class_rule((0, 3, 10, 20), "phred", near)
    old = ranked_folder(tmp_path, rows, on_phred, "old")
    new = ranked_folder(tmp_path, rows, class_rule((-7, -3, -1, 1), "delta_llr", far), "new")
    diff = compare_scores(old, new)
    assert "PHRED moved by 5 or more: 20; came to 20 or above: 0; fell below: 1" in diff.numbers()
    remark = (
        "The scores are ranked against different backgrounds, so percentile and PHRED change without a change of score."
    )
    assert remark in diff.remarks() and remark not in compare_scores(old, old).remarks()
    assert {name: values for name, *values in diff.differing_facts()} == {
        "cuts": [f"PHRED 0, 3, 10, 20 of background {near.digest}", "-7, -3, -1, 1"],
        "ranked against": [f"{near.digest} of 100 scores", f"{far.digest} of 1,000 scores"],
    }
    page = Path(write_diff_page(diff, str(tmp_path / "d.html"))).read_text()
    assert far.digest in page and "ranked against" in page


def test_a_run_that_is_ranked_and_one_that_is_not_are_compared_by_scores_alone(tmp_path, folders):
    rows = [scored("1", 10 + at, "A", "C", -100.0 + at) for at in range(20)]
    old = run_folder(tmp_path / "bare", rows)
    rule = class_rule((-7, -3, -1, 1), "delta_llr", background_of(np.arange(-100.0, 0.0)))
    diff = compare_scores(old, ranked_folder(tmp_path, rows, rule))
    assert diff.phred is None and not any("PHRED" in line for line in diff.numbers())
    assert ("ranked against", "nothing", f"{rule.background.digest} of 100 scores") in diff.differing_facts()
    page = Path(write_diff_page(compare_scores(*folders), str(tmp_path / "d.html"))).read_text()
    assert "ranked against" not in page
