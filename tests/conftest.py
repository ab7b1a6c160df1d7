"""Tests keep what they cache in a folder of their own, so that a run leaves nothing in HOME and sees nothing from it.

Their credentials for object storage are made up, and set before any Ray starts: workers inherit them.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: no time limits, and the same examples everywhere.
settings.register_profile(
    "raygen", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("raygen")

# What a user's shell may say and tests must not hear: set aside before anything of raygen is imported.
_UNHEARD = ("FORCE_COLOR", "COLUMNS", "RAYGEN_LOG", "RAY_ADDRESS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
for _name in _UNHEARD:
    os.environ.pop(_name, None)

_OWN_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


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
