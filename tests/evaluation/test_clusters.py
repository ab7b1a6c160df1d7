import numpy as np
import polars as pl
import pytest

from raygen.errors import SettingsError
from raygen.evaluation.clusters import choose_clusters, places_of
from raygen.evaluation.labelled_scores import LabelRequest, gather
from tests.evaluation.labelled_rows import alleles, labelled_table


def partition(numbers):
    """The rows of each cluster, in order of appearance."""
    numbers = np.asarray(numbers)
    return [np.flatnonzero(numbers == number).tolist() for number in dict.fromkeys(numbers.tolist())]


def half(size):
    return np.arange(size) % 2 == 0


def test_the_largest_level_with_ten_clusters_of_either_label_is_taken(tmp_path):
    """Of 120 sites on 12, 2 and 1 chromosomes, in 20 genes or without."""
    twelve, two = ([str(row % number) for row in range(120)] for number in (12, 2))
    genes = [f"G{row // 6}" for row in range(120)]
    chosen = [
        choose_clusters(labelled_table(tmp_path, np.arange(120) // 12 % 2 == 0, **columns))
        for columns in (
            {"chrom": twelve, "gene": genes},
            {"chrom": two, "gene": genes},
            {"gene": genes},
            {"chrom": two},
        )
    ]
    assert [choice.chosen.in_words for choice in chosen] == ["12 chromosomes", "20 genes", "20 genes", "120 sites"]
    assert chosen[0].reason == ""
    assert chosen[1].reason == "2 chromosomes are too few, 10 are needed"
    assert chosen[2].reason == "1 chromosome is too few, 10 are needed"


def test_a_level_is_too_small_where_few_of_its_clusters_hold_the_rarer_label(tmp_path):
    """Thirty chromosomes, of which nine hold a positive."""
    positive = np.arange(90) < 27
    choice = choose_clusters(labelled_table(tmp_path, positive, chrom=[str(row // 3) for row in range(90)]))
    assert choice.chosen.level == "site"
    assert choice.reason == "30 chromosomes (labels spread as over 9.0) are too few, 10 are needed"


def test_a_level_is_too_small_where_one_of_its_clusters_holds_nearly_all(tmp_path):
    """Twenty genes with both labels, one of them with 200 of 238 rows: (100 + 19)^2 / (100^2 + 19) is 1.4 of each label."""
    gene = ["BRCA1"] * 200 + [f"G{row // 2}" for row in range(38)]
    choice = choose_clusters(labelled_table(tmp_path, half(238), gene=gene))
    assert choice.chosen.in_words == "238 sites"
    assert "20 genes (labels spread as over 1.4) are too few" in choice.reason


def test_without_enough_at_any_level_the_smallest_is_taken(tmp_path):
    choice = choose_clusters(labelled_table(tmp_path, half(8), gene=["A", "B"] * 4))
    assert (choice.chosen.level, choice.chosen.num_clusters, choice.chosen.fewest) == ("site", 8, 4)


def test_alleles_of_a_site_are_one_cluster_at_every_level(tmp_path):
    """Twelve sites of three alleles, of which one names another gene and one a second."""
    genes = [f"G{row // 3}" for row in range(36)]
    genes[1], genes[5] = "OTHER", "G1|SECOND"
    labelled = labelled_table(
        tmp_path,
        half(36),
        **alleles(12),
        gene=genes,
        window_start=np.repeat(np.arange(12) * 10, 3),
        window_end=np.repeat(np.arange(12) * 10 + 5, 3) + np.arange(36) % 3,
    )
    for level in ("gene", "window", "site"):
        assert partition(choose_clusters(labelled, level).chosen.of_row) == [
            [3 * n, 3 * n + 1, 3 * n + 2] for n in range(12)
        ]
    assert choose_clusters(labelled).chosen.level == "gene"


def test_genes_that_are_named_together_are_one_and_sites_without_a_name_their_own(tmp_path):
    genes = ["A", "A|B", "B", None, "", ".", "C:1", "C:1,D:2", "D:2", "E", " E"]
    labelled = labelled_table(tmp_path, half(11), gene=genes)
    clusters = partition(choose_clusters(labelled, "gene").chosen.of_row)
    assert clusters == [[0, 1, 2], [3], [4], [5], [6, 7, 8], [9, 10]]


def test_windows_are_joined_one_after_the_other_and_never_across_contigs(tmp_path):
    """On contig 1: 0-10, 9-20, 19-30 are a chain; 30-40 only touches. On contig 2 a window at the same place is another."""
    labelled = labelled_table(
        tmp_path,
        half(5),
        chrom=["1", "1", "1", "1", "2"],
        window_start=[0, 9, 19, 30, 0],
        window_end=[10, 20, 30, 40, 10],
    )
    assert partition(choose_clusters(labelled, "window").chosen.of_row) == [[0, 1, 2], [3], [4]]


def test_a_window_over_the_seam_of_a_circle_joins_its_two_ends(tmp_path):
    labelled = labelled_table(
        tmp_path, half(4), window_start=[-5, 20, 40, 90], window_end=[10, 30, 50, 100], pos=[1, 25, 45, 95]
    )
    assert partition(choose_clusters(labelled, "window").chosen.of_row) == [[0, 3], [1], [2]]


def test_windows_that_all_overlap_leave_the_site(tmp_path):
    labelled = labelled_table(tmp_path, half(40), window_start=np.arange(40), window_end=np.arange(40) + 20)
    choice = choose_clusters(labelled)
    assert choice.chosen.level == "site"
    assert "1 chromosome and 1 group of overlapping windows are too few" in choice.reason


def test_a_site_is_the_first_base_that_changes_however_an_indel_is_written():
    """A deletion of the base at 6 written from 5 and from 6, an SNV there, and an insertion before 6."""
    places = places_of(pl.Series(["1-6-A-", "1-6-A-G", "HLA-A-6-A-G", "1-6--T", "1-7-A-G"]))
    assert partition(places.site) == [[0, 1, 3], [2], [4]]
    assert places.contigs == ["1", "HLA-A"]
    assert places_of(pl.Series(["a pair", "another"])) is None


def test_rows_without_coordinates_are_each_by_themselves(tmp_path):
    pl.DataFrame(
        {"variant_id": [f"pair {n}" for n in range(30)], "delta_llr": np.arange(30.0), "class": ["P", "B"] * 15}
    ).write_parquet(tmp_path / "pairs.parquet")
    labelled = gather(LabelRequest(str(tmp_path / "pairs.parquet"), "class", positive=["P"], negative=["B"]))
    choice = choose_clusters(labelled)
    assert (choice.chosen.in_words, choice.places) == ("30 rows", None)
    with pytest.raises(SettingsError, match="--cluster site: the rows have no coordinates"):
        choose_clusters(labelled, "site")


@pytest.mark.parametrize(
    ("level", "words"), [("gene", "no column names genes"), ("window", "no columns window_start and window_end")]
)
def test_a_level_that_the_rows_do_not_carry_is_refused(tmp_path, level, words):
    with pytest.raises(SettingsError, match=f"--cluster {level}: .*{words}"):
        choose_clusters(labelled_table(tmp_path, half(20)), level)


def test_a_group_is_drawn_by_the_next_smaller_level_of_which_it_has_enough(tmp_path):
    """Twenty genes of six sites: a group of one gene has six sites, and one of ten genes has what all have."""
    positive = np.arange(240) // 2 % 2 == 0
    labelled = labelled_table(tmp_path, positive, gene=[f"G{row // 12}" for row in range(240)])
    choice = choose_clusters(labelled)
    assert choice.chosen.level == "gene"
    assert choice.within(np.arange(120), positive).in_words == "10 genes"
    assert choice.within(np.arange(60), positive).in_words == "60 sites"
    assert choice.within(np.arange(12), positive).in_words == "12 sites"
    only_genes = choose_clusters(labelled, "gene")
    assert only_genes.within(np.arange(12), positive).why_no_interval == "all in one gene"


def known_by_id(folder, positive, ids=None, **columns):
    """A table of rows known by ids, which are no coordinates where none are given."""
    size = len(positive)
    ids = [f"pair {row}" for row in range(size)] if ids is None else ids
    frame = {"variant_id": ids, "delta_llr": np.arange(float(size)), "class": np.where(positive, "P", "B"), **columns}
    pl.DataFrame(frame).write_parquet(folder / "ids.parquet")
    return gather(LabelRequest(str(folder / "ids.parquet"), "class", positive=["P"], negative=["B"]))


def test_genes_are_clusters_of_rows_without_coordinates_too(tmp_path):
    labelled = known_by_id(tmp_path, half(1200), gene=[f"G{row // 30}" for row in range(1200)])
    choice = choose_clusters(labelled)
    assert (choice.chosen.in_words, choice.reason) == ("40 genes", "the rows have no coordinates")
    assert choose_clusters(labelled, "gene").chosen.num_clusters == 40
    some = choose_clusters(known_by_id(tmp_path, half(60), gene=[f"G{row}" if row < 30 else None for row in range(60)]))
    assert some.chosen.in_words == "30 genes and 30 rows without one"


def test_one_id_that_is_no_variant_leaves_the_others_their_coordinates(tmp_path):
    ids = [f"{1 + row // 50}-{1 + row}-A-C" for row in range(600)]
    ids[100] = "a pair"
    choice = choose_clusters(known_by_id(tmp_path, half(600), ids))
    assert choice.chosen.in_words == "12 chromosomes and the rows without coordinates"
    assert choice.reason == "1 row has no coordinates"
    assert choice.places.num_sites == 600


def test_rows_without_coordinates_make_no_chromosomes_of_their_own(tmp_path):
    ids = [f"{1 + row // 2}-{1 + row}-A-C" if row < 30 else f"pair {row}" for row in range(600)]
    choice = choose_clusters(known_by_id(tmp_path, half(600), ids))
    assert choice.chosen.in_words == "600 sites"
    assert choice.reason.endswith("are needed; 570 rows have no coordinates")


def test_sites_without_a_gene_are_counted_apart_and_no_names_are_no_level(tmp_path):
    genes = [f"G{row // 2}" if row < 60 else [None, "", ".", "-"][row % 4] for row in range(235)]
    assert choose_clusters(labelled_table(tmp_path, half(235), gene=genes)).chosen.in_words == (
        "30 genes and 175 sites without one"
    )
    nothing = labelled_table(tmp_path, half(235), gene=pl.Series([None] * 235, dtype=pl.String))
    assert choose_clusters(nothing).chosen.in_words == "235 sites"
    with pytest.raises(SettingsError, match="--cluster gene: gene names no gene in these rows"):
        choose_clusters(nothing, "gene")


def test_an_empty_usual_column_gives_way_to_one_with_values(tmp_path):
    labelled = labelled_table(tmp_path, half(40), gene=["."] * 40, symbol=[f"G{row // 2}" for row in range(40)])
    assert labelled.extra.gene == "symbol"
    pl.read_parquet(tmp_path / "rows.parquet").drop("symbol", "class").write_parquet(tmp_path / "scores.parquet")
    pl.read_parquet(tmp_path / "rows.parquet").drop("gene").rename({"symbol": "GENEINFO"}).write_parquet(
        tmp_path / "labels.parquet"
    )
    scores, labels = (str(tmp_path / f"{name}.parquet") for name in ("scores", "labels"))
    joined = gather(LabelRequest(scores, "class", labels, positive=["P"], negative=["B"]))
    assert joined.extra.gene == "GENEINFO"
