"""What stands in jobs/ and configs/ works as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from raygen.settings import load_settings
from tests.builders import fasta, random_bases, snvs, vcf

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "configs/runs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_run_configuration_loads(path):
    load_settings(str(path))


def test_the_ingest_job_is_the_command(tmp_path):
    bases = random_bases(90)
    variants, reference = vcf(tmp_path, snvs("1", bases, [5, 9])), fasta(tmp_path, {"1": bases})
    command = [sys.executable, ROOT / "jobs/ingest.py", variants, "--reference", reference, "--out", tmp_path / "in"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 alleles in = 2 variants + 0 rejected" in done.stdout


def test_the_scoring_job_returns_the_exit_code_of_the_command(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "jobs/score_variants.py", "none.yaml"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "No such settings file" in done.stderr
