"""Comparing position tables, with each other and with scores; answers worked out by hand or with numpy."""

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raygen.errors import InputError, SettingsError
from raygen.finished import diff_tally, position_diff
from raygen.finished.position_diff import compare_positions, print_position_diff
from raygen.finished.position_tally import CHANGED
from raygen.pages.position_diff_page import write_position_diff_page
from raygen.tables.compact import compact
from raygen.tables.position_table import PositionFolder
from tests.builders import random_bases
from tests.cli.test_pages_and_explain import raygen
from tests.finished_runs import finished_run
from tests.pages.page_reader import read_page
from tests.position_tables import IDENTITY, write_positions

BASES = "ACGTA"
OLD = {
    "1-1-A-C": -1.0,
    "1-1-A-G": -2.0,
    "1-1-A-T": -3.0,
    "1-2-C-A": 1.0,
    "1-2-C-G": 0.0,
    "1-2-C-T": 2.0,
    "1-3-G-A": -1.0,
    "1-3-G-C": -1.0,
    "1-3-G-T": -1.0,
}


def table(folder, deltas, contigs, **options) -> str:
    return write_positions(folder, contigs, deltas=deltas, **options)


@pytest.fixture
def folders(tmp_path):
    """Bases 1 to 3 of contig 1 in both; 2-1 in the old alone, 1-4 and 1-5 in the new."""
    old = table(tmp_path / "old", OLD, {"1": "ACG", "2": "T"})
    moved = {**OLD, "1-1-A-C": -1.5, "1-2-C-A": 4.0, "1-3-G-A": -1.0 + 5e-6, "1-3-G-C": -1.0 - 3e-5}
    return old, table(tmp_path / "new", {f"chr{name}": delta for name, delta in moved.items()}, {"chr1": BASES})


def changes(path: str) -> dict[str, float]:
    """Every single-base change of a table."""
    folder = PositionFolder(path)
    return {
        f"{row['chrom']}-{row['pos']}-{row['ref']}-{alt}": row[f"delta_{alt}"]
        for file in folder.score_files()
        for row in folder.read_score_file(file).to_pylist()
        for alt in "ACGT"
        if row[f"delta_{alt}"] is not None
    }


@pytest.fixture
def random_tables(tmp_path):
    """Tables that overlap in part, in shards of other lengths, with every fourth position gone from one."""
    letters = random_bases(900)
    old = write_positions(tmp_path / "old", {"1": letters[:600], "X": letters[:50]}, seed=1, shard_bases=77)
    some = "".join(base if place % 4 else "N" for place, base in enumerate(letters))
    new = write_positions(tmp_path / "new", {"1": some[200:], "Y": letters[:30]}, seed=2, start=201, shard_bases=130)
    return old, new


def test_the_counts_and_distances_are_those_of_numpy(random_tables):
    old, new = (changes(path) for path in random_tables)
    diff = compare_positions(*random_tables)
    both = sorted(old.keys() & new.keys())
    assert (diff.num_both, diff.num_only_old, diff.num_only_new) == (
        len(both),
        len(old.keys() - new.keys()),
        len(new.keys() - old.keys()),
    )
    assert (diff.num_bases, diff.num_bases_only_old, diff.num_bases_only_new) == (300, 350, 255)
    for alt in ("A", "C", "G", "T", None):
        names = [name for name in both if alt in (None, name[-1])]
        before, after = (np.array([side[name] for name in names], np.float64) for side in (old, new))
        distance = diff.all_changes if alt is None else diff.by_alt[alt]
        assert distance.num == distance.num_changed == len(names)
        assert distance.mean == pytest.approx((after - before).mean())
        assert distance.rms == pytest.approx(np.sqrt(((after - before) ** 2).mean()))
        assert distance.largest == pytest.approx(np.abs(after - before).max())
        assert distance.pearson == pytest.approx(np.corrcoef(before, after)[0, 1])
    ranks = [np.argsort(np.argsort(side)) for side in (before, after)]
    assert diff.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert diff.by_contig == {"1": (900, 900), "X": (0, 0), "Y": (0, 0)}
    farthest = sorted(both, key=lambda name: -abs(new[name] - old[name]))[:200]
    assert diff.largest["variant_id"].to_pylist() == farthest


