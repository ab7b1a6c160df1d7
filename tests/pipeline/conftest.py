"""All pipeline tests are on one local Ray."""

import pytest


@pytest.fixture(autouse=True)
def _on_local_ray(local_ray):
    pass
