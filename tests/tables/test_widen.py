"""Source columns of one table have one type: wider ones for all files at once, and what does not fit is refused or seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, SettingsError
from raygen.evaluation.keyed_table import TableSource
from raygen.finished.export import export_scores
from raygen.finished.reclassify import reclassify
from raygen.tables.compact import compact
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import REJECTS
from raygen.tables.verify import verify
from raygen.tables.widen import widen
from tests.tables.tables_on_disk import IDENTITY, manifest, rows


def carry(folder: RunFolder, shard: str, chrom: str, start: int, values: pa.Array, name: str = "af") -> None:
    """A shard of SNVs from ``start`` on, one for each of the values of the column ``name``."""
    table = rows(chrom, range(start, start + len(values))).append_column(name, values)
    folder.commit_shard(shard, chrom, table, REJECTS.empty_table(), replace(IDENTITY, source_columns=name))


def table_of(tmp_path: Path, *columns: pa.Array, name: str = "af") -> RunFolder:
    """A table with a shard on a contig of its own for each of the columns, as version 0.1.0 let them in."""
    folder = RunFolder(str(tmp_path / "out"))
    for number, values in enumerate(columns, 1):
        carry(folder, f"s{number}", str(number), 10, values, name)
    manifest(folder, "run-1", scored=sum(map(len, columns)))
    return folder


def faults(folder: RunFolder) -> list[str]:
    return [fault.what for fault in verify(folder.path).faults]


def test_a_table_declares_the_types_of_its_source_columns(tmp_path):
    folder = table_of(tmp_path, pa.array([1, None]))
    assert folder.identity().column_types == "af: int64"
    assert folder.carried_types() == {"af": pa.int64()}
    (file,) = folder.score_files()
    assert pq.read_schema(file.path).metadata[b"raygen.column_types"] == b"af: int64"


def test_a_table_of_a_version_that_declared_no_types_is_read_and_verified(tmp_path):
    folder = table_of(tmp_path, pa.array([1, None]))
    (file,) = folder.score_files()
    table = pq.read_table(file.path, partitioning=None)
    metadata = {key: value for key, value in table.schema.metadata.items() if key != b"raygen.column_types"}
    pq.write_table(table.replace_schema_metadata(metadata), file.path)
    assert folder.identity().column_types == "af: int64"
    assert faults(folder) == []
    assert read_scores(folder.path)["af"].to_pylist() == [1, None]


def test_whole_numbers_become_floats_in_every_file_and_for_every_reader(tmp_path):
    folder = table_of(tmp_path, pa.array([0, 1, None]))
    assert widen(folder, {"af": pa.float64()}) == 1
    carry(folder, "s2", "2", 10, pa.array([0.5, np.nan]))
    manifest(folder, "run-1", scored=5)
    assert faults(folder) == []
    assert read_scores(folder.path)["af"].to_pylist()[:4] == [0.0, 1.0, None, 0.5]
    assert pd.read_parquet(f"{folder.path}/scores")["af"].tolist()[3] == 0.5
    assert pl.read_parquet(f"{folder.path}/scores/*/*.parquet")["af"].to_list()[:4] == [0.0, 1.0, None, 0.5]
    assert folder.identity().column_types == "af: double"


def test_a_column_without_any_value_becomes_what_the_first_value_is(tmp_path):
    folder = table_of(tmp_path, pa.nulls(2))
    widen(folder, {"af": pa.string()})
    carry(folder, "s2", "2", 10, pa.array(["007"]))
    assert read_scores(folder.path)["af"].to_pylist() == [None, None, "007"]


def test_rows_shards_and_runs_stay_when_types_become_wider(tmp_path):
    folder = table_of(tmp_path, pa.array([1, 2]), pa.array([], pa.int64()))
    before = read_scores(folder.path).drop_columns(["af"]), folder.committed_shards()
    (first, _) = folder.score_files()
    runs = folder.shards_by_run(first)
    widen(folder, {"af": pa.float64()})
    assert (read_scores(folder.path).drop_columns(["af"]), folder.committed_shards()) == before
    assert folder.shards_by_run(folder.score_files()[0]) == runs == {"run-1": ["s1"]}
    assert faults(folder) == []


def test_a_number_that_a_float_does_not_hold_exactly_changes_nothing(tmp_path):
    folder = table_of(tmp_path, pa.array([1]), pa.array([2**53 + 1]))
    with pytest.raises(InputError, match=r"part-s2.parquet holds a value that has no place.*9007199254740993"):
        widen(folder, {"af": pa.float64()})
    assert read_scores(folder.path)["af"].to_pylist() == [1, 2**53 + 1]


@pytest.mark.parametrize("second", [pa.array(["007"]), pa.array([[1]])], ids=str)
def test_text_of_a_mixed_table_does_not_become_numbers_when_types_become_wider(tmp_path, second):
    folder = table_of(tmp_path, pa.array([7]), second)
    before = [pq.read_table(file.path, partitioning=None) for file in folder.score_files()]
    with pytest.raises(InputError, match=r"part-s2.parquet cannot be read as one table"):
        widen(folder, {"af": pa.float64()})
    assert [pq.read_table(file.path, partitioning=None) for file in folder.score_files()] == before
    assert faults(folder)


def test_a_type_that_cannot_become_the_other_is_refused(tmp_path):
    folder = table_of(tmp_path, pa.array([[1]]))
    with pytest.raises(InputError, match=r"part-s1.parquet holds a value that has no place"):
        widen(folder, {"af": pa.float64()})


def test_a_folder_of_other_classes_becomes_wider_with_its_source(tmp_path):
    cuts, new = (-9, -5, -2, 2), str(tmp_path / "new")
    folder = table_of(tmp_path, pa.array([0, 1]))
    reclassify(folder.path, new, cuts)
    widen(folder, {"af": pa.float64()})
    carry(folder, "s2", "2", 10, pa.array([0.5]))
    assert reclassify(folder.path, new, cuts).already == 2
    assert read_scores(new)["af"].to_pylist() == [0.0, 1.0, 0.5]
    assert [fault.what for fault in verify(new).faults] == []


def test_a_folder_of_other_classes_with_wider_types_says_which(tmp_path):
    cuts, new = (-9, -5, -2, 2), RunFolder(str(tmp_path / "new"))
    folder = table_of(tmp_path, pa.array([0, 1]))
    reclassify(folder.path, new.path, cuts)
    widen(new, {"af": pa.float64()})
    words = "holds scores with the types of the source columns af: double; these would have the types of the source columns af: int64"
    with pytest.raises(SettingsError, match=words):
        reclassify(folder.path, new.path, cuts)


def test_verify_sees_files_that_cannot_be_read_as_one(tmp_path):
    folder = table_of(tmp_path, pa.array([1]), pa.array(["007"]), pa.array([0.5]))
    assert faults(folder) == [
        "cannot be read as one table with the others: af: string here, int64 in the table",
        "cannot be read as one table with the others: af: double here, int64 in the table",
    ]


@pytest.mark.parametrize("second", [pa.array(["007"]), pa.array([0.5]), pa.array([[1]])], ids=str)
def test_a_mixed_table_of_an_earlier_version_is_refused_by_name_and_never_misread(tmp_path, second):
    folder = table_of(tmp_path, pa.array([7]), second)
    with pytest.raises(
        InputError, match=r"part-s2.parquet cannot be read as one table.*af is .* there and int64 before"
    ):
        read_scores(folder.path)
    with pytest.raises(InputError, match=r"part-s2.parquet cannot be read as one table"):
        export_scores(folder.path, str(tmp_path / "all.csv"))
    with pytest.raises(InputError, match="its files have to be readable as one"):
        reclassify(folder.path, str(tmp_path / "other"), cuts=(-9, -5, -2, 2))
    evaluated = TableSource(folder.path)
    with pytest.raises(
        InputError, match=r"part-s2.parquet cannot be read as one table.*af is .* there and int64 before"
    ):
        evaluated.read(["af"], "variant")
    assert len(evaluated.read(["delta_llr"], "variant").frame) == 2


def test_files_of_one_contig_are_not_merged_when_their_types_differ(tmp_path):
    folder = table_of(tmp_path, pa.array([7]))
    carry(folder, "s9", "1", 100, pa.array(["007"]))
    with pytest.raises(InputError, match=r"part-s9.parquet cannot be read as one table"):
        compact(folder.path)
    assert len(folder.score_files()) == 2


def test_a_table_with_nan_is_merged(tmp_path):
    folder = table_of(tmp_path, pa.array([[0.5, np.nan], None]), name="afs")
    carry(folder, "s9", "1", 100, pa.array([[np.nan]]), "afs")
    (merged,) = compact(folder.path)
    assert (merged.files_before, merged.files_after) == (2, 1)
    assert str(read_scores(folder.path)["afs"].to_pylist()) == "[[0.5, nan], None, [nan]]"
