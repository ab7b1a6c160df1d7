"""One local Ray for all pipeline tests, with a GPU that is not there: Ray counts it, torch does not see it."""

from __future__ import annotations

import os

import pytest

from tests.forked_workers import forking_process


@pytest.fixture(scope="package", autouse=True)
def local_ray(_own_cache):
    from raygen.pipeline import cluster

    import ray  # isort: skip  (after the import above, which sets what Ray reads when it is imported)
    from ray.cluster_utils import Cluster  # isort: skip

    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    node = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "object_store_memory": 200 * 2**20}
    with forking_process() as forked, cluster._quiet_start():
        started = Cluster(initialize_head=True, head_node_args={**node, **forked})
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()
        started.shutdown()
