"""Paths elsewhere, against an S3 server of the tests' own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raygen.errors import InputError, SettingsError
from raygen.remote import exists, join, shown, stage, stamp, with_endpoint
from tests.object_storage import BUCKET, s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))


def test_a_local_path_is_its_own(tmp_path):
    assert stage("some/where.fa") == "some/where.fa"
    assert with_endpoint("some/where.fa") == shown("some/where.fa") == "some/where.fa"
    assert join("a/b", "c") == "a/b/c"


def test_a_file_is_fetched_once_under_its_own_name(server):
    uri = server.put("in/ref.fa.gz", b"\x1f\x8b as it is, though its name says gzip")
    with ThreadPoolExecutor(4) as pool:
        (staged,) = set(pool.map(stage, [uri] * 8))
    assert Path(staged).name == "ref.fa.gz"
    assert Path(staged).read_bytes() == server.get("in/ref.fa.gz")
    assert server.count("GET", "/in/ref.fa.gz") == 1 + 1  # the last one is this test's own


def test_a_file_that_changed_is_fetched_again(server):
    uri = server.put("in/x.vcf", b"one")
    assert Path(stage(uri)).read_bytes() == b"one"
    server.put("in/x.vcf", b"three")
    assert Path(stage(uri)).read_bytes() == b"three"


def test_a_folder_is_fetched_whole(server):
    for name in ("config.json", "sub/model.safetensors"):
        server.put(f"model/{name}", name.encode())
    staged = Path(stage(server.uri("model/")))
    assert staged.name == "model"
    found = {str(path.relative_to(staged)): path.read_text() for path in staged.rglob("*") if path.is_file()}
    assert found == {"config.json": "config.json", "sub/model.safetensors": "sub/model.safetensors"}


def test_what_is_not_there_says_so_without_options(server):
    assert not exists(server.uri("nothing"))
    with pytest.raises(InputError, match=rf"No such file or folder: s3://{BUCKET}/nothing\.$"):
        stage(server.uri("nothing"))


def test_size_and_time_of_change_know_a_swapped_file(server):
    uri = server.put("in/y", b"12345")
    size, changed = stamp(uri)
    assert size == 5
    assert changed > 0


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(SettingsError, match=r"s3://bucket/x cannot be reached"):
        exists("s3://bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A9&region=us-east-1")


def test_an_endpoint_of_the_environment_travels_in_the_uri(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert with_endpoint("s3://b/x") == "s3://b/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A9000"
    assert with_endpoint("s3://b/x?endpoint_override=mine") == "s3://b/x?endpoint_override=mine"
    assert with_endpoint("gs://b/x") == "gs://b/x"


@pytest.mark.parametrize("uri", ["s3://key:secret@b/x", "s3://b/x?access_key=key&secret_key=secret"])
def test_credentials_in_a_path_are_refused_and_not_repeated(uri):
    with pytest.raises(SettingsError, match="leave credentials out of paths") as raised:
        with_endpoint(uri)
    assert "secret" not in str(raised.value)
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") != "secret"


def test_options_stay_behind_a_name_that_is_added():
    assert join("s3://b/out/?region=x", "scores") == "s3://b/out/scores?region=x"
    assert shown("s3://b/out?region=x") == "s3://b/out"
