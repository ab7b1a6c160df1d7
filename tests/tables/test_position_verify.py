"""What ``raygen verify`` says of a position table: each fault is put into one that is sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.errors import SettingsError
from raygen.tables.layout import RUN_KEY, RunFolder
from raygen.tables.position_check import SeenPositions
from raygen.tables.position_table import PositionFolder
from raygen.tables.schemas import REJECTS
from raygen.tables.verify import verify
from tests.builders import random_bases
from tests.position_tables import IDENTITY, RUN, write_positions
from tests.tables.positions_on_disk import account, add_rows, rewrite, tabulated

BASES = random_bases(30)


@pytest.fixture(params=[False, True], ids=["forward", "both"])
def table(request, tmp_path) -> PositionFolder:
    """Contig 1 in three shards, contig X in one."""
    return tabulated(tmp_path / "out", {"1": BASES + "NN" + BASES, "X": BASES}, request.param, shard_bases=25)


def faults(table: PositionFolder) -> list[str]:
    return [f"{Path(fault.where).name}: {fault.what}" for fault in verify(table.path).faults]


def shards(table: PositionFolder) -> dict[str, Path]:
    return {f"{file.chrom}:{file.shard[-10:].lstrip('0') or 0}": Path(file.path) for file in table.score_files()}


def column_of(path: Path, name: str) -> pa.ChunkedArray:
    return pq.ParquetFile(path).read()[name]


def with_value(column: pa.ChunkedArray, row: int, value: object) -> pa.Array:
    values = column.to_pylist()
    values[row] = value
    return pa.array(values, column.type)


def test_a_sound_table_has_no_faults_and_its_rows_are_counted(table):
    verification = verify(table.path)
    assert (verification.faults, verification.num_files, verification.num_rows, verification.num_runs) == ([], 5, 90, 1)


def test_a_table_without_a_row_is_sound(tmp_path):
    assert faults(tabulated(tmp_path / "out", {"1": "NNNN"})) == []


def test_one_flipped_bit_is_found(table):
    path = shards(table)["1:0"]
    content = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(0)
    (column,) = [
        group.column(number) for number in range(group.num_columns) if group.column(number).path_in_schema == "entropy"
    ]
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 4
    path.write_bytes(content)
    (first, *_) = faults(table)
    assert first.startswith(f"{path.name}: cannot be read:")


def test_a_file_that_is_gone_is_missed_by_its_runs_count(table):
    shards(table)["1:25"].unlink()
    assert faults(table) == [f"run {RUN}: its manifest counts 270 scored single-base changes, there are 201"]


def test_a_position_that_is_there_twice_is_named_whichever_files_it_is_in(table):
    add_rows(table, "b", "0123456789ab-00000-0000000000", RUN, 5, 4)
    add_rows(table, "c", "0123456789ab-00000-0000000000", RUN, 8, 1)
    account(table, RUN, 285)
    assert faults(table) == ["contig 1: positions are there more than once, 5 rows too many (6, 7, 8)"]


def test_rows_out_of_order_are_found(table):
    path = shards(table)["X:0"]
    pos = column_of(path, "pos").to_pylist()
    rewrite(path, pos=pa.array([pos[1], pos[0], *pos[2:]]))
    assert faults(table) == [f"{path.name}: not sorted by pos"]


def test_a_letter_that_is_no_base_is_found(table):
    path = shards(table)["X:0"]
    rewrite(path, ref=with_value(column_of(path, "ref"), 3, "N"))
    messages = faults(table)
    assert messages[0] == f"{path.name}: 1 row whose ref is not A, C, G, T"
    assert f"1 row where delta_{BASES[3]} is not null exactly for the reference's {BASES[3]}" in messages[1]


@pytest.mark.parametrize("is_own", [True, False], ids=["a value for the reference's base", "none for another"])
def test_a_delta_is_null_for_the_references_base_and_for_no_other(table, is_own):
    path = shards(table)["X:0"]
    base = BASES[3] if is_own else next(base for base in "ACGT" if base != BASES[3])
    names = [name for name in pq.read_schema(path).names if name.startswith(f"delta_{base}")]
    rewrite(path, **{name: with_value(column_of(path, name), 3, 0.0 if is_own else None) for name in names})
    assert faults(table) == [
        f"{path.name}: 1 row where {name} is not null exactly for the reference's {base}" for name in names
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found(table, value):
    path = shards(table)["X:0"]
    base = next(base for base in "ACGT" if base != BASES[0])
    columns = {f"delta_{base}": value, "entropy": value}
    rewrite(path, **{name: with_value(column_of(path, name), 0, value) for name in columns})
    messages = faults(table)
    assert f"{path.name}: 1 row whose delta_{base} is not finite" in messages
    assert f"{path.name}: 1 row whose entropy is not finite" in messages
    assert not any("not between" in message for message in messages)


def test_a_delta_that_is_not_the_mean_of_its_strands_is_found(tmp_path):
    table = tabulated(tmp_path / "out", {"1": BASES}, both=True)
    (path,) = shards(table).values()
    base = next(base for base in "ACGT" if base != BASES[0])
    mean = column_of(path, f"delta_{base}")
    largest = max(abs(column_of(path, f"delta_{base}{strand}")[0].as_py()) for strand in ("_fwd", "_rev"))
    rewrite(path, **{f"delta_{base}": with_value(mean, 0, mean[0].as_py() + 4e-7 * largest)})
    assert faults(table) == [f"{path.name}: 1 row whose delta_{base} is not the mean of its strands"]


def test_means_that_float32_rounded_are_no_fault(tmp_path):
    deltas = {f"1-{pos}-{BASES[pos - 1]}-{'A' if BASES[pos - 1] != 'A' else 'C'}": 10.0**-pos for pos in range(1, 31)}
    assert faults(tabulated(tmp_path / "out", {"1": BASES}, both=True, deltas=deltas)) == []


@pytest.mark.parametrize(("value", "is_fault"), [(1.3863, False), (1.387, True), (-0.001, True), (None, False)])
def test_an_entropy_is_one_that_four_letters_can_have(table, value, is_fault):
    path = shards(table)["X:0"]
    rewrite(path, entropy=with_value(column_of(path, "entropy"), 1, value))
    assert faults(table) == [f"{path.name}: 1 row whose entropy is not between 0 and ln 4"] * is_fault


def test_flags_that_there_are_not_are_found(table):
    path = shards(table)["X:0"]
    rewrite(path, flags=with_value(column_of(path, "flags"), 1, 1 << 6))
    assert faults(table) == [f"{path.name}: 1 row with flags that there are not (beyond bit 5)"]


def test_files_with_and_without_strands_are_no_one_table(tmp_path):
    table = tabulated(tmp_path / "out", {"1": BASES})
    write_positions(tmp_path / "out", {"2": BASES}, both=True)
    account(table, RUN, 180)
    (fault,) = faults(table)
    assert "cannot be read as one table with the others: a column delta_A_fwd, which the table does not have" in fault


def test_a_column_that_is_missing_or_of_another_type_is_found(table):
    path = shards(table)["X:0"]
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.drop_columns(["delta_G"]), path)
    assert faults(table)[0] == f"{path.name}: has no column delta_G"
    pq.write_table(rows.set_column(2, "delta_A", rows["delta_A"].cast(pa.float64())), path)
    assert faults(table)[0] == f"{path.name}: has columns of another type: delta_A"


def test_positions_of_another_fingerprint_are_found(tmp_path, table):
    both = len(pq.read_schema(shards(table)["X:0"]).names) > 9
    write_positions(Path(table.path), {"Y": BASES}, both, identity=replace(IDENTITY, fingerprint="e" * 16))
    account(table, RUN, 360)
    (fault,) = faults(table)
    assert fault.endswith("its fingerprint is 'eeeeeeeeeeeeeeee', that of the table 'ffffffffffffffff'")


def test_rows_of_a_run_without_a_manifest_are_found_and_of_no_run_too(table):
    add_rows(table, "b", "0123456789ab-00001-0000000000", "20270101T000000Z-b", 0, 2)
    path = shards(table)["X:25"]
    rows = pq.ParquetFile(path).read()
    metadata = {key: value for key, value in rows.schema.metadata.items() if key != RUN_KEY}
    pq.write_table(rows.replace_schema_metadata(metadata), path)
    assert faults(table) == [
        f"{path.name}: 5 rows of a run that its footer does not name",
        "contig X: positions are there more than once, 2 rows too many (1, 2)",
        "run 20270101T000000Z-b: 2 rows, but no manifest",
        f"run {RUN}: its manifest counts 270 scored single-base changes, there are 255",
    ]


def test_changes_that_could_not_be_scored_are_missed_among_the_rejects(table):
    account(table, RUN, 270, rejected={"scoring_failed": 3})
    assert faults(table) == [f"run {RUN}: its manifest counts 3 rejects scoring_failed, there are 0"]
    rejects = [{"source": "r.fa:31", "reason": "scoring_failed", "detail": "-"}] * 3
    table.commit_rejects("0123456789ab-00000-0000000000", pa.Table.from_pylist(rejects, schema=REJECTS))
    assert faults(table) == []


def test_what_a_killed_run_left_is_vouched_for_by_the_run_that_ended(table):
    add_rows(table, "b", "0123456789ab-00001-0000000000", "20270101T000000Z-b")
    shards(table)["X:0"].unlink()
    account(table, RUN, 0, status="running")
    account(table, "20270101T000000Z-b", 75, already=195)
    assert faults(table) == []
    shards(table)["1:50"].unlink()
    assert faults(table) == [
        "run 20270101T000000Z-b: when it ended the table held 270 single-base changes of its input (75 scored by it, 195 before it); "
        "of all runs until then there are 234"
    ]


@given(st.lists(st.lists(st.integers(1, 300_000), max_size=40), max_size=5))
def test_a_position_comes_back_as_often_as_it_was_seen_before(parts):
    seen, before = SeenPositions(), list[int]()
    for part in parts:
        again = seen.add(np.array(part, np.int64)).tolist() if part else []
        expected = [pos for number, pos in enumerate(part) if pos in before + part[:number]]
        assert sorted(again) == sorted(expected)
        before += part


@pytest.mark.parametrize("kind", [RunFolder, PositionFolder])
def test_a_table_of_one_kind_is_not_written_into_a_folder_with_one_of_the_other(tmp_path, kind):
    (tmp_path / ("positions" if kind is RunFolder else "scores")).mkdir()
    with pytest.raises(SettingsError, match=r"Give another output folder\.$"):
        kind(str(tmp_path)).prepare()
