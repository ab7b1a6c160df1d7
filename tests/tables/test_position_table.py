"""The position table: its columns, its flags as numbers, and how its files are written."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.model.cards import OFF_LABEL_DOMAIN, UNVALIDATED
from raygen.sequence import windows
from raygen.tables.position_table import (
    BASES,
    FLAGS,
    ROW_GROUP_ROWS,
    TOO_MANY_N,
    PositionFolder,
    changes_schema,
    codes_of,
    deltas_of,
    flag_lists,
    flags_bitmap,
    flags_of,
    has_both_strands,
    positions_schema,
)
from tests.builders import random_bases
from tests.position_tables import write_positions


def file_of(folder: str, chrom: str) -> pq.ParquetFile:
    """The only file of a contig."""
    return pq.ParquetFile(next(file.path for file in PositionFolder(folder).score_files() if file.chrom == chrom))


def test_the_flags_are_those_of_scores_but_for_one():
    of_scores = (windows.SHORT_WINDOW, windows.SHIFTED_WINDOW, windows.N_IN_WINDOW, OFF_LABEL_DOMAIN, UNVALIDATED)
    assert tuple(flag for flag in FLAGS if flag != TOO_MANY_N) == of_scores


def test_the_first_flag_is_in_the_lowest_bit():
    masks = {"short_window": np.array([True, False, True]), "unvalidated_model": np.array([False, False, True])}
    assert flags_bitmap(masks, 3).tolist() == [1, 0, 33]
    assert flags_bitmap({}, 2).tolist() == [0, 0]


def test_flags_come_out_of_a_bitmap_as_they_went_in():
    masks = {flag: np.array([number == row for row in range(7)]) for number, flag in enumerate(FLAGS)}
    again = flags_of(flags_bitmap(masks, 7))
    assert list(again) == list(FLAGS)
    assert all((again[flag] == masks[flag]).all() for flag in FLAGS)


def test_flags_are_lists_of_their_names():
    bitmap = np.array([1 | 4, 0, 4 | 8, 32, 8], np.uint16)
    lists = [["short_window", "n_in_window"], [], ["n_in_window", TOO_MANY_N], ["unvalidated_model"], [TOO_MANY_N]]
    assert flag_lists(bitmap).to_pylist() == lists
    is_null = np.array([False, True, False, False, False])
    assert flag_lists(bitmap, is_null).to_pylist() == [lists[0], None, *lists[2:]]
    assert flag_lists(bitmap[:0]).type == pa.list_(pa.string())


def test_a_flag_that_no_position_table_has_is_refused():
    with pytest.raises(KeyError, match="haplotype"):
        flags_bitmap({"haplotype": np.array([True])}, 1)


@pytest.mark.parametrize("both", [False, True])
def test_the_columns_are_these(both):
    strands = ["", "_fwd", "_rev"] if both else [""]
    deltas = [f"delta_{base}{strand}" for strand in strands for base in "ACGT"]
    schema = positions_schema(both)
    assert schema.names == ["chrom", "pos", "ref", *deltas, "entropy", "flags"]
    assert {schema.field(name).type for name in deltas} == {pa.float32()}
    assert has_both_strands(schema) is both


@pytest.mark.parametrize("both", [False, True])
def test_a_table_reads_back_as_it_was_written(tmp_path, both):
    bases = random_bases(40) + "NNR" + random_bases(5, seed=1)
    out = write_positions(tmp_path / "out", {"1": bases}, both, flags={"1-44": [TOO_MANY_N]})
    folder = PositionFolder(out)
    (file,) = folder.score_files()
    rows = folder.read_score_file(file)
    assert sorted(rows.column_names) == sorted(positions_schema(both).names)
    assert rows["pos"].to_pylist() == [*range(1, 41), *range(44, 49)]
    assert "".join(rows["ref"].to_pylist()) == bases.replace("NNR", "")
    assert rows["flags"].to_pylist() == [0] * 40 + [8] + [0] * 4
    for base in BASES:
        assert rows[f"delta_{base}"].is_null().to_pylist() == [ref == base for ref in rows["ref"].to_pylist()]


def test_deltas_and_bases_come_out_of_rows_as_arrays(tmp_path):
    out = write_positions(tmp_path / "out", {"1": "CTG"}, both=True, deltas={"1-1-C-T": -2.5})
    rows = PositionFolder(out).read_score_file(PositionFolder(out).score_files()[0])
    deltas = deltas_of(rows)
    assert deltas.shape == (3, 4) and deltas.dtype == np.float32
    assert np.isnan(deltas).tolist() == [[base == letter for base in BASES] for letter in "CTG"]
    assert (deltas[0, 3], deltas_of(rows, "delta_fwd")[0, 3], deltas_of(rows, "delta_rev", "T")[0, 0]) == (
        -2.5,
        -1.5,
        -3.5,
    )
    assert codes_of(rows["ref"]).tolist() == [1, 3, 2]
    assert codes_of(pa.chunked_array([["A", "N", None, "AC"]])).tolist() == [0, -1, -1, -1]


def test_a_change_has_the_columns_of_scores_and_entropy():
    places = ["variant_id", "chrom", "pos", "ref", "alt"]
    assert changes_schema(False).names == [*places, "delta_llr", "entropy", "flags"]
    assert changes_schema(True).names == [*places, "delta_llr", "delta_fwd", "delta_rev", "entropy", "flags"]


def test_a_value_is_put_where_its_variant_is_named(tmp_path):
    out = write_positions(tmp_path / "out", {"1": "ACGT"}, both=True, deltas={"1-2-C-T": -2.5})
    rows = PositionFolder(out).read_score_file(PositionFolder(out).score_files()[0])
    assert [rows[f"delta_T{strand}"][1].as_py() for strand in ("", "_fwd", "_rev")] == [-2.5, -1.5, -3.5]


def test_a_file_is_written_for_few_bytes_and_single_rows(tmp_path):
    """Numbers with their bytes apart, positions as differences, row groups of some thousand rows with their first and last position."""
    file = file_of(write_positions(tmp_path / "out", {"1": random_bases(20_000)}), "1")
    assert [file.metadata.row_group(number).num_rows for number in range(2)] == [
        ROW_GROUP_ROWS,
        20_000 - ROW_GROUP_ROWS,
    ]
    group = file.metadata.row_group(1)
    by_name = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    assert (by_name["pos"].statistics.min, by_name["pos"].statistics.max) == (ROW_GROUP_ROWS + 1, 20_000)
    assert "DELTA_BINARY_PACKED" in by_name["pos"].encodings
    assert all("BYTE_STREAM_SPLIT" in by_name[name].encodings for name in ("delta_A", "entropy"))
    assert {column.compression for column in by_name.values()} == {"ZSTD"}


def test_rows_are_found_by_their_contig_in_the_folders_name(tmp_path):
    out = write_positions(tmp_path / "out", {"1": "ACGT", "HLA-A*01": "AC"})
    dataset = PositionFolder(out).scores_dataset()
    assert dataset.to_table(columns=["chrom", "pos"]).to_pydict() == {
        "chrom": ["1"] * 4 + ["HLA-A*01"] * 2,
        "pos": [1, 2, 3, 4, 1, 2],
    }
