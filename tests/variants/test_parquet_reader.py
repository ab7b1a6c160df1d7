from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.variants.parquet import ParquetReader


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def rows_of(path: Path, *columns: str) -> list[dict[str, Any]]:
    return [row for batch in ParquetReader(path, path.name).batches(columns) for row in batch.table.to_pylist()]


def test_rows_become_alleles_with_their_row_number(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.parquet", alt=["C", "<DEL>"], ref=["A", "a"], pos=pa.array([5, 6], pa.int32()), chrom=["1", "2"]
    )
    assert rows_of(path) == [
        {"chrom": "1", "pos": 5, "id": None, "ref": "A", "alt": "C", "record": 1, "span": None, "fault": None},
        {"chrom": "2", "pos": 6, "id": None, "ref": "a", "alt": "<DEL>", "record": 2, "span": None, "fault": None},
    ]


def test_dictionary_and_large_strings_and_integer_ids_are_taken(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.parquet",
        chrom=pa.array(["1"]).dictionary_encode(),
        pos=[5],
        ref=pa.array(["A"], pa.large_string()),
        alt=pa.array(["C"]).dictionary_encode(),
        id=[17],
    )
    assert [(row["chrom"], row["ref"], row["alt"], row["id"]) for row in rows_of(path)] == [("1", "A", "C", "17")]


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.uint16(), pa.dictionary(pa.int32(), pa.int64())], ids=str)
def test_contigs_may_be_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    chrom = pa.array([7, None])
    chrom = chrom.dictionary_encode() if pa.types.is_dictionary(kind) else chrom.cast(kind)
    path = write(tmp_path / "v.parquet", chrom=chrom, pos=[5, 6], ref=["A", "A"], alt=["C", "C"])
    assert [(row["chrom"], row["fault"]) for row in rows_of(path)] == [("7", None), (None, "chrom is null")]


def test_folders_say_what_the_file_does_not(tmp_path: Path) -> None:
    path = write(tmp_path / "v.parquet", pos=[5, 6], ref=["A", "A"], alt=["C", "C"], tier=["own", "own"])
    reader = ParquetReader(path, "v", {"chrom": "01", "tier": "high", "year": None})
    assert {name: str(kind) for name, kind in reader.columns.items()} == {"tier": "string", "year": "string"}
    rows = [row for batch in reader.batches(["tier", "year"]) for row in batch.table.to_pylist()]
    assert [(row["chrom"], row["pos"], row["source.tier"], row["source.year"], row["fault"]) for row in rows] == [
        ("01", 5, "own", None, None),
        ("01", 6, "own", None, None),
    ]


def test_a_file_out_of_a_partitioned_table_says_where_the_table_is(tmp_path: Path) -> None:
    (tmp_path / "table" / "chrom=1").mkdir(parents=True)
    path = write(tmp_path / "table" / "chrom=1" / "v.parquet", pos=[5], ref=["A"], alt=["C"])
    with pytest.raises(
        InputError, match=r"'chrom' is missing.* in a folder chrom=1: give the table as a whole, .*/table\."
    ):
        ParquetReader(path, "v")


def test_null_and_negative_values_are_faults(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.parquet",
        chrom=["1", None, "1", "1", "1", None],
        pos=[None, 2, 3, 4, -5, -6],
        ref=["A", "A", None, "A", "A", "A"],
        alt=["C", "C", "C", None, "C", "C"],
    )
    assert [row["fault"] for row in rows_of(path)] == [
        "pos is null",
        "chrom is null",
        "ref is null",
        "alt is null",
        "pos is below 0",
        "chrom is null",
    ]


def test_pos_may_be_whole_floats_beside_nulls(tmp_path: Path) -> None:
    """As pandas writes integers with a gap; a category of them, too."""
    pos = pa.array([5.0, None, float("nan"), 2.0**31], from_pandas=False)
    for column in (pos, pos.dictionary_encode()):
        path = write(tmp_path / "v.parquet", chrom=["1"] * 4, pos=column, ref=["A"] * 4, alt=["C"] * 4)
        assert [(row["pos"], row["fault"]) for row in rows_of(path)] == [
            (5, None),
            (None, "pos is null"),
            (None, "pos is null"),
            (2**31, None),
        ]


@pytest.mark.parametrize("value", [5.5, float("inf"), 1e300])
def test_a_pos_that_is_not_whole_is_named_with_its_row(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "v.parquet", chrom=["1"] * 2, pos=[5.0, value], ref=["A"] * 2, alt=["C"] * 2)
    with pytest.raises(InputError, match=r"v\.parquet: row 2 has (5\.5|inf|1e\+300) in pos, and a position is a whole"):
        rows_of(path)


