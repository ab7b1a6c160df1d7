"""Shards as Ray Data reads them: each a block of its own.

In: planned shards. Out: a datasource. Apart from ``shards``, which plans them without Ray, also for ``raygen plan``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from raygen.pipeline.metrics import with_seconds
from raygen.pipeline.shards import ShardToScore


class ShardSource(Datasource):
    """Reads each shard as one block. Ray's own Parquet reader merges and splits row groups as it sees fit."""

    def __init__(self, shards: Sequence[ShardToScore], bytes_per_row: int = 64) -> None:
        super().__init__()
        self._shards = shards
        self._bytes_per_row = bytes_per_row

    def estimate_inmemory_data_size(self) -> int:
        """Bytes, for Ray's planning of memory."""
        return sum(shard.num_rows for shard in self._shards) * self._bytes_per_row

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One task a shard, whatever parallelism Ray would like."""
        return [ReadTask(_reader(shard), self._metadata(shard)) for shard in self._shards]

    def _metadata(self, shard: ShardToScore) -> BlockMetadata:
        size = shard.num_rows * self._bytes_per_row
        return BlockMetadata(num_rows=shard.num_rows, size_bytes=size, input_files=[shard.path], exec_stats=None)


def _reader(shard: ShardToScore) -> Callable[[], Iterable[pa.Table]]:
    return lambda: [with_seconds("read", shard.read)]
