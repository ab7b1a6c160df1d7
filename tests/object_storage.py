"""An S3 server for tests: moto's, in a thread of the test's process, reached over HTTP by every worker.

``with s3_server() as server:`` gives ``server.uri("a/b")``, ``server.put(key, content)``, ``server.keys(prefix)`` and
``server.requests``: (method, path) of every request so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote
from urllib.request import Request, urlopen

import boto3
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

BUCKET = "raygen-tests"


class S3Server:
    """A running server with one bucket."""

    def __init__(self, endpoint: str, requests: list[tuple[str, str]]) -> None:
        self.endpoint, self.requests = endpoint, requests
        # moto keeps its buckets in the process, beyond the server: what an earlier test put there goes first
        urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")).close()
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        self._client.create_bucket(Bucket=BUCKET)

    def uri(self, key: str) -> str:
        return f"s3://{BUCKET}/{key}?endpoint_override={quote(self.endpoint, safe='')}&region=us-east-1"

    def put(self, key: str, content: bytes) -> str:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return self.uri(key)

    def get(self, key: str) -> bytes:
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def keys(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return [name for name in found if not name.endswith("/")]  # pyarrow marks folders that it emptied

    def count(self, method: str, ending: str) -> int:
        return sum(one == method and path.partition("?")[0].endswith(ending) for one, path in self.requests)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    requests: list[tuple[str, str]] = []
    log, WSGIRequestHandler.log_request = WSGIRequestHandler.log_request, _noting(requests)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}", requests)
    finally:
        server.stop()
        WSGIRequestHandler.log_request = log


def _noting(requests: list[tuple[str, str]]):
    def log_request(self, *_: object, **__: object) -> None:
        requests.append((self.command, self.path))

    return log_request