def test_a_pos_of_32_bits_is_refused_because_it_may_be_rounded(tmp_path: Path) -> None:
    path = write(tmp_path / "v.parquet", chrom=["1"], pos=pa.array([5], pa.float32()), ref=["A"], alt=["C"])
    with pytest.raises(InputError, match="column 'pos' is float, not integer"):
        rows_of(path)


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_a_byte_that_is_no_utf8_is_a_fault_only_where_it_is_read(tmp_path: Path, text: pa.DataType) -> None:
    raw = pa.array([b"her", b"h\xe9r", None], pa.large_binary() if text == pa.large_string() else pa.binary())
    plain = text.value_type if pa.types.is_dictionary(text) else text
    notes = pa.Array.from_buffers(plain, 3, raw.buffers())
    notes = notes.dictionary_encode() if plain != text else notes
    alleles = {"chrom": ["1"] * 3, "pos": [5, 6, 7], "ref": ["A"] * 3, "alt": ["C"] * 3}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**alleles, "notes": notes}), path)
    assert [row["fault"] for row in rows_of(path)] == [None, None, None]
    rows = rows_of(path, "notes")
    assert [row["fault"] for row in rows] == [None, "the record holds bytes that are not UTF-8 text", None]
    assert [row["source.notes"] for row in rows] == ["her", "h\ufffdr", None]


def test_a_byte_that_is_no_utf8_in_a_list_is_a_fault_of_its_row(tmp_path: Path) -> None:
    items = pa.array([b"her", b"h\xe9r", b"x"], pa.binary()).view(pa.string())
    notes = pa.ListArray.from_arrays(pa.array([0, 1, 3, None, 3], pa.int32()), items)
    path = write(tmp_path / "a.parquet", chrom=["1"] * 4, pos=[5, 6, 7, 8], ref=["A"] * 4, alt=["C"] * 4, notes=notes)
    rows = rows_of(path, "notes")
    assert [row["fault"] for row in rows] == [None, "the record holds bytes that are not UTF-8 text", None, None]
    assert [row["source.notes"] for row in rows] == [["her"], ["h\ufffdr", "x"], [], None]


def test_source_columns_keep_their_type(tmp_path: Path) -> None:
    labels = pa.array([["x"], None], pa.list_(pa.string()))
    path = write(
        tmp_path / "v.parquet",
        chrom=["1", "1"],
        pos=[1, 2],
        ref=["A", "A"],
        alt=["C", "C"],
        labels=labels,
        af=[0.5, None],
    )
    reader = ParquetReader(path, "v.parquet")
    assert reader.columns == {"labels": labels.type, "af": pa.float64()}
    assert [(row["source.af"], row["source.labels"]) for row in rows_of(path, "af", "labels")] == [
        (0.5, ["x"]),
        (None, None),
    ]


def test_all_faults_of_the_columns_are_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "v.parquet", chrom=[1.5], pos=["5"], alt=["C"], id=[0.5])
    with pytest.raises(InputError) as error:
        ParquetReader(path, "v.parquet")
    for fault in ("'chrom' is double", "'pos' is string", "'ref' is missing", "'id' is double"):
        assert fault in str(error.value)


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_corrupt_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "v.parquet", chrom=["1"], pos=[5], ref=["A"], alt=["C"])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        ParquetReader(path, "v.parquet")


def test_corrupt_page_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.parquet",
        chrom=[f"c{i}" for i in range(5000)],
        pos=range(5000),
        ref=["A"] * 5000,
        alt=["C"] * 5000,
    )
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    with pytest.raises(InputError, match="is corrupt"):
        rows_of(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.parquet: no such file"):
        ParquetReader(tmp_path / "nowhere.parquet", "nowhere.parquet")


def test_a_list_that_an_older_pyarrow_cannot_read_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before version 26 it says what stands here of a whole file with a null in a list of fixed size."""
    path = write(tmp_path / "lists.parquet", chrom=["1"], pos=[9], ref=["A"], alt=["C"])

    def unread(*_: object, **__: object) -> Iterator[pa.RecordBatch]:
        raise pa.ArrowInvalid("Expected all lists to be of size=2 but index 2 had size=0")
        yield

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", unread)
    with pytest.raises(InputError, match=r"a list of fixed size that is null, which pyarrow .* version 26 can"):
        rows_of(path)
