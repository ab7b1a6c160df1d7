"""A run's folder on an S3 server: commits without a rename, the lock, and what readers see."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

from raygen.errors import SettingsError, StoppedError
from raygen.finished.embeddings import read_embeddings
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.locks import lock_prefix
from raygen.tables.position_table import PositionFolder
from raygen.tables.verify import verify
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.embedding_scorer import vectors_of
from tests.object_storage import BUCKET, s3_server
from tests.tables.embeddings_on_disk import commit_embedded
from tests.tables.test_layout import IDENTITY, rejects, scores


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def folder(server, request):
    made = RunFolder(server.uri(f"tables/{request.node.name}"))
    made.prepare()
    return made


def key(folder: RunFolder) -> str:
    return folder.path.removeprefix(f"s3://{BUCKET}/")


def test_what_is_committed_is_read_back_and_nothing_else_lies_there(server, folder):
    for number, chrom in enumerate(["1", "HLA-A*01:01", None]):
        folder.commit_shard(f"s{number}", chrom, scores(chrom, f"v{number}"), rejects("duplicate"), IDENTITY)
    assert {file.chrom for file in folder.score_files()} == {"1", "HLA-A*01:01", None}
    assert set(read_scores(folder.uri)["variant_id"].to_pylist()) == {"v0", "v1", "v2"}
    assert folder.identity() == IDENTITY
    assert folder.rejects_of({"s0", "s1", "s2"}) == {"duplicate": 3}
    names = {name.rpartition("/")[2] for name in server.keys(key(folder))}
    assert names == {"part-s0.parquet", "part-s1.parquet", "part-s2.parquet"}


def test_a_shard_becomes_visible_by_one_upload_and_is_never_copied(server, folder):
    before = len(server.requests)
    folder.commit_shard("s", "1", scores("1", "v"), rejects(), IDENTITY)
    made = [(method, path) for method, path in server.requests[before:] if method in ("PUT", "POST", "DELETE")]
    assert [method for method, path in made if "part-s.parquet" in path] == ["PUT"] or all(
        "upload" in path for _, path in made
    )
    assert not [path for _, path in made if "copy" in path.lower()]


def test_embeddings_lie_beside_the_scores_and_are_uploaded_first(server, folder):
    before = len(server.requests)
    commit_embedded(folder, "s0", "1", [5, 6])
    uploads = [path for method, path in server.requests[before:] if method in ("PUT", "POST") and "part-s0" in path]
    assert ["embeddings" in path for path in uploads] == sorted(
        ("embeddings" in path for path in uploads), reverse=True
    )
    assert {name.removeprefix(key(folder)) for name in server.keys(key(folder)) if "part-" in name} == {
        "/embeddings/chrom=1/part-s0.parquet",
        "/scores/chrom=1/part-s0.parquet",
    }
    ids, vectors = read_embeddings(folder.uri, "norm", "suffix")
    np.testing.assert_array_equal(vectors, vectors_of(ids.to_pylist(), "delta", "norm", "suffix", "fwd"))
    assert [fault for fault in verify(folder.uri).faults if "embeddings" in fault.what] == []


def test_unfinished_work_is_hidden_and_taken_away(server, folder):
    folder.write_work("shard-1/rows.0.10.5.arrow", b"piece")
    assert folder.list_work() == ["shard-1/rows.0.10.5.arrow"]
    assert folder.read_work("shard-1/rows.0.10.5.arrow").to_pybytes() == b"piece"
    folder.drop_work("shard-1")
    folder.drop_work("shard-1")
    assert folder.list_work() == []


def test_of_several_writers_of_a_small_file_all_read_one(folder):
    assert folder.write_first("runs/value.json", b"first") == b"first"
    assert folder.write_first("runs/value.json", b"second") == b"first"


def test_a_reader_that_knows_nothing_of_raygen_reads_the_scores(server, folder):
    folder.commit_shard("s", "22", scores("22", "v"), rejects(), IDENTITY)
    s3, root = fs.FileSystem.from_uri(folder.uri)
    assert ds.dataset(f"{root}/scores", filesystem=s3, partitioning="hive").count_rows() == 1


def test_a_position_table_without_rows_is_one_from_its_first_manifest_on(server):
    table = PositionFolder(server.uri("tables/positions"))
    table.prepare()
    assert not holds_positions(table.uri)
    table.write_manifest("20261128T090000Z-9c9dac", {"kind": "positions"})
    table.write_manifest("20261129T090000Z-9c9dac", {"kind": "positions"})
    assert holds_positions(table.uri) and table.score_files() == []
    assert len(server.keys(f"{key(table)}/positions")) == 1
    with pytest.raises(SettingsError, match="holds a position table"):
        RunFolder(table.uri).prepare()


def test_a_bucket_that_is_not_there_says_so(server):
    gone = server.uri("out").replace(BUCKET, "no-such-bucket")
    with pytest.raises(SettingsError, match=r"s3://no-such-bucket/out cannot be (written|reached)"):
        RunFolder(gone).prepare()


def test_a_server_that_is_gone_in_the_middle_of_a_run_stops_it(server):
    gone = RunFolder(f"s3://{BUCKET}/out?endpoint_override=http%3A%2F%2F127.0.0.1%3A9&region=us-east-1")
    with pytest.raises(StoppedError, match=rf"^s3://{BUCKET}/out could not be written: .*NETWORK_CONNECTION"):
        gone.write_file("a.json", b"")
    absent = RunFolder(server.uri("out").replace(BUCKET, "no-such-bucket"))
    with pytest.raises(SettingsError, match=r"^s3://no-such-bucket/out cannot be written: .*NO_SUCH_BUCKET"):
        absent.write_file("a.json", b"")


def test_tables_are_named_without_the_options_of_their_uri(server, folder, raygen):  # noqa: F811
    folder.commit_shard("s", "1", scores("1", "v"), rejects(), IDENTITY)
    _, printed, _ = raygen("verify", folder.uri)
    assert printed.splitlines()[-1].startswith(f"{folder.path}: 1 file, 1 row")
    code, _, message = raygen("compact", folder.uri)
    assert (code, message.startswith(f"error: {folder.path} is on object storage")) == (2, True)
    assert "endpoint_override" not in printed + message


def lock(folder: RunFolder, dead: float = 2.0):
    filesystem, root = fs.FileSystem.from_uri(folder.uri)
    return lock_prefix(filesystem, root, folder.path, renew=dead / 10, dead=dead)


def test_a_second_run_is_refused_while_the_first_one_lives(server, folder):
    with lock(folder, 10), pytest.raises(StoppedError, match="Another run is writing"), lock(folder, 10):
        pass
    assert server.keys(f"{key(folder)}/.lock") == []


def test_the_lock_of_a_killed_run_does_not_stay(server, folder):
    server.put(f"{key(folder)}/.lock/killed", b"it moves no more")
    with lock(folder, dead=0.5):
        assert len(server.keys(f"{key(folder)}/.lock")) == 1
    assert server.keys(f"{key(folder)}/.lock") == []


def test_of_many_at_once_no_two_go_on(folder):
    inside, most, refused = [], [], []
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        try:
            with lock(folder, dead=5.0):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        except StoppedError:
            refused.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) + len(refused) == 4
    assert max(most, default=1) == 1
