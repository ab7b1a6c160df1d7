"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

import os

import pytest

from raygen.pipeline.cluster import _configure_data, _quiet_start

import ray  # isort: skip  (after the import above, which sets what Ray reads when it is imported)
from ray.cluster_utils import Cluster  # isort: skip


@pytest.fixture
def cluster(tmp_path):
    """A head without a GPU; ``add(name)`` starts a node with one (that only Ray sees) and with a cache of its own."""
    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    ray.shutdown()  # leaves the Ray of the other tests, where one of them was before
    started = Cluster()

    def add(name: str, num_gpus: int = 1):
        return started.add_node(
            num_cpus=1,
            num_gpus=num_gpus,
            object_store_memory=80 * 2**20,
            include_dashboard=False,
            env_vars={"RAYGEN_CACHE": str(tmp_path / "caches" / name)},
        )

    with _quiet_start():
        add("head", num_gpus=0)
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
    _configure_data()
    yield started, add
    ray.shutdown()
    started.shutdown()
