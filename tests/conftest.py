"""Tests keep what they cache in a folder of their own, so that a run leaves nothing in HOME and sees nothing from it.

Their credentials for object storage are made up, and set before any Ray starts: workers inherit them.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

from tests.forked_workers import forking_process

# A busy machine must not fail a test: no time limits, and the same examples everywhere.
settings.register_profile(
    "raygen", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("raygen")

# What a user's shell may say and tests must not hear: set aside before anything of raygen is imported.
_UNHEARD = ("FORCE_COLOR", "COLUMNS", "RAYGEN_LOG", "RAY_ADDRESS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_UNHEARD += ("PYTHONDONTWRITEBYTECODE",)  # or each process that tests start compiles the package again
for _name in _UNHEARD:
    os.environ.pop(_name, None)

# Tests run side by side, and the models are small: threads of one model would only wait for each other. An actor that is alone on its
# machine has one for each CPU all the same; where they wait, they must not keep a CPU busy that something else could use.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_OWN_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


BEGIN_FIRST = ("tests/test_documents.py", "tests/test_examples.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What keeps one process busy for a minute begins first, so that the other is not done long before it."""
    items.sort(key=lambda item: not item.nodeid.startswith(BEGIN_FIRST))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    own = {**_OWN_KEYS, "RAYGEN_CACHE": str(tmp_path_factory.mktemp("cache"))}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 1 MiB: (its folder, a function that remounts it with options)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small file system needs mount, which this user may not")
    yield disk, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture(scope="session")
def local_ray(_own_cache):
    """One Ray for all tests of a process, with a GPU that is not there: Ray counts it, torch does not see it.

    A run that finds it takes it; without it, every run would start and end one of its own.
    """
    from raygen.pipeline.cluster import _quiet_start

    import ray  # isort: skip  (after the import above, which sets what Ray reads when it is imported)
    from ray.cluster_utils import Cluster  # isort: skip

    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    node = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "object_store_memory": 200 * 2**20}
    with forking_process() as forked:
        with _quiet_start():
            started = Cluster(initialize_head=True, head_node_args={**node, **forked})
            ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield
        with _quiet_start():
            ray.shutdown()
            started.shutdown()
