"""Tests keep what they cache in a folder of their own, so that a run leaves nothing in HOME and sees nothing from it."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    before = os.environ.get("RAYGEN_CACHE")
    os.environ["RAYGEN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["RAYGEN_CACHE"]
    else:
        os.environ["RAYGEN_CACHE"] = before
