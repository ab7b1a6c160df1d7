"""One local Ray for all pipeline tests, with a GPU that is not there: Ray counts it, torch does not see it."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="package", autouse=True)
def local_ray(_own_cache):
    import ray

    from raygen.pipeline import cluster

    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    with cluster._quiet_start():
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=200 * 2**20,
        )
    yield
    ray.shutdown()
