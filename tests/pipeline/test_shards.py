import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data

from raygen.errors import InputError
from raygen.pipeline.shard_source import ShardSource
from raygen.pipeline.shards import MAX_SHARD_ROWS, plan_shards, shard_rows
from raygen.tables.schemas import VARIANTS


def ingested(folder, *files):
    """Files of row groups; a row group is (chrom, number of rows)."""
    for number, groups in enumerate(files):
        with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", VARIANTS) as writer:
            for chrom, rows in groups:
                table = {
                    "chrom": [chrom] * rows,
                    "pos": list(range(1, rows + 1)),
                    "ref": ["A"] * rows,
                    "alt": ["C"] * rows,
                }
                writer.write_table(pa.table({**table, "id": pa.nulls(rows, pa.string())}, schema=VARIANTS))
    return folder


def test_shards_hold_every_row_once_in_order(tmp_path):
    folder = ingested(tmp_path, [("1", 300), ("1", 100), ("2", 7)], [("2", 50)])
    shards = plan_shards(folder, "digest")
    rows = pa.concat_tables([shard.read() for shard in shards])
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    assert rows.drop_columns(["shard", "source"]).to_pylist() == whole.to_pylist()
    assert [shard.num_rows for shard in shards] == [len(shard.read()) for shard in shards]


def test_a_shard_holds_one_contig(tmp_path):
    for shard in plan_shards(ingested(tmp_path, [("1", 30), ("2", 30), ("10", 30)]), "digest"):
        assert set(shard.read()["chrom"].to_pylist()) == {shard.chrom}


def test_names_depend_on_content_and_place_only(tmp_path):
    folder = ingested(tmp_path, [("1", 300)])
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.glob("*.parquet"):
        (moved / path.name).write_bytes(path.read_bytes())
    names = [shard.name for shard in plan_shards(folder, "digest")]
    assert names == [shard.name for shard in plan_shards(moved, "digest")]
    assert not set(names) & {shard.name for shard in plan_shards(folder, "another")}
    assert len(set(names)) == len(names)


def test_small_row_groups_are_joined_in_a_large_input(tmp_path):
    shards = plan_shards(ingested(tmp_path, [("1", 64)] * 300), "digest")
    assert all(len(shard.row_groups) > 1 for shard in shards[:-1])
    assert sum(shard.num_rows for shard in shards) == 300 * 64


@pytest.mark.parametrize(
    ("rows", "expected"), [(0, 64), (1000, 64), (64_000, 1000), (10**6, 4096), (10**7, 9765), (10**9, MAX_SHARD_ROWS)]
)
def test_the_size_of_a_shard_grows_with_the_input_up_to_a_limit(rows, expected):
    assert shard_rows(rows) == expected


def test_rows_know_their_place_in_the_input(tmp_path):
    shards = plan_shards(ingested(tmp_path, [("1", 100), ("2", 30)], [("2", 5)]), "digest")
    sources = [source for shard in shards for source in shard.read()["source"].to_pylist()]
    assert sources == [f"part-00000.parquet:{row}" for row in range(1, 131)] + [
        f"part-00001.parquet:{row}" for row in range(1, 6)
    ]


def test_a_file_that_was_swapped_is_not_read(tmp_path):
    (shard,) = plan_shards(ingested(tmp_path, [("1", 30)]), "digest")
    ingested(tmp_path, [("1", 31)])
    with pytest.raises(InputError, match="was changed while it was being scored"):
        shard.read()


def test_an_empty_input_has_no_shards(tmp_path):
    assert plan_shards(ingested(tmp_path, [("1", 0)]), "digest") == []


class _CountRows:
    """An actor's stage that says what reached it in one call."""

    def __call__(self, block: pa.Table) -> pa.Table:
        return pa.table({"shards": [",".join(sorted(set(block["shard"].to_pylist())))], "rows": [len(block)]})


@pytest.mark.ray
def test_actors_with_gpus_get_one_whole_shard_a_call(tmp_path):
    shards = plan_shards(ingested(tmp_path, [("1", 300), ("2", 7), ("3", 1)]), "digest")
    dataset = ray.data.read_datasource(ShardSource(shards), override_num_blocks=len(shards)).map_batches_internal(
        _CountRows,
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_gpus=1,
        num_cpus=0,
    )
    seen = {row["shards"]: row["rows"] for row in dataset.take_all()}
    assert seen == {shard.name: shard.num_rows for shard in shards}