def test_small_windows_and_compacted_files_give_the_same(random_tables, monkeypatch):
    whole = compare_positions(*random_tables)
    compact(random_tables[0], target_rows=200, full=True)
    monkeypatch.setattr(position_diff, "WINDOW_ROWS", 50)
    parts = compare_positions(*random_tables, most=7)
    assert parts.largest.equals(whole.largest.slice(0, 7))
    assert vars(parts.all_changes) == pytest.approx(vars(whole.all_changes))
    assert (parts.num_bases_only_old, parts.num_bases_only_new) == (350, 255)


def test_a_change_is_what_moved_by_more_than_a_table_differs_from_score(folders, tmp_path):
    old, new = folders
    diff = compare_positions(old, new)
    assert (diff.num_both, diff.num_changed, diff.num_bases) == (9, 3, 3)
    assert [row["variant_id"] for row in diff.largest.to_pylist()] == ["chr1-2-C-A", "chr1-1-A-C", "chr1-3-G-C"]
    assert diff.largest["change"].to_pylist() == pytest.approx([3.0, -0.5, -3e-5], rel=1e-2)
    assert diff.sentence() == (
        "3 of 9 single-base changes (33.3%) moved by more than 1e-5 nats, the farthest by 3. Only in the old: 3; only in the new: 6."
    )


def test_a_table_and_itself_do_not_differ(random_tables):
    diff = compare_positions(random_tables[0], random_tables[0])
    assert diff.sentence() == "No delta moved by more than 1e-5 nats: 1,950 single-base changes are in both."
    assert (diff.all_changes.largest, diff.all_changes.pearson, diff.largest.num_rows) == (0, 1, 0)
    assert diff.remarks() == ["Both share model, window and strand."]


def test_above_the_most_ranks_are_of_a_sample_that_does_not_hang_on_windows(random_tables, monkeypatch):
    monkeypatch.setattr(diff_tally, "SPEARMAN_ROWS", 100)
    whole = compare_positions(*random_tables)
    monkeypatch.setattr(position_diff, "WINDOW_ROWS", 50)
    parts = compare_positions(*random_tables)
    assert (whole.num_ranked, parts.num_ranked) == (100, 100)
    assert parts.spearman == whole.spearman
    assert "(of a sample of 100)" in parts.numbers()[-1]


def test_positions_with_another_base_are_not_compared_and_said(tmp_path):
    old = table(tmp_path / "old", {}, {"1": "ACG"}, seed=1)
    new = table(tmp_path / "new", {}, {"1": "ATG"}, seed=1, identity=replace(IDENTITY, reference_digest="s" * 64))
    diff = compare_positions(old, new)
    assert (diff.num_other_base, diff.num_both, diff.num_only_old, diff.num_only_new) == (1, 6, 3, 3)
    assert diff.remarks()[:2] == [
        "The two runs were made on different references, so the same coordinates may mean different variants.",
        "At 1 position of both the references have other bases: they are not compared.",
    ]


@pytest.mark.parametrize("is_old", [True, False])
def test_the_single_base_changes_of_scores_are_compared_with_a_table(tmp_path, is_old):
    positions = table(tmp_path / "table", OLD, {"1": BASES})
    deltas = {"1-1-A-C": -1.0, "1-1-A-G": -2.5, "1-3-G-T": -1.0, "1-3-G-GA": 4.0, "1-2-C-T": 2.0, "7-1-A-C": 0.0}
    scores = finished_run(tmp_path / "scores", deltas)
    diff = compare_positions(*((scores, positions) if is_old else (positions, scores)))
    assert (diff.num_both, diff.num_changed, diff.num_left_out) == (4, 1, 1)
    assert sorted((diff.num_only_old, diff.num_only_new)) == [1, 11]
    assert diff.largest["variant_id"].to_pylist() == ["1-1-A-G"]
    assert diff.largest["change"].to_pylist() == [0.5 if is_old else -0.5]
    assert "Of the scores 1 row that are no single-base change are left out." in diff.remarks()


