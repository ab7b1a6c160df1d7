"""A Slurm for all tests of this folder, and a folder to submit from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.slurm.batch_job import BatchFolder
from tests.slurm.slurm_cluster import NoSlurm, refuse_where_slurm_cannot_run, slurm_cluster


@pytest.fixture(scope="session")
def cluster():
    """Two nodes at work; ``RAYGEN_NEEDS_SLURM=1`` (make test-slurm) makes a machine without Slurm a failure."""
    try:
        refuse_where_slurm_cannot_run()
    except NoSlurm as error:
        (pytest.fail if os.environ.get("RAYGEN_NEEDS_SLURM") else pytest.skip)(str(error))
    with tempfile.TemporaryDirectory(prefix="raygen-slurm-") as folder, slurm_cluster(Path(folder)) as started:
        yield started


@pytest.fixture
def batch(cluster, tmp_path):
    """A folder with settings and inputs, from which jobs are submitted. Nodes that a test killed are there again for the next."""
    yield BatchFolder(cluster, tmp_path)
    cluster.restore()
