"""Tests keep what they cache in a folder of their own, so that a run leaves nothing in HOME and sees nothing from it.

Their credentials for object storage are made up, and set before any Ray starts: workers inherit them.
"""

from __future__ import annotations

import os

import pytest

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