def test_pairs_and_tables_without_a_common_change_are_not_compared(tmp_path, folders):
    pairs = finished_run(tmp_path / "pairs", {"one": -8.0})
    with pytest.raises(InputError, match="holds scores of pairs, which have no coordinates"):
        compare_positions(folders[0], pairs)
    other = table(tmp_path / "other", {}, {"7": "ACGT"})
    with pytest.raises(InputError, match=r"No single-base change is in both.*: 12 only in .*, 12 only in .*other\."):
        compare_positions(folders[0], other, changes_to=str(tmp_path / "changes.tsv"))
    assert not [path for path in tmp_path.iterdir() if "changes" in path.name]


@pytest.mark.parametrize("name", ["changes.parquet", "changes.tsv"])
def test_all_changes_go_to_a_file_in_genome_order(tmp_path, random_tables, name, monkeypatch):
    monkeypatch.setattr(position_diff, "WINDOW_ROWS", 100)
    diff = compare_positions(*random_tables, changes_to=str(tmp_path / name), most=3)
    path = tmp_path / name
    rows = pq.read_table(path).to_pylist() if name.endswith("parquet") else pl.read_csv(path, separator="\t").to_dicts()
    old, new = (changes(path) for path in random_tables)
    names = sorted(old.keys() & new.keys(), key=lambda one: (int(one.split("-")[1]), one))
    assert [row["variant_id"] for row in rows] == names and len(names) == diff.num_changed
    assert list(rows[0]) == CHANGED.names
    assert rows[5]["change"] == pytest.approx(new[names[5]] - old[names[5]])


def test_a_file_of_another_kind_is_refused_before_the_work(folders, tmp_path):
    with pytest.raises(SettingsError, match="--out"):
        compare_positions(*folders, changes_to=str(tmp_path / "changes.xlsx"))


def test_the_screen_starts_with_the_sentence(folders):
    diff = compare_positions(*folders)
    console = Console(file=io.StringIO(), width=120)
    print_position_diff(diff, console, most=2)
    text = console.file.getvalue()
    assert text.startswith(diff.sentence())
    assert "the 2 largest of 3 changes; --out FILE gives all" in text
    assert "bases in both: 3; only in the old: 1; only in the new: 2" in text


def test_the_page_starts_with_the_sentence_and_holds_everything_itself(tmp_path, folders):
    diff = compare_positions(*folders)
    path = write_position_diff_page(diff, str(tmp_path / "page.html"))
    page = read_page((tmp_path / "page.html").read_text())
    assert path == str(tmp_path / "page.html")
    assert page.lines[1:4] == ["raygen diff", "What changed between two tables", diff.sentence()]
    assert page.holds_all_it_shows()
    assert page.scripts == []
    assert "chr1-2-C-A" in page.lines


def test_the_page_escapes_what_comes_from_data(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    old = table(tmp_path / "old<b>", {f"{name}-1-A-C": 0.0}, {name: "A"})
    new = table(tmp_path / "new", {f"{name}-1-A-C": 1.0}, {name: "A"})
    write_position_diff_page(compare_positions(old, new), str(tmp_path / "page.html"))
    page = read_page((tmp_path / "page.html").read_text())
    assert page.holds_all_it_shows()
    assert not {"img", "b"} & set(page.tags)


def test_the_command_compares_tables_and_fails_on_what_moved(monkeypatch, capsys, folders, tmp_path):
    code, out, _ = raygen(monkeypatch, capsys, "diff", *folders, "--page", tmp_path / "page.html", "--fail-on", 4)
    assert code == 0
    assert out.startswith("3 of 9 single-base changes (33.3%) moved by more than 1e-5 nats")
    assert out.endswith(f"page: {tmp_path / 'page.html'}\n")
    assert raygen(monkeypatch, capsys, "diff", *folders, "--fail-on", 3)[0] == 1
    code, _, err = raygen(monkeypatch, capsys, "diff", folders[0], tmp_path / "nothing")
    assert (code, err) == (3, f"error: No such folder: {tmp_path / 'nothing'}.\n")
